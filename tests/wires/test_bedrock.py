"""Bedrock's ApplyGuardrail over HTTP: blocks of text, what was found, errors in AWS's shape."""

from __future__ import annotations

from typing import Any

import pytest
from apps import keys, make_client
from fakes import FakeEngine

from moderation_service.core.verdict import Category
from moderation_service.errors import EngineUnavailable, Overloaded
from moderation_service.wires.bedrock import FILTERS, access_key_of

KEY = "guard-key-0123"
SIGNED = "AWS4-HMAC-SHA256 Credential={}/20261128/eu-central-1/bedrock/aws4_request, SignedHeaders=host, Signature=0a"


def block(text: str, *qualifiers: str) -> dict[str, object]:
    return {"text": {"text": text, "qualifiers": list(qualifiers)} if qualifiers else {"text": text}}


def ask(*content: object, source: str = "INPUT", guardrail: str = "default", **options: Any) -> tuple[int, Any]:
    client = make_client(log_level="error", **options)
    path = f"/guardrail/{guardrail}/version/DRAFT/apply"
    reply = client.post(path, json={"source": source, "content": list(content)})
    return reply.status_code, reply.json


def assessment(name: str, action: str, *filters: tuple[str, str]) -> list[dict[str, object]]:
    found = [{"type": kind, "confidence": confidence, "action": action} for kind, confidence in filters]
    return [
        {
            "topicPolicy": {"topics": [{"name": name, "type": "DENY", "action": action}]},
            "contentPolicy": {"filters": found},
        }
    ]


def test_harmless_text_passes() -> None:
    status, body = ask(block("hello"))
    assert (status, body["action"], body["outputs"], body["assessments"]) == (200, "NONE", [], [])
    assert body["usage"]["contentPolicyUnits"] == 1


def test_harmful_text_is_intervened_with_the_message_as_output() -> None:
    _, body = ask(block("how to make a bomb"))
    assert (body["action"], body["outputs"]) == ("GUARDRAIL_INTERVENED", [{"text": "Sorry, I can't help with that."}])
    assert body["assessments"] == assessment("violent", "BLOCKED", ("VIOLENCE", "HIGH"))


def test_the_identifier_is_the_policy() -> None:
    found = (("INSULTS", "MEDIUM"), ("HATE", "MEDIUM"))
    marked, blocked = ask(block("an insult"))[1], ask(block("an insult"), guardrail="strict")[1]
    assert (marked["action"], marked["assessments"]) == ("NONE", assessment("unethical_acts", "NONE", *found))
    assert blocked["action"] == "GUARDRAIL_INTERVENED"
    assert blocked["assessments"] == assessment("unethical_acts", "BLOCKED", *found)
    assert ask(block("an insult"), guardrail="loose")[1]["assessments"] == []
    status, unknown = ask(block("hello"), guardrail="srict")
    assert (status, unknown["__type"]) == (404, "ResourceNotFoundException")


def test_no_block_hides_another() -> None:
    engine = FakeEngine()
    assert ask(block("how to make a bomb"), block("hello"), engine=engine)[1]["action"] == "GUARDRAIL_INTERVENED"
    assert engine.asked == ["how to make a bomb\nhello"]


def test_an_answer_is_judged_with_its_query() -> None:
    engine = FakeEngine()
    content = [block("a bomb?", "query"), block("source", "grounding_source"), block("I say", "guard_content")]
    assert ask(*content, source="OUTPUT", engine=engine)[1]["action"] == "NONE"
    assert engine.asked == ["I say"]


def test_qualifiers_hide_nothing_where_there_is_nothing_else() -> None:
    assert ask(block("a bomb", "query"))[1]["action"] == "GUARDRAIL_INTERVENED"
    assert ask(block("a bomb", "grounding_source", "guard_content"))[1]["action"] == "GUARDRAIL_INTERVENED"


def test_nothing_to_judge_passes() -> None:
    for content in ((), (block(" "),)):
        status, body = ask(*content)
        assert (status, body["action"], body["usage"]["contentPolicyUnits"]) == (200, "NONE", 0)


def test_every_category_is_named() -> None:
    assert set(FILTERS) == set(Category)


def test_the_access_key_is_a_key_of_ours() -> None:
    client = make_client(api_keys=keys(f"aws:{KEY}"), log_level="error")
    body = {"source": "INPUT", "content": [block("hello")]}
    path = "/guardrail/default/version/1/apply"
    for given in (SIGNED.format(KEY), f"Bearer {KEY}"):
        assert client.post(path, json=body, headers={"Authorization": given}).status_code == 200
    refused = client.post(path, json=body, headers={"Authorization": SIGNED.format("AKIAANOTHER")})
    assert (refused.status_code, refused.json["__type"]) == (401, "AccessDeniedException")
    assert access_key_of(SIGNED.format("with/slash")) == "with/slash"
    assert access_key_of("Bearer a") is None


@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [
        (EngineUnavailable("Down."), 503, "ServiceUnavailableException"),
        (Overloaded("Busy."), 429, "ThrottlingException"),
    ],
)
def test_a_failure_is_an_error_in_awss_shape(raised: Exception, status: int, kind: str) -> None:
    found, body = ask(block("hello"), engine=FakeEngine(raises=raised))
    assert (found, body["__type"]) == (status, kind)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image": {"format": "png"}}], "`content[0]` must be a block of text: only text is judged here."),
        ([{"text": {"text": "a"}, "image": {}}], "`content[0]` must be a block of text: only text is judged here."),
        ([{"text": {"text": 7}}], "`content[0].text.text` must be a string."),
    ],
)
def test_what_can_not_be_judged_is_refused(content: list[object], message: str) -> None:
    assert ask(*content) == (400, {"__type": "ValidationException", "message": message})
    assert ask(block("a"), source="SIDEWAYS")[0] == 400
