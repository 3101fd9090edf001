"""Traces where OpenTelemetry is not installed; with it they are tested in tests/deploy."""

from __future__ import annotations

import sys

import pytest
from apps import make_service

from moderation_service.errors import ConfigurationError


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError) as caught:
        make_service(traces=True)
    said = str(caught.value)
    assert said.startswith("traces: OpenTelemetry is not installed. To install it: pip install 'opentelemetry-sdk>=")
    assert "'opentelemetry-exporter-otlp-proto-http>=" in said


def test_without_the_setting_the_extra_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert make_service().tracing is None
