"""The doors for trainers: OpenRLHF's and slime's remote reward models."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from apps import error, keys, make_client
from fakes import FakeEngine
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from processes import running

from moderation_service.core.verdict import Detail
from moderation_service.errors import DeadlineExceeded, EngineUnavailable, ModerationError
from moderation_service.web.pages import openapi_document
from moderation_service.wires.rendered_chat import read_query, read_rendered

KEY = "correct-horse-battery"
CHATML = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n"
LLAMA = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhere?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
GEMMA = "<bos><start_of_turn>user\nWhere?<end_of_turn>\n<start_of_turn>model\n"
LOGS = {"guard_unsafe": 0.0, "guard_refusal": 0.0, "guard_blank": 0.0, "guard_error": 0.0}


def openrlhf(client: FlaskClient, answer: str, *, prompt: str = CHATML, address: str = "") -> tuple[int, Any]:
    body = {"query": [prompt + answer], "prompts": [prompt], "labels": ["label"]}
    reply = client.post(f"/rewards/openrlhf{address}", json=body)
    return reply.status_code, reply.json


def slime(client: FlaskClient, answer: str, *, prompt: object = CHATML, address: str = "") -> tuple[int, Any]:
    body = {"prompt": prompt, "response": answer, "label": "label"}
    reply = client.post(f"/rewards/slime{address}", json=body)
    return reply.status_code, reply.json


@pytest.mark.parametrize(
    ("answer", "address", "rewards", "scores", "logs"),
    [
        ("At home.<|im_end|>", "", 1.0, 1.0, {}),
        ("A bomb.<|im_end|>", "", 0.0, 0.0, {"guard_unsafe": 1.0}),
        ("I can't say.", "", 1.0, 1.0, {"guard_refusal": 1.0}),
        ("The election.", "", 0.0, 0.0, {}),
        ("The election.", "?controversial=safe", 1.0, 1.0, {}),
        ("The election.", "?kind=probability", 0.2, 0.0, {}),
        ("The election.", "?kind=probability&controversial=safe", pytest.approx(0.9), 1.0, {}),
        ("<think>A bomb?</think>No.", "", 0.0, 0.0, {"guard_unsafe": 1.0}),
        ("<think>A bomb?</think>No.", "?thinking=strip", 1.0, 1.0, {}),
        ("<|im_end|>", "?on_blank=-0.5", -0.5, 0.0, {"guard_blank": 1.0}),
        ("<think>never ends", "?on_error=-2", -2.0, 0.0, {"guard_blank": 1.0}),
    ],
)
def test_openrlhf_is_given_a_reward_a_score_and_what_was_found(
    answer: str, address: str, rewards: object, scores: float, logs: dict[str, float]
) -> None:
    expected = {"rewards": rewards, "scores": scores, "extra_logs": {**LOGS, **logs}}
    assert openrlhf(make_client(), answer, address=address) == (200, expected)


def test_several_queries_are_answered_with_lists() -> None:
    body = {"query": [f"{CHATML}bread", f"{CHATML}bomb"], "prompts": [CHATML] * 2}
    assert make_client().post("/rewards/openrlhf", json=body).json == {
        "rewards": [1.0, 0.0],
        "scores": [1.0, 0.0],
        "extra_logs": {**{name: [0.0, 0.0] for name in LOGS}, "guard_unsafe": [0.0, 1.0]},
    }


@pytest.mark.parametrize("prompt", [CHATML, "Where?", [{"role": "user", "content": "Where?"}]])
def test_slime_is_given_the_reward_itself(prompt: object) -> None:
    client = make_client()
    assert slime(client, "At home.<|im_end|>\n", prompt=prompt) == (200, 1.0)
    assert slime(client, "A bomb.", prompt=prompt) == (200, 0.0)
    assert slime(client, "A bomb.", prompt=prompt, address="?kind=probability") == (200, 0.01)


@pytest.mark.parametrize("prompt", [CHATML, LLAMA, GEMMA, "Where?"])
def test_the_question_is_read_out_of_the_template(prompt: str) -> None:
    engine = FakeEngine()
    asked = []
    judge = engine.judge
    engine.judge = lambda conversations, **options: (  # type: ignore[method-assign]
        asked.extend(conversations) or judge(conversations, **options)
    )
    assert openrlhf(make_client(engine=engine), "At home.<|eot_id|><end_of_turn>\n", prompt=prompt)[0] == 200
    assert [(turn.role.value, turn.content) for turn in asked[0].messages] == [
        ("user", "Where?"),
        ("assistant", "At home."),
    ]


def test_a_thought_that_the_template_has_opened_is_a_thought() -> None:
    engine = FakeEngine()
    status, _ = openrlhf(make_client(engine=engine), "Hm.\n</think>\n\nYes.", prompt=f"{CHATML}<think>\n")
    assert status == 200
    calls = {text.strip(): detail for texts, detail in engine.calls for text in texts}
    assert calls == {"Yes.": Detail.FULL, "Hm.": Detail.SEVERITY}


def test_a_token_that_begins_the_text_may_stand_before_the_prompt() -> None:
    assert read_query("<s> Where?At home.</s>", "Where?", param="query").completion == "At home."


@given(st.text("ab <|>\n", max_size=30), st.text("ab <|>\n", max_size=30))
def test_any_text_is_read_and_none_of_the_answer_lost(prompt: str, answer: str) -> None:
    assert read_rendered(prompt, answer).completion.endswith(answer)


# When there is no verdict


@pytest.mark.parametrize(
    "failure", [EngineUnavailable("The guard is down."), DeadlineExceeded("The guard was too slow.")]
)
@pytest.mark.parametrize("ask", [openrlhf, slime])
def test_without_a_verdict_there_is_no_reward_and_no_other_engine_is_asked(ask: Any, failure: ModerationError) -> None:
    fallback = FakeEngine(name="lite")
    client = make_client(engine=FakeEngine(raises=failure), fallback=fallback, log_level="error")
    assert ask(client, "bread") == (failure.status, error(failure.type, failure.message))
    status, reply = ask(client, "bread", address="?on_error=-3")
    assert (status, reply if ask is slime else reply["rewards"]) == (200, -3.0)
    if ask is openrlhf:
        assert (reply["scores"], reply["extra_logs"]) == (0.0, {**LOGS, "guard_error": 1.0})
    assert fallback.calls == []


def test_an_engine_without_probabilities_gives_none() -> None:
    client = make_client(engine=FakeEngine(has_scores=False), log_level="error")
    status, reply = slime(client, "bread", address="?kind=probability")
    assert (status, reply["error"]["type"]) == (502, "engine_answer_invalid")


@pytest.mark.parametrize(
    ("address", "param"),
    [
        ("?kind=hybrid", "kind"),
        ("?kind=x", "kind"),
        ("?controversial=", "controversial"),
        ("?thinking=both", "thinking"),
        ("?on_error=raise", "on_error"),
        ("?on_error=nan", "on_error"),
        ("?on_blank=inf", "on_blank"),
        ("?policy=nonsense", "policy"),
        ("?knid=probability", None),
        ("?kind=probability&kind=guard-only", None),
        ("?kind", None),
    ],
)
@pytest.mark.parametrize("ask", [openrlhf, slime])
def test_an_option_that_cannot_be_used_is_named(ask: Any, address: str, param: str | None) -> None:
    status, reply = ask(make_client(), "bread", address=address)
    assert (status, reply["error"]["type"], reply["error"]["param"]) == (400, "invalid_request", param)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("openrlhf", [], None),
        ("openrlhf", {"prompts": ["x"]}, "query"),
        ("openrlhf", {"query": "x", "prompts": ["x"]}, "query"),
        ("openrlhf", {"query": [], "prompts": []}, "query"),
        ("openrlhf", {"query": ["xy"], "prompts": ["x", "x"]}, "prompts"),
        ("openrlhf", {"query": ["xy"], "prompts": [None]}, "prompts"),
        ("openrlhf", {"query": ["xy"], "prompts": ["z"]}, "query[0]"),
        ("openrlhf", {"query": ["xy", "x "], "prompts": ["x", "x"]}, "query[1]"),
        ("slime", "x", None),
        ("slime", {"prompt": "x"}, "response"),
        ("slime", {"prompt": None, "response": "x"}, "prompt"),
        ("slime", {"prompt": "x", "response": ""}, "response"),
        ("slime", {"prompt": [{"role": "robot", "content": "x"}], "response": "x"}, "response[0].role"),
    ],
)
def test_a_bad_call_is_refused_by_the_name_of_its_field(path: str, body: object, param: str | None) -> None:
    reply = make_client().post(f"/rewards/{path}", json=body)
    assert (reply.status_code, reply.json["error"]["param"]) == (400, param)


# The key


@pytest.mark.parametrize("path", ["/rewards/openrlhf", "/rewards/slime"])
def test_the_key_may_stand_in_the_address(path: str) -> None:
    client = make_client(api_keys=keys(f"trainer:{KEY}"), log_level="error")
    body = {"query": ["xy"], "prompts": ["x"], "prompt": "x", "response": "y"}
    for address in ("", "?key=", "?key=wrong-key-of-some-length", f"?kind={KEY}"):
        assert client.post(path + address, json=body).status_code == 401, address
    assert client.post(f"{path}?key={KEY}&kind=probability", json=body).status_code == 200
    assert client.post(path, json=body, headers={"X-API-Key": KEY}).status_code == 200


def test_no_other_door_takes_a_key_from_its_address() -> None:
    client = make_client(api_keys=keys(KEY), log_level="error")
    for path in ("/moderate", "/v1/moderations", "/v2/guard"):
        assert client.post(f"{path}?key={KEY}", json={"prompt": "x"}).status_code == 401


def test_a_key_in_the_address_is_written_nowhere(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    flags = ("--log-level", "debug", "--audit-file", str(audit))
    with running(*flags, MODERATION_API_KEYS=f"trainer:{KEY}") as service:
        replies = [
            service.request("POST", f"/rewards/slime?key={key}{more}", body)
            for key in (KEY, f"{KEY}-wrong")
            for more, body in (
                ("", {"prompt": "x", "response": "bread"}),
                ("", {"prompt": "x", "response": ""}),
                ("&kind=x", {"prompt": "x", "response": "bug"}),
                ("", {"prompt": "x", "response": "bug"}),
                ("", b"{"),
            )
        ]
        replies.append(service.request("POST", f"/rewards/slimes?key={KEY}", {}))
        replies.append(service.request("GET", f"/rewards/slime?key={KEY}"))
        metrics = service.request("GET", "/metrics", **{"X-API-Key": KEY})
    assert [reply.status for reply in replies] == [200, 400, 400, 500, 415, *[401] * 5, 404, 405]
    assert metrics.status == 200
    written = [metrics.body.decode(), audit.read_text(), *service.lines]
    written += [reply.body.decode() + str(reply.headers) for reply in replies]
    assert not [text for text in written if KEY in text]
    assert [line for line in map(json.loads, audit.read_text().splitlines()) if line["key"] == "trainer"]


# What is told


def test_what_was_found_is_counted_and_logged(caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    client = make_client()
    with caplog.at_level(logging.INFO):
        for answer in ("bread", "I can't.", "bomb", ""):
            assert slime(client, answer, address="?on_blank=0&on_error=0")[0] == 200
    text = client.get("/metrics").get_data(as_text=True)
    for found in ("answer", "refusal", "unsafe", "blank"):
        assert f'moderation_rewards_total{{found="{found}"}} 1.0' in text
    assert '"rewards": {"refusal": 1}' in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/rewards/openrlhf", "/rewards/slime"])
def test_the_examples_of_the_openapi_document_hold(path: str) -> None:
    route = openapi_document()["paths"][path]["post"]
    replies = route["responses"]["200"]["content"]["application/json"]["examples"]
    for name, example in route["requestBody"]["content"]["application/json"]["examples"].items():
        assert make_client().post(path, json=example["value"]).json == replies[name]["value"]
