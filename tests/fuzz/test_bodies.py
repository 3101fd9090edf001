"""Ten thousand bodies against the WSGI app with the embedded engine: no 500, no hang, nothing of them in the log."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from apps import client_of
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.config.settings import Settings
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.web.service import build_service

from .bodies import MARKER, anything, broken, examples, header_values, mutated, spelled, valid_shapes

pytestmark = pytest.mark.fuzz

HANGS_AFTER_S = 400
STATUSES = {200, 400, 413, 415}


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return client_of(build_service(Settings(max_body_bytes=65536, log_level="debug"), engine=LiteEngine.load()))


@pytest.fixture(autouse=True)
def _a_hang_ends_the_run() -> Iterator[None]:
    faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


def send(client: FlaskClient, body: bytes, **headers: str) -> Any:
    content_type = headers.pop("content_type", "application/json")
    log = io.StringIO()
    with contextlib.redirect_stderr(log):
        reply = client.post("/moderate", data=body, content_type=content_type, headers=headers)
    line = log.getvalue()
    assert reply.status_code in STATUSES, (reply.status_code, line)
    document = json.loads(reply.data)
    assert MARKER not in line.lower()
    assert json.loads(line)["status"] == reply.status_code
    if reply.status_code != 200:
        assert set(document) == {"error"}
        assert set(document["error"]) == {"type", "message", "param"}
    elif "results" in document:
        for result in document["results"]:
            assert "error" in result or result["safety"] in ("safe", "controversial", "unsafe")
    else:
        assert document["safety"] in ("safe", "controversial", "unsafe")
        assert document["degraded"] is False
    return document


@given(document=valid_shapes)
@examples(1000)
def test_bodies_of_the_right_shape(client: FlaskClient, document: object) -> None:
    send(client, spelled(document))


@given(document=mutated(valid_shapes))
@examples(3000)
def test_bodies_of_nearly_the_right_shape(client: FlaskClient, document: object) -> None:
    send(client, spelled(document))


@given(document=anything)
@examples(3000)
def test_any_json(client: FlaskClient, document: object) -> None:
    send(client, spelled(document))


@given(
    body=broken(valid_shapes),
    content_type=st.just("application/json") | header_values,
    language=header_values
    | st.lists(st.sampled_from(["de", "zh-CN;q=0.5", "*", "q=1", ";"]), max_size=4).map(",".join),
    request_id=header_values | st.just(MARKER + " "),
    encoding=st.just("identity") | header_values,
)
@examples(3000)
def test_any_bytes_with_any_headers(
    client: FlaskClient, body: bytes, content_type: str, language: str, request_id: str, encoding: str
) -> None:
    headers = {"Accept-Language": language, "X-Request-Id": request_id, "Content-Encoding": encoding}
    send(client, body, content_type=content_type, **headers)
