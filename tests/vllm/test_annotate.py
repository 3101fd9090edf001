"""A data set labelled by a real vLLM, by the command as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import servers

pytestmark = pytest.mark.vllm
DATA = servers.tiny_guard_data()


@pytest.fixture(scope="module")
def vllm() -> Iterator[servers.ModelServer]:
    with servers.vllm().running() as one:
        yield one


def labelled(folder: Path, vllm: servers.ModelServer, *words: str) -> list[dict[str, Any]]:
    output = folder / f"out{'-'.join(words)}.jsonl"
    command = [sys.executable, "-m", "moderation_service", "annotate", str(folder / "in.jsonl"), "-o", str(output)]
    key = {"MODERATION_UPSTREAM_API_KEY": servers.KEY}
    subprocess.run([*command, "--upstream", vllm.url, *words], env={**os.environ, **key}, check=True, timeout=300)
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def test_a_real_guard_labels_every_row_and_its_quick_word_is_the_same(
    vllm: servers.ModelServer, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [{"want": "safe", "prompt": text} for text in DATA.SAFE[:20]]
    for texts in DATA.CATEGORIES.values():
        rows += [{"want": "unsafe", "prompt": text} for text in texts[:2]]
    rows.append({"want": "safe", "prompt": DATA.SAFE[0], "response": DATA.REFUSE[0]})
    rows.append({"want": "unsafe", "prompt": DATA.long_text(200, seed=3, category="Violent")})
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    full = labelled(tmp_path, vllm)
    quick = labelled(tmp_path, vllm, "--detail", "severity")
    assert [row["guard_error"] for row in full + quick] == [None] * 2 * len(rows)
    assert [row["guard_safety"] for row in quick] == [row["guard_safety"] for row in full]
    right = sum(row["guard_safety"] == row["want"] for row in full)
    assert right >= 0.9 * len(rows)
    assert {row["guard_model"] for row in full} == {"qwen3guard"}
    assert full[-2]["guard_refusal"] is True
    # The long one was judged in pieces, and the place is told.
    assert full[-1]["guard_safety"] == "unsafe"
    assert full[-1]["guard_span"]["end"] <= len(rows[-1]["prompt"])
    for row in full:
        shares = [row[f"guard_p_{name}"] for name in ("safe", "controversial", "unsafe")]
        assert sum(shares) == pytest.approx(1.0, abs=1e-4)
