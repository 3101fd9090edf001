from __future__ import annotations

import hashlib

import pytest
from apps import decision, error, keys, make_client
from fakes import FakeEngine
from flask.testing import FlaskClient

KEY = "correct-horse-battery"
OTHER = "another-long-key"
HASHED = "third-key-by-hash"

UNKNOWN = error("unauthorized", "This key is not known here.")
MISSING = error("unauthorized", "Send a key as `Authorization: Bearer ...` or `X-API-Key`.")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine) -> FlaskClient:
    digest = hashlib.sha256(HASHED.encode()).hexdigest()
    return make_client(engine=engine, api_keys=keys(KEY, f"chat:{OTHER}", f"mail:sha256:{digest}"))


@pytest.mark.parametrize("key", [KEY, OTHER, HASHED])
@pytest.mark.parametrize("as_bearer", [True, False])
def test_any_of_the_keys_is_let_in(client: FlaskClient, key: str, as_bearer: bool) -> None:
    headers = {"Authorization": f"Bearer {key}"} if as_bearer else {"X-API-Key": key}
    assert client.post("/moderate", json={"prompt": "x"}, headers=headers).json == decision()
    assert client.get("/policies", headers=headers).status_code == 200
    assert client.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, MISSING),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, MISSING),
        ({"Authorization": "Bearer"}, MISSING),
        ({"X-API-Key": " "}, MISSING),
        ({"Authorization": "Bearer wrong-key-here"}, UNKNOWN),
        ({"X-API-Key": KEY[:-1]}, UNKNOWN),
        ({"X-API-Key": f"chat:{OTHER}"}, UNKNOWN),
        ({"X-API-Key": hashlib.sha256(HASHED.encode()).hexdigest()}, UNKNOWN),
        ({"X-API-Key": "é" * 20}, UNKNOWN),
        ({"Authorization": "Bearer wrong-key-here", "X-API-Key": KEY}, UNKNOWN),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/moderate"), ("GET", "/policies"), ("GET", "/metrics")])
def test_nobody_else_is(
    client: FlaskClient,
    engine: FakeEngine,
    headers: dict[str, str],
    expected: dict[str, object],
    method: str,
    path: str,
) -> None:
    reply = client.open(path, method=method, headers=headers, json={"prompt": "x"} if method == "POST" else None)
    assert (reply.status_code, reply.content_type, reply.json) == (401, "application/json", expected)
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="moderation-service"'
    assert engine.calls == []


def test_a_caller_without_a_key_learns_nothing_from_the_body(client: FlaskClient) -> None:
    for body in (b"", b"{", b'{"prompt": 1}', b"x" * 2_000_000):
        reply = client.post("/moderate", data=body, content_type="text/plain")
        assert (reply.status_code, reply.json) == (401, MISSING)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/", "/static/page.js"])
def test_what_probes_and_the_page_need_is_open(client: FlaskClient, path: str) -> None:
    assert client.get(path, buffered=True).status_code == 200


def test_unknown_addresses_and_methods_are_no_secret(client: FlaskClient) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.get("/moderate").status_code == 405


def test_metrics_may_be_opened_for_scrapers_without_a_key() -> None:
    client = make_client(api_keys=keys(KEY), open_metrics=True)
    assert client.get("/metrics").status_code == 200
    assert client.get("/policies").status_code == 401


def test_without_keys_every_caller_is_served() -> None:
    client = make_client()
    assert client.post("/moderate", json={"prompt": "x"}).json == decision()
    assert client.post("/moderate", json={"prompt": "x"}, headers={"X-API-Key": "any"}).json == decision(cached=True)


def test_callers_share_what_is_remembered(client: FlaskClient) -> None:
    first, second = (
        client.post("/moderate", json={"prompt": "x"}, headers={"X-API-Key": key}).json for key in (KEY, OTHER)
    )
    assert (first, second) == (decision(), decision(cached=True))


def test_no_key_is_echoed(client: FlaskClient) -> None:
    reply = client.get("/policies", headers={"X-API-Key": "secret-that-is-wrong"})
    assert "secret-that-is-wrong" not in reply.text + str(reply.headers)
