"""A chat model whose answers have a sentence that must not be shown, and the ways in which they go wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fake_llm import SSE_END, SSE_HEAD, USAGE, chunk, chunked, event, http, whole

from .guard_faults import UNSAFE_WORD
from .scripted_server import CLOSE, HANG, RESET, Request, Step

__all__ = ["CHAT_FAULTS", "ChatFault", "answer", "is_list", "secret"]

_ITEM = re.compile(r"Item (\d+)")
HARMLESS = "The garden is small, and it lies behind the house in the shade. "


def secret(number: int) -> str:
    """What is in the unsafe sentence of this answer, and nowhere else."""
    return f"ZQX{number}X"


def unsafe(number: int) -> str:
    return f"The {UNSAFE_WORD} {secret(number)} sleeps under the stone. "


def number_of(request: Request) -> int:
    return int(_ITEM.findall(request.body["messages"][-1]["content"])[-1])


def words(number: int) -> list[str]:
    """The answer, word by word: harmless, unsafe, harmless."""
    text = f"About Item {number}. {HARMLESS}{unsafe(number)}That is all."
    return re.findall(r"\S+ ?", text)


def chunks(number: int) -> list[Any]:
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": word}) for word in words(number)),
        chunk({}, finish="stop"),
    ]


def stream(events: Sequence[Any], *, end: Sequence[Step] = (chunked(event("[DONE]")) + SSE_END,)) -> list[Step]:
    """Events, or bytes as they are, in a streamed reply; then the connection is closed."""
    return [SSE_HEAD, *(chunked(one if isinstance(one, bytes) else event(one)) for one in events), *end, CLOSE]


def answer(request: Request) -> Iterable[Step]:
    """The answer as a healthy server gives it."""
    number = number_of(request)
    if request.body.get("stream"):
        return stream(chunks(number))
    return [whole("".join(words(number))), CLOSE]


def is_list(request: Request) -> bool:
    """Whether the names of the models are asked for."""
    return request.path.endswith("/models")


@dataclass(frozen=True)
class ChatFault:
    script: Callable[[Request], Iterable[Step]]


def raw(*steps: Step) -> ChatFault:
    return ChatFault(lambda request: steps)


def inserted(make: Callable[[int], Any], *, at: int = 5) -> ChatFault:
    """A stream in which one more event, of bytes or JSON, stands; not streamed, the healthy answer."""

    def script(request: Request) -> Iterable[Step]:
        if not request.body.get("stream"):
            return answer(request)
        number = number_of(request)
        events = chunks(number)
        return stream([*events[:at], make(number), *events[at:]])

    return ChatFault(script)


def everywhere(extra: Callable[[int], Mapping[str, Any]], *, where: str) -> ChatFault:
    """The answer with more keys beside its text, streamed or not; of itself it is harmless."""

    def script(request: Request) -> Iterable[Step]:
        number = number_of(request)
        more, said = extra(number), f"About Item {number}. {HARMLESS}"
        if not request.body.get("stream"):
            message = {"role": "assistant", "content": said, **(more if where == "message" else {})}
            document = json.loads(whole(message).partition(b"\r\n\r\n")[2])
            if where != "message":
                (document if where == "top" else document["choices"][0]).update(more)
            return [http(200, document), CLOSE]
        one = chunk({"content": said, **(more if where == "message" else {})})
        if where != "message":
            (one if where == "top" else one["choices"][0]).update(more)
        return stream([one, chunk({}, finish="stop")])

    return ChatFault(script)


def cut(*ending: Step, keep: int | None = None) -> ChatFault:
    """A stream that ends in the middle; not streamed, a body that does."""

    def script(request: Request) -> Iterable[Step]:
        number = number_of(request)
        if not request.body.get("stream"):
            return [whole("".join(words(number)))[:-30], *ending]
        events = chunks(number)
        return [SSE_HEAD, *(chunked(event(one)) for one in events[:keep]), *ending]

    return ChatFault(script)


def changed(change: Callable[[bytes], Iterable[Step]]) -> ChatFault:
    """The healthy bytes, sent otherwise."""
    return ChatFault(lambda request: change(b"".join(step for step in answer(request) if isinstance(step, bytes))))


def drip(data: bytes) -> Iterator[Step]:
    for at in range(0, len(data), 7):
        yield data[at : at + 7]
    yield CLOSE


def line_ends(end: bytes) -> ChatFault:
    def script(request: Request) -> Iterable[Step]:
        if not request.body.get("stream"):
            return answer(request)
        data = b"".join(event(one) for one in (*chunks(number_of(request)), "[DONE]"))
        return [SSE_HEAD, chunked(data.replace(b"\n", end)), SSE_END, CLOSE]

    return ChatFault(script)


CHAT_FAULTS: Mapping[str, ChatFault] = {
    "no fault": ChatFault(answer),
    "closed at once": raw(CLOSE),
    "reset at once": raw(RESET),
    "silent": raw(HANG),
    "silent after the head": raw(SSE_HEAD, HANG),
    "500": raw(http(500, {"error": {"message": f"The {UNSAFE_WORD}"}}), CLOSE),
    "429": raw(http(429, {"error": {"message": "Slow down.", "failed_generation": UNSAFE_WORD}}), CLOSE),
    "a page": raw(http(200, f"<html>{UNSAFE_WORD}</html>".encode(), content_type="text/html"), CLOSE),
    "not HTTP": raw(f"{UNSAFE_WORD}\r\n\r\n".encode(), CLOSE),
    "no choices": raw(http(200, {"choices": [], "output_text": UNSAFE_WORD}), CLOSE),
    "a list": raw(http(200, json.dumps([UNSAFE_WORD]).encode()), CLOSE),
    "broken off after the unsafe word": cut(CLOSE, keep=19),
    "reset after the unsafe word": cut(RESET, keep=19),
    "silent after the unsafe word": cut(HANG, keep=19),
    "ended after the unsafe word": cut(SSE_END, CLOSE, keep=19),
    "a broken chunk after the unsafe word": cut(b"zz\r\n", CLOSE, keep=19),
    "half an event after the unsafe word": cut(chunked(b'data: {"choices": [{"ind'), SSE_END, CLOSE, keep=19),
    "no end mark": cut(SSE_END, CLOSE),
    "a byte now and then": changed(drip),
    "line ends of Windows": line_ends(b"\r\n"),
    "line ends of old Macs": line_ends(b"\r"),
    "an error in the middle": inserted(lambda n: {"error": {"message": unsafe(n), "code": unsafe(n)}}, at=3),
    "an event of errors": inserted(lambda n: f'event: error\ndata: {{"message": "{unsafe(n)}"}}\n\n'.encode(), at=3),
    "a comment": inserted(lambda n: f": {unsafe(n)}\n\n".encode()),
    "a named event": inserted(lambda n: f"event: {secret(n)}\ndata: {{}}\n\n".encode()),
    "an id": inserted(lambda n: f"id: {secret(n)}\n\n".encode()),
    "no JSON": inserted(lambda n: f"data: {unsafe(n)}\n\n".encode()),
    "null": inserted(lambda n: b"data: null\n\n"),
    "a list in the middle": inserted(lambda n: [unsafe(n)]),
    "a chunk without choices": inserted(lambda n: {**chunk({}), "choices": [], "output_text": unsafe(n)}),
    "a choice that is a text": inserted(lambda n: {**chunk({}), "choices": [unsafe(n)]}),
    "another choice": inserted(lambda n: chunk({"content": unsafe(n)}, index=1)),
    "a choice without a number": inserted(lambda n: {**chunk({}), "choices": [{"delta": {"content": unsafe(n)}}]}),
    "content that is a list": inserted(lambda n: chunk({"content": [{"type": "text", "text": unsafe(n)}]})),
    "a whole message in a chunk": inserted(
        lambda n: {**chunk({}), "choices": [{"index": 0, "message": {"content": unsafe(n)}}]}
    ),
    "thoughts": everywhere(lambda n: {"reasoning_content": unsafe(n)}, where="message"),
    "thoughts by another name": everywhere(lambda n: {"reasoning": unsafe(n)}, where="message"),
    "a refusal": everywhere(lambda n: {"refusal": unsafe(n)}, where="message"),
    "a role": everywhere(lambda n: {"role": unsafe(n)}, where="message"),
    "a tool call": everywhere(
        lambda n: {"tool_calls": [{"index": 0, "id": "c", "type": "function",
                                   "function": {"name": "f", "arguments": json.dumps({"text": unsafe(n)})}}]},
        where="message",
    ),
    "the name of a tool": everywhere(
        lambda n: {"tool_calls": [{"index": 0, "id": secret(n), "type": "function",
                                   "function": {"name": UNSAFE_WORD, "arguments": "{}"}}]},
        where="message",
    ),
    "a function call": everywhere(lambda n: {"function_call": {"name": "f", "arguments": unsafe(n)}}, where="message"),
    "annotations": everywhere(lambda n: {"annotations": [{"text": unsafe(n)}]}, where="message"),
    "an unknown key": everywhere(lambda n: {"note": unsafe(n)}, where="message"),
    "a key that is text": everywhere(lambda n: {unsafe(n): 1}, where="message"),
    "a reason to stop": everywhere(lambda n: {"stop_reason": unsafe(n)}, where="choice"),
    "a reason to finish": everywhere(lambda n: {"finish_reason": unsafe(n)}, where="choice"),
    "logprobs": everywhere(
        lambda n: {"logprobs": {"content": [{"token": unsafe(n), "logprob": -1.0, "bytes": None, "top_logprobs": []}]}},
        where="choice",
    ),
    "search results": everywhere(lambda n: {"search_results": [{"title": unsafe(n)}]}, where="top"),
    "citations": everywhere(lambda n: {"citations": [unsafe(n)]}, where="top"),
    "a warning": everywhere(lambda n: {"warning": unsafe(n)}, where="top"),
    "a text in the usage": everywhere(lambda n: {"usage": {**USAGE, "note": unsafe(n)}}, where="top"),
    "a model's name": everywhere(lambda n: {"model": unsafe(n)}, where="top"),
}  # fmt: skip
