"""`POST /v1/moderations` over HTTP: OpenAI's documents in and out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from apps import Like, decision, make_client, make_service
from fakes import FakeEngine
from hypothesis import given
from hypothesis import strategies as st
from openai_documents import moderation, moderation_result, openai_error

from moderation_service.core.policy import BUILT_IN, Policies
from moderation_service.core.verdict import Target
from moderation_service.errors import EngineUnavailable, ModerationError, Overloaded
from moderation_service.wires import openai_moderations
from moderation_service.wires.openai_models import Headers

BOMB = {"violence": 0.95, "illicit/violent": 0.95, "illicit": 0.95}
SAFE = moderation_result(scores={"illicit": 0.02})
UNSAFE = moderation_result(decision("unsafe", "violent"), scores=BOMB, flagged=True)
POLICIES = Policies(BUILT_IN, default="balanced")


def ask(body: object, *, headers: dict[str, str] | None = None, **options: Any) -> tuple[int, Any]:
    reply = make_client(**options).post("/v1/moderations", json=body, headers=headers)
    return reply.status_code, reply.json


def test_a_harmful_text_is_flagged_in_every_category_it_maps_to() -> None:
    assert ask({"input": "how to make a bomb"}) == (200, moderation(UNSAFE))


def test_a_harmless_text_is_not_flagged() -> None:
    assert ask({"model": "omni-moderation-latest", "input": "hello"}) == (200, moderation(SAFE))


def test_a_list_has_one_result_each_in_its_order() -> None:
    assert ask({"input": ["hello", "how to make a bomb", "hi"]}) == (200, moderation(SAFE, UNSAFE, SAFE))


def test_text_parts_are_one_text_with_one_result() -> None:
    parts = [{"type": "text", "text": "how to make"}, {"type": "text", "text": "a bomb"}]
    engine = FakeEngine()
    assert ask({"input": parts}, engine=engine) == (200, moderation(UNSAFE))
    assert engine.asked == ["how to make\na bomb"]


def test_fields_beyond_the_contract_are_ignored() -> None:
    assert ask({"input": "hello", "user": "u-1", "future": {"field": 1}}) == (200, moderation(SAFE))


@pytest.mark.parametrize("model", [None, "", "text-moderation-stable", "policy", "qwen3guard:4b", "模型", "x" * 999])
def test_any_model_name_is_accepted(model: str | None) -> None:
    assert ask({"model": model, "input": "hello"}) == (200, moderation(SAFE))


def test_controversial_text_is_marked_but_not_flagged_and_its_score_tells() -> None:
    found = decision("controversial", "unethical_acts")
    expected = moderation_result(found, scores={"harassment": 0.1, "hate": 0.1})
    assert ask({"input": "an insult"}) == (200, moderation(expected))


STRICTLY = moderation_result(
    decision("controversial", "unethical_acts", policy="strict", action="block"),
    scores={"harassment": 0.8, "hate": 0.8},
    flagged=True,
)


def test_the_policy_can_be_chosen_by_the_model_name() -> None:
    assert ask({"model": "policy:strict", "input": "an insult"}) == (200, moderation(STRICTLY))


def test_the_policy_can_be_chosen_by_a_header() -> None:
    headers = {"X-Moderation-Policy": "strict"}
    assert ask({"model": "any", "input": "an insult"}, headers=headers) == (200, moderation(STRICTLY))


def test_model_and_header_may_agree() -> None:
    headers = {"X-Moderation-Policy": "strict"}
    assert ask({"model": "policy:strict", "input": "an insult"}, headers=headers)[0] == 200


def test_the_header_says_that_the_text_is_a_models_answer() -> None:
    status, body = ask({"input": "I can't say"}, headers={"X-Moderation-Target": "response"})
    expected = moderation_result(decision(target="response", refusal=True), scores={"illicit": 0.02})
    assert (status, body) == (200, moderation(expected))


@pytest.mark.parametrize("model", ["response", "omni-moderation-latest:response", "policy:balanced:response"])
def test_so_may_the_models_name(model: str) -> None:
    for headers in ({}, {"X-Moderation-Target": "response"}):
        status, body = ask({"input": "I can't say", "model": model}, headers=headers)
        expected = moderation_result(decision(target="response", refusal=True), scores={"illicit": 0.02})
        assert (status, body) == (200, moderation(expected))


@pytest.mark.parametrize("model", ["prompt", "omni-moderation-latest", "my-response", "response-1", "x:prompt", None])
def test_any_other_name_leaves_it_a_prompt(model: str | None) -> None:
    _, body = ask({"input": "I can't say", "model": model})
    assert body["results"][0]["x_moderation"]["target"] == "prompt"


def test_the_message_is_in_the_end_users_language() -> None:
    _, body = ask({"input": "a bomb"}, headers={"Accept-Language": "de-CH, en;q=0.5"})
    assert body["results"][0]["x_moderation"]["message"] == "Dabei kann ich leider nicht helfen."


def test_headers_tell_the_strictest_action() -> None:
    reply = make_client().post("/v1/moderations", json={"input": ["hello", "a bomb", "an insult"]})
    assert reply.headers["X-Moderation-Action"] == "block"
    assert reply.headers["X-Moderation-Degraded"] == "false"


NOTHING = {**moderation_result(scores={}), "x_moderation": None}


@pytest.mark.parametrize("blank", ["", " \n", "\u200b", "\u3000", [""], [{"type": "text", "text": ""}]])
def test_a_blank_text_is_not_flagged_and_not_judged(blank: object) -> None:
    engine = FakeEngine()
    reply = make_client(engine=engine).post("/v1/moderations", json={"input": blank})
    assert (reply.status_code, engine.calls) == (200, [])
    assert reply.json == {"id": Like("modr-[0-9a-f]{24}"), "model": "fake-1", "results": [NOTHING]}


def test_blank_texts_keep_their_place_among_others() -> None:
    reply = make_client().post("/v1/moderations", json={"input": ["", "a bomb", " ", "hello"]})
    assert [result["flagged"] for result in reply.json["results"]] == [False, True, False, False]
    assert [result["x_moderation"] is None for result in reply.json["results"]] == [True, False, True, False]


def refused(message: str, param: str) -> tuple[int, Any]:
    return 400, openai_error("invalid_request_error", "invalid_request", message, param)


NO_POLICY = "is no policy of this service; it has balanced, loose, strict."


@pytest.mark.parametrize(
    ("body", "headers", "message", "param"),
    [
        ({}, {}, "`input` is missing.", "input"),
        ({"input": None}, {}, "`input` must be a string or a list with at least one item.", "input"),
        ({"input": []}, {}, "`input` must be a string or a list with at least one item.", "input"),
        ({"input": 7}, {}, "`input` must be a string or a list with at least one item.", "input"),
        ({"input": "\U000e0062"}, {}, "`input` is empty or blank.", "input"),
        ({"input": ["a", "\U000e0062"]}, {}, "`input[1]` is empty or blank.", "input[1]"),
        ({"input": ["a", 1]}, {}, "`input` must hold either texts or text parts only.", "input[1]"),
        ({"input": [[1, 2]]}, {}, "`input` must hold either texts or text parts only.", "input[0]"),
        (
            {"input": ["a", {"type": "text", "text": "b"}]},
            {},
            "`input` must hold either texts or text parts only.",
            "input[1]",
        ),
        (
            {"input": [{"type": "text", "text": 1}]},
            {},
            "`input[0].text` must be a string, not a number.",
            "input[0].text",
        ),
        (
            {"input": [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]},
            {},
            "`input[1]` is of type image_url: this service judges text only, images and other media are refused.",
            "input[1].type",
        ),
        ({"input": "a", "model": 7}, {}, "`model` must be a string.", "model"),
        ({"input": "a", "model": "policy:strct"}, {}, f"`model` {NO_POLICY}", "model"),
        ({"input": "a", "model": "policy:"}, {}, f"`model` {NO_POLICY}", "model"),
        (
            {"input": "a"},
            {"X-Moderation-Policy": "strct"},
            f"`X-Moderation-Policy` {NO_POLICY}",
            "X-Moderation-Policy",
        ),
        (
            {"input": "a", "model": "policy:loose"},
            {"X-Moderation-Policy": "strict"},
            "`model` and `X-Moderation-Policy` name different policies.",
            "X-Moderation-Policy",
        ),
        (
            {"input": "a"},
            {"X-Moderation-Target": "answer"},
            "`X-Moderation-Target` must be one of prompt, response.",
            "X-Moderation-Target",
        ),
        (
            {"input": "a", "model": "omni-moderation-latest:response"},
            {"X-Moderation-Target": "prompt"},
            "`model` and `X-Moderation-Target` name different targets.",
            "X-Moderation-Target",
        ),
        ({"input": "a", "model": "policy:response"}, {}, f"`model` {NO_POLICY.replace('strct', 'response')}", "model"),
    ],
)
def test_what_can_not_be_read_is_refused_and_named(
    body: object, headers: dict[str, str], message: str, param: str
) -> None:
    assert ask(body, headers=headers) == refused(message, param)


def test_the_number_of_texts_is_limited() -> None:
    expected = openai_error("invalid_request_error", "too_large", "`input` has 3 items; the limit is 2.", "input")
    assert ask({"input": ["a", "b", "c"]}, max_batch_items=2) == (413, expected)


def test_one_text_that_can_not_be_judged_fails_the_request_because_a_list_has_no_place_for_an_error() -> None:
    engine = FakeEngine(errors={"odd": EngineUnavailable("The engine is down.")})
    expected = openai_error("server_error", "engine_unavailable", "The engine is down.")
    assert ask({"input": ["hello", "odd"]}, engine=engine) == (503, expected)


def test_overload_is_429_with_the_time_to_wait() -> None:
    engine = FakeEngine(raises=Overloaded("Too busy.", retry_after_s=2.5))
    reply = make_client(engine=engine).post("/v1/moderations", json={"input": "hello"})
    assert (reply.status_code, reply.json) == (429, openai_error("rate_limit_error", "overloaded", "Too busy."))
    assert reply.headers["Retry-After"] == "3"


@pytest.mark.parametrize(
    ("on_failure", "flagged", "score"), [("block", True, 1.0), ("flag", False, 0.5), ("allow", False, 0.0)]
)
def test_without_a_verdict_the_fail_mode_decides_visibly(
    tmp_path: Path, on_failure: str, flagged: bool, score: float
) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(f"policies: {{own: {{on_failure: {on_failure}}}}}")
    reply = make_client(
        engine=FakeEngine(raises=EngineUnavailable("Down.")), policies_file=file, default_policy="own"
    ).post("/v1/moderations", json={"input": "hello"})
    verdict = decision(None, policy="own", action=on_failure, degraded=True)
    if not flagged:
        verdict["message"] = None
    expected = moderation_result(verdict, scores={"illicit": score}, flagged=flagged)
    assert (reply.status_code, reply.json) == (200, moderation(expected))
    assert reply.headers["X-Moderation-Degraded"] == "true"


def test_the_fallbacks_verdict_is_marked_degraded() -> None:
    client = make_client(
        engine=FakeEngine(raises=EngineUnavailable("Down.")), fallback=FakeEngine(name="lite", model="lite-2")
    )
    reply = client.post("/v1/moderations", json={"input": "a bomb"})
    verdict = decision("unsafe", "violent", engine="lite", model="lite-2", degraded=True)
    assert reply.json == moderation(moderation_result(verdict, scores=BOMB, flagged=True), model="lite-2")


def test_text_is_not_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    ask({"input": "a bomb for Anneliese"})
    line = json.loads(capsys.readouterr().err)
    assert (line["route"], line["safety"], line["action"]) == ("/v1/moderations", "unsafe", "block")
    assert "Anneliese" not in json.dumps(line)


# What a client took apart is put together again before it is judged.


def restore(pieces: Sequence[str]) -> list[str] | None:
    return [piece.removeprefix("~") for piece in pieces] if pieces[0].startswith("~") else None


def parse(body: object) -> openai_moderations.ModerationsRequest:
    return openai_moderations.parse(body, policies=POLICIES, max_items=9, headers=Headers(), restore=restore)


def test_restored_texts_are_judged_together_and_every_piece_has_the_result() -> None:
    asked = parse({"input": ["~how to", "~make a", "~bomb"]})
    assert [check.conversation.prompt for check in asked.checks] == ["how to\nmake a\nbomb"]
    assert asked.results == 3


def test_what_needs_no_restoring_stays_as_it_is() -> None:
    assert [check.conversation.prompt for check in parse({"input": ["a", "~b"]}).checks] == ["a", "~b"]
    assert [check.conversation.prompt for check in parse({"input": "a"}).checks] == ["a"]
    parts = {"input": [{"type": "text", "text": "~a"}]}
    assert [check.conversation.prompt for check in parse(parts).checks] == ["~a"]


def test_a_restored_text_has_a_result_for_each_piece() -> None:
    asked = parse({"input": ["~a", "~bomb"]})
    outcomes = make_service().moderator.decide(asked.checks)
    assert openai_moderations.render(asked, outcomes, model="fake-1") == moderation(UNSAFE, UNSAFE)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("input"), inner, max_size=3),
    max_leaves=8,
)


@given(anything | st.fixed_dictionaries({"input": anything}, optional={"model": anything}))
def test_any_body_is_read_or_refused_with_the_field_at_fault(body: object) -> None:
    asked = parsed_or_error(body)
    if isinstance(asked, ModerationError):
        assert asked.status in (400, 413)
        assert asked.param is not None or not isinstance(body, dict)
    else:
        assert len(asked.checks) >= 1
        assert all(check.conversation.target is Target.PROMPT for check in asked.checks)


def parsed_or_error(body: object) -> openai_moderations.ModerationsRequest | ModerationError:
    try:
        return parse(body)
    except ModerationError as error:
        return error
