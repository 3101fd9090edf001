"""Whatever goes wrong is answered in JSON, without a page, a traceback or text."""

from __future__ import annotations

from typing import Any

import pytest
from apps import decision, error, make_client
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service import errors
from moderation_service.errors import (
    ConfigurationError,
    DeadlineExceeded,
    EngineAnswerInvalid,
    EngineError,
    EngineUnavailable,
    ModerationError,
    Overloaded,
)

STRICT = "policies: {own: {on_failure: error}}"
NOTHING_HERE = error("not_found", "There is nothing at this address.")
WRONG_METHOD = error("method_not_allowed", "This address does not answer to this HTTP method.")


@pytest.fixture
def client() -> FlaskClient:
    return make_client()


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/moderate/x", "/policies/x", "/Moderate", "/static/", "/static/none.js", "/static//page.js",
     "/static/../app.py", "/static/%2e%2e/app.py", "/static/%00", "/%ff%fe", "/é", "/policies/..", "/healthz/x",
     "/healthz//", "/."],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_address_is_404_in_json(client: FlaskClient, path: str, method: str) -> None:
    if method == "POST" and path.startswith("/static/") and path != "/static/":
        path = "/nowhere"  # any file below is a known address, only not for POST
    reply = client.open(path, method=method)
    assert (reply.status_code, reply.content_type, reply.json) == (404, "application/json", NOTHING_HERE)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/moderate", "OPTIONS, POST"),
        ("PUT", "/moderate", "OPTIONS, POST"),
        ("DELETE", "/moderate", "OPTIONS, POST"),
        ("TRACE", "/moderate", "OPTIONS, POST"),
        ("BREW", "/moderate", "OPTIONS, POST"),
        ("POST", "/policies", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("POST", "/readyz", "GET, HEAD, OPTIONS"),
        ("POST", "/metrics", "GET, HEAD, OPTIONS"),
        ("POST", "/openapi.json", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("POST", "/static/page.js", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405_in_json_and_names_the_right_ones(
    client: FlaskClient, method: str, path: str, allow: str
) -> None:
    reply = client.open(path, method=method)
    assert (reply.status_code, reply.content_type, reply.json) == (405, "application/json", WRONG_METHOD)
    assert reply.headers["Allow"] == allow


def test_head_has_no_body_and_is_refused_where_get_is(client: FlaskClient) -> None:
    reply = client.head("/moderate")
    assert (reply.status_code, reply.data) == (405, b"")
    assert client.head("/healthz").status_code == 200


def test_options_names_the_methods(client: FlaskClient) -> None:
    reply = client.options("/moderate")
    assert (reply.status_code, reply.data) == (200, b"")
    assert sorted(reply.headers["Allow"].split(", ")) == ["OPTIONS", "POST"]


@pytest.mark.parametrize("path", ["", "/"])
def test_no_path_is_the_page(client: FlaskClient, path: str) -> None:
    reply = client.get("/", environ_overrides={"PATH_INFO": path})
    assert (reply.status_code, reply.content_type) == (200, "text/html; charset=utf-8")


def test_a_second_slash_in_front_changes_nothing(client: FlaskClient) -> None:
    reply = client.post("/moderate", json={"prompt": "bomb"}, environ_overrides={"PATH_INFO": "//moderate"})
    assert reply.json == decision("unsafe", "violent")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/policies", {"Upgrade": "websocket", "Connection": "upgrade"}),
        ("/static/page.js", {"Range": "bytes=999999-"}),
    ],
)
def test_other_complaints_of_the_framework_are_the_callers_mistake_in_json(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    reply = client.get(path, headers=headers)
    assert (reply.status_code, reply.content_type) == (400, "application/json")
    assert reply.json == error("invalid_request", "The request could not be read.")


@pytest.mark.parametrize("host", ["a b", "[::", "ex ample.com/<script>", "é", "x" * 300, "evil.example:99999", ""])
def test_no_host_header_makes_it_fail(host: str) -> None:
    client = make_client(allowed_hosts=("*",))
    for path in ("/policies", "/nowhere", "/"):
        reply = client.get(path, headers={"Host": host})
        assert reply.status_code in (200, 400, 404)
        assert b"evil" not in reply.data


# Failures of the engine, under a policy that answers with the error


def failing(tmp_path: Any, failure: BaseException) -> FlaskClient:
    file = tmp_path / "policies.yaml"
    file.write_text(STRICT, encoding="utf-8")
    return make_client(engine=FakeEngine(raises=failure), policies_file=file, default_policy="own")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (EngineError("No verdict."), 503),
        (EngineAnswerInvalid("Nonsense."), 502),
        (EngineUnavailable("Down.", retry_after_s=0.2), 503),
        (DeadlineExceeded("Too slow."), 504),
        (Overloaded("Busy.", retry_after_s=30), 429),
    ],
)
def test_a_failure_of_the_engine_has_its_own_status(tmp_path: Any, failure: ModerationError, status: int) -> None:
    reply = failing(tmp_path, failure).post("/moderate", json={"prompt": "bread"})
    assert (reply.status_code, reply.content_type) == (status, "application/json")
    assert reply.json == error(failure.type, failure.message)
    waits = None if failure.retry_after_s is None else str(max(1, round(failure.retry_after_s)))
    assert reply.headers.get("Retry-After") == waits


@pytest.mark.parametrize(
    "bug",
    [
        KeyError("marker-7261"),
        ValueError("marker-7261"),
        RecursionError("marker-7261"),
        MemoryError("marker-7261"),
        UnicodeEncodeError("utf-8", "marker-7261", 0, 1, "marker-7261"),
        OSError("marker-7261"),
        AssertionError("marker-7261"),
        StopIteration("marker-7261"),
        ConfigurationError("marker-7261"),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("body", [{"prompt": "marker-7261"}, {"inputs": [{"prompt": "marker-7261"}]}])
def test_a_bug_is_500_without_a_traceback_or_text(tmp_path: Any, bug: Exception, body: dict[str, object]) -> None:
    reply = failing(tmp_path, bug).post("/moderate", json=body)
    assert (reply.status_code, reply.content_type) == (500, "application/json")
    message = "Something went wrong in the service; the log knows this request's id."
    assert reply.json == error("internal_error", message)
    assert len(reply.headers["X-Request-Id"]) == 32


def test_a_bug_in_one_request_does_not_touch_the_next(tmp_path: Any) -> None:
    engine = FakeEngine(raises=KeyError("bug"))
    client = make_client(engine=engine)
    assert client.post("/moderate", json={"prompt": "bread"}).status_code == 500
    engine.raises = None
    assert client.post("/moderate", json={"prompt": "bread"}).json == decision()


def test_a_bug_behind_another_route_is_500_in_json_too() -> None:
    class Broken(FakeEngine):
        def check_ready(self) -> None:
            raise KeyError("marker-7261")

    reply = make_client(engine=Broken()).get("/readyz")
    assert (reply.status_code, reply.content_type) == (500, "application/json")
    assert b"marker" not in reply.data


# The tree


def every_error() -> list[type[ModerationError]]:
    found, waiting = [], [ModerationError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_every_error_has_a_status_a_type_and_a_name_in_the_module() -> None:
    statuses = {kind.type: kind.status for kind in every_error()}
    assert statuses == {
        "invalid_request": 400,
        "unauthorized": 401,
        "forbidden": 403,
        "host_not_allowed": 403,
        "not_found": 404,
        "method_not_allowed": 405,
        "too_large": 413,
        "unsupported_media_type": 415,
        "overloaded": 429,
        "rate_limited": 429,
        "content_filter": 400,
        "client_gone": 499,
        "audit_unavailable": 503,
        "store_unavailable": 503,
        "chat_model_error": 502,
        "chat_model_unavailable": 503,
        "chat_model_timeout": 504,
        "internal_error": 500,
        "engine_error": 503,
        "engine_answer_invalid": 502,
        "engine_unavailable": 503,
        "deadline_exceeded": 504,
    }
    others = {"ConfigurationError", "DataError"}  # of the command line
    assert {kind.__name__ for kind in every_error()} | others == set(errors.__all__)


def test_the_tree_at_the_top_of_the_module_is_complete() -> None:
    assert errors.__doc__ is not None
    for kind in every_error():
        assert kind.__name__ in errors.__doc__
        if kind is not ModerationError:
            assert any(
                kind.__name__ in line and f" {kind.status} " in line and kind.type in line
                for line in errors.__doc__.splitlines()
            ), kind


def test_the_tree_names_a_module_that_exists_for_rendering() -> None:
    from importlib import import_module

    assert errors.__doc__ is not None
    named = [word.strip("`.,;") for word in errors.__doc__.split() if word.startswith("`moderation_service.")]
    assert named
    for name in named:
        import_module(name)
