"""A guard that knows which texts are unsafe, and the ways in which its answers go wrong.

A text is about an `Item` with a number; it is unsafe if it has the word `quokka`, which the embedded engine finds
harmless. So nothing but the guard's own word can make it unsafe.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fake_guard_server import BOMB, BREAD, Send, guard
from fake_guard_server import Request as Asked

from .scripted_server import CLOSE, HANG, RESET, Request, Step

__all__ = ["FAULTS", "UNSAFE_WORD", "GuardFault", "healthy", "item_of", "truth"]

UNSAFE_WORD = "quokka"
_ITEM = re.compile(r"Item (\d+)")
_PLAINLY_UNSAFE = re.compile(r"bomb|kill|weapon|poison|explosive|murder|harm", re.IGNORECASE)
Document = dict[str, Any]


def judged_text(request: Request) -> str | None:
    """The text that is to be judged; None for everything else that is asked."""
    if not isinstance(request.body, dict):
        return None
    if request.path == "/v1/completions":
        return str(request.body["prompt"])
    if request.path == "/v1/chat/completions":
        return str(request.body["messages"][-1]["content"])
    return None


def item_of(request: Request) -> int | None:
    """The number of the item that is asked about; None for the service's own questions."""
    found = _ITEM.findall(judged_text(request) or "")
    return int(found[-1]) if found else None


def truth(text: str) -> bool:
    """Whether a text is unsafe; the service's own known-harmful questions are too."""
    return UNSAFE_WORD in text or (not _ITEM.search(text) and _PLAINLY_UNSAFE.search(text) is not None)


def healthy(request: Request) -> bytes:
    """What a vLLM with a guard answers: the recorded replies, chosen by the truth."""
    body, text = request.body, judged_text(request)
    if text is not None:
        said = BOMB if truth(text) else BREAD
        if request.path == "/v1/completions":
            body = {**body, "prompt": said}
        elif body["messages"][-1]["role"] == "assistant":
            return _response_verdict(said == BOMB, body["max_tokens"])
        else:
            body = {**body, "messages": [*body["messages"][:-1], {"role": "user", "content": said}]}
    action = guard(Asked("POST" if request.body else "GET", request.path, {}, body))
    assert isinstance(action, Send)
    return action.data


def _response_verdict(is_unsafe: bool, max_tokens: int) -> bytes:
    asked = Asked("POST", "/v1/chat/completions", {}, {"messages": [{"role": "assistant"}], "max_tokens": max_tokens})
    action = guard(asked)
    assert isinstance(action, Send)
    if not is_unsafe:
        return action.data
    document = json.loads(action.data.partition(b"\r\n\r\n")[2])
    choice = document["choices"][0]
    choice["message"]["content"] = "Safety: Unsafe\nCategories: Violent\nRefusal: No"
    choice["logprobs"] = None
    return http(json.dumps(document).encode())


def http(body: bytes, *, status: str = "200 OK", headers: str = "content-type: application/json\r\n") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


Script = Callable[[bytes, bytes], Iterable[Step]]
"""From a healthy reply, whole and its body alone, to what is sent instead."""


@dataclass(frozen=True)
class GuardFault:
    """`tells`: an unsafe label is readable in it, so the text must not pass. `statuses`: answers besides the usual."""

    script: Script
    tells: bool = False
    statuses: frozenset[int] = frozenset()
    contradicts: bool = False
    """Whether it says two things; the stricter one counts, so that a harmless text may be blocked."""
    chats_only: bool = False
    """Whether it is in the answer's text, which a call for the label alone does not have."""


def raw(*steps: Step) -> GuardFault:
    return GuardFault(lambda whole, body: steps)


def status(line: str, body: bytes = b'{"error": {"message": "no", "code": 500}}', headers: str = "") -> GuardFault:
    return raw(http(body, status=line, headers=f"content-type: application/json\r\n{headers}"))


def head(lines: str, body: bytes | None = None, *, tells: bool = False) -> GuardFault:
    """The same answer under another head."""
    start = f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\n".encode()
    return GuardFault(
        lambda whole, healthy_body: [start + (healthy_body if body is None else body), CLOSE], tells=tells
    )


def document(change: Callable[[Document], object], *, tells: bool = False, chats_only: bool = False) -> GuardFault:
    """The answer's JSON, changed; where `change` returns something, that is sent instead."""

    def script(whole: bytes, body: bytes) -> Iterable[Step]:
        made = copy.deepcopy(json.loads(body))
        other = change(made)
        return [http(json.dumps(made if other is None else other).encode())]

    return GuardFault(script, tells=tells, chats_only=chats_only)


def text(
    change: Callable[[str], object], *, tells: bool = True, finish: str = "stop", logprobs: bool = True
) -> GuardFault:
    """The answer's text, written in full and then changed. `tells`, for the unsafe ones, by default."""

    def rewrite(made: Document) -> None:
        choice = made["choices"][0]
        message = choice.get("message")
        if message is None:
            return
        unsafe = "Unsafe" in message["content"]
        whole = "Safety: Unsafe\nCategories: Violent" if unsafe else "Safety: Safe\nCategories: None"
        if "Refusal:" in message["content"]:
            whole += "\nRefusal: No"
        message["content"] = change(whole)
        choice["finish_reason"], choice["stop_reason"] = finish, None
        if not logprobs:
            choice["logprobs"] = None

    return document(rewrite, tells=tells, chats_only=True)


def tokens(change: Callable[[list[Document]], object], *, tells: bool = True, contradicts: bool = False) -> GuardFault:
    """The list of logprobs of a chat's answer, changed."""

    def rewrite(made: Document) -> None:
        logprobs = made["choices"][0].get("logprobs")
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            found = change(logprobs["content"])
            if found is not None:
                logprobs["content"] = found

    return replace(document(rewrite, tells=tells), contradicts=contradicts)


def each_alternative(change: Callable[[Document], None]) -> Callable[[list[Document]], None]:
    def on_all(content: list[Document]) -> None:
        for token in content:
            for alternative in token["top_logprobs"]:
                change(alternative)

    return on_all


def pieces(size: int, pause_s: float) -> Script:
    return lambda whole, body: [
        step for at in range(0, len(whole), size) for step in (whole[at : at + size], pause_s) if step
    ]


def chunked(whole: bytes, body: bytes) -> Iterable[Step]:
    start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    return [start, *(b"%x\r\n%s\r\n" % (len(part), part) for part in _parts(body, 37)), b"0\r\n\r\n"]


def _parts(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def replaced(name: str, value: object) -> Callable[[Document], None]:
    return lambda made: made.update({name: value})


def in_choice(name: str, value: object) -> Callable[[Document], None]:
    return lambda made: made["choices"][0].update({name: value})


def in_message(value: object) -> Callable[[Document], None]:
    def change(made: Document) -> None:
        choice = made["choices"][0]
        if "message" in choice:
            choice["message"]["content"] = value
        else:
            choice["text"] = value

    return change


_SAFE = {"role": "assistant", "content": "Safety: Safe\nCategories: None"}
SAFE_REPLY = http(json.dumps({"choices": [{"message": _SAFE, "finish_reason": "stop"}]}).encode())
CHUNKS = "content-type: application/json\r\ntransfer-encoding: chunked"

SOCKETS: Mapping[str, GuardFault] = {
    "closed at once": raw(CLOSE),
    "reset at once": raw(RESET),
    "closed in the head": GuardFault(lambda whole, body: [whole[:30], CLOSE]),
    "reset in the head": GuardFault(lambda whole, body: [whole[:30], RESET]),
    "closed in the body": GuardFault(lambda whole, body: [whole[:-20], CLOSE]),
    "reset in the body": GuardFault(lambda whole, body: [whole[:-20], RESET]),
    "closed after the answer": GuardFault(lambda whole, body: [whole, CLOSE], tells=True),
    "silent": raw(HANG),
    "silent after the head": GuardFault(lambda whole, body: [whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", HANG]),
    "silent in the body": GuardFault(lambda whole, body: [whole[:-20], HANG]),
    "a byte now and then": GuardFault(pieces(1, 0.05)),
    "an answer too late": GuardFault(lambda whole, body: [2.5, SAFE_REPLY]),
    "slow but in time": GuardFault(lambda whole, body: [0.1, whole], tells=True),
    "in many pieces": GuardFault(pieces(40, 0.0), tells=True),
    "in chunks": GuardFault(chunked, tells=True),
    "the next answer at once too": GuardFault(lambda whole, body: [whole + SAFE_REPLY], tells=True),
}
HTTP: Mapping[str, GuardFault] = {
    "500": status("500 Internal Server Error"),
    "502 with a page": status("502 Bad Gateway", b"<html>Safety: Safe</html>"),
    "503": status("503 Service Unavailable", headers="retry-after: 1\r\n"),
    "504": status("504 Gateway Timeout", b""),
    "429": status("429 Too Many Requests", headers="retry-after: 1\r\n"),
    "529": status("529 Overloaded"),
    "400": status("400 Bad Request"),
    "401": status("401 Unauthorized"),
    "403": status("403 Forbidden"),
    "404": status("404 Not Found", b'{"detail": "Not Found"}'),
    "408": status("408 Request Timeout"),
    "422": status("422 Unprocessable Entity", b'{"detail": []}'),
    "a redirect": status("302 Found", b"", headers="location: http://127.0.0.1:1/\r\n"),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "206": GuardFault(lambda whole, body: [http(body[:50], status="206 Partial Content")]),
    "a preliminary reply first": GuardFault(
        lambda whole, body: [b"HTTP/1.1 103 Early Hints\r\n\r\n" + whole], tells=True
    ),
    "not HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CLOSE),
    "binary": raw(bytes(range(256)) * 40, CLOSE),
    "a status that is no number": raw(b"HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\n{}"),
    "two lengths": GuardFault(
        lambda whole, body: [whole.replace(b"content-length", b"content-length: 2\r\ncontent-length", 1)]
    ),
    "no length and never closed": head("content-type: application/json", b'{"choices": ['),
    "a negative length": head("content-length: -2"),
    "a huge length": head("content-length: 99999999999"),
    "a length too short": GuardFault(lambda whole, body: [http(body[: len(body) // 2]) + body[len(body) // 2 :]]),
    "a length too long": GuardFault(
        lambda whole, body: [f"HTTP/1.1 200 OK\r\ncontent-length: {len(body) + 9}\r\n\r\n".encode() + body, CLOSE]
    ),
    "bad chunks": head(CHUNKS, b"zz\r\n{}\r\n"),
    "chunks that break off": GuardFault(lambda whole, body: [*list(chunked(whole, body))[:-1], CLOSE]),
    "a body in gzip": GuardFault(lambda whole, body: [http(gzip.compress(body), headers="content-encoding: gzip\r\n")]),
    "a head without an end": raw(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000, CLOSE),
}
JSON: Mapping[str, GuardFault] = {
    "an empty body": raw(http(b"")),
    "JSON that breaks off": GuardFault(lambda whole, body: [http(body[: len(body) // 2])]),
    "JSON and more": GuardFault(lambda whole, body: [http(body + b" {}")]),
    "not UTF-8": GuardFault(lambda whole, body: [http(body.replace(b"Saf", b"\xff\xfe", 1))]),
    "a list": document(lambda made: [made]),
    "a text": document(lambda made: "Safety: Safe"),
    "null": raw(http(b"null")),
    "deeply nested": raw(http(b"[" * 50_000)),
    "an error with status 200": document(lambda made: {"error": {"message": "no"}}),
    "no choices": document(replaced("choices", [])),
    "choices that are null": document(replaced("choices", None)),
    "choices that are a text": document(replaced("choices", "Safety: Safe")),
    "a choice that is null": document(replaced("choices", [None])),
    "no message": document(replaced("choices", [{"index": 0, "finish_reason": "stop"}])),
    "a message that is null": document(in_choice("message", None), chats_only=True),
    "content that is null": document(in_message(None)),
    "content that is a number": document(in_message(1)),
    "content that is a list": document(in_message(["Safety: Safe"])),
    "content that is empty": document(in_message("")),
    "half a surrogate pair": document(in_message("\ud800Safety: Safe")),
}
GRAMMAR: Mapping[str, GuardFault] = {
    "an unknown category": text(lambda said: said.replace("Violent", "Suicide & Suicide & Self-Harm")),
    "a category in lower case": text(lambda said: said.replace("Violent", "violent")),
    "a full stop after the category": text(lambda said: said.replace("Violent", "Violent.")),
    "a category's long name": text(lambda said: said.replace("Violent", "Personally Identifiable Information")),
    "a category that is for prompts only": text(lambda said: said.replace("Violent", "Jailbreak")),
    "a refusal where none is asked for": text(lambda said: f"{said}\nRefusal: Yes"),
    "a sentence at the end": text(lambda said: f"{said}\nPlease let me know if you need more."),
    "a control token at the end": text(lambda said: f"{said}<|im_end|>"),
    "an empty thought first": text(lambda said: f"<think>\n\n</think>\n\n{said}"),
    "windows line ends": text(lambda said: said.replace("\n", "\r\n")),
    "nothing but the first line": text(lambda said: said.partition("\n")[0]),
    "cut after the first line": text(lambda said: said.partition("\n")[0] + "\nCateg", finish="length"),
    "cut in the categories": text(lambda said: said + ", Suici", finish="length"),
    "twice the categories": text(lambda said: said + "\nCategories: Violent"),
    "safe and then unsafe": text(lambda said: f"Safety: Safe\n{said}"),
    "unsafe and then safe": text(lambda said: f"{said}\nSafety: Safe"),
    "in a code fence": text(lambda said: f"```\n{said}\n```"),
    "bold": text(lambda said: said.replace("Safety:", "**Safety:**"), tells=False),
    "in lower case": text(str.lower, tells=False),
    "an unknown label": text(lambda said: said.replace("Unsafe", "Dangerous").replace(": Safe", ": Fine"), tells=False),
    "another language": text(lambda said: "安全：否\n类别：暴力", tells=False),
    "an apology": text(lambda said: "I can't help with that.", tells=False, logprobs=False),
    "safe with a category": text(lambda said: "Safety: Safe\nCategories: Violent", tells=False, logprobs=False),
    "endless": text(lambda said: "Safety" * 2000, tells=False, finish="length", logprobs=False),
}
LOGPROBS: Mapping[str, GuardFault] = {
    "no logprobs": document(in_choice("logprobs", None), tells=True, chats_only=True),
    "logprobs that are a text": document(in_choice("logprobs", "none"), tells=True, chats_only=True),
    "an empty list of logprobs": tokens(lambda content: []),
    "a token that is null": tokens(lambda content: [None, *content]),
    "no alternatives": tokens(lambda content: [{**token, "top_logprobs": []} for token in content]),
    "alternatives that are null": tokens(lambda content: [{**token, "top_logprobs": None} for token in content]),
    "a logprob that is a text": tokens(each_alternative(lambda one: one.update(logprob="-1"))),
    "a logprob that is no number": tokens(each_alternative(lambda one: one.update(logprob=float("nan")))),
    "a logprob above zero": tokens(each_alternative(lambda one: one.update(logprob=9.0)), contradicts=True),
    "equal logprobs": tokens(each_alternative(lambda one: one.update(logprob=-1.1)), contradicts=True),
    "tokens that spell something else": tokens(lambda content: [{**token, "token": "x"} for token in content]),
}
FAULTS: Mapping[str, GuardFault] = {**SOCKETS, **HTTP, **JSON, **GRAMMAR, **LOGPROBS}
