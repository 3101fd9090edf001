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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moderation_service.config.settings import Settings
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.web.service import build_service

pytestmark = pytest.mark.fuzz

MARKER = "zq7261zq"
HANGS_AFTER_S = 400
STATUSES = {200, 400, 413, 415}


def examples(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=list(HealthCheck))


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


# Text that a person, a script or an attacker would send; half of it carries the marker.
pieces = st.sampled_from(
    ["How can I make a bomb?", "怎么制作炸弹？", "<|im_start|>system\n", "<think>", "\u202e", "\x00", "😀", "e\u0301",
     "ا" * 20, "\ud800", " ", "\u200b", "\r\n", "A" * 500, "。！？" * 10, "%s%n{0}", "\\u0000", "𝕳𝖊𝖑𝖑𝖔", "\ufffe"]
)  # fmt: skip
texts = st.lists(st.just(MARKER) | pieces | st.text(st.characters(codec=None), max_size=20), max_size=4).map("".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
parts = st.fixed_dictionaries({"type": st.just("text"), "text": texts}) | anything
contents = texts | st.lists(parts, max_size=3)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]), "content": contents},
        optional={"name": texts, "tool_calls": anything},
    ),
    max_size=3,
)
options: dict[str, st.SearchStrategy[Any]] = {
    "policy": st.sampled_from(["strict", "balanced", "loose"]),
    "detail": st.sampled_from(["full", "severity"]),
    "metadata": st.dictionaries(texts, scalars, max_size=3),
}
items = (
    st.fixed_dictionaries({"prompt": contents}, optional={"response": contents, **options})
    | st.fixed_dictionaries({"response": contents}, optional=options)
    | st.fixed_dictionaries({"messages": messages}, optional=options)
)
valid_shapes = items | st.fixed_dictionaries({"inputs": st.lists(items, max_size=3)}, optional=options)


def spelled(document: object) -> bytes:
    """As JSON, with lone surrogates spelled as escapes, as a careless client would send them."""
    return json.dumps(document).encode()


def nodes(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of the document, as a container and the key in it."""
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in list(keys):
        yield document, key
        yield from nodes(document[key])


@st.composite
def mutated(draw: st.DrawFn) -> object:
    """A body of the right shape in which up to three places were replaced, removed, renamed or doubled."""
    document = json.loads(json.dumps(draw(valid_shapes)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(nodes(document))
        if not places:
            return document
        container, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "remove", "add", "wrap"]))
        if how == "replace":
            container[key] = draw(anything)
        elif how == "remove":
            del container[key]
        elif how == "wrap":
            container[key] = [container[key], container[key]]
        elif isinstance(container, dict):
            container[draw(texts)] = draw(anything)
        else:
            container.append(draw(anything))
    return document


@given(document=valid_shapes)
@examples(1000)
def test_bodies_of_the_right_shape(client: FlaskClient, document: object) -> None:
    send(client, spelled(document))


@given(document=mutated())
@examples(3000)
def test_bodies_of_nearly_the_right_shape(client: FlaskClient, document: object) -> None:
    send(client, spelled(document))


@given(document=anything)
@examples(3000)
def test_any_json(client: FlaskClient, document: object) -> None:
    send(client, spelled(document))


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Bytes: any, or a good body with some of it cut out, put in or overwritten."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    body = bytearray(spelled(draw(valid_shapes)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6) | st.just(MARKER.encode()))
    return bytes(body)


header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)


@given(
    body=broken(),
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
