"""Small cases from real use: a request, what a model's server says behind it, and what must hold of the reply.

Each file beside this one holds the cases of one kind. A case is an entry of YAML:

    id, why      a readable name, and one sentence of why it matters
    guard        what the guard model's server answers (a text, or see `_guard_action`); the service then judges by it
    llm          what the chat model's server answers (a text, or see `_llm_action`); the service then guards it
    to           the address, `POST` unless `method` says otherwise; without one, `/moderate`, or the guarded chat
    ask          the body as JSON; for the guarded chat these fields join a harmless question
    raw, hex     the body as it is instead, with its `type`
    headers      of the request
    holds        what must hold, see `_check`

Without `guard` and `llm` the embedded engine judges. The judge of a guarded chat knows a few words, `bomb` among them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fake_guard_server
import fake_llm
import pytest
import yaml
from apps import client_of
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.config.setting import Url
from moderation_service.config.settings import Settings
from moderation_service.engines import create_engine
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.web.service import build_service

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.yaml"))
KNOWN = {"id", "why", "guard", "llm", "to", "method", "ask", "raw", "hex", "type", "headers", "holds"}
CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "Tell me something about chemistry"}]
PENDING: dict[str, tuple[str, ...]] = {}
"""The cases that do not hold yet, by the reason. One that holds must leave this list."""


def _read(path: Path) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    cases: list[dict[str, Any]] = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["cases"]
    return cases


CASES = {path.stem: _read(path) for path in FILES}
ALL = [(kind, case) for kind, cases in CASES.items() for case in cases]


def _parameters() -> Iterator[Any]:
    for kind, case in ALL:
        reason = next((reason for reason, names in PENDING.items() if case["id"] in names), None)
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        yield pytest.param(case, id=f"{kind}: {case['id']}", marks=marks)


# The service, and what stands behind it


@cache
def _lite() -> FlaskClient:
    """One for all cases, as nothing behind it could tell them apart."""
    return client_of(build_service(Settings(cache_size=0), engine=LiteEngine.load()))


@pytest.fixture
def start() -> Iterator[Callable[[dict[str, Any]], FlaskClient]]:
    """Starts the service that a case is about; it and the server behind it are gone afterwards."""
    ends: list[Callable[[], object]] = []

    def begin(case: dict[str, Any]) -> FlaskClient:
        server: Any
        if "guard" in case:
            server = fake_guard_server.FakeServer(_guard_behaviour(case["guard"]))
            server.start()
            ends.append(server.stop)
            settings = Settings(
                engine="vllm",
                upstreams=(Url(server.url),),
                upstream_dialect="openai",
                upstream_timeout_s=0.5,
                deadline_s=2.0,
                cache_size=0,
            )
            service = build_service(settings, engine=create_engine(settings), fallback=FakeEngine(name="lite"))
            ends.append(service.moderator.close)
        elif "llm" in case:
            server = fake_llm.FakeLLM(_llm_behaviour(case["llm"]))
            server.start()
            ends.append(server.stop)
            settings = Settings(chat_upstream=Url(server.url), chat_judge_tool_results=True)
            service = build_service(settings, engine=FakeEngine())
        else:
            return _lite()
        return client_of(service)

    yield begin
    while ends:
        ends.pop()()


def _guard_behaviour(said: Any) -> fake_guard_server.Behaviour:
    if isinstance(said, dict) and said.get("hangs"):
        return lambda request: fake_guard_server.Hang()
    return fake_guard_server.answering(_guard_action(said))


def _guard_action(said: Any) -> fake_guard_server.Action:
    """A text, `{says, finish}`, or a whole reply `{status, body, headers}`, whose body is a page if it is a text.

    With `{hangs: true}` the server answers nothing at all, also not to the service's own questions.
    """
    if isinstance(said, str):
        return fake_guard_server.completion(said)
    if "says" in said:
        return fake_guard_server.completion(said["says"], finish=said["finish"])
    body = said["body"]
    headers = "".join(f"{name}: {value}\r\n" for name, value in said.get("headers", {}).items())
    if isinstance(body, str):
        return fake_guard_server.reply(said["status"], body.encode(), headers=headers, content_type="text/html")
    return fake_guard_server.reply(said["status"], body, headers=headers)


def _llm_behaviour(said: Any) -> fake_llm.Behaviour:
    return lambda request: _llm_action(said)


def _llm_action(said: Any) -> Any:
    """What the chat model's server sends.

    A text is a whole answer; `{messages: [...]}` one with several choices; `{reply: {...}}` a whole document, with an
    answer about salt in it unless it says otherwise; `{stream: [...]}` chunks: a text is content, `{delta: {...}}` a
    delta, `{chunk: {...}}` what stands beside such a delta's choice, other objects are a whole event; `{bytes: [...]}`
    a stream exactly as written. `finish: false` and `done: false` leave the end of a stream out.
    """
    if isinstance(said, str):
        return [fake_llm.whole(said)]
    if "messages" in said:
        return [fake_llm.whole(*said["messages"])]
    if "reply" in said:
        return [_document(said["reply"], status=said.get("status", 200))]
    if "bytes" in said:
        pieces = [piece.encode("latin-1") if said.get("latin1") else piece.encode() for piece in said["bytes"]]
        return [fake_llm.SSE_HEAD, *(fake_llm.chunked(piece) for piece in pieces if piece), fake_llm.SSE_END]
    steps: list[Any] = [_event(piece) for piece in said["stream"]]
    if said.get("finish", True):
        steps.append(fake_llm.chunk({}, finish="stop"))
    if said.get("done", True):
        return fake_llm.sse(*steps)
    return [*fake_llm.sse(*steps, ends=False), fake_llm.SSE_END]


def _document(fields: dict[str, Any], *, status: int) -> bytes:
    if status != 200 or "error" in fields:
        return fake_llm.http(status, fields)
    message = {"role": "assistant", "content": "Salt is a crystal.", **fields.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **fields.pop("choice", {})}
    return fake_llm.http(200, {**fake_llm.HEAD, "object": "chat.completion", "choices": [choice], **fields})


def _event(piece: Any) -> dict[str, Any]:
    if isinstance(piece, str):
        return fake_llm.chunk({"content": piece})
    if "delta" in piece:
        more = {key: value for key, value in piece.items() if key != "delta"}
        return fake_llm.chunk(piece["delta"], **more)
    if "chunk" in piece:
        return {**fake_llm.chunk({"content": "Salt is a crystal."}), **piece["chunk"]}
    whole: dict[str, Any] = {**fake_llm.HEAD, "object": "chat.completion.chunk", **piece}
    return whole


# The request and its reply


def _send(client: FlaskClient, case: dict[str, Any]) -> Any:
    path = case.get("to") or (CHAT if "llm" in case else "/moderate")
    kind, headers = case.get("type", "application/json"), case.get("headers")
    if "raw" in case or "hex" in case:
        body = case["raw"].encode() if "raw" in case else bytes.fromhex(case["hex"])
        return client.post(path, data=body, content_type=kind, headers=headers)
    if "ask" not in case and "llm" not in case:
        return client.open(path, method=case.get("method", "GET"), headers=headers)
    asked = case.get("ask", {})
    if "llm" in case and path == CHAT:
        asked = {"model": "llm-1", "messages": QUESTION, **asked}
        if isinstance(case["llm"], dict) and {"stream", "bytes"} & set(case["llm"]):
            asked["stream"] = True
    return client.post(path, json=asked, headers=headers)


class _Shown:
    """What a client has of the reply."""

    def __init__(self, reply: Any) -> None:
        self.status = reply.status_code
        self.headers = reply.headers
        self.raw = reply.get_data(as_text=True)
        reply.close()
        self.events: list[Any] = []
        self.json: Any = None
        if reply.content_type.startswith("text/event-stream"):
            data = [line[5:].strip() for line in self.raw.split("\n") if line.startswith("data:")]
            self.events = [json.loads(one) for one in data if one != "[DONE]"]
            self.done = "data: [DONE]" in self.raw
        elif self.raw:
            self.json = json.loads(self.raw)

    @property
    def choices(self) -> list[Any]:
        documents = self.events or [self.json]
        return [choice for one in documents for choice in one.get("choices") or []]

    @property
    def text(self) -> str:
        return "".join((one.get("delta") or one.get("message") or {}).get("content") or "" for one in self.choices)

    def at(self, path: str) -> Any:
        """The value at a path such as `results.0.flagged`."""
        found = self.json
        for name in path.split("."):
            found = found[int(name)] if name.isdigit() else found[name]
        return found


def _check(shown: _Shown, holds: dict[str, Any]) -> None:
    """`status` (one or several); `json`: values at paths; `text`: all that a reader sees; `never`: not anywhere in the
    reply; `says`: somewhere in it; `finish`: a reason among the choices; `done`, `error`: how a stream ended;
    `headers`: parts of values; `unjudged`: an error, or a reply that says it is degraded; `usage`: an event with it.
    """
    told = f"{shown.status} {shown.raw[:600]}"
    assert holds.keys() <= _CHECKS.keys(), holds
    if "error" not in holds and "status" not in holds and "unjudged" not in holds:
        holds = {"status": 200, **holds}
    for name, wanted in holds.items():
        assert _CHECKS[name](shown, wanted), f"{name}: {wanted!r} does not hold of {told}"


def _has_error(shown: _Shown, wanted: bool) -> bool:
    has = shown.status >= 400 or any("error" in event for event in shown.events)
    return has is wanted


def _is_visibly_unjudged(shown: _Shown, wanted: bool) -> bool:
    without = shown.status in (502, 503, 504) if shown.status != 200 else shown.json["degraded"]
    return bool(without) is wanted


_CHECKS: dict[str, Callable[[_Shown, Any], bool]] = {
    "status": lambda shown, wanted: shown.status in (wanted if isinstance(wanted, list) else [wanted]),
    "json": lambda shown, wanted: {path: shown.at(path) for path in wanted} == wanted,
    "text": lambda shown, wanted: shown.text == wanted,
    "never": lambda shown, wanted: wanted not in shown.raw and wanted not in shown.text,
    "says": lambda shown, wanted: wanted in shown.raw,
    "finish": lambda shown, wanted: wanted in [one.get("finish_reason") for one in shown.choices],
    "done": lambda shown, wanted: shown.done is wanted,
    "error": _has_error,
    "headers": lambda shown, wanted: all(part in shown.headers.get(name, "") for name, part in wanted.items()),
    "unjudged": _is_visibly_unjudged,
    "usage": lambda shown, wanted: any(one.get("usage") and not one["choices"] for one in shown.events) is wanted,
}


# The tests


@pytest.mark.parametrize("case", list(_parameters()))
def test_it_holds(case: dict[str, Any], start: Callable[[dict[str, Any]], FlaskClient]) -> None:
    _check(_Shown(_send(start(case), case)), case["holds"])


def test_every_case_has_a_name_of_its_own_a_reason_and_something_that_must_hold() -> None:
    names = [case["id"] for _, case in ALL]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    for _, case in ALL:
        assert set(case) <= KNOWN, case
        assert len(case["why"]) > 10, case
        assert case["holds"], case


def test_what_is_pending_are_cases() -> None:
    assert {name for names in PENDING.values() for name in names} <= {case["id"] for _, case in ALL}
