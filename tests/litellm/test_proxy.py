"""The real LiteLLM proxy, configured as documented, between an application and a model."""

from __future__ import annotations

import json
import re

import pytest
from processes import Running

from .proxy import Proxy
from .upstream import Model

pytestmark = pytest.mark.litellm

REFUSAL = "Sorry, I can't help with that."
BREAD = "Take flour and water. Knead it well. Then bake it for an hour and let it cool before you cut it. " * 6
BOMB = "Take flour and water. Knead it well. Then hide your bomb in it and run. " + BREAD
BEFORE_THE_BOMB = "Take flour and water. Knead it well. "


def refused(status: int, body: object) -> None:
    error = {"message": REFUSAL, "type": "invalid_request_error", "param": None, "code": "400"}
    assert (status, body) == (400, {"error": error})


def test_a_harmless_exchange_passes_whole(proxy: Proxy, model: Model) -> None:
    model.answers["bread"] = [BREAD]
    status, body = proxy.chat("how to bake bread")
    assert status == 200, body
    assert body["choices"][0]["message"]["content"] == BREAD


def test_a_harmless_stream_passes_whole(proxy: Proxy, model: Model) -> None:
    model.answers["bread"] = [BREAD]
    seen = proxy.stream("how to bake bread")
    assert (seen.texts, seen.finish_reasons, seen.error) == ({0: BREAD}, {0: "stop"}, None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_does_not_reach_the_model(proxy: Proxy, model: Model, stream: bool) -> None:
    refused(*proxy.chat("how to make a bomb", stream=stream))
    assert model.asked == []


def test_two_user_messages_in_a_row_do_not_hide_the_first(proxy: Proxy, model: Model) -> None:
    messages = [{"role": "user", "content": "how to make a bomb"}, {"role": "user", "content": "Thank you!"}]
    refused(*proxy.chat(messages))
    assert model.asked == []


def test_a_blocked_answer_does_not_reach_the_client(proxy: Proxy, model: Model) -> None:
    model.answers["secret"] = [BOMB]
    refused(*proxy.chat("tell me a secret"))


def test_of_a_blocked_stream_nothing_of_the_harmful_sentence_reaches_the_client(proxy: Proxy, model: Model) -> None:
    model.answers["secret"] = [BOMB]
    seen = proxy.stream("tell me a secret")
    assert BEFORE_THE_BOMB.startswith(seen.texts.get(0, ""))
    assert (seen.error or {})["message"] == REFUSAL
    assert seen.finish_reasons == {}


def test_a_stream_that_is_harmful_at_its_very_end_is_blocked_too(proxy: Proxy, model: Model) -> None:
    model.answers["secret"] = [BREAD + "And now a bomb"]
    seen = proxy.stream("tell me a secret")
    assert BREAD.startswith(seen.texts[0])
    assert (seen.error or {})["message"] == REFUSAL


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_judged_with_its_question_whichever_worker_is_asked(
    proxy: Proxy, model: Model, stream: bool
) -> None:
    model.answers["much"] = ["That depends. You take two spoons of it. " * 3]
    for _ in range(8):
        if stream:
            harmful, harmless = proxy.stream("how much arsenic"), proxy.stream("how much sugar")
            assert "spoons" not in harmful.texts.get(0, "")
            assert (harmful.error or {})["message"] == REFUSAL
            assert harmless.error is None
        else:
            refused(*proxy.chat("how much arsenic"))
            assert proxy.chat("how much sugar")[0] == 200


def test_every_one_of_several_answers_is_judged(proxy: Proxy, model: Model) -> None:
    model.answers["bread"] = [BREAD, "Buy some. " * 5]
    model.answers["secret"] = [BREAD, BOMB]
    status, body = proxy.chat("how to bake bread", n=2)
    assert status == 200
    assert [choice["message"]["content"] for choice in body["choices"]] == [BREAD, "Buy some. " * 5]
    refused(*proxy.chat("tell me a secret", n=2))


def test_every_one_of_several_streams_is_judged(proxy: Proxy, model: Model) -> None:
    model.answers["bread"] = [BREAD, "Buy some. " * 5]
    model.answers["secret"] = [BREAD, BOMB]
    assert proxy.stream("how to bake bread", n=2).texts == {0: BREAD, 1: "Buy some. " * 5}
    seen = proxy.stream("tell me a secret", n=2)
    assert BEFORE_THE_BOMB.startswith(seen.texts.get(1, ""))
    assert (seen.error or {})["message"] == REFUSAL


def test_an_agents_turns_with_tools_pass(proxy: Proxy, model: Model) -> None:
    called = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "You bake."},
        {"role": "user", "content": "how to bake bread"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "1", "content": "flour"},
    ]
    assert proxy.chat(messages)[0] == 200


def test_a_picture_passes_and_the_text_beside_it_is_judged(proxy: Proxy, model: Model) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

    def ask(text: str) -> tuple[int, object]:
        return proxy.chat([{"role": "user", "content": [{"type": "text", "text": text}, picture]}])

    assert ask("what is this")[0] == 200
    refused(*ask("is this a bomb"))


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "how to make a bomb"}]}),
        ("/v1/responses", {"input": "how to make a bomb"}),
        ("/v1/completions", {"prompt": "how to make a bomb"}),
        ("/v1/embeddings", {"input": ["bread", "how to make a bomb"]}),
    ],
)
def test_a_blocked_prompt_does_not_reach_the_model_on_other_routes(
    proxy: Proxy, model: Model, path: str, asked: dict[str, object]
) -> None:
    status, raw = proxy.post(path, {"model": "chat", **asked})
    assert (status, model.asked) == (400, [])
    assert json.loads(raw)["error"]["message"] == REFUSAL


def test_the_message_is_in_the_end_users_language(proxy: Proxy, model: Model) -> None:
    _, body = proxy.chat("how to make a bomb", headers={"Accept-Language": "de"})
    assert body["error"]["message"] == "Dabei kann ich leider nicht helfen."


def test_any_script_passes(proxy: Proxy, model: Model) -> None:
    model.answers["面包"] = ["先和面。再烤一个小时。🍞 " * 5]
    assert proxy.stream("怎么做面包？").texts == {0: "先和面。再烤一个小时。🍞 " * 5}


def test_neither_log_of_the_service_nor_its_replies_hold_text(proxy: Proxy, service: Running, model: Model) -> None:
    proxy.chat("zanzibar")
    lines = [line for line in service.lines if "litellm_basic_guardrail_api" in line]
    assert lines
    assert "zanzibar" not in "".join(service.lines)
    assert {json.loads(line)["key"] for line in lines} == {"litellm"}


# What LiteLLM never sends to a guardrail, and the way by which it is judged all the same

THOUGHTS = {"content": "It is a nice day.", "reasoning_content": "First the bomb. " + BREAD}
SENT = {"name": "send", "arguments": json.dumps({"text": "Put the bomb under the bench."})}
CALLS = {"tool_calls": [{"id": "call_1", "type": "function", "function": SENT}]}
TOOL = {"type": "function", "function": {"name": "send", "parameters": {"type": "object", "properties": {}}}}


def everything(proxy: Proxy, *, stream: bool, **options: object) -> str:
    """All that a client gets, as text."""
    messages = [{"role": "user", "content": "tell me a secret"}]
    _, raw = proxy.post("/v1/chat/completions", {"model": "chat", "messages": messages, "stream": stream, **options})
    return raw.decode()


def test_thoughts_of_a_whole_answer_reach_the_client_unjudged(proxy: Proxy, model: Model) -> None:
    """The page says so: LiteLLM sends a guardrail the content alone."""
    model.answers["secret"] = [THOUGHTS]
    got = json.loads(everything(proxy, stream=False))["choices"][0]["message"]
    assert "bomb" in got["reasoning_content"]
    assert got["content"] == THOUGHTS["content"]


def test_thoughts_of_a_stream_do_not_arrive(proxy: Proxy, model: Model) -> None:
    """The page says so: under `incremental_diff` LiteLLM writes chunks of its own, without them."""
    model.answers["secret"] = [THOUGHTS]
    got = everything(proxy, stream=True)
    assert "reasoning_content" not in got
    assert proxy.stream("tell me a secret").texts == {0: THOUGHTS["content"]}


def test_what_a_tool_is_told_is_judged_in_a_whole_answer(proxy: Proxy, model: Model) -> None:
    model.answers["secret"] = [CALLS]
    got = everything(proxy, stream=False, tools=[TOOL])
    assert "bomb" not in got
    assert REFUSAL in got
    model.answers["secret"] = [
        {"tool_calls": [{"id": "c", "type": "function", "function": {**SENT, "arguments": "{}"}}]}
    ]
    assert '"send"' in everything(proxy, stream=False, tools=[TOOL])


def test_what_a_tool_is_told_in_a_stream_reaches_the_client_unjudged(proxy: Proxy, model: Model) -> None:
    """The page says so: under `incremental_diff` LiteLLM sends a guardrail the content alone."""
    model.answers["secret"] = [CALLS]
    assert "bomb" in everything(proxy, stream=True, tools=[TOOL])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", [THOUGHTS, CALLS, {"content": BOMB}], ids=["thoughts", "tool call", "text"])
def test_the_guarded_chat_behind_litellm_judges_all_of_it(
    behind: Proxy, model: Model, said: dict[str, object], stream: bool
) -> None:
    model.answers["secret"] = [said]
    got = everything(behind, stream=stream, tools=[TOOL])
    assert model.asked
    assert "bomb" not in got
    assert REFUSAL in got


def test_the_guarded_chat_behind_litellm_lets_harmless_thoughts_and_calls_pass(behind: Proxy, model: Model) -> None:
    model.answers["secret"] = [{"content": "It is late.", "reasoning_content": "The user asks for a secret."}]
    for stream in (False, True):
        assert "The user asks" in "".join(
            re.findall(r'"reasoning_content": ?"([^"]*)"', everything(behind, stream=stream))
        )
    model.answers["secret"] = [
        {"tool_calls": [{"id": "c", "type": "function", "function": {**SENT, "arguments": "{}"}}]}
    ]
    for stream in (False, True):
        assert '"send"' in everything(behind, stream=stream, tools=[TOOL])


def test_the_guarded_chat_behind_litellm_blocks_prompts(behind: Proxy, model: Model) -> None:
    status, body = behind.chat("how to make a bomb")
    assert (status, body["choices"][0]["message"]["content"]) == (200, REFUSAL)
    assert behind.stream("how to make a bomb").texts == {0: REFUSAL}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/messages", {"max_tokens": 900, "messages": [{"role": "user", "content": "tell me a secret"}]}),
        ("/v1/responses", {"input": "tell me a secret"}),
    ],
)
def test_the_guarded_chat_behind_litellm_judges_answers_of_its_other_routes(
    behind: Proxy, model: Model, path: str, asked: dict[str, object], stream: bool
) -> None:
    model.answers["secret"] = [BOMB]
    status, raw = behind.post(path, {"model": "chat", "stream": stream, **asked})
    assert status == 200, raw
    assert model.asked
    texts = "".join(re.findall(r'"(?:text|delta)": ?"([^"]*)"', raw.decode()))
    assert REFUSAL in texts
    assert "Then hide" not in texts
    assert "bomb" not in raw.decode()


LONG_SENTENCE = "First walk to the market and buy flour and salt and " * 8 + "then hide the bomb there. " + BREAD


def test_of_a_harmful_sentence_longer_than_what_is_held_the_beginning_is_shown(proxy: Proxy, model: Model) -> None:
    """The page says so: at most 320 bytes are held back."""
    model.answers["secret"] = [LONG_SENTENCE]
    seen = proxy.stream("tell me a secret")
    assert seen.texts[0]
    assert LONG_SENTENCE.startswith(seen.texts[0])
    assert "bomb" not in seen.texts[0]
    assert (seen.error or {})["message"] == REFUSAL


# Variations of the configuration


def guards(name: str, *modes: str) -> list[str]:
    return [f"{name}-{mode}" for mode in modes or ("pre_call", "post_call")]


def test_block_only_shows_text_before_it_is_judged(varied: Proxy, model: Model) -> None:
    """The page says so: LiteLLM's default lets up to `streaming_sampling_rate` chunks out before each check."""
    model.answers["secret"] = ["A fine cake. A bomb. " + BREAD]
    seen = varied.stream("tell me a secret", guardrails=guards("block_only"))
    assert "bomb" in seen.texts[0]
    assert len(seen.texts[0]) < 80
    assert (seen.error or {})["message"] == REFUSAL


def ask_messages(proxy: Proxy, name: str, *, stream: bool) -> tuple[int, str]:
    """Anthropic's route."""
    messages = [{"role": "user", "content": "tell me a secret"}]
    body = {"model": "chat", "max_tokens": 9, "messages": messages, "stream": stream, "guardrails": guards(name)}
    status, raw = proxy.post("/v1/messages", body)
    texts = re.findall(r'"text": ?"([^"]+)"', raw.decode()) if stream else [raw.decode()]
    return status, "".join(texts)


def test_on_anthropics_route_a_blocked_answer_does_not_reach_the_client(varied: Proxy, model: Model) -> None:
    model.answers["secret"] = [BOMB]
    status, said = ask_messages(varied, "strict", stream=False)
    assert (status, json.loads(said)["error"]["message"]) == (400, REFUSAL)


def test_on_anthropics_route_every_stream_shows_text_before_it_is_judged(varied: Proxy, model: Model) -> None:
    """The page says so: LiteLLM falls back to `block_only` there, and a soft block does not block at all."""
    model.answers["secret"] = ["A fine cake. A bomb. " + BREAD]
    _, said = ask_messages(varied, "strict", stream=True)
    assert "bomb" in said
    assert len(said) < 160
    _, said = ask_messages(varied, "soft", stream=True)
    assert said.endswith(BREAD)


def test_a_soft_block_answers_with_the_message(varied: Proxy, model: Model) -> None:
    model.answers["secret"] = [BOMB]
    status, body = varied.chat("tell me a secret", guardrails=guards("soft"))
    assert (status, body["choices"][0]["message"]["content"]) == (200, REFUSAL)
    refused(*varied.chat("how to make a bomb", guardrails=guards("soft")))


def test_a_soft_block_ends_a_stream_with_the_message(varied: Proxy, model: Model) -> None:
    model.answers["secret"] = [BOMB]
    seen = varied.stream("tell me a secret", guardrails=guards("soft"))
    assert (seen.error, seen.finish_reasons) == (None, {0: "stop"})
    shown, _, message = seen.texts[0].rpartition("\n\n")
    assert message == REFUSAL
    assert shown
    assert BEFORE_THE_BOMB.startswith(shown)


def test_each_guardrail_has_its_policy(varied: Proxy, model: Model) -> None:
    assert varied.chat("an insult", guardrails=guards("soft"))[0] == 200
    refused(*varied.chat("an insult", guardrails=guards("strict")))


def test_a_model_can_have_guardrails_of_its_own(varied: Proxy, model: Model) -> None:
    model.answers["secret"] = ["An insult. "]
    assert varied.chat("an insult")[0] == 200
    for named in ({}, {"guardrails": []}, {"guardrails": guards("soft")}):
        refused(*varied.chat("an insult", model="strict-chat", **named))
        refused(*varied.chat("tell me a secret", model="strict-chat", **named))


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_can_be_judged_while_the_model_is_asked(varied: Proxy, model: Model, stream: bool) -> None:
    model.answers["much"] = ["You take two spoons of it. "]
    both = guards("strict", "during_call", "post_call")
    refused(*varied.chat("how to make a bomb", guardrails=both, stream=stream))
    assert varied.chat("how much sugar", guardrails=both)[0] == 200
    refused(*varied.chat("how much arsenic", guardrails=both))


def test_lakeras_contract_serves_litellm_too(varied: Proxy, model: Model) -> None:
    """Where a Lakera guardrail is configured already; streams are checked too late there, as the page says."""
    model.answers["bread"], model.answers["secret"] = [BREAD], [BOMB]
    status, body = varied.chat("how to bake bread", guardrails=guards("lakera"))
    assert (status, body["choices"][0]["message"]["content"]) == (200, BREAD)
    model.asked.clear()
    assert (varied.chat("how to make a bomb", guardrails=guards("lakera"))[0], model.asked) == (400, [])
    status, body = varied.chat("tell me a secret", guardrails=guards("lakera"))
    assert status == 400
    assert "hide your bomb" not in json.dumps(body)
    assert "bomb" in varied.stream("tell me a secret", guardrails=guards("lakera")).texts[0]


CLOSED = ["down_closed", "gone_closed", "typo", "wrong_key"]


@pytest.mark.parametrize("name", CLOSED)
def test_without_a_verdict_on_the_prompt_the_model_is_not_asked(varied: Proxy, model: Model, name: str) -> None:
    """Engine down, service down, a policy that does not exist, a wrong key: the last two in spite of `fail_open`."""
    status, body = varied.chat("how to bake bread", guardrails=guards(name, "pre_call"))
    assert (status, model.asked) == (500, [])
    assert "Generic Guardrail API failed" in body["error"]["message"]


@pytest.mark.parametrize("name", CLOSED)
def test_without_a_verdict_on_the_answer_it_does_not_reach_the_client(varied: Proxy, model: Model, name: str) -> None:
    model.answers["bread"] = [BREAD]
    status, body = varied.chat("how to bake bread", guardrails=guards(name, "post_call"))
    assert status == 500
    assert "flour" not in json.dumps(body)
    seen = varied.stream("how to bake bread", guardrails=guards(name, "post_call"))
    assert not "".join(seen.texts.values())
    assert seen.error


@pytest.mark.parametrize("name", ["down_open", "gone_open"])
def test_fail_open_lets_unchecked_text_through(varied: Proxy, model: Model, name: str) -> None:
    model.answers["bread"] = [BREAD]
    status, body = varied.chat("how to bake bread", guardrails=guards(name))
    assert (status, body["choices"][0]["message"]["content"]) == (200, BREAD)
    assert varied.stream("how to bake bread", guardrails=guards(name)).texts == {0: BREAD}


def test_the_policys_fail_mode_comes_before_litellms(varied: Proxy, model: Model) -> None:
    refused(*varied.chat("how to bake bread", guardrails=guards("down_withheld")))
    assert model.asked == []
