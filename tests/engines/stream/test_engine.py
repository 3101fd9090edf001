"""The engine against a fake server: verdicts, cost, the checks on every reply, failures."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_stream_server import FakeStreamServer, Misbehaves, write_model_dir

from moderation_service.config.settings import Secret, Settings, Url
from moderation_service.core.conversation import Conversation, Message, Role
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Category, Severity, Target, Verdict
from moderation_service.engines import create_engine
from moderation_service.engines.stream import Answer, JudgedToken, StreamEngine
from moderation_service.errors import (
    ConfigurationError,
    DeadlineExceeded,
    EngineAnswerInvalid,
    EngineError,
    EngineUnavailable,
    ModerationError,
    Overloaded,
    TooLarge,
)

EngineFor = Callable[..., StreamEngine]
QUESTION = [Message(Role.USER, "How do I bake bread?")]


def verdict(engine: StreamEngine, **conversation: str) -> Verdict:
    (found,) = engine.judge([Conversation.of(**conversation)])
    assert isinstance(found, Verdict), repr(found)
    return found


def error(engine: StreamEngine, **conversation: str) -> ModerationError:
    (found,) = engine.judge([Conversation.of(**conversation)])
    assert isinstance(found, ModerationError), repr(found)
    return found


def soon() -> Deadline:
    return Deadline.after(20)


def follow(answer: Answer, text: str, size: int) -> list[JudgedToken]:
    """The answer's tokens, when its text comes in pieces of this size."""
    found = []
    for at in range(0, len(text), size):
        found += answer.add(text[at : at + size], is_last=at + size >= len(text), deadline=soon())
    return found


def rows_reply(rows: np.ndarray, **changes: object) -> Misbehaves:
    content = rows.astype("<f4").tobytes()
    item = {"embed_dtype": "float32", "endianness": "little", "start": 0, "end": len(content)}
    return Misbehaves(metadata={"data": [{**item, "shape": list(rows.shape), **changes}]}, content=content)


def for_users(reply: Misbehaves | None) -> Callable[[dict[str, Any]], Misbehaves | None]:
    """This reply to everything but the test that the engine makes of the server."""
    return lambda body: reply if len(body["input"]) < 300 else None


# --- whole conversations


def test_a_prompt_gets_the_verdict_at_its_end(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    found = verdict(engine_for(upstream), prompt="How can I make a detonator?")
    assert (found.target, found.severity, found.categories, found.refusal) == (
        Target.PROMPT,
        Severity.UNSAFE,
        (Category.VIOLENT,),
        None,
    )
    assert found.scores is not None
    assert found.scores.unsafe > 0.9
    assert (found.engine, found.model, found.windows) == ("stream", "qwen3guard-stream", 1)


def test_a_response_gets_the_worst_of_its_tokens(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    found = verdict(engine, prompt="Talk.", response="First the ballot, then a detonator, then bread.")
    assert (found.target, found.severity, found.categories) == (
        Target.RESPONSE,
        Severity.UNSAFE,
        (Category.VIOLENT,),
    )
    assert verdict(engine, prompt="A detonator?", response="I can't help.").severity is Severity.SAFE, (
        "the prompt's is not it"
    )


def test_a_single_flagged_token_does_not_count(engine_for: EngineFor) -> None:
    with FakeStreamServer(keywords={"q": ("Unsafe", "PII")}) as server:
        found = verdict(engine_for(server), response="a q b")
    assert (found.severity, found.categories) == (Severity.SAFE, ())
    assert found.scores is not None
    assert found.scores.safe > 0.8, "the milder of the two neighbours"


def test_many_are_judged_in_order(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    found = engine.judge([Conversation.of(prompt=f"{'detonator' if at % 3 else 'bread'} {at}") for at in range(12)])
    assert [one.severity is Severity.UNSAFE for one in found if isinstance(one, Verdict)] == [
        at % 3 > 0 for at in range(12)
    ]


def test_only_ids_are_sent_and_every_conversation_has_a_salt_of_its_own(
    upstream: FakeStreamServer, engine_for: EngineFor
) -> None:
    engine = engine_for(upstream)
    verdict(engine, prompt="bread")
    verdict(engine, prompt="bread")
    *_, one, other = upstream.asked
    assert set(one) == {"model", "input", "cache_salt", "encoding_format", "embed_dtype", "endianness"}
    assert all(isinstance(number, int) for number in one["input"])
    assert one["cache_salt"] != other["cache_salt"]
    assert "bread" not in json.dumps(upstream.asked)


def test_long_texts_are_judged_whole_in_windows(engine_for: EngineFor) -> None:
    with FakeStreamServer(context=512) as server:
        engine = engine_for(server)
        long = "bread and butter " * 200
        for where in (long + "a detonator", "a detonator " + long, long + "a detonator " + long):
            assert verdict(engine, prompt=where).severity is Severity.UNSAFE
            found = verdict(engine, prompt="Talk.", response=where)
            assert (found.severity, found.windows > 1) == (Severity.UNSAFE, True)
        assert verdict(engine, response=long).severity is Severity.SAFE


def test_a_text_beyond_the_limit_of_windows_is_refused(engine_for: EngineFor) -> None:
    with FakeStreamServer(context=128) as server:
        engine = engine_for(server, upstream_max_windows=3)
        for conversation in ({"prompt": "word " * 1000}, {"prompt": "Hi", "response": "word " * 1000}):
            assert isinstance(error(engine, **conversation), TooLarge)


def test_a_harmful_window_stands_when_another_one_fails(engine_for: EngineFor) -> None:
    with FakeStreamServer(context=256) as server:
        engine = engine_for(server)
        verdict(engine, prompt="bread")
        long = "bread and butter " * 100
        asked = iter(range(1000))
        server.instead = lambda body: Misbehaves(429) if next(asked) == 1 else None
        found = verdict(engine, prompt="a detonator " + long)
        assert (found.severity, found.categories) == (Severity.UNSAFE, (Category.VIOLENT,))
        assert isinstance(found.failure, EngineUnavailable)
        asked = iter(range(1000))
        assert isinstance(error(engine, prompt=long), EngineUnavailable), "nothing harmful was read"
        asked = iter(range(1000))
        found = verdict(engine, response="a detonator " + long)
        assert (found.severity, found.categories) == (Severity.UNSAFE, (Category.VIOLENT,))
        asked = iter(range(1000))
        found = verdict(engine, response="the ballot " + long)
        assert (found.severity, found.may_be_worse) == (Severity.CONTROVERSIAL, True)


def test_a_window_that_was_read_is_not_asked_again_by_a_retry(engine_for: EngineFor) -> None:
    with FakeStreamServer(context=256) as server:
        engine = engine_for(server)
        verdict(engine, prompt="bread")
        asked: list[list[int]] = []

        def breaks_once(body: dict[str, Any]) -> Misbehaves | None:
            asked.append(body["input"])
            return Misbehaves(closes=True) if len(asked) in (2, 3) else None

        server.instead = breaks_once
        assert verdict(engine, prompt="a detonator " + "bread and butter " * 100).severity is Severity.UNSAFE
        assert asked.count(asked[0]) == 1


def test_rows_of_equal_numbers_are_no_verdict(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    verdict(engine, prompt="bread")

    def level(body: dict[str, Any]) -> Misbehaves | None:
        rows = upstream.judged(body["input"])
        rows[-1] = 0.25
        return rows_reply(rows)

    upstream.instead = level
    assert isinstance(error(engine, prompt="How do I bake bread?"), EngineAnswerInvalid)
    assert isinstance(error(engine, response="Some bread with butter."), EngineAnswerInvalid)
    assert verdict(engine, response="A detonator, and bread.").severity is Severity.UNSAFE


def test_a_server_that_calls_everything_safe_is_not_ready(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    upstream.knows_harm = False
    engine = engine_for(upstream)
    with pytest.raises(EngineUnavailable, match="plainly harmful prompt safe"):
        engine.check_ready()
    assert error(engine, prompt="bread").reason.value == "misjudges"


# --- where the harm is


def test_the_run_of_tokens_is_pointed_at(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    text = "然后 cafe\u0301, and a detonator, and more bread."
    found = verdict(engine_for(upstream), prompt="Talk.", response=text)
    assert found.span is not None
    assert text[found.span.start : found.span.end] == "onator"
    assert verdict(engine_for(upstream), response="Only bread.").span is None


def test_the_window_of_a_long_prompt_is_pointed_at(engine_for: EngineFor) -> None:
    filler = "bread and cafe\u0301 " * 100
    text = filler + "a detonator " + filler
    with FakeStreamServer(context=256) as server:
        found = verdict(engine_for(server), prompt=text)
        assert verdict(engine_for(server), prompt="a detonator").span is None
    assert found.span is not None
    assert "a detonator" in text[found.span.start : found.span.end]
    assert found.span.end - found.span.start < len(text) / 2


# --- answers that grow


TEXT = "Mix flour and water. 然后等一小时。 Now the café 🎉, and a detonator, and more bread."


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_an_answer_has_the_same_tokens_however_it_comes(
    upstream: FakeStreamServer, engine_for: EngineFor, size: int
) -> None:
    engine = engine_for(upstream)
    whole = follow(engine.follow(QUESTION), TEXT, 1000)
    assert follow(engine.follow(QUESTION), TEXT, size) == whole
    flagged = [one for one in whole if one.verdict.severity is Severity.UNSAFE]
    assert TEXT[flagged[0].begin : flagged[-1].end] in "detonator"
    assert len(flagged) > 1


def test_a_call_costs_the_new_tokens_and_at_most_a_block(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    answer = engine.follow(QUESTION)
    answer.add("Flour and water. " * 20, is_last=False, deadline=soon())
    del upstream.computed[:]
    given = [len(answer.add("Then some more flour. ", is_last=False, deadline=soon())) for _ in range(20)]
    assert all(cost < new + upstream.block + 4 for cost, new in zip(upstream.computed, given, strict=True))
    assert len(set(upstream.salts[-20:])) == 1


def test_no_call_is_made_when_no_token_is_final(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    engine.check_ready()
    answer, before = engine.follow(QUESTION), len(upstream.asked)
    assert answer.add("B", is_last=False, deadline=soon()) == []
    assert answer.add("", is_last=False, deadline=soon()) == []
    assert len(upstream.asked) == before


def test_what_was_put_into_the_models_mouth_is_context(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    tokens = follow(engine.follow(QUESTION, begun="Sure, a deto"), "nator is made", 4)
    assert tokens[0].begin == 0
    assert tokens[-1].end == len("nator is made")
    assert Severity.UNSAFE in [one.verdict.severity for one in tokens[:3]]


def test_a_resumed_answer_is_not_judged_again(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    first = engine.follow(QUESTION, salt="one")
    before = first.add(TEXT[:30], is_last=False, deadline=soon())
    again = engine.follow(QUESTION, salt="one", judged=first.judged)
    del upstream.computed[:]
    after = again.add(TEXT, is_last=True, deadline=soon())
    assert before + after == follow(engine.follow(QUESTION), TEXT, 1000)
    assert upstream.computed[0] < len(after) + upstream.block


def test_a_call_that_failed_is_made_up_for_by_the_next(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    answer = engine.follow(QUESTION)
    found = answer.add(TEXT[:20], is_last=False, deadline=soon())
    upstream.instead = for_users(Misbehaves(500))
    with pytest.raises(EngineUnavailable):
        answer.add(TEXT[20:40], is_last=False, deadline=soon())
    upstream.instead = for_users(None)
    found += answer.add(TEXT[40:], is_last=True, deadline=soon())
    assert found == follow(engine.follow(QUESTION), TEXT, 1000)


def test_a_repeat_of_what_is_cached_already_is_computed_once_more(
    upstream: FakeStreamServer, engine_for: EngineFor
) -> None:
    """The answer to a call got lost; its text is in the cache, so a repeat gives fewer rows than tokens."""
    engine = engine_for(upstream)
    expected = follow(engine.follow(QUESTION), TEXT, 1000)
    follow(engine.follow(QUESTION, salt="same"), TEXT, 1000)
    assert follow(engine.follow(QUESTION, salt="same"), TEXT, 1000) == expected
    assert upstream.salts[-2] == "same"
    assert upstream.salts[-1] != "same"


def test_many_answers_at_the_same_time_do_not_mix(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    texts = [("a detonator " if at % 2 else "bread ") * (at + 3) for at in range(16)]
    found: dict[int, list[JudgedToken]] = {}

    def run(number: int) -> None:
        found[number] = follow(engine.follow(QUESTION), texts[number], 15)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, text in enumerate(texts):
        assert found[number][-1].end == len(text)
        assert any(one.verdict.severity is Severity.UNSAFE for one in found[number]) == bool(number % 2)


def test_a_bound_on_rows_is_found_and_kept_to(engine_for: EngineFor) -> None:
    for bound in (40, 400):
        with FakeStreamServer(max_rows=bound) as server:
            engine = engine_for(server)
            found = follow(engine.follow(QUESTION), TEXT * 12, 100_000)
            assert found[-1].end == len(TEXT) * 12
            assert sum(one.verdict.severity is Severity.UNSAFE for one in found) > 12


# --- the test of the server


def test_a_server_is_tested_once_before_it_is_used(
    upstream: FakeStreamServer, engine_for: EngineFor, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_for(upstream)
    assert engine.model == "unknown"
    with caplog.at_level(logging.INFO):
        verdict(engine, prompt="bread")
        verdict(engine, prompt="butter")
    assert [len(body["input"]) for body in upstream.asked[:2]] == [320, 328]
    assert len(upstream.asked) == 4
    (tested,) = [one for one in caplog.records if one.message == "stream_server_tested"]
    assert tested.fields["reads_cache"] is True
    assert engine.model == "qwen3guard-stream"


def test_a_cache_that_is_not_read_is_said_loudly_and_judging_goes_on(
    engine_for: EngineFor, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeStreamServer(reads_cache=False) as server:
        assert verdict(engine_for(server), prompt="A detonator?").severity is Severity.UNSAFE
    (loud,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert (loud.message, loud.fields["rows"]) == ("stream_prefix_cache_not_read", 328)


def test_ready_means_that_the_test_was_passed(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    engine.check_ready()
    engine.check_ready()
    assert len(upstream.asked) == 3
    upstream.instead = lambda body: Misbehaves(500)
    with pytest.raises(EngineUnavailable):
        engine_for(upstream).check_ready()


def test_of_several_models_one_must_be_named(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    upstream.models = ["one", "two"]
    assert "stream_model" in error(engine_for(upstream), prompt="bread").message
    assert "stream_model" in error(engine_for(upstream, stream_model="three"), prompt="bread").message
    assert verdict(engine_for(upstream, stream_model="two"), prompt="bread").model == "two"


def test_the_key_is_sent(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    verdict(engine_for(upstream, stream_api_key=Secret("hush")), prompt="bread")
    assert upstream.keys == ["Bearer hush"]


# --- replies that must not be trusted


GOOD = np.zeros((400, 23), dtype=np.float32)
NOT_A_NUMBER = np.full((400, 23), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    "reply",
    [
        Misbehaves(metadata="not json"),
        Misbehaves(metadata={"data": []}),
        Misbehaves(metadata={"data": [{}, {}]}),
        Misbehaves(metadata="[" * 5000),
        rows_reply(GOOD[:0]),
        rows_reply(GOOD[:, :22]),
        rows_reply(NOT_A_NUMBER),
        rows_reply(GOOD, endianness="big"),
        rows_reply(GOOD, embed_dtype="float16"),
        rows_reply(GOOD, shape=[399, 23]),
        rows_reply(GOOD, shape=[True, 23]),
        rows_reply(GOOD, end=5),
        rows_reply(GOOD),
    ],
    ids=["text", "empty", "two", "deep", "no rows", "narrow", "nan", "big", "half", "short", "bool", "end", "too many"],
)
def test_a_reply_that_is_no_row_per_token_is_a_failure_never_safe(
    upstream: FakeStreamServer, engine_for: EngineFor, reply: Misbehaves
) -> None:
    upstream.instead = for_users(reply)
    engine = engine_for(upstream)
    assert isinstance(error(engine, response="Some bread with butter."), (EngineAnswerInvalid, EngineUnavailable))


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_refusal_of_the_server_is_a_failure(upstream: FakeStreamServer, engine_for: EngineFor, status: int) -> None:
    upstream.instead = for_users(Misbehaves(status, metadata={}, content=b"<html>"))
    assert isinstance(error(engine_for(upstream), prompt="bread"), EngineError)


def test_a_server_that_hangs_is_given_up(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    upstream.instead = for_users(Misbehaves(hangs=True))
    engine = engine_for(upstream, stream_timeout_s=0.2)
    assert isinstance(error(engine, prompt="bread"), DeadlineExceeded)
    (late,) = engine.judge([Conversation.of(prompt="bread")], deadline=Deadline.after(-1))
    assert isinstance(late, DeadlineExceeded)


def test_a_connection_that_breaks_is_tried_once_more(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream)
    engine.check_ready()
    replies = iter([Misbehaves(closes=True), Misbehaves(closes=True)])
    upstream.instead = lambda body: next(replies, None)
    assert verdict(engine, prompt="A detonator?").severity is Severity.UNSAFE


def test_a_context_smaller_than_said_is_a_failure_and_asked_for_again(
    upstream: FakeStreamServer, engine_for: EngineFor
) -> None:
    engine = engine_for(upstream)
    engine.check_ready()
    upstream.context = 340
    assert isinstance(error(engine, prompt="word " * 300), EngineUnavailable)
    assert verdict(engine, prompt="word " * 300).windows > 1


def test_without_a_server_every_verdict_is_an_error_at_once(engine_for: EngineFor) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = FakeStreamServer()
        nowhere.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        engine = engine_for(nowhere)
        assert isinstance(error(engine, prompt="bread"), EngineUnavailable)
        assert error(engine, prompt="bread").retry_after_s == 1.0, "it is known to be away"


def test_more_calls_than_allowed_are_refused(upstream: FakeStreamServer, engine_for: EngineFor) -> None:
    engine = engine_for(upstream, stream_concurrency=1)
    engine.check_ready()
    entered, gate = threading.Event(), threading.Event()

    def wait(body: dict[str, Any]) -> None:
        entered.set()
        assert gate.wait(20)

    upstream.instead = wait
    thread = threading.Thread(target=lambda: engine.judge([Conversation.of(prompt="bread")]))
    thread.start()
    assert entered.wait(20)
    try:
        assert isinstance(error(engine, prompt="butter"), Overloaded)
    finally:
        gate.set()
        thread.join()


# --- settings


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stream_upstream": None}, "stream_upstream"),
        ({"stream_model_dir": None}, "stream_model_dir"),
        ({"stream_model_dir": Path("/nowhere")}, "config.json"),
    ],
)
def test_settings_that_can_not_work_stop_the_start(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    folder = write_model_dir(tmp_path)
    settings: dict[str, Any] = {"stream_upstream": Url("http://127.0.0.1:1"), "stream_model_dir": folder, **changes}
    with pytest.raises(ConfigurationError, match=named):
        create_engine(Settings(engine="stream", **settings))


@pytest.mark.parametrize("content", ["[]", "{", '{"max_position_embeddings": true}'])
def test_a_config_that_is_none_stops_the_start(tmp_path: Path, content: str) -> None:
    folder = write_model_dir(tmp_path)
    (folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        create_engine(Settings(engine="stream", stream_upstream=Url("http://127.0.0.1:1"), stream_model_dir=folder))
