"""A real Open WebUI whose connection is the service's guarded chat (docs/open-webui.md, way 3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from processes import SERVE_FAKE, SERVE_LITE, free_port, running

from moderation_service.config.settings import Settings

from .chat_model import ChatModel, say
from .conftest import KEY
from .product import OpenWebUI

pytestmark = [
    pytest.mark.openwebui,
    pytest.mark.skipif(not hasattr(Settings(), "chat_upstream"), reason="this version has no guarded chat"),
]

REFUSAL = "Sorry, I can't help with that."
RECIPE = "Flour and water make a dough, which wants time. Knead it until it is smooth. Let it rest for an hour or two. "
HARMFUL = RECIPE * 4 + "Then take the bomb and light it. " + RECIPE


@pytest.fixture(scope="module")
def guarded_chat(model: ChatModel) -> Iterator[str]:
    """The address of a service in front of the model, which asks the model only after the prompt's verdict."""
    variables = {"MODERATION_CHAT_UPSTREAM": model.url, "MODERATION_CHAT_PROMPT_FIRST": "true"}
    with running(command=SERVE_FAKE, MODERATION_API_KEYS=KEY, **variables) as service:
        yield f"{service.url}/v1"


@pytest.fixture
def behind(webui: OpenWebUI, model: ChatModel, guarded_chat: str) -> Iterator[OpenWebUI]:
    webui.connect({guarded_chat: KEY})
    model.asked.clear()
    yield webui
    webui.connect({model.url: "sk-model"})


def test_the_models_behind_the_service_are_listed(behind):
    assert behind.model in [one["id"] for one in behind.call("GET", "/api/models")["data"]]


@pytest.mark.parametrize("stream", [True, False])
def test_a_harmless_chat_goes_through(behind, stream):
    assert behind.chat(say(RECIPE * 4), stream=stream).text == RECIPE * 4
    assert behind.browse(say(RECIPE * 4), stream=stream).content.strip() == (RECIPE * 4).strip()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "prompt",
    ["a bomb", [{"role": "user", "content": "a bomb"}, {"role": "user", "content": "thanks"}]],
    ids=["prompt", "two-messages"],
)
def test_a_blocked_prompt_never_reaches_the_model(behind, model, prompt, stream):
    answer = behind.chat(prompt, stream=stream)
    assert (answer.status, answer.text, answer.finish_reason) == (200, REFUSAL, "content_filter")
    assert model.asked == []


def test_a_browser_shows_the_message_as_the_answer(behind, model):
    assert behind.browse("a bomb").content == REFUSAL
    assert model.asked == []


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_of_a_blocked_piece_reaches_an_api_client(behind, stream):
    answer = behind.chat(say(HARMFUL), stream=stream)
    assert (answer.status, answer.finish_reason) == (200, "content_filter")
    assert "bomb" not in answer.raw
    assert answer.text.endswith(REFUSAL)


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_of_a_blocked_piece_reaches_a_browser_or_is_saved(behind, stream):
    chat = behind.browse(say(HARMFUL), stream=stream)
    assert "bomb" not in chat.seen
    assert chat.content.endswith(REFUSAL)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/openai/chat/completions", {}),
        ("/api/v1/tasks/moa/completions", {"prompt": "a bomb", "responses": ["x"]}),
        ("/api/v1/tasks/title/completions", {}),
        ("/api/v1/tasks/emoji/completions", {"prompt": "a bomb"}),
    ],
    ids=["openai", "moa", "title", "emoji"],
)
def test_the_routes_that_go_past_the_filters_do_not_go_past_it(behind, model, path, fields):
    answer = behind.new_user().chat("a bomb", path=path, stream=False, **fields)
    assert (answer.text, model.asked) == (REFUSAL, [])


def test_the_title_of_a_new_chat_is_not_made_of_a_blocked_prompt(behind, model):
    assert behind.browse("a bomb", title=True).content == REFUSAL
    assert model.asked == []


def test_without_an_engine_nothing_passes(webui, model, tmp_path):
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies: {own: {on_failure: error}}")
    flags = ("--engine", "vllm", "--upstream", f"http://127.0.0.1:{free_port()}", "--default-policy", "own")
    variables = {"MODERATION_CHAT_UPSTREAM": model.url, "MODERATION_API_KEYS": KEY}
    with running(*flags, "--policies-file", str(policies), command=SERVE_LITE, **variables) as service:
        webui.connect({f"{service.url}/v1": KEY})
        try:
            for stream in (True, False):
                answer = webui.chat(say(RECIPE), stream=stream)
                assert answer.status >= 500 or "error" in answer.raw
                assert RECIPE not in answer.raw
            assert RECIPE not in webui.browse(say(RECIPE)).seen
        finally:
            webui.connect({model.url: "sk-model"})
