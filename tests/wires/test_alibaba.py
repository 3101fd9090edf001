"""Alibaba's TextModerationPlus over HTTP, with the calls of APISIX and Higress as their sources build them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from apps import Like, keys, make_client
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.core.verdict import Category
from moderation_service.errors import EngineUnavailable, Overloaded
from moderation_service.wires.alibaba import LABELS

KEY = "guard-key-0123"
FORM = "application/x-www-form-urlencoded"
NOTHING = {"Label": "nonLabel", "Description": "no risk detected"}
ADVICE = [{"Answer": "Sorry, I can't help with that.", "HitLabel": "violent_incidents"}]
VIOLENT = {"Label": "violent_incidents", "Confidence": 99.0, "Description": "Violent (unsafe)"}


def apisix(client: FlaskClient, content: str, *, service: str = "llm_query_moderation", **fields: str) -> Any:
    session = fields.pop("session", "s-1")
    form = {
        "AccessKeyId": KEY,
        "Action": "TextModerationPlus",
        "Format": "JSON",
        "RegionId": "cn-shanghai",
        "Service": service,
        "ServiceParameters": json.dumps({"sessionId": session, "content": content}, ensure_ascii=False),
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "0e8d",
        "SignatureVersion": "1.0",
        "Timestamp": "2026-11-28T18:00:00Z",
        "Version": "2022-03-02",
        "Signature": "bm90IGNoZWNrZWQ=",
        **fields,
    }
    return document(client.post("/", data=urlencode(form), content_type=FORM))


def higress(client: FlaskClient, content: str, *, key: str = KEY, session: str = "a1", action: str = "") -> Any:
    parameters = {"content": content, "requestFrom": "CIPFrom/AIGateway", "sessionId": session}
    headers = {
        "x-acs-action": action or "TextModerationPlus",
        "x-acs-version": "2022-03-02",
        "Authorization": f"ACS3-HMAC-SHA256 Credential={key},SignedHeaders=content-type;host,Signature=0a0b",
    }
    body = urlencode({"ServiceParameters": json.dumps(parameters, ensure_ascii=False)})
    return document(client.post("/?Service=llm_query_moderation", data=body, content_type=FORM, headers=headers))


def document(reply: Any) -> Any:
    """Of a reply whatever it is: the callers take every other status, and every other code, for a pass."""
    assert (reply.status_code, reply.json["Code"], reply.json["Message"]) == (200, 200, "OK")
    assert reply.json["Data"]["Result"], "Higress reads the first one"
    return reply.json["Data"]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine) -> FlaskClient:
    return make_client(engine=engine, api_keys=keys(f"gateway:{KEY}"), log_level="error")


@pytest.mark.parametrize("ask", [apisix, higress])
def test_the_level_follows_the_policy(client: FlaskClient, ask: Any) -> None:
    assert ask(client, "hello", session="1") == {"RiskLevel": "none", "Result": [NOTHING]}
    assert ask(client, "how to make a bomb", session="2") == {
        "RiskLevel": "high",
        "Result": [VIOLENT],
        "Advice": ADVICE,
    }
    insult = {"Label": "inappropriate_ethics", "Confidence": 80.0, "Description": "Unethical Acts (controversial)"}
    assert ask(client, "an insult", session="3") == {"RiskLevel": "medium", "Result": [insult]}


def test_the_service_names_a_policy_and_the_target(client: FlaskClient, engine: FakeEngine) -> None:
    assert apisix(client, "an insult", service="llm_query_moderation@strict")["RiskLevel"] == "high"
    assert apisix(client, "an insult", service="llm_response_moderation@loose", session="2")["RiskLevel"] == "none"
    assert apisix(client, "hello", service="llm_query_moderation@srict", session="3")["RiskLevel"] == "high"


def test_pieces_of_one_text_are_judged_together(client: FlaskClient, engine: FakeEngine) -> None:
    assert higress(client, "how to make a bo")["RiskLevel"] == "none"
    assert higress(client, "mb at home")["RiskLevel"] == "high"
    assert higress(client, "mb at home", session="another")["RiskLevel"] == "none"


def test_a_piece_that_is_cut_within_a_character_is_judged(client: FlaskClient) -> None:
    whole = json.dumps({"content": "怎么做 a bomb 怎", "sessionId": "s"}, ensure_ascii=False)
    cut = whole.encode().replace('怎"'.encode(), "怎".encode()[:2] + b'"')
    form = b"Service=llm_query_moderation&Action=TextModerationPlus&AccessKeyId=" + KEY.encode()
    body = form + b"&ServiceParameters=" + b"".join(b"%%%02X" % byte for byte in cut)
    assert document(client.post("/", data=body, content_type=FORM))["RiskLevel"] == "high"


def test_an_answer_is_judged_with_the_question_of_its_session(client: FlaskClient, engine: FakeEngine) -> None:
    seen: list[Any] = []
    judge = engine.judge
    engine.judge = lambda asked, **rest: seen.extend(asked) or judge(asked, **rest)  # type: ignore[method-assign]
    apisix(client, "what is it?")
    apisix(client, "this", service="llm_response_moderation")
    assert [turn.content for turn in seen[-1].messages] == ["what is it?", "this"]


def test_a_piece_without_text_is_not_judged(client: FlaskClient, engine: FakeEngine) -> None:
    for content in ("[empty content]", "", "  "):
        assert higress(client, content)["RiskLevel"] == "none"
    assert engine.asked == []


def test_every_category_has_a_label() -> None:
    assert set(LABELS) == set(Category)


@pytest.mark.parametrize("raised", [EngineUnavailable("Down."), Overloaded("Busy.", retry_after_s=1)])
def test_what_could_not_be_judged_is_of_the_highest_level(raised: Exception) -> None:
    client = make_client(engine=FakeEngine(raises=raised), log_level="error")
    told = apisix(client, "hello")
    assert told["RiskLevel"] == "high"
    assert told["Advice"][0]["Answer"].startswith("The safety check is not available")


def test_a_wrong_key_is_of_the_highest_level_and_nothing_is_judged(client: FlaskClient, engine: FakeEngine) -> None:
    assert apisix(client, "hello", AccessKeyId="another-key-000")["RiskLevel"] == "high"
    assert higress(client, "hello", key="another-key-000")["RiskLevel"] == "high"
    assert engine.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        {"Action": "ImageModeration"},
        {"Service": ""},
        {"ServiceParameters": "{"},
        {"ServiceParameters": "[]"},
        {"ServiceParameters": '{"content": 7}'},
    ],
)
def test_what_can_not_be_read_is_of_the_highest_level(client: FlaskClient, fields: dict[str, str]) -> None:
    assert apisix(client, "hello", **fields)["RiskLevel"] == "high"


def test_a_page_in_a_browser_is_not_answered() -> None:
    client = make_client(log_level="error")
    sent = {"Origin": "https://example.org"}
    reply = client.post("/?Action=TextModerationPlus&Service=a", data="a=b", content_type=FORM, headers=sent)
    assert reply.json["Data"]["RiskLevel"] == "high"
    assert reply.json["RequestId"] == Like("[0-9a-f]{32}")


def test_what_is_no_call_of_the_contract_is_told_so() -> None:
    assert make_client(log_level="error").post("/", json={"a": 1}).status_code == 405
