"""Azure's `text:analyze` over HTTP: severities, categories, errors in Azure's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from apps import keys, make_client
from fakes import FakeEngine

from moderation_service.core.verdict import Category
from moderation_service.errors import EngineUnavailable, Overloaded
from moderation_service.wires.azure import CATEGORIES, MAPPING

PATH = "/contentsafety/text:analyze?api-version=2024-09-01"
KEY = "guard-key-0123"


def ask(body: object, *, headers: dict[str, str] | None = None, **options: Any) -> tuple[int, Any]:
    reply = make_client(log_level="error", **options).post(PATH, json=body, headers=headers)
    return reply.status_code, reply.json


def severities(text: str, **headers: str) -> dict[str, int]:
    status, body = ask({"text": text}, headers={"X-Moderation-Policy": headers.get("policy", "balanced")})
    assert status == 200
    return {one["category"]: one["severity"] for one in body["categoriesAnalysis"] if one["severity"]}


def test_harmless_text_has_severity_zero_in_every_category() -> None:
    analysis = [{"category": one, "severity": 0} for one in CATEGORIES]
    assert ask({"text": "hello"}) == (200, {"blocklistsMatch": [], "categoriesAnalysis": analysis})


def test_blank_text_is_not_judged() -> None:
    engine = FakeEngine()
    assert ask({"text": " \u200b"}, engine=engine)[0] == 200
    assert engine.asked == []


def test_the_severity_follows_the_policy() -> None:
    assert severities("how to make a bomb", policy="loose") == {"Violence": 6}
    assert severities("an insult", policy="strict") == {"Hate": 4}
    assert severities("an insult", policy="balanced") == {"Hate": 2}
    assert severities("an insult", policy="loose") == {}


def test_what_is_blocked_is_named_as_an_item_of_a_list() -> None:
    match = {"blocklistName": "qwen3guard", "blocklistItemId": "violent", "blocklistItemText": "Violent"}
    assert ask({"text": "how to make a bomb"})[1]["blocklistsMatch"] == [match]
    assert ask({"text": "an insult"})[1]["blocklistsMatch"] == []


def test_harm_of_another_category_is_told_under_the_first_that_was_asked_for() -> None:
    body = {"text": "how to make a bomb", "categories": ["Sexual", "Hate"], "outputType": "EightSeverityLevels"}
    analysis = [{"category": "Sexual", "severity": 6}, {"category": "Hate", "severity": 0}]
    assert ask(body)[1]["categoriesAnalysis"] == analysis


def test_every_category_has_one_of_azures() -> None:
    assert set(MAPPING) == set(Category)
    assert set(MAPPING.values()) <= set(CATEGORIES)


def test_a_text_is_a_prompt_unless_the_header_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {p: {description: d, response: {actions: {unsafe: allow}}}}")
    headers = {"X-Moderation-Policy": "p"}
    for target, severity in ((None, 6), ("prompt", 6), ("response", 0)):
        told = headers if target is None else {**headers, "X-Moderation-Target": target}
        body = ask({"text": "a bomb"}, headers=told, policies_file=file)[1]
        assert body["categoriesAnalysis"][-1]["severity"] == severity


def test_a_fail_mode_that_blocks_is_the_highest_severity(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {balanced: {description: d, extends: balanced, on_failure: block}}")
    status, body = ask({"text": "hello"}, engine=FakeEngine(raises=EngineUnavailable("Down.")), policies_file=file)
    assert (status, [one["severity"] for one in body["categoriesAnalysis"]]) == (200, [0, 0, 0, 6])


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [(EngineUnavailable("Down."), 503, "ServiceUnavailable"), (Overloaded("Busy."), 429, "TooManyRequests")],
)
def test_a_failure_is_an_error_in_azures_shape(raised: Exception, status: int, code: str) -> None:
    found, body = ask({"text": "hello"}, engine=FakeEngine(raises=raised))
    assert (found, body["error"]["code"]) == (status, code)


def test_the_key_is_in_azures_header_or_a_bearer() -> None:
    client = make_client(api_keys=keys(f"azure:{KEY}"), log_level="error")
    for headers in ({"Ocp-Apim-Subscription-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
        assert client.post(PATH, json={"text": "hello"}, headers=headers).status_code == 200
    wrong = client.post(PATH, json={"text": "hello"}, headers={"Ocp-Apim-Subscription-Key": "another-key-000"})
    told = {"code": "Unauthorized", "message": "This key is not known here.", "innererror": {"code": "unauthorized"}}
    assert (wrong.status_code, wrong.json) == (401, {"error": told})
    assert client.post("/moderate", json={"prompt": "a"}, headers={"Ocp-Apim-Subscription-Key": KEY}).status_code == 401


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({}, "text"),
        ({"text": 7}, "text"),
        ({"text": "a", "categories": ["Hat"]}, "categories"),
        ({"text": "a", "categories": "Hate"}, "categories"),
        ({"text": "a", "outputType": "Ten"}, "outputType"),
    ],
)
def test_a_bad_call_is_refused_by_the_name_of_its_field(body: object, target: str) -> None:
    status, document = ask(body)
    assert (status, document["error"]["code"], document["error"]["target"]) == (400, "InvalidRequestBody", target)


def test_a_misspelt_policy_or_target_weakens_nothing() -> None:
    assert ask({"text": "a"}, headers={"X-Moderation-Policy": "srict"})[0] == 400
    assert ask({"text": "a"}, headers={"X-Moderation-Target": "answer"})[0] == 400
