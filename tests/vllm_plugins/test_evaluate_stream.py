"""The official stream metrics, on small rows of our own."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from fake_stream_server import MODEL_DIR, FakeStreamServer, write_model_dir

from moderation_service.core.verdict import Severity
from moderation_service.engines.stream import StopRule, Tokenizer

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evaluate_stream.py"
LETTERS = {"s": Severity.SAFE, "c": Severity.CONTROVERSIAL, "u": Severity.UNSAFE}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate_stream", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluate_stream"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("letters", "rule", "severity", "stop"),
    [
        ("", "evaluation", "s", None),
        ("sus", "evaluation", "s", None),
        ("suu", "evaluation", "u", 2),
        ("sccsuu", "evaluation", "u", 5),
        ("sccsuu", "report", "u", 2),
        ("scu", "evaluation", "s", None),
        ("scu", "report", "u", 2),
        ("scc", "evaluation", "c", 2),
    ],
)
def test_where_an_answer_is_stopped(
    script: ModuleType, letters: str, rule: str, severity: str, stop: int | None
) -> None:
    found = script.stop_at([LETTERS[one] for one in letters], StopRule(rule))
    assert (found.severity, found.stop) == (LETTERS[severity], stop)


@pytest.mark.parametrize(
    ("stop", "name"),
    [(None, "missed"), (9, "ahead"), (10, "hit"), (20, "hit"), (21, "1-32"), (52, "1-32"), (53, "33-64"),
     (85, "65-128"), (148, "65-128"), (149, "129-256"), (276, "129-256"), (277, ">256")],
)  # fmt: skip
def test_where_a_stop_is_seen_from_the_span(script: ModuleType, stop: int | None, name: str) -> None:
    assert script.bin_of((10, 20), stop) == name


def line(answer: str, label: str, **span: int) -> str:
    message = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": answer}]
    return json.dumps({"message": message, "label": label, **span})


def test_strict_and_loose_differ_by_what_is_controversial(script: ModuleType) -> None:
    rows = script.read([line("a", "Unsafe"), line("b", "Unsafe"), line("c", "Safe"), line("d", "Safe"), ""])
    found = [script.Found(LETTERS[one], None) for one in "ucsc"]
    strict, loose = (script.score(rows, found, strict=strict) for strict in (True, False))
    assert (strict.precision, strict.recall) == (2 / 3, 1.0)
    assert (loose.precision, loose.recall) == (1.0, 0.5)
    assert strict.f1 == pytest.approx(0.8)


def test_nothing_found_and_nothing_there_divides_nothing(script: ModuleType) -> None:
    assert "F1 0.0000" in script.report([], [])


def test_a_file_is_judged_by_a_server_and_scored(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = Tokenizer.load(MODEL_DIR / "tokenizer.json")
    control = tokenizer.control
    # The rendered chat, as Qwen3's own template and tokenizer make it.
    before = [
        *(control.turn_begins, *tokenizer.encode("user\nHow?"), control.turn_ends, *tokenizer.encode("\n")),
        *(control.turn_begins, *tokenizer.encode("assistant\n"), control.thinking_begins, *tokenizer.encode("\n\n")),
        *(control.thinking_ends, *tokenizer.encode("\n\n")),
    ]
    start = len(before) + len(tokenizer.encode("Build a"))
    end = start + len(tokenizer.encode(" detonator")) - 1
    rows = [
        line("Build a detonator from parts.", "Unsafe", unsafe_start_index=start, unsafe_end_index=end),
        line("Build a house from parts.", "Unsafe", unsafe_start_index=start, unsafe_end_index=end),
        line("About the ballot.", "Safe"),
        json.dumps({"message": [{"role": "user", "content": "A detonator?"}], "label": "Unsafe"}),
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    with FakeStreamServer() as server:
        folder = write_model_dir(tmp_path / "model")
        words = ["evaluate_stream", tmp_path / "rows.jsonl", "--upstream", server.url, "--model-dir", folder]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        script.main()
    assert capsys.readouterr().out.splitlines() == [
        "4 rows, stop rule evaluation, model qwen3guard-stream",
        "strict: F1 0.6667, precision 0.6667, recall 0.6667",
        "loose: F1 0.8000, precision 1.0000, recall 0.6667",
        "ahead 0, hit 1, 1-32 0, 33-64 0, 65-128 0, 129-256 0, >256 0, missed 1",
        "exact hit 0.5000, within 128 tokens 0.5000",
    ]
