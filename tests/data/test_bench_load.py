"""A load of so many clients: what is counted, what is not, and what breaks."""

from __future__ import annotations

import json
from itertools import count

import pytest
from fake_guard_server import BOMB, Send, reply, running

from moderation_service.data.bench.load import Measured, Target, run_load
from moderation_service.data.bench.questions import question
from moderation_service.data.bench.report import point, render_markdown, render_picture


def target(url, path="/x"):
    return Target(url, path, lambda number: json.dumps({"prompt": question(number)}).encode(), {"X-Key": "k"})


def test_a_key_is_not_sent_in_the_clear_to_an_address_behind_tls():
    with pytest.raises(ValueError, match="plain HTTP only"):
        target("https://guard.example:8000")


def test_every_client_is_busy_and_every_question_is_new():
    with running(lambda request: reply(200, {})) as server:
        measured = run_load(target(server.url), clients=4, seconds=0.2, first=1000)
        assert server.connections == 4
        prompts = [request.body["prompt"] for request in server.requests]
    assert len(set(prompts)) == len(prompts)
    # The first four are sent at once, and may come in any order.
    assert sum(prompt.startswith("Note 1000.") for prompt in prompts) == 1
    assert {request.headers["x-key"] for request in server.requests} == {"k"}
    assert 0 < len(measured.latencies_s) <= len(prompts)
    assert measured.errors == {}
    assert list(measured.latencies_s) == sorted(measured.latencies_s)


def test_what_comes_during_the_warm_up_or_after_the_end_does_not_count():
    ticks = count()
    with running(lambda request: reply(200, {})) as server:
        # A clock that moves on with every look at it: ten looks are the warm-up, ten the time that counts.
        measured = run_load(target(server.url), clients=1, seconds=10, warm_up_s=10, clock=lambda: float(next(ticks)))
        assert 0 < len(measured.latencies_s) < len(server.requests)


def test_refusals_are_counted_by_their_status():
    with running(lambda request: reply(429, {})) as server:
        measured = run_load(target(server.url), clients=2, seconds=0.1)
    assert measured.latencies_s == ()
    assert measured.errors.keys() == {"429"}
    assert measured.percentile_ms(50) is None


def test_a_reply_that_breaks_off_is_an_error_and_the_client_comes_back():
    broken = Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", then_close=True)
    with running(lambda request: broken) as server:
        measured = run_load(target(server.url), clients=1, seconds=0.1)
        assert server.connections > 1
    assert measured.errors.keys() == {"no reply"}


def test_a_connection_that_is_closed_between_two_requests_is_no_error():
    def closing(request):
        return Send(reply(200, {}).data, then_close=True)

    with running(closing) as server:
        measured = run_load(target(server.url), clients=1, seconds=0.2)
        assert server.connections > 2
    assert measured.errors == {}
    assert measured.latencies_s


def test_nobody_there_is_an_error_and_no_endless_wait(unused_port):
    measured = run_load(target(f"http://127.0.0.1:{unused_port}"), clients=3, seconds=5)
    assert measured.errors == {"no reply": 3}


def test_percentiles_are_latencies_that_were_seen():
    measured = Measured(2.0, tuple(number / 1000 for number in range(1, 101)), {})
    assert measured.per_second == 50
    assert [measured.percentile_ms(share) for share in (50, 95, 99, 100)] == pytest.approx([51, 96, 100, 100])


def test_a_fifth_of_the_questions_is_harmful_and_a_number_is_always_the_same_question():
    questions = [question(number) for number in range(1000)]
    assert questions == [question(number) for number in range(1000)]
    assert 0.15 < sum(BOMB in one for one in questions) / 1000 < 0.25


def test_the_report_sets_every_way_beside_the_plain_call():
    quick, slow = Measured(1.0, (0.01,) * 200, {}), Measured(1.0, (0.05,) * 50, {"429": 3})
    points = [point("plain", 1, slow), point("full", 1, quick), point("plain", 8, quick), point("full", 8, slow)]
    document = {"facts": {"CPU": "A | B"}, "points": points}
    text = render_markdown(document)
    assert "* CPU: A \\| B" in text
    assert "| full | 1 | 200 | 10.0 | 10.0 | 10.0 | 4.00 | 0 |" in text
    assert "| full | 8 | 50.0 | 50.0 | 50.0 | 50.0 | 0.25 | 429: 3 |" in text
    picture = render_picture(document)
    assert picture.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert all(f">{word}<" in picture for word in ("plain", "full", "8", "200", "50"))


def test_a_report_without_a_single_verdict_can_be_written():
    document = {"facts": {}, "points": [point("full", 1, Measured(1.0, (), {"503": 9}))]}
    assert "| full | 1 | 0.0 | - | - | - | - | 503: 9 |" in render_markdown(document)
    assert "<polyline" in render_picture(document)
