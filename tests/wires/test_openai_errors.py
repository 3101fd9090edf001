"""Everything under `/v1/` fails in OpenAI's shape, everything else in ours; and the list of models."""

from __future__ import annotations

from typing import Any

import pytest
from apps import error, keys, make_client
from flask.testing import FlaskClient
from openai_documents import openai_error

JUDGING = ("/v1/moderations", "/v1/chat/completions")
INVALID = "invalid_request_error"


@pytest.fixture
def client() -> FlaskClient:
    return make_client(api_keys=keys("a-long-key"), max_body_bytes=40)


def send(client: FlaskClient, path: str, *, key: str | None = "a-long-key", **request: Any) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.open(path, **{"method": "POST", "headers": headers, "content_type": "application/json", **request})


@pytest.mark.parametrize("path", JUDGING)
@pytest.mark.parametrize(
    ("key", "message"),
    [(None, "Send a key as `Authorization: Bearer ...` or `X-API-Key`."), ("wrong-key", "This key is not known here.")],
)
def test_a_missing_or_wrong_key_is_401(client: FlaskClient, path: str, key: str | None, message: str) -> None:
    reply = send(client, path, key=key, data=b"{}")
    assert (reply.status_code, reply.json) == (401, openai_error(INVALID, "invalid_api_key", message))
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="moderation-service"'


def test_the_list_of_models_needs_a_key_too(client: FlaskClient) -> None:
    assert send(client, "/v1/models", method="GET", key=None).json["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/moderations/x", "/v1/model/fake-1"])
def test_an_unknown_address_is_404(client: FlaskClient, path: str) -> None:
    expected = openai_error(INVALID, "not_found", "There is nothing at this address.")
    assert [send(client, path, method=method).json for method in ("GET", "POST")] == [expected, expected]


@pytest.mark.parametrize(("method", "path"), [*[("GET", path) for path in JUDGING], ("POST", "/v1/models")])
def test_a_wrong_method_is_405(client: FlaskClient, method: str, path: str) -> None:
    reply = send(client, path, method=method)
    expected = openai_error(INVALID, "method_not_allowed", "This address does not answer to this HTTP method.")
    assert (reply.status_code, reply.json) == (405, expected)


@pytest.mark.parametrize("path", JUDGING)
@pytest.mark.parametrize(
    ("body", "content_type", "status", "code", "message"),
    [
        (b"{", "application/json", 400, "invalid_request", "The body is not valid JSON (line 1, column 2)."),
        (b"{}", "text/plain", 415, "unsupported_media_type",
         "The body must be JSON; send `Content-Type: application/json`."),
        (b"[" + b" " * 40 + b"]", "application/json", 413, "too_large", "The body is over the limit of 40 bytes."),
    ],
)  # fmt: skip
def test_a_bad_body_is_refused(
    client: FlaskClient, path: str, body: bytes, content_type: str, status: int, code: str, message: str
) -> None:
    reply = send(client, path, data=body, content_type=content_type)
    assert (reply.status_code, reply.json) == (status, openai_error(INVALID, code, message))


@pytest.mark.parametrize("path", ["/v2", "/nowhere", "/moderate/v1/"])
def test_elsewhere_errors_keep_the_native_shape(client: FlaskClient, path: str) -> None:
    told = send(client, path).json
    assert told == error("not_found", told["error"]["message"])


def test_the_models_are_the_guard_its_personas_and_its_policies() -> None:
    listing = make_client().get("/v1/models").json
    names = ["fake-1", "guard-qwen", "guard-llamaguard", "guard-nemoguard", "guard-nemotron", "guard-n8n",
             "policy:strict", "policy:balanced", "policy:loose"]  # fmt: skip
    models = [{"id": name, "object": "model", "created": 0, "owned_by": "moderation-service"} for name in names]
    assert listing == {"object": "list", "data": models}


@pytest.mark.parametrize("path", JUDGING)
def test_every_listed_model_can_be_asked_for(path: str) -> None:
    client = make_client()
    bodies = {
        "/v1/moderations": {"input": "hello"},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
    }
    for model in client.get("/v1/models").json["data"]:
        assert client.post(path, json={"model": model["id"], **bodies[path]}).status_code == 200


@pytest.mark.parametrize("path", JUDGING)
def test_requests_are_counted_by_route(path: str) -> None:
    client = make_client()
    client.post(path, json={})
    metrics = client.get("/metrics").get_data(as_text=True)
    assert f'moderation_requests_total{{route="{path}",status="400"}} 1.0' in metrics
