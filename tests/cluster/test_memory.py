"""The cluster memory on a real server: shared, sealed, and never in the way of a request."""

from __future__ import annotations

from time import monotonic

import pytest
import redis
from cluster_events import Told
from crowd import asking
from fake_guard_server import wait_until

from moderation_service.cluster.memory import ClusterMemory
from moderation_service.config.settings import Secret

pytestmark = pytest.mark.store

LATE_S = 0.5
"""A tenth of a second is what a call may take; this machine may be busy."""


def is_up(memory: ClusterMemory) -> bool:
    memory.put(b"up", b"yes", ttl_s=60)
    return memory.get(b"up") == b"yes"


def up(memory: ClusterMemory) -> ClusterMemory:
    assert wait_until(lambda: is_up(memory))
    return memory


def test_what_one_gateway_remembers_another_one_finds(memory) -> None:
    told = Told()
    one, other = up(memory()), up(memory(told=told))
    one.put(b"name", b"value", ttl_s=60)
    assert other.get(b"name") == b"value"
    assert other.get(b"another") is None
    assert told.found[-2:] == [True, False]
    assert one.exchange(b"name", b"newer", ttl_s=60) == b"value"
    assert other.get(b"name") == b"newer"


def test_a_value_goes_when_its_time_is_over(memory) -> None:
    one = up(memory())
    one.put(b"name", b"value", ttl_s=0.05)
    assert wait_until(lambda: one.get(b"name") is None)


def test_gateways_with_another_key_or_version_find_nothing(memory) -> None:
    up(memory()).put(b"name", b"value", ttl_s=60)
    assert up(memory(version="2")).get(b"name") is None
    assert up(memory(key=Secret("another-key-of-16"))).get(b"name") is None


def test_a_poisoned_value_is_none_and_counted(memory, server) -> None:
    told = Told()
    one = up(memory(told=told))
    client = redis.Redis.from_url(server.url)
    one.put(b"first", b"first value", ttl_s=60)
    one.put(b"second", b"second value", ttl_s=60)
    keys = [key for key in client.keys("test:*") if key != b"test:members"]
    first = {key: client.get(key) for key in keys}
    for key in keys:
        client.set(key, b'{"severity":"safe"}')
    assert one.get(b"first") is None
    for key in keys:  # a genuine value under another's name
        client.set(key, next(value for other, value in first.items() if other != key))
    assert (one.get(b"first"), one.get(b"second")) == (None, None)
    assert told.failures == ["invalid"] * 3
    client.delete(*keys)
    for key in keys:
        client.rpush(key, "a list")
    assert one.get(b"first") is None
    client.close()


@pytest.mark.parametrize("other", [{"version": "2"}, {"prefix": "newer"}])
def test_a_value_of_another_version_or_prefix_is_none_wherever_it_is_put(memory, server, other) -> None:
    up(memory()).put(b"name", b"verdict of the old model", ttl_s=60)
    client = redis.Redis.from_url(server.url)
    old = [client.get(key) for key in client.keys("test:*") if key != b"test:members"]
    told = Told()
    one = up(memory(told=told, **other))
    one.put(b"name", b"verdict of the new model", ttl_s=60)
    for key in client.keys(f"{other.get('prefix', 'test')}:*"):
        if not key.endswith(b":members"):
            for value in old:
                client.set(key, value)
                assert one.get(b"name") in (None, b"verdict of the new model")
    client.close()
    assert one.get(b"name") is None
    assert set(told.failures) == {"invalid"}


def test_no_text_and_no_name_lie_in_the_server(memory, server) -> None:
    one = up(memory())
    one.put(b"caller and call-7", b"what a user said", ttl_s=60)
    client = redis.Redis.from_url(server.url)
    kept = b"".join(key + (client.get(key) or b"") for key in client.keys("test:*") if key != b"test:members")
    client.close()
    assert kept
    for word in (b"call-7", b"user said"):
        assert word not in kept


def test_each_gateway_knows_how_many_there_are(memory) -> None:
    gateways = [up(memory()) for _ in range(3)]
    assert wait_until(lambda: [one.members for one in gateways] == [3, 3, 3])
    gateways.pop().close()
    assert wait_until(lambda: [one.members for one in gateways] == [2, 2])


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_server_that_goes_away_under_load_delays_nobody_for_long(memory, server, how: str) -> None:
    told = Told()
    one = up(memory(told=told))
    slowest = [0.0] * 8
    wrong: list[bytes] = []

    def ask(number: int) -> None:
        name, began = b"name %d" % number, monotonic()
        one.put(name, name, ttl_s=60)
        found = one.get(name)
        slowest[number] = max(slowest[number], monotonic() - began)
        if found not in (None, name):
            wrong.append(found)

    with asking(ask, callers=len(slowest)):
        server.kill() if how == "kill" else server.freeze()
        assert wait_until(lambda: told.away[-1:] == [True])
        began = monotonic()
        for _ in range(1000):
            assert one.get(b"name") is None
        assert monotonic() - began < LATE_S, "while it is away nobody waits for it"
        server.start() if how == "kill" else server.thaw()
        assert wait_until(lambda: told.away[-1:] == [False])
    assert not wrong
    assert max(slowest) < 3.0, "a tenth of a second each, on a machine that may be busy"
    assert len(told.failures) < 20, "one per thread, and then those of the thread that looks whether it is back"
    assert is_up(one)
    assert set(told.failures) <= {"timeout", "connect"}


def test_a_server_that_is_not_there_yet_is_used_when_it_comes(memory, server) -> None:
    server.kill()
    told = Told()
    one = memory(told=told)
    began = monotonic()
    assert one.get(b"name") is None
    assert monotonic() - began < LATE_S
    assert wait_until(lambda: told.away == [True])
    server.start()
    up(one)
    assert told.away == [True, False]


@pytest.mark.parametrize(
    "url", ["redis://:wrong@127.0.0.1:{port}/0", "redis://127.0.0.1:{port}/0", "redis://no.invalid"]
)
def test_a_wrong_password_or_name_leaves_each_gateway_its_own_memory(memory, server, url: str) -> None:
    told = Told()
    one = memory(told=told, url=url.format(port=server.port))
    assert one.get(b"name") is None
    assert wait_until(lambda: told.away == [True])
    assert one.members == 1


def test_a_server_that_is_full_or_only_for_reading_is_done_without(memory, server) -> None:
    told = Told()
    one = up(memory(told=told))
    client = redis.Redis.from_url(server.url)
    client.replicaof("127.0.0.1", 1)
    one.put(b"name", b"value", ttl_s=60)
    assert wait_until(lambda: told.away[-1:] == [True])
    assert told.failures[0] == "refused"
    client.replicaof("NO", "ONE")
    client.close()
    assert wait_until(lambda: is_up(one))
