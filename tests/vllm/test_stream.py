"""Qwen3Guard-Stream on real vLLM with our plugin: every row is the oracle's, whatever is cached, split or at once."""

from __future__ import annotations

import io
import itertools
import json
import random
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moderation_service.config.settings import Secret, Settings, Url
from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Target, Verdict
from moderation_service.engines import create_engine
from moderation_service.engines.stream import StreamEngine
from moderation_service.engines.stream.labels import Labels, Rows
from moderation_service.engines.stream.server import Checkpoint, Facts, StreamServer
from moderation_service.engines.stream.tokenizer import Tokenizer
from moderation_service.upstream.client import Client

from . import servers

pytestmark = pytest.mark.vllm

SCRIPTS = servers.ROOT / "tests" / "vllm_plugins"
VOCABULARY = 1100
MAX_ROWS = 512
HEADS = ((0, 3), (3, 11), (11, 14), (14, 23))
Texts = Mapping[str, list[int]]
AskOracle = Callable[[Texts], Mapping[str, Rows]]


def python(*arguments: object, text: bytes = b"") -> bytes:
    """Run a script in vLLM's environment, which has torch."""
    command = [str(servers.venv(".venv-vllm") / "bin" / "python"), *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout


def oracle(checkpoint: Path) -> AskOracle:
    def ask(texts: Texts) -> Mapping[str, Rows]:
        answer = python(SCRIPTS / "oracle.py", checkpoint, text=json.dumps(texts).encode())
        with np.load(io.BytesIO(answer)) as found:
            return {name: found[name] for name in texts}

    return ask


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream") / "tiny"
    python(SCRIPTS / "make_checkpoint.py", folder)
    return folder


@pytest.fixture(scope="session")
def stream_server(checkpoint: Path) -> Iterator[servers.ModelServer]:
    with servers.stream(checkpoint, "--max-num-batched-tokens", "1024", max_rows=MAX_ROWS).running() as one:
        yield one


@pytest.fixture
def asked(stream_server: servers.ModelServer) -> Iterator[tuple[StreamServer, Facts]]:
    """Our client, and what it found out about the server."""
    client = Client(stream_server.url, api_key=Secret(servers.KEY), pool_size=64, connect_timeout_s=5)
    one = StreamServer(client, model=None, checkpoint=Checkpoint(23, 8192, VOCABULARY))
    yield one, one.facts(timeout_s=60)
    one.close()


def ids(count: int, seed: object) -> list[int]:
    rng = random.Random(str(seed))
    return [rng.randrange(VOCABULARY) for _ in range(count)]


def grown(asked: tuple[StreamServer, Facts], text: list[int], sizes: list[int]) -> Rows:
    """The rows of a text that grows by these sizes in turn, in calls of one conversation."""
    server, facts = asked
    salt, at, parts = secrets.token_hex(16), 0, []
    for size in itertools.cycle(sizes):
        end = min(at + size, len(text))
        parts.append(server.rows(text[:end], need=end - at, salt=salt, facts=facts, timeout_s=lambda: 120.0))
        at = end
        if at == len(text):
            return np.concatenate(parts)
    raise AssertionError("no sizes")


def wrong(rows: Rows, expected: Rows) -> tuple[float, int]:
    """The largest difference, and in how many rows a head's label is another one."""
    assert rows.shape == expected.shape
    other = np.zeros(len(rows), dtype=bool)
    for low, high in HEADS:
        other |= rows[:, low:high].argmax(axis=1) != expected[:, low:high].argmax(axis=1)
    return float(np.abs(rows - expected).max()), int(other.sum())


def test_the_oracle_agrees_with_itself_in_one_pass_and_in_chunks(checkpoint: Path) -> None:
    found = json.loads(python(SCRIPTS / "oracle.py", checkpoint, "--self-check"))
    assert found["argmax_equal"]
    assert found["largest_difference"] < 1e-3


def test_the_server_gives_the_oracles_rows_cold_and_grown(
    checkpoint: Path, asked: tuple[StreamServer, Facts], tmp_path: Path
) -> None:
    cases = {"cold": [1500], "by 8": [8], "by 32": [32], "by 1": [1], "uneven": [1, 3, 40, 200]}
    texts = {name: ids(150 if name == "by 1" else 1500, name) for name in cases}
    expected = oracle(checkpoint)(texts)
    found = {name: grown(asked, texts[name], sizes) for name, sizes in cases.items()}
    for name in cases:
        largest, labels = wrong(found[name], expected[name])
        print(f"{name}: {len(texts[name])} rows, largest difference {largest:.1e}, {labels} other labels")
        assert largest < 1e-3
        assert labels == 0
    other = tmp_path / "other"
    python(SCRIPTS / "make_checkpoint.py", other, "--seed", 1)
    largest, labels = wrong(found["cold"], oracle(other)(texts)["cold"])
    assert largest > 1
    assert labels > 100, "the comparison would notice another model"


def test_thirty_two_streams_at_once_get_no_wrong_row(checkpoint: Path, asked: tuple[StreamServer, Facts]) -> None:
    streams, steps = 32, 63
    texts = {str(number): ids(64 + 8 * steps, f"stream {number}") for number in range(streams)}
    expected = oracle(checkpoint)(texts)
    found: dict[str, Rows] = {}
    calls = itertools.count()
    server, facts = asked

    def run(name: str) -> None:
        salt, parts = secrets.token_hex(16), []
        for end in range(64, len(texts[name]) + 1, 8):
            need = 64 if end == 64 else 8
            parts.append(server.rows(texts[name][:end], need=need, salt=salt, facts=facts, timeout_s=lambda: 120.0))
            next(calls)
        found[name] = np.concatenate(parts)

    threads = [threading.Thread(target=run, args=(name,)) for name in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    judged = [wrong(found[name], expected[name]) for name in texts]
    count = next(calls)
    print(f"{count} calls, largest difference {max(one for one, _ in judged):.1e}")
    assert count >= 2000
    assert max(one for one, _ in judged) < 1e-3
    assert sum(labels for _, labels in judged) == 0


def test_a_call_computes_the_new_tokens_and_less_than_a_block(asked: tuple[StreamServer, Facts]) -> None:
    server, facts = asked
    assert facts.reads_cache
    text, salt = ids(7900, "long"), secrets.token_hex(16)
    server.rows(text[:7000], need=1, salt=salt, facts=facts, timeout_s=lambda: 120.0)
    rows = server._call(text[:7008], salt, facts.model, 120.0)
    assert 8 <= len(rows) < 8 + 32


def test_the_bound_on_rows_is_learned_and_kept_to(checkpoint: Path, asked: tuple[StreamServer, Facts]) -> None:
    server, facts = asked
    text = ids(MAX_ROWS * 2 + 50, "bound")
    rows = server.rows(text, need=len(text), salt=secrets.token_hex(16), facts=facts, timeout_s=lambda: 120.0)
    assert wrong(rows, oracle(checkpoint)({"bound": text})["bound"])[1] == 0
    assert server.known_facts is not None
    assert server.known_facts.max_rows == MAX_ROWS


@pytest.fixture
def engine(stream_server: servers.ModelServer, checkpoint: Path) -> Iterator[StreamEngine]:
    settings = Settings(
        engine="stream",
        stream_upstream=Url(stream_server.url),
        stream_model_dir=checkpoint,
        stream_api_key=Secret(servers.KEY),
        stream_timeout_s=60.0,
    )
    one = create_engine(settings)
    assert isinstance(one, StreamEngine)
    yield one
    one.close()


def test_text_becomes_the_verdicts_of_the_oracles_rows(checkpoint: Path, engine: StreamEngine) -> None:
    """From text to verdicts, with the chat form spelled out by hand."""
    tokenizer = Tokenizer.load(checkpoint / "tokenizer.json")
    labels = Labels.from_config(json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
    control = tokenizer.control
    prompt = [control.turn_begins, *tokenizer.encode("user\nHow do I 做 bread? 🍞"), control.turn_ends]
    between = [
        *(*tokenizer.encode("\n"), control.turn_begins, *tokenizer.encode("assistant\n")),
        *(control.thinking_begins, *tokenizer.encode("\n\n"), control.thinking_ends, *tokenizer.encode("\n\n")),
    ]
    text = "Mix flour, water and salt. 然后等一小时。 Then bake it 🎉 for 40 minutes."
    answer = tokenizer.encode(text)
    rows = oracle(checkpoint)({"all": [*prompt, *between, *answer]})["all"]

    (found,) = engine.judge([Conversation.of(prompt="How do I 做 bread? 🍞")])
    assert isinstance(found, Verdict)
    (expected,) = labels.read(rows[len(prompt) - 1 : len(prompt)], Target.PROMPT)
    assert found.severity is expected.severity
    assert found.scores is not None
    assert found.scores.unsafe == pytest.approx(expected.scores.unsafe, abs=1e-3)

    following = engine.follow(Conversation.of(prompt="How do I 做 bread? 🍞").messages)
    judged = []
    for at in range(0, len(text), 5):
        judged += following.add(text[at : at + 5], is_last=at + 5 >= len(text), deadline=Deadline.after(60))
    by_oracle = labels.read(rows[len(prompt) + len(between) :], Target.RESPONSE)
    assert [one.verdict.severity for one in judged] == [one.severity for one in by_oracle]
    assert [one.verdict.category for one in judged] == [one.category for one in by_oracle]
    assert [one.verdict.scores.unsafe for one in judged] == pytest.approx(
        [one.scores.unsafe for one in by_oracle], abs=1e-3
    )


@pytest.mark.parametrize(
    ("change", "tensor", "complaint"),
    [
        ("--without", "query_category_head.weight", "query_category_head.weight"),
        ("--with", "toxicity_head.weight", "toxicity_head"),
    ],
)
def test_a_checkpoint_with_a_missing_or_an_extra_head_is_refused(
    tmp_path: Path, change: str, tensor: str, complaint: str
) -> None:
    python(SCRIPTS / "make_checkpoint.py", tmp_path / "broken", change, tensor)
    one = servers.stream(tmp_path / "broken")
    one.start()
    try:
        with pytest.raises(RuntimeError, match="did not start"):
            one.wait_until_healthy()
        one.log.seek(0)
        assert complaint in one.log.read().decode(errors="replace")
    finally:
        one.stop()


def test_the_genuine_vocabulary_grows_without_a_wrong_token(tmp_path: Path) -> None:
    """Qwen3's whole vocabulary, against Hugging Face's tokenizer, on text in many scripts cut at random."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import build_tokenizer; "
        "build_tokenizer.build('full').save(sys.argv[2])"
    )
    python("-c", script, servers.TINY_GUARD, tmp_path / "tokenizer.json")
    sys.path.insert(0, str(servers.ROOT / "tests" / "engines" / "stream"))
    try:
        import test_growing_text as properties
    finally:
        sys.path.pop(0)
    source: dict[str, Any] = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    reference = properties.HuggingFaceTokenizer.from_str(json.dumps({**source, "added_tokens": []}))
    rng = random.Random(7)
    longest_wait = 0
    for text in [*properties.TEXTS, " ".join(properties.TEXTS)]:
        whole = reference.encode(text).ids
        for _ in range(20):
            growing, found, at = properties.GrowingText(tokenizer), [], 0
            while at < len(text):
                size = rng.choice([1, 1, 2, 5, 20])
                found += growing.append(text[at : at + size])
                at = min(at + size, len(text))
                assert [token.id for token in found] == whole[: len(found)]
                if "a" * 20 not in text:
                    longest_wait = max(longest_wait, at - (found[-1].end if found else 0))
            found += growing.finish()
            assert [token.id for token in found] == whole
    print(f"longest wait: {longest_wait} characters")
    assert longest_wait < 40
