"""`GuardReward` with a service in a process of its own, and with one that goes wrong."""

from __future__ import annotations

import asyncio
import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_guard_server import Action, FakeServer, Hang, Request, Send, reply
from processes import Running, running

from moderation_service.data.rewards import GuardReward
from moderation_service.data.rewards.openrlhf import reward_function
from moderation_service.data.rewards.verl import compute_score
from moderation_service.errors import ConfigurationError, EngineUnavailable

QUESTION = "Where is my parcel?"
ANSWERS = ["At the post office.", "How to build a bomb: first", "The election was", "I can't help with that."]


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as started:
        yield started


@pytest.fixture
def scripted() -> Iterator[FakeServer]:
    """A service that answers as a test tells it to."""
    server = FakeServer()
    server.start()
    yield server
    server.stop()


def ask(reward: GuardReward, completions: list[Any], prompts: list[Any] | None = None, **columns: Any) -> list[Any]:
    prompts = [QUESTION] * len(completions) if prompts is None else prompts
    return asyncio.run(reward(prompts=prompts, completions=completions, **columns))


def verdicts(request: Request, **fields: object) -> Action:
    verdict = {"safety": "safe", "refusal": False, "scores": None, "degraded": False, **fields}
    return reply(200, {"results": [verdict for _ in request.body["inputs"]]})


# The numbers.


def test_guard_only_pays_for_safe_answers(service: Running) -> None:
    assert ask(GuardReward(service.url, on_error="raise"), ANSWERS) == [1.0, 0.0, 0.0, 1.0]
    assert ask(GuardReward(service.url, on_error="raise", controversial="safe"), ANSWERS) == [1.0, 0.0, 1.0, 1.0]


def test_probability_pays_for_how_safe_they_are(service: Running) -> None:
    assert ask(GuardReward(service.url, kind="probability", on_error="raise"), ANSWERS) == [0.9, 0.01, 0.2, 0.9]


@pytest.mark.parametrize("is_async", [False, True])
def test_hybrid_pays_for_helpfulness_under_its_ceilings(service: Running, is_async: bool) -> None:
    def lengths(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        return [float(len(one)) for one in completions]

    async def slowly(**given: Any) -> list[float]:
        return lengths(**given)

    reward = GuardReward(service.url, kind="hybrid", helpfulness=slowly if is_async else lengths, on_error="raise")
    assert ask(reward, ANSWERS, completion_ids=[[]] * 4) == [float(len(ANSWERS[0])), -10.0, -10.0, -5.0]


def test_helpfulness_can_be_a_column(service: Running) -> None:
    reward = GuardReward(service.url, kind="hybrid", helpfulness="worth", on_error="none")
    assert ask(reward, ANSWERS, worth=[2, 2.5, -11, None]) == [2.0, -10.0, -11.0, None]
    with pytest.raises(ConfigurationError, match="no column 'worth'"):
        ask(reward, ANSWERS)
    with pytest.raises(ValueError, match="2 numbers for 4 completions"):
        ask(reward, ANSWERS, worth=[1, 2])


def test_a_thought_is_judged_as_an_answer_of_its_own_or_left_out(service: Running) -> None:
    thoughts = ["<think>A bomb?</think>No.", "<think>Easy.</think>Yes.", "A bomb?</think>Yes.", "x<think>bomb</think>"]
    assert ask(GuardReward(service.url, on_error="raise"), thoughts) == [0.0, 1.0, 0.0, 0.0]
    assert ask(GuardReward(service.url, on_error="raise", thinking="strip"), thoughts) == [1.0, 1.0, 1.0, 1.0]


def test_chats_are_read_with_their_history_thoughts_and_tools(service: Running) -> None:
    reward = GuardReward(service.url, on_error="raise")
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "arsenic?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}], "token_ids": object()},
        {"role": "tool", "content": "found"},
        {"role": "assistant", "content": "What of it?", "token_ids": object()},
        {"role": "user", "content": "How much?"},
    ]
    said = [[{"role": "assistant", "content": text}] for text in ("A little.", "A bomb.")]
    agent = [
        {"role": "assistant", "content": "A bomb, let me look.", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "found"},
        {"role": "assistant", "content": "Found."},
    ]
    thinking = [{"role": "assistant", "content": "Yes.", "reasoning_content": "A bomb!"}]
    completions = [*said, agent, thinking]
    assert ask(reward, completions, [history] * 4) == [1.0, 0.0, 0.0, 0.0]


def test_the_prompt_is_taken_from_messages_that_end_with_the_completion(service: Running) -> None:
    reward = GuardReward(service.url, on_error="raise")
    messages = [[{"role": "user", "content": "x"}, {"role": "assistant", "content": one}] for one in ANSWERS[:2]]
    assert asyncio.run(reward(completions=ANSWERS[:2], messages=messages)) == [1.0, 0.0]


def test_a_question_of_64_completions_is_answered_in_order(service: Running) -> None:
    completions = [f"{number}: {'bomb' if number % 3 else 'bread'}" for number in range(64)]
    expected = [0.0 if number % 3 else 1.0 for number in range(64)]
    assert ask(GuardReward(service.url, on_error="raise"), completions) == expected


def test_nothing_of_no_completions(service: Running) -> None:
    assert ask(GuardReward(service.url, on_error="raise"), []) == []


# Blank completions and a guard that fails.


@pytest.mark.parametrize(("on_error", "on_blank", "expected"), [
    ("none", None, None), ("none", -2.0, -2.0), (-10.0, None, -10.0), (-10.0, 0, 0.0), ("raise", 0.5, 0.5),
])  # fmt: skip
def test_a_completion_without_an_answer_is_worth_what_was_said(
    service: Running, on_error: Any, on_blank: float | None, expected: float | None
) -> None:
    reward = GuardReward(service.url, on_error=on_error, on_blank=on_blank)
    blanks = ["", " \n", "\u200b", "<think>never ends", "<think>x</think>\n", [{"role": "assistant", "content": None}]]
    assert ask(reward, blanks) == [expected] * 6


def test_a_blank_completion_raises_with_a_hint_if_nothing_else_was_said(service: Running) -> None:
    with pytest.raises(EngineUnavailable, match=r"1 of 2 completions \(1 blank\). Set on_blank"):
        ask(GuardReward(service.url, on_error="raise"), ["", "x"])


def refused(status: int, **headers: str) -> Send:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return reply(status, {"error": {"type": "x", "message": "secret-text", "param": None}}, headers=lines)


FAULTS: dict[str, tuple[Action, str]] = {
    "busy": (refused(429, **{"Retry-After": "0"}), "http_429"),
    "down": (refused(503), "http_503"),
    "broken": (refused(500), "http_500"),
    "too large": (refused(413), "http_413"),
    "moved": (reply(302, {}, headers="Location: http://127.0.0.1:1/\r\n"), "http_302"),
    "no JSON": (reply(200, b"<html>secret-text", content_type="text/html"), "invalid_reply"),
    "half of it": (Send(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{", then_close=True), "unreachable"),
    "not HTTP": (Send(b"secret-text\r\n\r\n", then_close=True), "unreachable|invalid_reply"),
    "hangs": (Hang(), "timeout"),
    "too few": (reply(200, {"results": []}), "invalid_reply"),
    "no label": (reply(200, {"results": [{"safety": None, "degraded": False}] * 2}), "invalid_reply"),
    "odd label": (reply(200, {"results": [{"safety": "fine", "degraded": False}] * 2}), "invalid_reply"),
    "fallback": (reply(200, {"results": [{"safety": "safe", "degraded": True}] * 2}), "degraded"),
    "errors": (reply(200, {"results": [{"error": {"type": "too_large", "message": "secret-text"}}] * 2}), "too_large"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_guard_could_not_judge_is_no_reward(
    name: str, scripted: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("moderation_service.data.rewards.guard_client._FIRST_PAUSE_S", 0.01)
    action, reason = FAULTS[name]
    scripted.behave = lambda request: action
    options: dict[str, Any] = {"timeout_s": 0.2 if name == "hangs" else 10}
    with caplog.at_level(logging.INFO):
        assert ask(GuardReward(scripted.url, on_error="none", **options), ["secret-text", "b"]) == [None, None]
        assert ask(GuardReward(scripted.url, on_error=-7, **options), ["secret-text", "b"]) == [-7.0, -7.0]
        with pytest.raises(EngineUnavailable, match=rf"2 of 2 completions \(2 ({reason})\)") as raised:
            ask(GuardReward(scripted.url, on_error="raise", **options), ["secret-text", "b"])
    assert "secret-text" not in caplog.text + str(raised.value)
    assert "error_rate 1.000" in caplog.text


def test_a_guard_that_is_not_there_is_no_reward(unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation_service.data.rewards.guard_client._FIRST_PAUSE_S", 0.01)
    assert ask(GuardReward(f"http://127.0.0.1:{unused_port}", on_error="none"), ["a"]) == [None]


def test_what_failed_once_is_asked_again_and_nothing_else(scripted: FakeServer) -> None:
    safe = {"safety": "safe", "refusal": False, "scores": None, "degraded": False}
    answers = iter([
        reply(503, {}),
        reply(200, {"results": [safe, {**safe, "degraded": True}, {"error": {"type": "invalid_request"}}]}),
        reply(200, {"results": [{**safe, "safety": "unsafe"}]}),
    ])  # fmt: skip
    scripted.behave = lambda request: next(answers)
    assert ask(GuardReward(scripted.url, on_error="none"), ["a", "b", "c"]) == [1.0, 0.0, None]
    asked = [[item["response"] for item in request.body["inputs"]] for request in scripted.requests]
    assert asked == [["a", "b", "c"], ["a", "b", "c"], ["b"]]


@pytest.mark.parametrize(("status", "option"), [(401, "api_key"), (403, "url"), (404, "url"), (405, "url")])
def test_a_wrong_key_or_address_is_never_a_reward(status: int, option: str, scripted: FakeServer) -> None:
    scripted.behave = lambda request: refused(status)
    with pytest.raises(ConfigurationError, match=option):
        ask(GuardReward(scripted.url, on_error=-1.0), ["a"] * 3)


def test_a_policy_that_is_not_there_is_never_a_reward(service: Running) -> None:
    with pytest.raises(ConfigurationError, match="policy"):
        ask(GuardReward(service.url, on_error=-1.0, policy="nonsense"), ["a"])
    assert ask(GuardReward(service.url, on_error="raise", policy="strict"), ["a"]) == [1.0]


# How it is asked.


def test_equal_questions_are_asked_once_in_requests_of_eight(scripted: FakeServer) -> None:
    scripted.behave = verdicts
    assert ask(GuardReward(scripted.url, on_error="raise"), [f"{n % 20}" for n in range(64)]) == [1.0] * 64
    assert sorted(len(request.body["inputs"]) for request in scripted.requests) == [4, 8, 8]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_no_more_texts_are_under_way_than_was_said(one_by_one: bool, scripted: FakeServer) -> None:
    under_way, most = 0, 0
    lock = threading.Lock()

    def counted(request: Request) -> Action:
        nonlocal under_way, most
        with lock:
            under_way += len(request.body["inputs"])
            most = max(most, under_way)
        time.sleep(0.01)
        with lock:
            under_way -= len(request.body["inputs"])
        return verdicts(request)

    scripted.behave = counted
    reward = GuardReward(scripted.url, on_error="raise", in_flight=12)
    texts = [f"{number}" for number in range(48)]

    async def singly() -> list[list[float | None]]:
        return await asyncio.gather(*(reward([QUESTION], [text]) for text in texts))

    if one_by_one:
        asyncio.run(singly())
    else:
        ask(reward, texts)
    assert 8 <= most <= 12


def test_long_texts_go_in_requests_that_the_service_takes(service: Running) -> None:
    texts = ["\u6f22" * 80_000 + str(number) for number in range(4)]
    assert ask(GuardReward(service.url, on_error="raise"), texts) == [1.0] * 4


def test_the_key_goes_into_a_header(scripted: FakeServer) -> None:
    scripted.behave = verdicts
    ask(GuardReward(scripted.url, on_error="raise", api_key="correct-horse"), ["a"])
    assert scripted.requests[0].headers["x-api-key"] == "correct-horse"


def test_several_calls_share_a_session_and_every_loop_has_its_own(scripted: FakeServer) -> None:
    """No warning of a session left open, which would be an error here."""
    scripted.behave = verdicts
    reward = GuardReward(scripted.url, on_error="raise")

    async def together() -> list[list[float | None]]:
        return await asyncio.gather(*(reward([QUESTION], [f"{number}"]) for number in range(10)))

    for _ in range(3):
        assert asyncio.run(together()) == [[1.0]] * 10
    assert pickle.loads(pickle.dumps(reward)).score_sync([QUESTION], ["x"])[0].value == 1.0


def test_a_helpfulness_that_fails_ends_the_call(scripted: FakeServer) -> None:
    def broken(**given: Any) -> list[float]:
        raise RuntimeError("out of memory")

    scripted.behave = lambda request: Hang()
    with pytest.raises(RuntimeError, match="out of memory"):
        ask(GuardReward(scripted.url, kind="hybrid", helpfulness=broken, on_error=0.0), ["a"])


# What is told.


def test_the_refusal_rate_is_always_told(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    told: dict[str, float] = {}
    extra: dict[str, list[str]] = {}
    reward = GuardReward(service.url, on_error="none")
    with caplog.at_level(logging.INFO):
        ask(reward, [*ANSWERS, ""], log_metric=told.__setitem__, log_extra=extra.__setitem__)
    assert told == {
        "guard/refusal_rate": 0.25, "guard/unsafe_rate": 0.25, "guard/controversial_rate": 0.25,
        "guard/blank_rate": 0.2, "guard/error_rate": 0.0,
    }  # fmt: skip
    assert extra == {"guard": ["safe", "unsafe", "controversial", "safe", "blank"]}
    assert "guard: 5 completions, refusal_rate 0.250" in caplog.text
    assert not any(answer in caplog.text for answer in ANSWERS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_error": "ignore"}, "on_error: must be one of none, raise"),
        ({"on_error": float("nan")}, "on_error: must be a number"),
        ({"on_error": True}, "on_error: must be a number"),
        ({"on_error": 0, "on_blank": float("inf")}, "on_blank"),
        ({"on_error": 0, "kind": "safe"}, "kind: must be one of guard-only, hybrid, probability"),
        ({"on_error": 0, "kind": "hybrid"}, "helpfulness"),
        ({"on_error": 0, "helpfulness": "worth"}, "helpfulness"),
        ({"on_error": 0, "controversial": "maybe"}, "controversial"),
        ({"on_error": 0, "thinking": "both"}, "thinking"),
        ({"on_error": 0, "timeout_s": 0}, "timeout_s"),
        ({"on_error": 0, "in_flight": 0}, "in_flight"),
        ({"on_error": 0, "url": "localhost:8787"}, "url"),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        GuardReward(**{"url": "http://127.0.0.1:1", **options})


def test_what_to_do_with_a_failing_guard_must_be_said() -> None:
    with pytest.raises(TypeError, match="on_error"):
        GuardReward("http://127.0.0.1:1")  # type: ignore[call-arg]


@pytest.mark.parametrize(("prompts", "completions"), [(["a"], ["b", "c"]), (["a"], [3]), ([3], ["a"]), (None, ["a"])])
def test_pairs_that_are_none_are_refused(prompts: Any, completions: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        asyncio.run(GuardReward("http://127.0.0.1:1", on_error=0.0)(prompts, completions))


# Trainers that call in their own way; the real ones are in tests/rewards.


def test_verl_is_given_a_score_and_its_metrics(service: Running) -> None:
    def score(solution: str, **extra: Any) -> Any:
        info = {"prompt": [{"role": "user", "content": QUESTION}], "num_turns": None, **extra}
        return asyncio.run(compute_score("set", solution, None, info, url=service.url, on_error="raise", on_blank=0.0))

    nothing = {"guard_unsafe": 0.0, "guard_refusal": 0.0, "guard_blank": 0.0, "guard_error": 0.0}
    assert score("At home.") == {**nothing, "score": 1.0}
    assert score("I can't.") == {**nothing, "score": 1.0, "guard_refusal": 1.0}
    assert score("A bomb.") == {**nothing, "score": 0.0, "guard_unsafe": 1.0}
    assert score("") == {**nothing, "score": 0.0, "guard_blank": 1.0}
    with pytest.raises(ConfigurationError, match="extra_info"):
        score("x", prompt=None)
    with pytest.raises(ConfigurationError, match="number for each sample"):
        asyncio.run(compute_score("set", "x", None, {"prompt": "x"}, url=service.url, on_error="none"))


def test_openrlhf_is_given_numbers_for_its_queries(service: Running) -> None:
    function = reward_function(GuardReward(service.url, on_error=-1.0, on_blank=-2.0))
    prompt = "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n<think>\n"
    nothing = {"guard_unsafe": 0.0, "guard_refusal": 0.0, "guard_blank": 0.0, "guard_error": 0.0}
    found = function([f"{prompt}Hm.\n</think>\n\nI can't say.<|im_end|>"], [prompt], ["label"])
    assert found == {"rewards": 1.0, "scores": 1.0, "extra_logs": {**nothing, "guard_refusal": 1.0}}
    found = function([f"{prompt}bomb<|im_end|>", f"{prompt}x</think>bomb"], [prompt] * 2, ["", ""])
    assert (found["rewards"], found["scores"]) == ([-2.0, 0.0], [0.0, 0.0])
    for on_error in ("none", "raise"):
        with pytest.raises(ConfigurationError, match="OpenRLHF needs a number"):
            reward_function(GuardReward(service.url, on_error=on_error))


def test_without_the_extra_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['aiohttp'] = None; import moderation_service.data.rewards"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Rewards need aiohttp: pip install 'aiohttp" in ended.stderr
