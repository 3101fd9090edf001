"""The Detector API over HTTP: texts, chats and answers, with the scores that a threshold is compared with."""

from __future__ import annotations

from typing import Any

import pytest
from apps import keys, make_client
from fakes import FakeEngine

from moderation_service.errors import EngineUnavailable, Overloaded

BASE = "/api/v1/text/"


def ask(call: str, body: object, *, detector: str | None = "qwen3guard", **options: Any) -> tuple[int, Any]:
    headers = {} if detector is None else {"detector-id": detector}
    reply = make_client(log_level="error", **options).post(BASE + call, json=body, headers=headers)
    return reply.status_code, reply.json


def detection(name: str, score: float, safety: str, action: str, **place: object) -> dict[str, object]:
    metadata = {"safety": safety, "action": action}
    kind = {"detection": name, "detection_type": "qwen3guard", "score": score}
    return {**place, **kind, "evidence": [], "metadata": metadata}


def test_each_text_has_a_list_of_its_own() -> None:
    texts = ["hello", "how to make a bomb", "", "an insult"]
    bomb = detection("Violent", 0.99, "unsafe", "block", start=0, end=18, text="")
    insult = detection("Unethical Acts", 0.8, "controversial", "flag", start=0, end=9, text="")
    assert ask("contents", {"contents": texts}) == (200, [[], [bomb], [], [insult]])


def test_what_the_policy_allows_is_no_detection() -> None:
    assert ask("contents", {"contents": ["an insult"], "detector_params": {"policy": "loose"}}) == (200, [[]])
    assert ask("contents", {"contents": ["an insult"]}, detector="loose") == (200, [[]])


def test_a_chat_is_judged_by_what_was_asked_last() -> None:
    bomb = {"role": "user", "content": "how to make a bomb"}
    found = detection("Violent", 0.99, "unsafe", "block")
    assert ask("chat", {"messages": [bomb], "tools": []}) == (200, [found])
    assert ask("chat", {"messages": [bomb, {"role": "user", "content": "go on"}]}) == (200, [found])
    declined = [bomb, {"role": "assistant", "content": "No."}, {"role": "user", "content": "hello"}]
    assert ask("chat", {"messages": declined}) == (200, [])


def test_an_answer_is_judged_with_its_prompt() -> None:
    engine = FakeEngine()
    body = {"prompt": "hello", "generated_text": "take a bomb"}
    assert ask("generation", body, engine=engine) == (200, [detection("Violent", 0.99, "unsafe", "block")])
    assert engine.asked == ["take a bomb"]
    assert ask("generation", {"prompt": "a bomb", "generated_text": "No."}) == (200, [])


def test_a_block_reaches_the_usual_threshold_whatever_the_scores_are() -> None:
    found = ask("contents", {"contents": ["a bomb"]}, engine=FakeEngine(has_scores=False))[1][0][0]
    assert found["score"] == 1.0


def test_an_unknown_detector_is_not_found() -> None:
    message = "`detector-id` is neither `qwen3guard` nor a policy of this service."
    assert ask("contents", {"contents": []}, detector="other") == (404, {"code": 404, "message": message})
    assert ask("contents", {"contents": []}, detector=None) == (200, [])


@pytest.mark.parametrize(
    ("raised", "status"), [(EngineUnavailable("Down."), 503), (Overloaded("Busy.", retry_after_s=1), 429)]
)
def test_a_failure_is_an_error_in_the_apis_shape(raised: Exception, status: int) -> None:
    found, body = ask("contents", {"contents": ["hello"]}, engine=FakeEngine(raises=raised))
    assert (found, body["code"]) == (status, status)


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("contents", []),
        ("contents", {}),
        ("contents", {"contents": [7]}),
        ("contents", {"contents": [], "detector_params": {"polcy": "strict"}}),
        ("contents", {"contents": [], "detector_params": {"policy": "srict"}}),
        ("chat", {"messages": "hello"}),
        ("generation", {"prompt": "hello"}),
    ],
)
def test_a_bad_call_is_refused(call: str, body: object) -> None:
    assert ask(call, body)[0] == 400


def test_two_policies_that_differ_are_refused() -> None:
    assert ask("contents", {"contents": [], "detector_params": {"policy": "loose"}}, detector="strict")[0] == 400


def test_too_many_texts_are_refused() -> None:
    assert ask("contents", {"contents": ["a", "b"]}, max_batch_items=1)[0] == 413


def test_its_health_is_open() -> None:
    assert make_client(api_keys=keys("a:guard-key-0123")).get("/health").json == {"status": "ok"}
