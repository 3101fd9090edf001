"""The OpenAPI document says what is served: its examples are replayed, its lists are ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import yaml
from apps import Like, Near, client_of, keys, make_client
from error_types import error_types
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from moderation_service import __version__
from moderation_service.config.settings import Settings
from moderation_service.core.policy import OnFailure
from moderation_service.core.verdict import Action, Category, Detail, Severity, Target
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.web.pages import openapi_document
from moderation_service.web.service import build_service

DOCUMENT = openapi_document()
SCHEMAS = DOCUMENT["components"]["schemas"]
MODERATE = DOCUMENT["paths"]["/moderate"]["post"]
REQUESTS = MODERATE["requestBody"]["content"]["application/json"]["examples"]


def documented_replies() -> Iterator[tuple[str, int, Any]]:
    """Name, status and body of every example reply of `POST /moderate`."""
    for status, reply in MODERATE["responses"].items():
        for name, example in reply.get("content", {}).get("application/json", {}).get("examples", {}).items():
            yield name, int(status), example["value"]


REPLIES = list(documented_replies())


def test_the_document_reads_the_same_where_pyyaml_has_no_c_library() -> None:
    text = files("moderation_service.web").joinpath("openapi.yaml").read_text(encoding="utf-8")
    plain = yaml.load(text, Loader=yaml.SafeLoader)
    assert plain["paths"] == DOCUMENT["paths"]
    assert plain["components"] == DOCUMENT["components"]


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """The service with the embedded engine, which the examples show."""
    return client_of(build_service(Settings(cache_size=0), engine=LiteEngine.load()))


def measured(document: Any) -> Any:
    """The document with what differs from run to run, and from model to model, replaced by what it must look like."""
    if isinstance(document, list):
        return [measured(item) for item in document]
    if not isinstance(document, dict):
        return document
    loose: dict[str, object] = {"id": Like("mod_[0-9a-f]{24}"), "latency_ms": Near(0, 60_000), "model": Like("lite-.+")}
    found = {key: loose.get(key, measured(value)) for key, value in document.items()}
    if found.get("scores"):
        found["scores"] = dict.fromkeys(("safe", "controversial", "unsafe"), Near(0, 1))
    return found


def test_every_example_request_has_its_reply_and_every_reply_its_request() -> None:
    assert sorted(name for name, _, _ in REPLIES) == sorted(REQUESTS)


@pytest.mark.parametrize(("name", "status", "expected"), REPLIES, ids=[name for name, _, _ in REPLIES])
def test_an_example_is_answered_as_the_document_says(
    client: FlaskClient, name: str, status: int, expected: Any
) -> None:
    reply = client.post("/moderate", json=REQUESTS[name]["value"])
    assert (reply.status_code, reply.content_type) == (status, "application/json")
    assert reply.json == measured(expected)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_examples_of_the_operators_routes_hold(client: FlaskClient, path: str) -> None:
    examples = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["examples"]
    (example,) = examples.values()
    assert client.get(path).json == measured(example["value"])


def test_the_document_is_served_with_the_packages_version() -> None:
    reply = make_client().get("/openapi.json")
    assert (reply.status_code, reply.content_type) == (200, "application/json")
    assert reply.json == DOCUMENT
    assert DOCUMENT["info"]["version"] == __version__


def test_the_document_has_every_route_and_no_other() -> None:
    routes = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in make_client().application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
    assert routes - {("/static/{filename}", "get")} == documented


def test_the_routes_that_need_no_key_are_those_the_document_opens() -> None:
    client = make_client(api_keys=keys("correct-horse-battery"))
    for path, item in DOCUMENT["paths"].items():
        if path in ("/dify/moderation", "/portkey"):
            continue  # a wrong key withholds the text there, with status 200 (tests/dify, tests/wires/test_portkey)
        for method, operation in item.items():
            is_open = operation.get("security") == [{}]
            assert (client.open(path, method=method.upper()).status_code != 401) is is_open, path


def test_the_lists_of_the_document_are_ours() -> None:
    decision = SCHEMAS["Decision"]["properties"]
    assert SCHEMAS["Severity"]["enum"] == [one.value for one in Severity]
    assert SCHEMAS["Action"]["enum"] == [one.value for one in Action]
    assert SCHEMAS["Category"]["enum"] == [one.value for one in Category]
    assert SCHEMAS["OnFailure"]["enum"] == [one.value for one in OnFailure]
    assert decision["target"]["enum"] == [one.value for one in Target]
    assert SCHEMAS["Detail"]["anyOf"][0]["enum"] == [one.value for one in Detail]
    assert set(SCHEMAS["ErrorReply"]["properties"]["error"]["properties"]["type"]["x-extensible-enum"]) == error_types()


def test_the_limits_of_the_document_are_the_defaults() -> None:
    request = SCHEMAS["ModerateRequest"]["properties"]
    defaults = Settings()
    assert SCHEMAS["Messages"]["maxItems"] == defaults.max_messages
    assert request["inputs"]["maxItems"] == defaults.max_batch_items
    assert f"{defaults.max_metadata_bytes} bytes" in SCHEMAS["Metadata"]["description"]


def test_every_reference_of_the_document_leads_somewhere() -> None:
    waiting: list[Any] = [DOCUMENT]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "$ref" in node:
                target: Any = DOCUMENT
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


@pytest.mark.parametrize("field", sorted(SCHEMAS["Message"]["properties"].keys() - {"role", "content"}))
def test_every_documented_field_of_a_message_is_accepted(field: str) -> None:
    message = {"role": "assistant", "content": "hello", field: None}
    reply = make_client().post("/moderate", json={"messages": [message]})
    assert (reply.status_code, reply.json["target"]) == (200, "response")


@pytest.mark.parametrize("role", SCHEMAS["Message"]["properties"]["role"]["enum"])
def test_every_documented_role_is_accepted(role: str) -> None:
    messages = [{"role": "user", "content": "hello"}, {"role": role, "content": "hello"}]
    assert make_client().post("/moderate", json={"messages": messages}).status_code == 200


# What generators of clients need


def schemas_of(node: Any, *, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every schema below a node, with its place."""
    if isinstance(node, dict):
        if {"type", "anyOf", "$ref", "properties", "enum", "const"} & node.keys() and "in" not in node:
            yield place, node
        for key, value in node.items():
            if key not in ("examples", "example"):
                yield from schemas_of(value, place=f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from schemas_of(value, place=f"{place}/{index}")


REQUEST_SCHEMAS = {"AppealRequest", "Check", "ModerateRequest", "Message", "TextPart"}
"""The closed ones: a misspelt field of a request must not weaken a check."""


def test_the_document_is_valid_openapi() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_no_comma_cut_a_description_short() -> None:
    """In a flow mapping an unquoted comma ends the text, and what follows becomes a key of its own, without a value."""
    waiting: list[Any] = [DOCUMENT]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            assert not [key for key in node if not isinstance(key, str) or key.endswith(".") or " " in key], node
            waiting += [value for key, value in node.items() if key not in ("examples", "example")]
        elif isinstance(node, list):
            waiting += node


def test_every_list_says_what_is_in_it() -> None:
    """Generators leave an operation out whose lists have no items."""
    lists = [(place, one) for place, one in schemas_of(DOCUMENT) if "array" in (one.get("type") or "")]
    assert [place for place, one in lists if "items" not in one] == []


def test_the_body_of_every_operation_that_judges_has_fields() -> None:
    """Without them generators make it an untyped object; Dify's is whatever Dify sends."""
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            body = operation.get("requestBody")
            if body is None or path == "/dify/moderation" or "application/json" not in body["content"]:
                continue
            schema = body["content"]["application/json"]["schema"]
            if "$ref" in schema:
                schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
            assert (schema["type"], bool(schema["properties"])) == ("object", True), path


def test_replies_are_open_and_requests_are_closed() -> None:
    closed = {place.split("/")[1] for place, one in schemas_of(SCHEMAS) if one.get("additionalProperties") is False}
    assert closed == REQUEST_SCHEMAS
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            for place, one in schemas_of(operation["responses"]):
                assert one.get("additionalProperties") is not False, (path, place)


def test_every_optional_field_of_a_request_may_be_null(client: FlaskClient) -> None:
    for name in ("ModerateRequest", "Check"):
        fields = SCHEMAS[name]["properties"]
        assert client.post("/moderate", json={**dict.fromkeys(fields), "prompt": "Hello"}).status_code == 200
        for field, schema in fields.items():
            if "$ref" in schema:
                schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
            assert "null" in schema.get("type", ()) or {"type": "null"} in schema["anyOf"], field
            assert None in schema.get("enum", [None])


def test_every_field_of_a_reply_is_in_the_document(client: FlaskClient) -> None:
    """The schemas are open, so nothing else would notice one that is missing there."""
    decision = client.post("/moderate", json={"prompt": "Hello"}).json
    assert decision.keys() == set(SCHEMAS["Decision"]["required"])
    # What only some decisions have.
    assert SCHEMAS["Decision"]["properties"].keys() - decision.keys() == {"escalated_until", "list_entry"}
    body = {"id": "call-1", "response": "Mix flour."}
    assert client.post("/moderate/stream", json=body).json.keys() == SCHEMAS["SoFar"]["properties"].keys()
    judged = client.post("/v1/moderations", json={"input": "Hello"}).json
    assert judged["results"][0].keys() == SCHEMAS["OpenAIModerationResult"]["properties"].keys()
    assert client.get("/policies").json["policies"][0].keys() == SCHEMAS["Policy"]["properties"].keys()
