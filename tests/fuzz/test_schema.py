"""Requests made from the OpenAPI document, right and wrong ones; the replies must be what it says."""

from __future__ import annotations

from typing import Any

import pytest
from apps import make_service

pytestmark = pytest.mark.fuzz

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (extra `fuzz`)")

from hypothesis import HealthCheck, settings  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from moderation_service.engines.lite.engine import LiteEngine  # noqa: E402
from moderation_service.web import create_app  # noqa: E402

# Not among them: that wrong data is always refused as a whole. A wrong item of a batch has an error of its own in a
# reply of 200, and a list over its limit is 413.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]

schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(service=make_service(engine=LiteEngine.load())))


@schema.parametrize()
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_service_does_what_its_document_says(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)
