"""Apps as their callers see them: what a key may use, and what it is told over a limit, at every door."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_files import FORUM, SHOP, headers, make_apps_client, write_apps
from apps import client_of, error, keys, make_service
from fake_llm import fake_llm
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.config.setting import Url
from moderation_service.core.app import Door
from moderation_service.web import create_app
from moderation_service.web.doors import door_of

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
ONE_A_DAY = "limits: {per_day: 1}"
OVER = "This app may make 1 requests per day; try again in 86400 s."


def ask(client: FlaskClient, key: str = SHOP, **body: Any) -> Any:
    return client.post("/moderate", json={"prompt": "hello", **body}, headers=headers(key))


def test_a_key_of_an_app_is_let_in_and_no_other(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path)
    assert ask(client).status_code == 200
    reply = ask(client, "some-other-key-012345")
    assert (reply.status_code, reply.json) == (401, error("unauthorized", "This key is not known here."))
    assert client.post("/moderate", json={"prompt": "hello"}).status_code == 401


def test_plain_keys_go_on_working_beside_apps(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "policies: [strict]", api_keys=keys("plain:correct-horse-battery"))
    reply = ask(client, "correct-horse-battery", policy="loose")
    assert (reply.status_code, reply.json["policy"]) == (200, "loose")


def test_a_key_that_is_also_an_apps_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="'plain' is also one of the app 'shop'"):
        make_apps_client(tmp_path, api_keys=keys(f"plain:{SHOP}"))


def test_an_app_has_a_default_policy_of_its_own(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "policies: [strict, loose], policy: strict")
    assert ask(client).json["policy"] == "strict"
    assert ask(client, FORUM).json["policy"] == "balanced"
    assert ask(client, policy="loose").json["policy"] == "loose"


def test_a_policy_that_the_app_may_not_use_is_refused_by_name(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "policies: [strict, loose], policy: strict")
    reply = ask(client, policy="balanced")
    told = "The app of this key may not use the policy `balanced`; it may use loose, strict."
    assert (reply.status_code, reply.json) == (403, error("forbidden", told, "policy"))
    unknown = ask(client, policy="gentle")
    assert unknown.status_code == 400
    assert unknown.json["error"]["message"] == "`policy` is no policy of this service; it has loose, strict."


def test_an_app_sees_its_own_policies_only(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "policies: [strict]")
    listing = client.get("/policies", headers=headers(SHOP)).json
    assert (listing["default"], [one["name"] for one in listing["policies"]]) == ("strict", ["strict"])
    models = client.get("/v1/models", headers=headers(SHOP)).text
    assert "strict" in models
    assert "balanced" not in models
    assert "balanced" in client.get("/v1/models", headers=headers(FORUM)).text


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[FlaskClient]:
    with fake_llm() as llm:
        yield make_apps_client(tmp_path, "policies: [balanced, loose], policy: balanced", chat_upstream=Url(llm.url))


def test_a_guarded_chat_may_choose_what_its_app_was_given(guarded: FlaskClient) -> None:
    body = {"model": "llm-1", **CHAT}

    def status(key: str, policy: str) -> int:
        sent = {**headers(key), "X-Moderation-Policy": policy}
        return guarded.post("/v1/chat/completions", json=body, headers=sent).status_code

    # `loose` is milder than the default: a key without policies of its own is held to `policy_choice`.
    assert status(SHOP, "loose") == 200
    assert status(SHOP, "strict") == 403
    assert status(FORUM, "loose") == 403
    assert status(FORUM, "strict") == 200


def test_a_door_that_is_closed_to_the_app_says_so(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "doors: [moderations]")
    reply = ask(client)
    assert (reply.status_code, reply.json) == (
        403,
        error("forbidden", "The app of this key may not use the door `moderate`."),
    )
    assert client.post("/v1/moderations", json={"input": "x"}, headers=headers(SHOP)).status_code == 200
    assert client.get("/v1/models", headers=headers(SHOP)).status_code == 200
    assert ask(client, FORUM).status_code == 200


def test_the_metrics_of_all_are_for_an_app_that_names_them_only(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "doors: [metrics]")
    assert client.get("/metrics", headers=headers(SHOP)).status_code == 200
    assert client.get("/metrics", headers=headers(FORUM)).status_code == 403


def test_every_route_that_needs_a_key_is_behind_a_door_or_open_to_all_keys(tmp_path: Path) -> None:
    """A new route has to be given a door; what is left shows the caller what it may use, or needs no key."""
    app = create_app(service=make_service(apps_file=write_apps(tmp_path)))
    open_to_all = {"/policies", "/v1/models", "/v1/models/<path:name>", "/health", "/healthz", "/readyz"}
    open_to_all |= {"/openapi.json", "/static/<path:filename>", "/docs"}
    doors = set()
    for rule in app.url_map.iter_rules():
        door = door_of(rule.rule)
        assert door is not None or rule.rule in open_to_all or rule.rule.startswith("/console"), rule.rule
        doors.add(door)
    assert {one for one in Door if one is not Door.MCP} == doors - {None}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("expires: 2020-01-01", "The app of this key has expired."),
        ("enabled: false", "The app of this key is switched off."),
    ],
)
def test_an_app_that_is_over_is_refused_with_the_reason(tmp_path: Path, more: str, told: str) -> None:
    reply = ask(make_apps_client(tmp_path, more))
    assert (reply.status_code, reply.json) == (401, error("unauthorized", told))


def test_two_keys_work_while_callers_change_over_and_one_may_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXT_KEY", "the-next-key-0123456")
    (tmp_path / "old").write_text("the-old-key-01234567\n")
    path = tmp_path / "apps.yaml"

    def client(expires: str) -> FlaskClient:
        old = f"old: {{file: old, expires: {expires}}}"
        path.write_text(f"apps: {{shop: {{keys: {{{old}, next: {{env: NEXT_KEY}}}}}}}}")
        return client_of(make_service(apps_file=path))

    now, later = client("2099-01-01"), client("2020-01-01")
    assert [ask(now, key).status_code for key in ("the-old-key-01234567", "the-next-key-0123456")] == [200, 200]
    assert ask(later, "the-old-key-01234567").json == error("unauthorized", "This key has expired.")
    assert ask(later, "the-next-key-0123456").status_code == 200


def test_both_keys_of_an_app_find_what_the_other_one_left_and_no_other_app_does(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "next").write_text("the-next-key-0123456")
    path = write_apps(tmp_path)
    path.write_text(path.read_text().replace("shop: {keys: {", "shop: {keys: {next: {file: next}, "))
    client = client_of(make_service(apps_file=path))
    door = "/beta/litellm_basic_guardrail_api"
    question = {"input_type": "request", "litellm_call_id": "c1", "structured_messages": CHAT["messages"], "texts": []}
    client.post(door, json=question, headers=headers(SHOP))
    answer = {"input_type": "response", "litellm_call_id": "c1", "texts": ["Blue."], "structured_messages": None}
    for key in ("the-next-key-0123456", FORUM):
        assert client.post(door, json=answer, headers=headers(key)).status_code == 200
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line.get("question_known") for line in lines] == [None, True, False]


# Over a limit: each door in its own words. The first request of a day is let in, the second is not.
ONCE = {
    "native": ("/moderate", {"prompt": "hello"}),
    "moderations": ("/v1/moderations", {"input": "hello"}),
    "guard as a model": ("/v1/chat/completions", {"model": "guard-qwen", **CHAT}),
    "Lakera": ("/v2/guard", CHAT),
    "Azure": ("/contentsafety/text:analyze?api-version=2024-09-01", {"text": "hello"}),
    "Bedrock": (
        "/guardrail/default/version/DRAFT/apply",
        {"source": "INPUT", "content": [{"text": {"text": "hello"}}]},
    ),
    "detectors": ("/api/v1/text/contents", {"contents": ["hello"], "detector_params": {}}),
    "agentgateway": ("/request", {"body": CHAT}),
    "LiteLLM": (
        "/beta/litellm_basic_guardrail_api",
        {"input_type": "request", "structured_messages": CHAT["messages"], "texts": []},
    ),
    "ext_authz": ("/authz/v1/chat/completions", CHAT),
    "Open WebUI": ("/owui/moderation-guard/filter/inlet", {"user": {}, "body": {"model": "m", **CHAT}}),
}


@pytest.mark.parametrize("door", ONCE)
def test_over_a_limit_a_door_answers_429_in_its_own_shape(tmp_path: Path, door: str) -> None:
    client = make_apps_client(tmp_path, ONE_A_DAY)
    path, body = ONCE[door]
    sent = {**headers(SHOP), "X-Moderation-Key": SHOP}
    first, second = (client.post(path, json=body, headers=sent) for _ in range(2))
    assert first.status_code == 200, first.text
    assert second.status_code == 429, second.text
    shown = second.text + str(second.status)
    assert OVER in shown.encode("latin-1", "replace").decode("utf-8", "replace"), shown
    assert second.headers["Retry-After"] == second.headers["RateLimit-Reset"] == "86400"
    limits = [(reply.headers["RateLimit-Limit"], reply.headers["RateLimit-Remaining"]) for reply in (first, second)]
    assert limits == [("1", "0"), ("1", "0")]
    assert second.headers["RateLimit-Policy"] == "1;w=86400"


def test_the_shapes_are_those_of_each_contract(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, ONE_A_DAY)
    assert ask(client).status_code == 200
    assert ask(client).json == error("rate_limited", OVER)
    openai = client.post("/v1/moderations", json={"input": "x"}, headers=headers(SHOP))
    assert openai.json == {
        "error": {"message": OVER, "type": "rate_limit_error", "param": None, "code": "rate_limited"}
    }
    anthropic = client.post("/v1/messages", json={}, headers={"X-API-Key": SHOP})
    assert anthropic.json["error"] == {"type": "rate_limit_error", "message": OVER}


OUTLET = {"user": {}, "body": {"messages": [*CHAT["messages"], {"role": "assistant", "content": "The answer."}]}}
FORM = {"Action": "TextModerationPlus", "Service": "llm_query_moderation", "ServiceParameters": '{"content": "hello"}'}


@pytest.mark.parametrize(
    ("path", "sent", "withheld"),
    [
        (
            "/portkey",
            {"json": {"eventType": "beforeRequestHook", "request": {"json": CHAT}, "response": {}}},
            lambda reply: reply.json["verdict"] is False,
        ),
        (
            "/dify/moderation",
            {"json": {"point": "app.moderation.input", "params": {"app_id": "a", "inputs": {}, "query": "hello"}}},
            lambda reply: reply.json["flagged"] is True,
        ),
        (
            "/owui/moderation-guard/filter/outlet",
            {"json": OUTLET},
            lambda reply: "The answer." not in reply.text,
        ),
        (
            "/",
            {"data": {"AccessKeyId": SHOP, **FORM}},
            lambda reply: reply.json["Data"]["RiskLevel"] == "high",
        ),
    ],
)
def test_a_caller_that_takes_an_error_for_a_pass_gets_a_block_whatever_its_app_may_not(
    tmp_path: Path, path: str, sent: dict[str, Any], withheld: Any
) -> None:
    def asked(client: FlaskClient) -> Any:
        reply = client.post(path, headers=headers(SHOP), **sent)
        assert reply.status_code == 200
        return reply

    limited = make_apps_client(tmp_path, ONE_A_DAY)
    assert not withheld(asked(limited))
    assert withheld(asked(limited))
    assert withheld(asked(make_apps_client(tmp_path, "doors: [mcp]")))
    assert withheld(asked(make_apps_client(tmp_path, "expires: 2020-01-01")))


def test_the_key_of_an_app_may_come_in_the_body_where_the_contract_has_it_there(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, ONE_A_DAY)
    form = {
        "Action": "TextModerationPlus",
        "AccessKeyId": SHOP,
        "Service": "llm_query_moderation",
        "ServiceParameters": json.dumps({"content": "hello"}),
    }
    first, second = (client.post("/", data=form) for _ in range(2))
    levels = [reply.json["Data"]["RiskLevel"] for reply in (first, second)]
    assert levels == ["none", "high"], (first.json, second.json)


def test_apps_are_counted_apart(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, ONE_A_DAY, forum=ONE_A_DAY)
    assert [ask(client, key).status_code for key in (SHOP, FORUM, SHOP, FORUM)] == [200, 200, 429, 429]


def test_all_doors_of_an_app_are_counted_together(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, ONE_A_DAY)
    assert ask(client).status_code == 200
    assert client.post("/v2/guard", json=CHAT, headers=headers(SHOP)).status_code == 429


def test_the_items_of_a_batch_are_counted_and_none_is_judged_over_the_limit(tmp_path: Path) -> None:
    engine = FakeEngine()
    client = make_apps_client(tmp_path, "limits: {per_day: 5}", engine=engine)

    def batch(count: int) -> Any:
        inputs = [{"prompt": f"hello {one}"} for one in range(count)]
        return client.post("/moderate", json={"inputs": inputs}, headers=headers(SHOP))

    assert batch(4).status_code == 200
    engine.calls.clear()
    refused = batch(2)
    assert (refused.status_code, refused.json["error"]["type"], engine.asked) == (429, "rate_limited", [])
    never = batch(6)
    assert never.status_code == 429  # the first of them is one too many already
    fresh = make_apps_client(tmp_path, "limits: {per_minute: 5}")
    reply = fresh.post("/moderate", json={"inputs": [{"prompt": "x"}] * 6}, headers=headers(SHOP))
    told = "6 texts in one request are over the limit of this app: 5 per minute."
    assert (reply.status_code, reply.json) == (413, error("too_large", told))


def test_trainers_and_guardrails_are_counted_by_their_texts_too(tmp_path: Path) -> None:
    samples = {"query": [f"q {one}" for one in range(3)], "prompts": ["q"] * 3}
    conversation = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}
    answers = {"input_type": "response", "texts": ["one", "two", "three"]}
    for address, body in (
        ("/rewards/openrlhf", samples),
        ("/v2/guard", conversation),
        ("/beta/litellm_basic_guardrail_api", answers),
    ):
        client = make_apps_client(tmp_path, "limits: {per_minute: 4}")
        statuses = [client.post(address, json=body, headers=headers(SHOP)).status_code for _ in range(3)]
        assert statuses[-1] == 429, (address, statuses)


def test_a_refused_request_does_not_use_up_another_window(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "limits: {per_second: 1, per_minute: 2}")
    first, second = ask(client), ask(client)
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.headers["RateLimit-Limit"] == "1"
    threading.Event().wait(1.05)
    assert ask(client).status_code == 200


def test_requests_under_way_are_bounded_and_make_room_when_they_end(tmp_path: Path) -> None:
    gate = threading.Event()
    engine = FakeEngine(gate=gate)
    service = make_service(engine=engine, apps_file=write_apps(tmp_path, "limits: {at_once: 1}"))
    waiting = threading.Thread(target=lambda: ask(client_of(service)))
    waiting.start()
    assert engine.entered.wait(10)
    refused = ask(client_of(service))
    told = "This app may have 1 requests under way at once, and has."
    assert (refused.status_code, refused.json) == (429, error("rate_limited", told))
    assert refused.headers["Retry-After"] == "1"
    gate.set()
    waiting.join()
    assert ask(client_of(service)).status_code == 200


def test_a_stream_is_under_way_until_its_last_byte(tmp_path: Path) -> None:
    with fake_llm() as llm:
        path = write_apps(tmp_path, "limits: {at_once: 1}")
        app = create_app(service=make_service(apps_file=path, chat_upstream=Url(llm.url)))
        body = {"model": "llm-1", "stream": True, **CHAT}
        first = app.test_client().post("/v1/chat/completions", json=body, headers=headers(SHOP), buffered=False)
        assert first.status_code == 200
        assert ask(app.test_client()).status_code == 429
        assert b"[DONE]" in first.get_data()
        first.close()
        assert ask(app.test_client()).status_code == 200


def test_a_client_that_hangs_up_makes_room_whatever_fails_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("cannot count")

    with fake_llm() as llm:
        path = write_apps(tmp_path, "limits: {at_once: 1}")
        service = make_service(apps_file=path, chat_upstream=Url(llm.url))
        app = create_app(service=service)
        body = {"model": "llm-1", "stream": True, **CHAT}
        for fails in (False, True):
            reply = app.test_client().post("/v1/chat/completions", json=body, headers=headers(SHOP), buffered=False)
            assert next(iter(reply.response))
            assert ask(app.test_client()).status_code == 429
            with contextlib.suppress(RuntimeError), monkeypatch.context() as patched:
                if fails:
                    patched.setattr(service.metrics, "chat_ended", broken)
                reply.close()
            assert ask(app.test_client()).status_code == 200


def test_an_error_ends_a_request_too(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "limits: {at_once: 1}")
    for _ in range(3):
        assert ask(client, prompt=1).status_code == 400
        assert client.post("/owui/other/filter/inlet", json={}, headers=headers(SHOP)).status_code == 404


def test_what_an_app_asked_is_in_the_metrics_and_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    client = make_apps_client(tmp_path, "limits: {per_day: 2}", forum="doors: [metrics]")
    for prompt in ("hello", "bomb", "hello"):
        ask(client, prompt=prompt)
    shown = client.get("/metrics", headers=headers(FORUM)).text
    assert 'moderation_app_requests_total{app="shop",result="admitted"} 2.0' in shown
    assert 'moderation_app_requests_total{app="shop",result="over_day"} 1.0' in shown
    assert 'moderation_app_decisions_total{action="block",app="shop"} 1.0' in shown
    line = json.loads(capfd.readouterr().err.splitlines()[0])
    assert (line["key"], line["app"]) == ("shop:a", "shop")
    assert SHOP not in shown


def test_the_audit_record_says_which_app_it_was(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, audit_file=tmp_path / "audit")
    ask(client)
    assert json.loads((tmp_path / "audit").read_text())["app"] == "shop"


def test_a_caller_that_is_refused_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    """All on one thread: what was known of the app that asked first must not be used for the next."""
    client = make_apps_client(tmp_path, "policies: [strict]", api_keys=keys("plain-key-0123456789"))
    assert ask(client).json["policy"] == "strict"
    assert ask(client, "wrong-key-0123456789").status_code == 401
    assert ask(client, "plain-key-0123456789").json["policy"] == "balanced"


def test_a_key_in_a_trace_header_is_not_passed_on(tmp_path: Path) -> None:
    with fake_llm() as llm:
        client = make_apps_client(tmp_path, chat_upstream=Url(llm.url))
        sent = {**headers(SHOP), "X-Request-Id": f"id-{SHOP}"}
        assert client.post("/v1/chat/completions", json={"model": "m", **CHAT}, headers=sent).status_code == 200
        assert llm.requests
        assert all(SHOP not in str(one.headers) for one in llm.requests)
