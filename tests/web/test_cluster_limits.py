"""Counting in a real Redis that several pods share, and what happens while it is away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from app_files import SHOP, headers, write_apps
from processes import Reply, Running, running
from redis_server import RedisServer, redis_server

from moderation_service.config.setting import Secret
from moderation_service.core.app import Limits, Window
from moderation_service.errors import ConfigurationError
from moderation_service.web.cluster_limits import Breaker, ClusterCounters, connect
from moderation_service.web.rate_limits import Counted, SharedCounters

pytestmark = pytest.mark.store


class Events:
    def __init__(self) -> None:
        self.failures = 0

    def limits_store_failed(self) -> None:
        self.failures += 1


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def events() -> Events:
    return Events()


def pod(redis: RedisServer, events: Events, breaker: Breaker | None = None) -> ClusterCounters:
    return ClusterCounters(connect(redis.url), local=SharedCounters(), events=events, breaker=breaker)


def over(counted: Counted | None) -> Window | None:
    assert counted is not None
    return counted.over


def test_pods_count_together_and_exactly(redis: RedisServer, events: Events) -> None:
    pods = [pod(redis, events), pod(redis, events)]
    limits = Limits(per_second=1000, per_minute=100, per_day=5000).windows
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: over(pods[number % 2].take("shop", limits)), range(300)))
    assert (found.count(None), found.count(Window.MINUTE), events.failures) == (100, 200, 0)
    # Nothing was charged for those that were refused.
    left = pods[0].take("shop", Limits(per_day=5000).windows)
    assert left is not None
    assert left.remaining == 4899


def test_the_answer_says_what_is_left_and_until_when(redis: RedisServer, events: Events) -> None:
    counters = pod(redis, events)
    limits = Limits(per_second=10, per_minute=5).windows
    first, second = counters.take("shop", limits, 2), counters.take("shop", limits, 4)
    assert first is not None
    assert second is not None
    assert (first.limit, first.remaining, first.over) == (5, 3, None)
    assert (second.limit, second.remaining, second.over) == (5, 3, Window.MINUTE)
    assert 58 < second.reset_s <= 60
    assert over(counters.take("forum", limits, 5)) is None


def test_a_window_ends_in_redis_too(redis: RedisServer, events: Events) -> None:
    counters, one = pod(redis, events), Limits(per_second=1).windows
    assert [over(counters.take("shop", one)) for _ in range(2)] == [None, Window.SECOND]
    time.sleep(1.01)
    assert over(counters.take("shop", one)) is None


def test_without_redis_each_pod_counts_for_itself_and_none_counts_nothing(redis: RedisServer, events: Events) -> None:
    counters, two = pod(redis, events), Limits(per_day=2).windows
    redis.kill()
    assert [over(counters.take("shop", two)) for _ in range(4)] == [None, None, Window.DAY, Window.DAY]
    assert events.failures == 4


def test_a_frozen_redis_costs_a_tenth_of_a_second_three_times_and_then_nothing(
    redis: RedisServer, events: Events
) -> None:
    now = [0.0]
    counters, many = pod(redis, events, Breaker(clock=lambda: now[0])), Limits(per_day=1000).windows
    counters.take("shop", many)
    redis.freeze()
    waits = []
    for _ in range(20):
        begun = time.monotonic()
        assert over(counters.take("shop", many)) is None
        waits.append(time.monotonic() - begun)
    assert max(waits[:3]) < 1.0
    assert sum(waits[3:]) < 0.5, waits
    assert events.failures == 20
    redis.thaw()
    now[0] = 6.0
    found = counters.take("shop", many)
    assert found is not None
    assert events.failures == 20  # asked again, and it has answered


def test_redis_that_comes_back_is_used_again(redis: RedisServer, events: Events) -> None:
    now = [0.0]
    counters, one = pod(redis, events, Breaker(clock=lambda: now[0])), Limits(per_day=3).windows
    assert over(counters.take("shop", one)) is None
    redis.kill()
    for _ in range(3):
        counters.take("shop", one)
    redis.start()
    assert over(counters.take("shop", one)) is Window.DAY  # still by this pod's own count
    now[0] = 6.0
    assert over(counters.take("shop", one)) is None  # the new server knows of nothing
    assert events.failures == 4


@pytest.mark.parametrize(
    "url", ["127.0.0.1:6379", "http://127.0.0.1", "memcached://127.0.0.1", "redis://:hush@valkey:port/0"]
)
def test_a_bad_address_stops_the_start_and_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(url).ping()
    assert "limits_store" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_password_is_a_secret() -> None:
    assert "hush" not in repr(Secret("redis://:hush@valkey:6379/0"))


def post(service: Running) -> Reply:
    return service.request("POST", "/moderate", {"prompt": "hello"}, **headers(SHOP))


def test_two_services_of_two_workers_let_exactly_the_limit_through(redis: RedisServer, tmp_path: Path) -> None:
    path = str(write_apps(tmp_path, "limits: {per_minute: 60, per_day: 1000}"))
    environment = {"MODERATION_APPS_FILE": path, "MODERATION_LIMITS_STORE": redis.url, "MODERATION_WORKERS": "2"}
    with (
        running(**environment) as one,
        running(**environment) as other,
        ThreadPoolExecutor(8) as pool,
    ):
        replies = list(pool.map(lambda number: post((one, other)[number % 2]), range(160)))
    statuses = [reply.status for reply in replies]
    assert (statuses.count(200), statuses.count(429)) == (60, 100)
    refused = next(reply for reply in replies if reply.status == 429)
    assert json.loads(refused.body)["error"]["type"] == "rate_limited"
    assert int(refused.headers["Retry-After"]) <= 60


def test_redis_frozen_and_killed_under_load_fails_no_request_and_delays_none_for_long(
    redis: RedisServer, tmp_path: Path
) -> None:
    path = str(write_apps(tmp_path, "limits: {per_day: 100000}"))
    environment = {"MODERATION_APPS_FILE": path, "MODERATION_LIMITS_STORE": redis.url, "MODERATION_WORKERS": "2"}
    with running(**environment) as service, ThreadPoolExecutor(4) as pool:
        ends_at = time.monotonic() + 4
        found: list[tuple[int, float]] = []

        def ask() -> None:
            while time.monotonic() < ends_at:
                begun = time.monotonic()
                status = post(service).status
                found.append((status, time.monotonic() - begun))

        loads = [pool.submit(ask) for _ in range(4)]
        time.sleep(1)
        redis.freeze()
        time.sleep(1)
        redis.kill()
        for one in loads:
            one.result()
    assert {status for status, _ in found} == {200}
    slowest = sorted(seconds for _, seconds in found)
    assert slowest[-1] < 2.0, slowest[-5:]
    assert len([one for one in slowest if one > 0.5]) < 20
