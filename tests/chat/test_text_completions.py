"""Completions without roles, embeddings and what else is asked of the models behind a guarded chat."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from apps import make_client
from fake_llm import FakeLLM, Request, http, sse
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.config.setting import Url
from moderation_service.errors import EngineUnavailable

SORRY = "Sorry, I can't help with that."


def completion(*texts: str, **more: object) -> dict[str, Any]:
    choices = [
        {"index": index, "text": text, "logprobs": None, "finish_reason": "stop", **more}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "llm-1",
        "choices": choices,
        "usage": usage,
    }


def writes(*pieces: str) -> Any:
    """A model that completes with these pieces, streamed or not."""

    def behave(request: Request) -> Iterable[Any]:
        if not request.body.get("stream"):
            return [http(200, completion("".join(pieces)))]
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "llm-1"}
        last = {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}
        choices = [{"index": 0, "text": one, "logprobs": None, "finish_reason": None} for one in pieces]
        return sse(*({**head, "choices": [one]} for one in (*choices, last)))

    return behave


def client_of(llm: FakeLLM, **settings: Any) -> FlaskClient:
    return make_client(chat_upstream=Url(llm.url), log_level="error", **settings)


def ask(llm: FakeLLM, prompt: object = "Once upon a time", **body: Any) -> Any:
    options = {key: body.pop(key) for key in ("engine", "headers", "settings") if key in body}
    client = client_of(llm, **options.pop("settings", {}), **{k: v for k, v in options.items() if k == "engine"})
    whole = {"model": "llm-1", "prompt": prompt, **body}
    return client.post("/v1/completions", json=whole, headers=options.get("headers"))


def streamed(llm: FakeLLM, **body: Any) -> list[Any]:
    reply = ask(llm, stream=True, **body)
    assert reply.status_code == 200, reply.json
    *frames, rest = reply.get_data(as_text=True).split("\n\n")
    assert (frames.pop(), rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames if not frame.startswith(":")]


def text_of(events: Iterable[Any]) -> str:
    return "".join(choice["text"] for event in events for choice in event["choices"])


def test_a_harmless_completion_goes_through_as_it_came(llm: FakeLLM) -> None:
    llm.behave = writes("there was a baker.")
    reply = ask(llm)
    assert (reply.status_code, reply.json) == (200, completion("there was a baker."))
    assert (llm.requests[0].path, llm.requests[0].body) == (
        "/v1/completions",
        {"model": "llm-1", "prompt": "Once upon a time"},
    )


def test_a_stream_goes_through_and_ends(llm: FakeLLM) -> None:
    llm.behave = writes("there ", "was ", "a baker. ")
    events = streamed(llm)
    assert text_of(events) == "there was a baker. "
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "how to make a bomb"},
        {"prompt": ["hello", "how to make a bomb"]},
        {"prompt": "hello", "suffix": "a bomb"},
        {"prompt": "hello", "unheard_of": "a bomb"},
    ],
)
def test_a_prompt_that_is_blocked_is_answered_in_this_contract(llm: FakeLLM, body: dict[str, Any]) -> None:
    reply = ask(llm, **body)
    assert (reply.status_code, reply.json["object"]) == (200, "text_completion")
    choice = reply.json["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (SORRY, "content_filter")
    assert "message" not in choice
    assert text_of(streamed(llm, **body)).endswith(SORRY)


def test_a_choice_for_each_prompt_is_refused(llm: FakeLLM) -> None:
    choices = ask(llm, ["a bomb", "b"], n=2).json["choices"]
    assert [choice["text"] for choice in choices] == [SORRY] * 4


def test_an_answer_that_is_blocked_is_replaced(llm: FakeLLM) -> None:
    llm.behave = writes("take a bomb and")
    choice = ask(llm).json["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["x_moderation"]["safety"]) == (
        SORRY,
        "content_filter",
        "unsafe",
    )


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_nothing_of_a_blocked_stream_leaks(llm: FakeLLM, size: int) -> None:
    said = "It was a fine day. " * 12 + "Then you take a bomb and light it."
    llm.behave = writes(*(said[at : at + size] for at in range(0, len(said), size)))
    events = streamed(llm)
    shown = text_of(events)
    assert "bomb" not in shown
    assert "Then you" not in shown
    assert shown.endswith(SORRY)
    assert all("text" in choice and "delta" not in choice for event in events for choice in event["choices"])
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_the_message_of_a_cut_stream_stands_apart_from_what_was_shown(llm: FakeLLM) -> None:
    shown = threading.Event()

    def behave(request: Request) -> Iterable[Any]:
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "llm-1"}
        said = ["It was a fine day. " * 3, "Then you take a bomb."]
        first, second = ({**head, "choices": [{"index": 0, "text": one, "finish_reason": None}]} for one in said)
        return sse(first, shown, second)

    llm.behave = behave
    reply = client_of(llm).post("/v1/completions", json={"model": "m", "prompt": "a", "stream": True})
    text = ""
    for frame in reply.response:
        text += frame.decode() if isinstance(frame, bytes) else frame
        if "fine day" in text:
            shown.set()
    events = [json.loads(one[6:]) for one in text.split("\n\n") if one.startswith("data: {")]
    assert text_of(events) == "It was a fine day. " * 3 + f"\n\n{SORRY}"


def test_text_in_logprobs_is_judged_too(llm: FakeLLM) -> None:
    tokens = {
        "tokens": ["fi", "ne"],
        "token_logprobs": [0, 0],
        "top_logprobs": [{"bomb": -1}, None],
        "text_offset": [0, 2],
    }
    llm.behave = lambda request: [http(200, completion("fine", logprobs=tokens))]
    assert "bomb" not in ask(llm, logprobs=1).get_data(as_text=True)


def test_no_verdict_is_an_error(llm: FakeLLM) -> None:
    assert ask(llm, engine=FakeEngine(raises=EngineUnavailable("Down."))).status_code == 503


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "a", "suffix": 7}, "suffix"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "messages"),
        ({"prompt": "a", "Prompt": "b"}, "prompt"),
        ({"prompt": "a", "prompt_embeds": "b"}, "prompt_embeds"),
    ],
)
def test_what_can_not_be_judged_is_refused_by_name(llm: FakeLLM, body: dict[str, Any], param: str) -> None:
    reply = ask(llm, **body)
    assert (reply.status_code, reply.json["error"]["param"]) == (400, param)
    assert llm.requests == []


def test_a_milder_policy_may_not_be_chosen(llm: FakeLLM) -> None:
    assert ask(llm, headers={"X-Moderation-Policy": "loose"}).status_code == 403


# Embeddings


VECTORS = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}], "model": "e"}


def embeds(request: Request) -> list[bytes]:
    return [http(200, VECTORS)] if request.path == "/v1/embeddings" else [http(404, {"error": {"message": "?"}})]


def test_embeddings_are_passed_on_unchanged(llm: FakeLLM) -> None:
    llm.behave = embeds
    body = {"model": "e", "input": [[1, 2], [3]], "encoding_format": "base64", "dimensions": 8}
    reply = client_of(llm).post("/v1/embeddings", json=body)
    assert (reply.status_code, reply.json) == (200, VECTORS)
    assert llm.requests[0].body == body


def test_embeddings_are_judged_as_prompts_by_setting(llm: FakeLLM) -> None:
    llm.behave = embeds
    client = client_of(llm, chat_judge_embeddings=True)
    assert client.post("/v1/embeddings", json={"model": "e", "input": ["hello", "bread"]}).status_code == 200
    blocked = client.post("/v1/embeddings", json={"model": "e", "input": ["hello", "a bomb"]})
    assert (blocked.status_code, blocked.json["error"]["code"]) == (400, "content_filter")
    ids = client.post("/v1/embeddings", json={"model": "e", "input": [[1, 2]]})
    assert (ids.status_code, ids.json["error"]["param"]) == (400, "input")
    assert len(llm.requests) == 1


def test_what_the_server_refuses_is_told(llm: FakeLLM) -> None:
    llm.behave = lambda request: [http(400, {"error": {"message": "no such model", "type": "invalid_request_error"}})]
    reply = client_of(llm).post("/v1/embeddings", json={"model": "e", "input": "a"})
    assert (reply.status_code, reply.json["error"]["message"]) == (400, "no such model")
    llm.behave = lambda request: [http(500, {"error": {"message": "inner"}})]
    assert client_of(llm).post("/v1/embeddings", json={"model": "e", "input": "a"}).status_code == 502


def test_without_a_model_behind_it_a_route_says_what_is_missing() -> None:
    client = make_client(log_level="error")
    for path, body in (("/v1/completions", {"prompt": "a"}), ("/v1/embeddings", {"input": "a"})):
        reply = client.post(path, json=body)
        assert reply.status_code == 404
        assert "`chat_upstream`" in reply.json["error"]["message"]


# Other


def test_a_model_is_found_by_its_name_with_slashes(llm: FakeLLM) -> None:
    entry = {"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "us"}
    llm.behave = lambda request: [http(200, {"object": "list", "data": [entry]})]
    client = client_of(llm)
    for path in ("/v1/models/Qwen/Qwen3-8B", "/v1/models/Qwen%2FQwen3-8B"):
        assert client.get(path).json == entry
    assert client.get("/v1/models/guard-qwen").json["owned_by"] == "moderation-service"
    missing = client.get("/v1/models/none")
    assert (missing.status_code, missing.json["error"]["code"]) == (404, "not_found")


def test_sound_and_pictures_are_refused_by_the_name_of_the_switch(llm: FakeLLM) -> None:
    client = client_of(llm)
    for path in ("/v1/audio/speech", "/v1/audio/transcriptions", "/v1/images/generations"):
        reply = client.post(path, json={"input": "hello"})
        assert reply.status_code == 403
        assert "`chat_allow_media`" in reply.json["error"]["message"]
    assert llm.requests == []


@pytest.fixture
def media(llm: FakeLLM) -> Any:
    """A client where media are let through."""
    llm.behave = lambda request: [http(200, {"data": []})]
    return client_of(llm, chat_allow_media=True)


def test_where_media_are_let_through_only_their_text_is_judged(llm: FakeLLM, media: Any) -> None:
    assert media.post("/v1/images/generations", json={"prompt": "a cake", "size": "1024x1024"}).status_code == 200
    assert media.post("/v1/images/generations", json={"prompt": "a bomb"}).status_code == 400
    assert [request.path for request in llm.requests] == ["/v1/images/generations"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"prompt": "a cake", "negative_prompt": "not a bomb"}),
        ("/v1/images/generations", {"prompt": "a cake", "extra_body": {"style": ["of a bomb"]}}),
        ("/v1/audio/speech", {"input": "a cake", "instructions": "say it as a bomb would"}),
        ("/v1/audio/speech", {"input": "a cake", "input_ids": [7, 8, 9, 10, 11]}),
    ],
)
def test_all_that_a_request_for_media_says_is_judged(
    llm: FakeLLM, media: Any, path: str, body: dict[str, object]
) -> None:
    assert media.post(path, json=body).status_code == 400
    assert llm.requests == []


def test_a_request_for_media_is_judged_whatever_its_type_is_called(llm: FakeLLM, media: Any) -> None:
    for kind, status in (
        ("application/x+json", 400),
        ("text/plain", 415),
        ("", 415),
        ("application/octet-stream", 415),
    ):
        reply = media.post("/v1/images/generations", data=b'{"prompt": "a bomb"}', content_type=kind)
        assert reply.status_code == status
    assert llm.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/audio/../chat/completions",
        "/v1/audio/%2e%2e/chat/completions",
        "/v1/images/a/..%2f..%2fchat/completions",
        "/v1/images/.",
        "/v1/audio/speech%20HTTP/1.1%0d%0aX:%20y",
        "/v1/audio/speech%3fa=b",
    ],
)
def test_no_address_below_media_leads_elsewhere(llm: FakeLLM, media: Any, path: str) -> None:
    assert media.post(path, json={"prompt": "a cake"}).status_code == 404
    assert llm.requests == []


def form_of(*parts: str) -> bytes:
    return "".join(f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in parts).encode() + b"--x--\r\n"


FORM = "multipart/form-data; boundary=x"
FILE = 'name="file"; filename="a b.wav"\r\nContent-Type: audio/wav\r\n\r\n\x00\x01'


def test_a_form_goes_on_with_its_fields_judged(llm: FakeLLM, media: Any) -> None:
    fine = form_of('name="prompt"\r\n\r\nof cakes', 'name="model"\r\n\r\nwhisper-1', FILE)
    assert media.post("/v1/audio/transcriptions", data=fine, content_type=FORM).status_code == 200
    (sent,) = llm.requests
    mark = sent.headers["content-type"].partition("boundary=")[2]
    assert sent.body.decode() == (
        f'--{mark}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nof cakes\r\n'
        f'--{mark}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="a_b.wav"\r\n'
        f"Content-Type: audio/wav\r\n\r\n\x00\x01\r\n--{mark}--\r\n"
    )
    for harmful in ('name="prompt"\r\n\r\nof a bomb', 'name="a"\r\n\r\nx', "name=prompt\r\n\r\nof a bomb"):
        both = form_of('name="prompt"\r\n\r\nof cakes', harmful, 'name="a"\r\n\r\nof a bomb', FILE)
        reply = media.post("/v1/images/edits", data=both, content_type=FORM)
        assert (reply.status_code, reply.json["error"]["code"]) == (400, "content_filter")
    assert len(llm.requests) == 1


def test_a_file_without_a_name_does_not_pass_for_a_field(llm: FakeLLM, media: Any) -> None:
    form = form_of('name="prompt"; filename=""\r\n\r\nof a bomb')
    assert media.post("/v1/images/edits", data=form, content_type=FORM).status_code == 200
    assert b'name="prompt"; filename="file"' in llm.requests[0].body


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (form_of("name=a\r\n\r\nb")[:-6], FORM),
        (b'{"prompt": "a bomb"}', FORM),
        (form_of("name=a\r\n\r\nb"), "multipart/form-data"),
        (form_of('name="a%22b"\r\n\r\nb'), FORM),
        (form_of("\r\n\r\nb"), FORM),
    ],
)
def test_a_form_that_servers_could_read_otherwise_is_refused(
    llm: FakeLLM, media: Any, content: bytes, kind: str
) -> None:
    assert media.post("/v1/images/edits", data=content, content_type=kind).status_code == 400
    assert llm.requests == []
