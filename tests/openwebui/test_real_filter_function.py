"""A real Open WebUI with the filter function pasted into it (docs/open-webui.md, way 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import SERVE_FAKE, running

from .chat_model import USE_THE_TOOL, ChatModel, say
from .conftest import KEY
from .product import OpenWebUI

pytestmark = pytest.mark.openwebui

SOURCE = (Path(__file__).parents[2] / "examples" / "open-webui" / "moderation_filter.py").read_text(encoding="utf-8")
REFUSAL = "Sorry, I can't help with that."
UNCHECKED = "The safety check is not available right now. Please try again later."
RECIPE = "Flour and water make a dough, which wants time. Knead it until it is smooth. Let it rest for an hour or two. "
HARMFUL = RECIPE * 3 + "Then take the bomb and light it. " + RECIPE
HARMLESS = RECIPE * 4
TOOL = """
class Tools:
    def look_up(self) -> str:
        \"\"\"Look it up.\"\"\"
        return {result!r}
"""
CALL = {"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}


@pytest.fixture
def guarded(webui: OpenWebUI, model: ChatModel, guard: str) -> Iterator[Callable[..., OpenWebUI]]:
    """Installs the function with these valves."""

    def install(**valves: object) -> OpenWebUI:
        webui.install("moderation_guard", SOURCE, **{"guard_url": guard, "api_key": KEY, **valves})
        model.asked.clear()
        return webui

    yield install
    webui.switch("moderation_guard", False)


def test_its_valves_are_explained_and_the_key_is_hidden(guarded):
    spec = guarded().call("GET", "/api/v1/functions/id/moderation_guard/valves/spec")["properties"]
    assert all(field.get("description") for field in spec.values())
    assert spec["api_key"]["input"] == {"type": "password"}
    assert spec["when_unavailable"]["enum"] == ["block", "allow"]


def test_a_harmless_answer_comes_whole(guarded):
    webui = guarded()
    answer = webui.chat(say(HARMLESS))
    assert (answer.text, answer.finish_reason, answer.is_done) == (HARMLESS, "stop", True)
    chat = webui.browse(say(HARMLESS))
    assert chat.shown == HARMLESS
    assert chat.content == HARMLESS.strip()
    assert chat.saved.get("originalContent") is None


@pytest.mark.parametrize(
    "prompt",
    [
        "a bomb",
        [{"role": "user", "content": "a bomb"}, {"role": "user", "content": "thanks"}],
        [{"role": "system", "content": "a bomb"}, {"role": "user", "content": "thanks"}],
        [{"role": "user", "content": [{"type": "text", "text": "a bomb"}]}],
        [{"role": "user", "content": "thanks"}, {"role": "assistant", "content": "The bomb is"}],
        [
            {"role": "user", "content": "thanks"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "1", "content": "a bomb"},
        ],
    ],
    ids=["prompt", "two-messages", "system", "parts", "prefill", "tool"],
)
def test_a_blocked_prompt_never_reaches_the_model(guarded, model, prompt):
    answer = guarded().chat(prompt)
    assert (answer.status, answer.detail) == (400, REFUSAL)
    assert model.asked == []


def test_a_browser_shows_the_message_in_the_users_language(guarded, model):
    chat = guarded().browse("a bomb", language="zh-CN")
    assert chat.saved["error"] == {"content": "抱歉，我无法协助处理此请求。"}
    assert model.asked == []


def test_nothing_of_a_blocked_piece_reaches_an_api_client(guarded):
    answer = guarded().chat(say(HARMFUL))
    assert (answer.status, answer.finish_reason, answer.is_done) == (200, "content_filter", True)
    assert "bomb" not in answer.raw
    assert answer.text.startswith(RECIPE)
    assert answer.text.endswith("\n\n" + REFUSAL)
    assert answer.text.count(REFUSAL) == 1


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_of_a_blocked_piece_reaches_a_browser_or_is_saved(guarded, stream):
    chat = guarded().browse(say(HARMFUL), stream=stream)
    assert "bomb" not in chat.seen.replace(say(HARMFUL), "")
    assert chat.shown == chat.content
    assert chat.content.endswith("\n\n" + REFUSAL)


def test_the_same_with_a_model_behind_the_responses_api(guarded, webui, model):
    webui.connect({model.url: "sk-model"}, api_type="responses")
    try:
        chat = guarded().browse(say(HARMFUL))
        assert "bomb" not in chat.seen
        assert chat.content.endswith("\n\n" + REFUSAL)
        assert guarded().browse(say(HARMLESS)).content == HARMLESS.strip()
        assert "bomb" not in guarded().chat(say(HARMFUL)).raw
    finally:
        webui.connect({model.url: "sk-model"})


def test_an_answer_that_is_not_streamed_is_refused_to_an_api_client(guarded, model):
    answer = guarded().chat("thanks", stream=False)
    assert (answer.status, model.asked) == (400, [])
    assert answer.detail == 'Answers can only be checked while they are streamed. Send "stream": true.'


def test_unstreamed_answers_may_be_allowed_and_are_then_shown_first(guarded):
    webui = guarded(unstreamed="allow")
    assert webui.chat(say(HARMFUL), stream=False).text == HARMFUL
    chat = webui.browse(say(HARMFUL), stream=False)
    assert chat.content == REFUSAL
    assert "bomb" not in str(chat.saved["output"])
    assert "bomb" in chat.saved["originalContent"]


def test_a_guard_that_is_gone_closes_both_ways(guarded, no_guard, model):
    webui = guarded(guard_url=no_guard)
    answer = webui.chat("thanks")
    assert (answer.status, answer.detail, model.asked) == (400, UNCHECKED, [])
    webui = guarded(guard_url=no_guard, check_prompts=False)
    answer = webui.chat(say(HARMLESS))
    assert (answer.text, answer.finish_reason) == (UNCHECKED, "content_filter")
    assert webui.browse(say(HARMLESS), language="de-DE").content.startswith("Die Sicherheitsprüfung ist gerade nicht")


def test_a_guard_that_is_gone_opens_both_ways_when_that_is_wanted(guarded, no_guard):
    webui = guarded(guard_url=no_guard, when_unavailable="allow")
    assert webui.chat(say(HARMFUL)).text == HARMFUL
    chat = webui.browse(say(HARMFUL))
    assert chat.content == HARMFUL.strip()
    assert chat.saved["statusHistory"][0]["description"].startswith("Not checked")


def test_a_service_without_its_engine_closes_both_ways(guarded, guard_without_engine):
    assert guarded(guard_url=guard_without_engine).chat("thanks").detail == UNCHECKED
    answer = guarded(guard_url=guard_without_engine, check_prompts=False).chat(say(HARMLESS))
    assert answer.text == UNCHECKED


@pytest.mark.parametrize("wrong", [{"api_key": "not-the-key"}, {"policy": "polcy"}])
def test_a_wrong_setting_blocks_even_if_failures_may_pass(guarded, model, wrong):
    answer = guarded(when_unavailable="allow", **wrong).chat("thanks")
    assert (answer.status, answer.detail, model.asked) == (400, UNCHECKED, [])


def test_a_guard_that_goes_away_in_the_middle_of_an_answer_ends_it(guarded):
    with running(command=SERVE_FAKE, MODERATION_API_KEYS=KEY) as service:
        webui = guarded(guard_url=service.url)
        assert webui.chat(say(HARMLESS)).text == HARMLESS
    assert webui.chat("thanks").detail == UNCHECKED


def test_answers_streamed_at_the_same_time_do_not_mix(guarded):
    webui = guarded()
    answers = [f"Answer {n}. " + (HARMFUL if n % 2 else HARMLESS) + f"The end of {n}." for n in range(24)]
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda answer: webui.chat(say(answer)), answers))
    for n, (answer, one) in enumerate(zip(answers, got, strict=True)):
        assert one.text == answer if n % 2 == 0 else one.text.startswith(f"Answer {n}. ")
        assert ("bomb" in one.raw, one.text.endswith(REFUSAL)) == (False, n % 2 == 1)


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
def test_these_routes_go_past_the_function(guarded, model, path, fields):
    user = guarded().new_user()
    assert user.chat("a bomb", path=path, stream=False, **fields).status == 200
    assert "bomb" in str(model.asked)


@pytest.mark.parametrize("path", ["/api/v1/chat/completions", "/api/v1/messages", "/api/message"])
def test_these_routes_do_not(guarded, model, path):
    answer = guarded().new_user().chat("a bomb", path=path, max_tokens=100)
    assert answer.status == 400
    assert REFUSAL in answer.raw
    assert model.asked == []


@pytest.mark.parametrize(("provider", "passes"), [("", False), ("litellm", True)])
def test_the_messages_api_goes_past_it_with_some_providers(guarded, webui, model, provider, passes):
    webui.connect({model.url: "sk-model"}, provider=provider)
    try:
        guarded().chat("a bomb", path="/api/v1/messages", max_tokens=100)
        assert ("bomb" in str(model.asked)) is passes
    finally:
        webui.connect({model.url: "sk-model"})


def test_the_title_of_a_new_chat_is_asked_for_past_the_function(guarded, model):
    chat = guarded().browse("a bomb", title=True)
    assert chat.saved["error"] == {"content": REFUSAL}
    assert [str(one["messages"]).count("### Task:") > 0 for one in model.asked] == [True]


@pytest.mark.parametrize(("result", "rounds"), [("a cake", 2), ("a bomb", 1)])
def test_the_result_of_a_tool_is_judged_before_the_model_sees_it(guarded, model, result, rounds):
    webui = guarded()
    webui.install_tool("look_up", TOOL.format(result=result))
    chat = webui.browse(USE_THE_TOOL, tools=["look_up"])
    assert len(model.asked) == rounds
    assert (result in str(model.asked)) is (rounds == 2)
    assert chat.content.startswith("I look it up.")
    assert ("Bread is made of flour" in chat.content) is (rounds == 2)
    assert chat.saved.get("error") == (None if rounds == 2 else {"content": REFUSAL})
