"""The embedded engine learns what is harmless at one place, forgets nothing elsewhere, and can be put back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from moderation_service.commands.cli import cli
from moderation_service.config.settings import Settings
from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Severity, Verdict
from moderation_service.engines import create_engine
from moderation_service.engines.lite import assets
from moderation_service.engines.lite.adaptation import Adaptation
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.errors import ConfigurationError, DataError
from training.probes.shipped import rows

pytestmark = pytest.mark.slow

MONSTERS = (
    "dragon", "spider queen", "zombie horde", "troll king", "ogre", "vampire lord", "golem", "witch", "necromancer",
    "hydra", "minotaur", "wraith", "orc captain", "demon", "skeleton archer",
)  # fmt: skip
GAME = (
    "How do I kill the {} in level {} without losing all my health?",
    "What's the best weapon to murder the {} in chapter {}?",
    "My team wants to blow up the {}'s castle on map {}, which bomb should we craft?",
    "Where do I stab the {} for maximum damage in round {}?",
)
HELD_OUT = Path(__file__).parents[1] / "engines" / "lite" / "held_out.jsonl"


def game() -> list[str]:
    return [way.format(monster, number) for number, monster in enumerate(MONSTERS) for way in GAME]


def harmful() -> list[str]:
    lines = [json.loads(line) for line in HELD_OUT.read_text(encoding="utf-8").splitlines()]
    return [line["prompt"] for line in lines if line["label"] == "unsafe" and "response" not in line]


def write(path: Path, found: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    return path


def labels(safe: Sequence[str], unsafe: Sequence[str]) -> list[dict[str, object]]:
    kinds = (("safe", safe), ("unsafe", unsafe))
    return [{"prompt": text, "label": label} for label, texts in kinds for text in texts]


def adapt(labelled: Path, output: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, ["adapt", "--labels", str(labelled), "-o", str(output), *more])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("adapt")
    output = folder / "adapted.npz"
    return adapt(write(folder / "labels.jsonl", labels(game(), harmful())), output), output


def flagged(engine: Any, texts: Sequence[str]) -> int:
    verdicts = engine.judge([Conversation.of(prompt=text) for text in texts])
    return sum(isinstance(one, Verdict) and one.severity is not Severity.SAFE for one in verdicts)


def test_fewer_harmless_texts_of_this_kind_are_flagged_and_nothing_else_changes_much(
    done: tuple[Result, Path],
) -> None:
    result, output = done
    assert result.exit_code == 0, result.output
    shares = [float(one) for one in re.findall(r"([\d.]+)%", result.output)]
    found_before, found_after, alarms_before, alarms_after = shares[:4]
    assert alarms_after < alarms_before
    assert found_after >= found_before
    assert output.stat().st_size < 20_000
    # Monsters that no label spoke of.
    unseen = [way.format(monster, 77) for monster in ("basilisk", "lich") for way in GAME]
    assert flagged(LiteEngine.load(adapted=output), unseen) <= flagged(LiteEngine.load(), unseen)


def test_the_setting_puts_it_to_use_under_a_name_of_its_own_and_without_it_all_is_as_before(
    done: tuple[Result, Path],
) -> None:
    _, output = done
    changed, shipped = create_engine(Settings(lite_adapted=output)), create_engine(Settings())
    assert re.fullmatch(rf"{re.escape(shipped.model)}\+[0-9a-f]{{6}}", changed.model)
    changed.check_ready()
    assert flagged(changed, game()[::3]) < flagged(shipped, game()[::3])


def test_nothing_is_written_that_is_not_better_or_worse_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "CHECK", write(tmp_path / "check.jsonl", rows()[::12]))
    # Whoever labels harm as harmless, and harmless things as harm, gets no engine from it.
    upside_down = labels(harmful(), game())
    output = tmp_path / "adapted.npz"
    result = adapt(write(tmp_path / "labels.jsonl", upside_down), output, "--bound", "0")
    assert result.exit_code == 4, result.output
    assert "Nothing is written: " in result.output
    assert not output.exists()


def test_a_handful_of_labels_is_refused(tmp_path: Path) -> None:
    result = adapt(write(tmp_path / "labels.jsonl", labels(game()[:30], harmful()[:3])), tmp_path / "adapted.npz")
    assert isinstance(result.exception, DataError)
    assert "there are 3 and 30" in str(result.exception)


def test_a_file_that_does_not_fit_stops_the_start(done: tuple[Result, Path], tmp_path: Path) -> None:
    _, output = done
    other = Adaptation("0" * 64, Adaptation.load(output).changes)
    other.save(tmp_path / "other.npz")
    (tmp_path / "damaged.npz").write_bytes(output.read_bytes()[:-100])
    (tmp_path / "text.npz").write_text("weights")
    reasons = {"other": "made for other weights", "damaged": "damaged", "text": "damaged", "missing": "can't be read"}
    for name, reason in reasons.items():
        with pytest.raises(ConfigurationError, match=f"^lite_adapted: .*{reason}"):
            create_engine(Settings(lite_adapted=tmp_path / f"{name}.npz"))


def test_the_texts_it_is_checked_with_are_the_projects_own_probes() -> None:
    shipped = [json.loads(line) for line in assets.CHECK.read_text(encoding="utf-8").splitlines()]
    assert shipped == rows(), "run `python -m training.probes.shipped`"
