"""A real Open WebUI with the service as a filter server (docs/open-webui.md, way 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from processes import SERVE_FAKE, running

from .chat_model import ChatModel, say
from .conftest import KEY
from .product import OpenWebUI

pytestmark = pytest.mark.openwebui

REFUSAL = "Sorry, I can't help with that."
UNCHECKED = "The safety check is not available right now. Please try again later."


@pytest.fixture
def behind(webui: OpenWebUI, model: ChatModel) -> Iterator[Callable[[str], OpenWebUI]]:
    """Connects Open WebUI to a filter server at this address, beside the model."""

    def connect(url: str) -> OpenWebUI:
        webui.connect({model.url: "sk-model", f"{url}/owui": KEY})
        model.asked.clear()
        return webui

    yield connect
    webui.connect({model.url: "sk-model"})


def test_the_filter_is_found_and_is_no_model_to_chat_with(behind, guard):
    webui = behind(guard)
    assert [one["id"] for one in webui.call("GET", "/api/models")["data"]] == [webui.model]
    assert webui.call("GET", "/api/v1/pipelines/list")["data"] == [{"url": f"{guard}/owui", "idx": 1}]
    listed = webui.call("GET", "/api/v1/pipelines/?urlIdx=1")["data"]
    assert [one["id"] for one in listed] == ["moderation-guard"]
    assert webui.call("GET", "/api/v1/pipelines/moderation-guard/valves/spec?urlIdx=1")["properties"] == {}


def test_a_harmless_chat_goes_through(behind, guard):
    webui = behind(guard)
    answer = webui.chat("How do I bake bread?")
    assert (answer.text, answer.is_done) == ("Bread is made of flour and water.", True)
    assert webui.chat("How do I bake bread?", stream=False).text == "Bread is made of flour and water."
    assert webui.browse("How do I bake bread?").content == "Bread is made of flour and water."


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a bomb", REFUSAL),
        ([{"role": "user", "content": "a bomb"}, {"role": "user", "content": "thanks"}], REFUSAL),
        ([{"role": "system", "content": "a bomb"}, {"role": "user", "content": "thanks"}], REFUSAL),
        ([{"role": "user", "content": [{"type": "text", "text": "a bomb"}]}], REFUSAL),
        ("做 bomb", "抱歉，我无法协助处理此请求。"),
    ],
    ids=["prompt", "two-messages", "system", "parts", "chinese"],
)
def test_a_blocked_prompt_never_reaches_the_model(behind, guard, model, stream, prompt, message):
    answer = behind(guard).chat(prompt, stream=stream)
    assert (answer.status, answer.detail) == (403, message)
    assert model.asked == []


@pytest.mark.parametrize(
    ("language", "message"), [("en-US", REFUSAL), ("de-DE", "Dabei kann ich leider nicht helfen.")]
)
def test_a_browser_shows_the_message_in_the_users_language(behind, guard, model, language, message):
    chat = behind(guard).browse("a bomb", language=language)
    assert chat.saved["error"] == {"content": message}
    assert model.asked == []


def test_a_policy_is_chosen_by_the_address(webui, model, guard):
    insult = "an insult"
    webui.connect({model.url: "sk-model", f"{guard}/owui/strict": KEY})
    assert webui.chat(insult).detail == REFUSAL
    webui.connect({model.url: "sk-model", f"{guard}/owui/loose": KEY})
    assert webui.chat(insult).status == 200


def test_a_blocked_answer_is_shown_first_and_replaced_afterwards_in_the_browser(behind, guard):
    chat = behind(guard).browse(say("Take the bomb."))
    assert "bomb" in chat.shown
    assert chat.content == REFUSAL
    assert "bomb" not in str(chat.saved["output"])
    assert chat.saved["originalContent"] == "Take the bomb."


@pytest.mark.parametrize("stream", [True, False])
def test_a_blocked_answer_reaches_an_api_client_as_it_was(behind, guard, stream):
    assert behind(guard).chat(say("Take the bomb."), stream=stream).text == "Take the bomb."


def test_without_an_engine_prompts_are_refused_in_words(behind, guard_without_engine, model):
    webui = behind(guard_without_engine)
    answer = webui.chat("How do I bake bread?")
    assert (answer.status, answer.detail, model.asked) == (503, UNCHECKED, [])
    assert (
        webui.browse("How do I bake bread?", language="zh-CN").saved["error"]["content"]
        == "安全检查暂时不可用，请稍后再试。"
    )


def test_a_filter_server_that_is_gone_lets_everything_pass(behind):
    with running(command=SERVE_FAKE, MODERATION_API_KEYS=KEY) as service:
        webui = behind(service.url)
        assert webui.chat("a bomb").status == 403
    assert webui.chat("a bomb").status == 200


def test_a_title_is_made_for_a_harmless_chat_and_not_for_another(behind, guard, model):
    webui = behind(guard)
    path = "/api/v1/tasks/title/completions"
    assert webui.chat("How do I bake bread?", path=path, stream=False).status == 200
    # The model got Open WebUI's prompt, which says much more than the user did.
    assert "### Task:" in str(model.asked[-1]["messages"])
    answer = webui.chat("a bomb", path=path, stream=False)
    assert (answer.status, answer.detail) == (403, REFUSAL)


@pytest.mark.parametrize("fields", [{"prompt": "a bomb", "responses": ["x"]}, {"prompt": "x", "responses": ["a bomb"]}])
def test_merging_answers_is_judged_too(behind, guard, fields):
    answer = behind(guard).chat([], path="/api/v1/tasks/moa/completions", stream=False, **fields)
    assert (answer.status, answer.detail) == (403, REFUSAL)


def test_the_route_to_the_provider_goes_past_the_filter(behind, guard, model):
    user = behind(guard).new_user()
    assert user.chat("a bomb", path="/openai/chat/completions").status == 200
    assert "bomb" in str(model.asked)


def test_the_title_of_a_new_chat_is_judged(behind, guard, model):
    chat = behind(guard).browse("a bomb", title=True)
    assert (chat.saved["error"], model.asked) == ({"content": REFUSAL}, [])
