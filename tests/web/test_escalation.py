"""Repeat offenders, as the callers and the operator see them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_files import FORUM, SHOP, headers, make_apps_client
from apps import make_client, make_service
from fake_llm import fake_llm
from fakes import FakeEngine
from flask.testing import FlaskClient
from redis_server import RedisServer, redis_server

from moderation_service.config.setting import Url
from moderation_service.core.escalation import NOTHING, Escalation, Standing
from moderation_service.core.verdict import Action
from moderation_service.errors import ConfigurationError, EngineUnavailable
from moderation_service.web.cluster_limits import connect
from moderation_service.web.escalation import ClusterStandings, SharedStandings

RULE = "{after_blocks: 2, within_minutes: 10, action: block, for_minutes: 60}"


def policies(folder: Path, rule: str = RULE, more: str = "") -> Path:
    path = folder / "policies.yaml"
    path.write_text(f"policies: {{balanced: {{escalation: {rule}}}{more}}}")
    return path


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(tmp_path: Path, engine: FakeEngine) -> FlaskClient:
    return make_apps_client(tmp_path, policies_file=policies(tmp_path), engine=engine)


def ask(client: FlaskClient, prompt: str, user: str = "anna", key: str = SHOP) -> Any:
    body = {"prompt": prompt, "metadata": {"user_id": user}}
    return client.post("/moderate", json=body, headers=headers(key)).json


def offend(client: FlaskClient, user: str = "anna", key: str = SHOP) -> None:
    for number in range(2):
        assert ask(client, f"bomb {number}", user, key)["action"] == "block"


def test_after_so_many_blocks_everything_of_this_end_user_is_blocked_and_the_reply_says_until_when(
    client: FlaskClient,
) -> None:
    assert ask(client, "hello")["action"] == "allow"
    offend(client)
    found = ask(client, "hello")
    assert (found["action"], found["allowed"], found["safety"]) == ("block", False, "safe")
    assert found["message"] == "Sorry, I can't help with that."
    assert found["escalated_until"].endswith("Z")


def test_others_go_on_as_before(client: FlaskClient) -> None:
    offend(client)
    assert ask(client, "hello", "bert")["action"] == "allow"
    # The same id of another app is another person.
    assert ask(client, "hello", "anna", FORUM)["action"] == "allow"
    # Without an end user nothing is counted, and nobody is punished for all.
    for number in range(4):
        client.post("/moderate", json={"prompt": f"bomb {number}"}, headers=headers(SHOP))
    assert client.post("/moderate", json={"prompt": "hello"}, headers=headers(SHOP)).json["action"] == "allow"


def test_a_text_that_is_judged_twice_counts_once(client: FlaskClient) -> None:
    for _ in range(5):
        ask(client, "bomb")
    assert ask(client, "hello")["action"] == "allow"


def test_a_failure_of_the_engine_is_not_the_end_users(tmp_path: Path) -> None:
    rules = f"{{balanced: {{on_failure: block, escalation: {RULE}}}}}"
    (tmp_path / "p.yaml").write_text(f"policies: {rules}")
    engine = FakeEngine(errors={"hello": EngineUnavailable("away")})
    client = make_apps_client(tmp_path, policies_file=tmp_path / "p.yaml", engine=engine)
    for number in range(4):
        assert ask(client, f"hello {number}")["action"] == "block"
    assert ask(client, "good day")["action"] == "allow"


def test_flagging_lets_text_through_and_a_block_stays_a_block(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, policies_file=policies(tmp_path, RULE.replace("block,", "flag,")))
    offend(client)
    flagged, blocked = ask(client, "hello"), ask(client, "bomb 3")
    assert (flagged["action"], flagged["allowed"], flagged["message"]) == ("flag", True, None)
    assert blocked["action"] == "block"
    assert "escalated_until" not in blocked


def test_it_is_in_the_log_the_audit_record_and_the_metrics_and_who_it_was_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"policies_file": policies(tmp_path), "audit_file": tmp_path / "audit"}
    client = make_apps_client(tmp_path, forum="doors: [metrics]", **files)
    offend(client, "anna@example.org")
    body = {"prompt": "hello", "user": "anna@example.org"}
    client.post(
        "/moderate", json={"prompt": "hello", "metadata": {"user_id": "anna@example.org"}}, headers=headers(SHOP)
    )
    assert client.post("/moderate", json=body, headers=headers(SHOP)).status_code == 400
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [line.get("escalated") for line in lines] == [None, None, True]
    assert len({line["end_user"] for line in lines}) == 1
    (logged,) = [one for one in caplog.records if one.getMessage() == "end_user_escalated"]
    assert logged.__dict__["fields"]["end_user"] == lines[0]["end_user"]
    assert "anna" not in str(logged.__dict__)
    shown = client.get("/metrics", headers=headers(FORUM)).text
    assert 'moderation_escalations_total{policy="balanced"} 1.0' in shown
    assert 'moderation_escalated_decisions_total{action="block",policy="balanced"} 1.0' in shown


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ({}, {"input": "hello", "safety_identifier": "anna"}),
        ({}, {"input": "hello", "user": "anna"}),
        ({"X-Moderation-User": "anna"}, {"input": "hello"}),
    ],
)
def test_openais_fields_and_a_header_say_who_it_is(client: FlaskClient, sent: dict[str, str], body: Any) -> None:
    offend(client)
    reply = client.post("/v1/moderations", json=body, headers={**headers(SHOP), **sent})
    assert reply.headers["X-Moderation-Action"] == "block"


def test_an_app_says_where_its_end_users_are_named(tmp_path: Path) -> None:
    client = make_apps_client(tmp_path, "end_user: [metadata.person]", policies_file=policies(tmp_path))
    for prompt in ("bomb 1", "bomb 2", "hello"):
        sent = {"prompt": prompt, "metadata": {"user_id": prompt, "person": 7}}
        found = client.post("/moderate", json=sent, headers=headers(SHOP)).json
    assert found["action"] == "block"


def test_a_guarded_chat_is_refused_for_a_repeat_offender_whatever_is_asked(tmp_path: Path) -> None:
    with fake_llm() as llm:
        client = make_apps_client(tmp_path, policies_file=policies(tmp_path), chat_upstream=Url(llm.url))

        def chat(text: str) -> Any:
            body = {"model": "m", "user": "anna", "messages": [{"role": "user", "content": text}]}
            return client.post("/v1/chat/completions", json=body, headers=headers(SHOP)).json["choices"][0]

        assert [chat(text)["finish_reason"] for text in ("hi", "bomb 1", "bomb 2", "hi")] == [
            "stop",
            *["content_filter"] * 3,
        ]


def test_keys_without_an_app_have_end_users_of_their_own(tmp_path: Path) -> None:
    client = make_client(policies_file=policies(tmp_path))
    for text in ("bomb 1", "bomb 2"):
        client.post("/v1/moderations", json={"input": text, "user": "anna"})
    reply = client.post("/v1/moderations", json={"input": "hello", "user": "anna"})
    assert reply.headers["X-Moderation-Action"] == "block"


def test_a_policy_that_does_less_about_them_is_milder(tmp_path: Path) -> None:
    more = f", later: {{extends: balanced, escalation: {RULE.replace('2', '9')}}}"
    with fake_llm() as llm:
        path = policies(tmp_path, more=f"{more}, never: {{extends: balanced, escalation: off}}")
        client = make_client(policies_file=path, chat_upstream=Url(llm.url))
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        for name in ("later", "never"):
            reply = client.post("/v1/chat/completions", json=body, headers={"X-Moderation-Policy": name})
            assert reply.status_code == 403
            assert "does less about end users" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{after_blocks: 2}", "`escalation` needs `within_minutes`"),
        (RULE.replace("block,", "allow,"), "`escalation.action` must be flag or block"),
        (RULE.replace("after_blocks: 2", "after_blocks: 0"), "a whole number from 1 to 20, not '0'"),
        (RULE.replace("after_blocks: 2", "after_blocks: 2.5"), "a whole number from 1 to 20, not '2.5'"),
        (RULE.replace("60", "-1"), "`escalation.for_minutes` must be a number above 0 and up to 10080, not '-1'"),
        (RULE.replace("10", ".inf"), "`escalation.within_minutes` must be a number above 0"),
        ("3", "`escalation` must be a mapping"),
        (RULE[:-1] + ", user: x}", "unknown field 'user'"),
    ],
)
def test_a_mistake_stops_the_start_and_names_its_place(tmp_path: Path, rule: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_service(policies_file=policies(tmp_path, rule))
    assert "policies.yaml:1: " in str(caught.value)
    assert told in str(caught.value)


def test_blocks_at_the_same_moment_are_all_counted() -> None:
    standings = SharedStandings()
    rule = Escalation(after_blocks=20, within_minutes=10, action=Action.BLOCK, for_minutes=60)
    threads = [
        threading.Thread(
            target=standings.change, args=("a", lambda one, at=at: one.after_block(rule, now=1e9, text=str(at)))
        )
        for at in range(20)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert standings.get("a").action is Action.BLOCK
    standings.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.mark.store
def test_pods_share_how_end_users_stand_and_go_on_alone_without_redis(redis: RedisServer, tmp_path: Path) -> None:
    pods = [ClusterStandings(connect(redis.url), local=SharedStandings()) for _ in range(2)]
    rule = Escalation(after_blocks=2, within_minutes=10, action=Action.BLOCK, for_minutes=60)

    def block(pod: int, text: str, now: float = 1e9) -> Standing:
        return pods[pod].change("anna", lambda one: one.after_block(rule, now=now, text=text))

    assert block(0, "a").action is None
    assert block(1, "b").action is Action.BLOCK
    assert pods[0].get("anna").action is Action.BLOCK
    redis.kill()
    assert block(0, "c", 2e9).action is Action.BLOCK
    assert block(0, "d", 2e9).action_at(2e9) is Action.BLOCK
    assert pods[1].get("bert").action is None


@pytest.mark.store
def test_a_pod_keeps_nothing_of_those_who_were_never_blocked_and_minds_no_nonsense(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Escalation(after_blocks=1, within_minutes=10, action=Action.BLOCK, for_minutes=60)
    client, local = connect(redis.url), SharedStandings()
    pod = ClusterStandings(client, local=local)
    with monkeypatch.context() as patched:
        patched.setattr(local, "change", lambda *_: pytest.fail("written down"))
        assert pod.get("anna") == NOTHING
    for name, raw in (("bert", b"{}"), ("carl", b"nonsense"), ("dora", b"[]"), ("emma", b'{"blocks": 1}')):
        client.set(f"moderation:standing:{name}", raw)
        pod = ClusterStandings(client, local=local)
        assert pod.get(name) == NOTHING
        assert pod.change(name, lambda one: one.after_block(rule, now=1e9, text="a")).action is Action.BLOCK
