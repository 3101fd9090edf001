from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from apps import Like, client_of, keys, make_service
from fakes import FakeEngine
from processes import running
from webhook_receiver import Outcomes, Receiver, receiver

from moderation_service.config.settings import Secret
from moderation_service.errors import ConfigurationError, EngineUnavailable
from moderation_service.observability.webhooks import Webhooks, signature, signing_key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = "correct-horse-battery"


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def hooks(url: str, outcomes: Outcomes, **options: Any) -> Webhooks:
    options = {"secret": None, "wanted": ("blocked", "appeal"), "first_pause_s": 0.01, **options}
    return Webhooks(url, events=outcomes, **options)


# What is said


def post(there: Receiver, body: object, *, engine: FakeEngine | None = None, **settings: Any) -> Any:
    """The reply to a check of a service that tells the receiver of it."""
    service = make_service(
        engine=engine, webhook_url=Secret(f"{there.url}/hook?token=1"), api_keys=keys(f"chat:{KEY}"), **settings
    )
    assert service.webhooks is not None
    headers = {"X-API-Key": KEY, "X-Request-Id": "r-1"}
    try:
        return client_of(service).post("/moderate", json=body, headers=headers).json
    finally:
        service.webhooks.close()


def test_a_block_is_told_with_its_ids_and_verdict_and_without_its_text(there: Receiver) -> None:
    reply = post(there, {"prompt": "a bomb in the garden", "metadata": {"user": "u1"}})
    got = there.next()
    assert got.path == "/hook?token=1"
    assert got.headers["content-type"] == "application/json"
    assert got.json == {
        "type": "moderation.blocked",
        "timestamp": Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"),
        "text": f"Blocked: prompt, unsafe (violent), policy balanced, key chat, {reply['id']}",
        "data": {
            "id": reply["id"],
            "request_id": "r-1",
            "app": None,
            "key": "chat",
            "target": "prompt",
            "safety": "unsafe",
            "categories": ["violent"],
            "action": "block",
            "policy": "balanced",
            "policy_version": Like("[0-9a-f]{12}"),
            "engine": "fake",
            "model": "fake-1",
            "degraded": False,
            "reason": None,
        },
    }
    assert b"garden" not in got.body


def test_what_is_not_wanted_is_not_sent(there: Receiver) -> None:
    post(there, {"inputs": [{"prompt": "bread"}, {"prompt": "an election"}]})
    assert there.got.empty()


def test_flags_are_sent_where_they_are_wanted(there: Receiver) -> None:
    post(there, {"prompt": "an election"}, webhook_events=("flagged",))
    assert there.next().json["type"] == "moderation.flagged"


def test_an_engine_that_is_away_is_told_once_and_not_with_every_decision(there: Receiver) -> None:
    engine = FakeEngine(errors={"broken": EngineUnavailable("Down.")})
    service = make_service(
        engine=engine, fallback=FakeEngine(), webhook_url=Secret(there.url), webhook_events=("degraded",)
    )
    assert service.webhooks is not None
    client = client_of(service)
    for word in ("broken one", "broken two", "broken three"):
        assert client.post("/moderate", json={"prompt": word}).json["degraded"] is True
    service.webhooks.close()
    assert there.next().json["data"] | {"id": None} == {
        "id": None, "request_id": Like(".+"), "app": None, "key": None, "target": "prompt",
        "safety": "safe", "categories": [],
        "action": "allow", "policy": "balanced", "policy_version": Like(".+"), "engine": "fake", "model": "fake-1",
        "degraded": True, "reason": "unavailable", "count": 1,
    }  # fmt: skip
    assert there.got.empty()


def test_a_text_can_not_call_everybody_in_a_slack_channel(there: Receiver) -> None:
    outcomes = Outcomes()
    with closing(hooks(there.url, outcomes)) as made:
        made.send("appeal", "<!channel> & <https://evil.example|us>", {})
    assert there.next().json["text"] == "&lt;!channel&gt; &amp; &lt;https://evil.example|us&gt;"


# How it is signed


def test_the_signature_is_that_of_the_published_example() -> None:
    # https://docs.svix.com/receiving/verifying-payloads/how-manual
    made = signature(
        signing_key(SECRET),
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp_s=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_is_signed_over_its_id_its_time_and_its_very_bytes(there: Receiver) -> None:
    with closing(hooks(there.url, Outcomes(), secret=SECRET)) as made:
        made.send("blocked", "Blocked.", {"id": "mod_1"})
    got = there.next()
    expected = signature(
        signing_key(SECRET),
        message_id=got.headers["webhook-id"],
        timestamp_s=int(got.headers["webhook-timestamp"]),
        body=got.body,
    )
    assert got.headers["webhook-signature"] == expected


def test_without_a_secret_nothing_looks_signed(there: Receiver) -> None:
    with closing(hooks(there.url, Outcomes())) as made:
        made.send("blocked", "Blocked.", {})
    assert "webhook-signature" not in there.next().headers


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": "ftp://there.example"}, "webhook_url"),
        ({"url": "https://user:pass@there.example"}, "webhook_url"),
        ({"url": "https://there.example:0"}, "webhook_url"),
        ({"url": "https://there.example/a b"}, "webhook_url"),
        ({"url": "https:///path"}, "webhook_url"),
        ({"url": "https://there..example/"}, "webhook_url"),
        ({"url": f"https://{'a' * 64}.example/"}, "webhook_url"),
        ({"secret": "short"}, "webhook_secret"),
        ({"secret": "whsec_%%%"}, "webhook_secret"),
        ({"wanted": ("blockd",)}, "webhook_events"),
    ],
)
def test_a_mistake_in_a_setting_stops_the_start_and_names_it(settings: dict[str, Any], reason: str) -> None:
    given: dict[str, Any] = {"url": "https://there.example", "secret": None, "wanted": ("blocked",), **settings}
    with pytest.raises(ConfigurationError, match=f"^{reason}: ") as caught:
        Webhooks(events=Outcomes(), **given)
    assert "pass" not in str(caught.value)


# How it gets there


def test_a_receiver_that_fails_is_asked_again_with_the_same_id(there: Receiver) -> None:
    there.statuses = [500, 429]
    outcomes = Outcomes()
    with closing(hooks(there.url, outcomes, secret=SECRET)) as made:
        made.send("blocked", "Blocked.", {})
        assert outcomes.next() == ("blocked", "delivered")
    assert len({there.next().headers["webhook-id"] for _ in range(3)}) == 1


def test_a_receiver_that_stays_away_costs_the_message_and_is_counted(unused_port: int) -> None:
    outcomes = Outcomes()
    with closing(hooks(f"http://127.0.0.1:{unused_port}", outcomes, first_pause_s=0.0)) as made:
        made.send("blocked", "Blocked.", {})
        assert outcomes.next() == ("blocked", "failed")


@pytest.mark.parametrize("status", [302, 307, 308, 400, 404])
def test_a_redirect_and_a_refusal_are_final(there: Receiver, status: int) -> None:
    with receiver() as elsewhere:
        there.statuses, there.headers = [status], {"Location": f"{elsewhere.url}/metadata"}
        outcomes = Outcomes()
        with closing(hooks(there.url, outcomes)) as made:
            made.send("blocked", "Blocked.", {})
            assert outcomes.next() == ("blocked", "failed")
        assert there.got.qsize() == 1
        assert elsewhere.got.empty()


def test_beyond_the_bound_events_are_dropped_and_counted_and_nobody_waits(there: Receiver) -> None:
    there.gate.clear()
    outcomes = Outcomes()
    with closing(hooks(there.url, outcomes, most_waiting=1)) as made:
        made.send("blocked", "1", {})
        there.next()  # now the thread waits for the receiver
        for text in ("2", "3"):
            made.send("blocked", text, {})
        assert outcomes.next() == ("blocked", "dropped")
        there.gate.set()
        assert [outcomes.next(), outcomes.next()] == [("blocked", "delivered")] * 2


def test_the_server_sends_what_waits_before_its_workers_end(there: Receiver) -> None:
    there.statuses, there.headers = [503], {"Retry-After": "60"}
    settings = {"MODERATION_WEBHOOK_URL": there.url, "MODERATION_WEBHOOK_EVENTS": "blocked"}
    with running("--workers", "1", **settings) as service:
        first, second = service.moderate("bomb 1"), service.moderate("bomb 2")
        there.next()  # refused: the next attempt is a minute away
        assert service.stop() == 0
    assert [there.next().json["data"]["id"] for _ in range(2)] == [first["id"], second["id"]]
    assert there.got.empty()
