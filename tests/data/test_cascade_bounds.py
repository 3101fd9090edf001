"""Bounds for a cascade: the best there are on the texts they are chosen on, and honest figures on others."""

from __future__ import annotations

import json
import random
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_guard_server import running
from fakes import verdict
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_guard import scored

from moderation_service.commands.cli import cli
from moderation_service.core.cascade import Sureness, why_up
from moderation_service.core.policy import Bounds
from moderation_service.core.verdict import Scores, Severity, Verdict
from moderation_service.data.evaluation.cascade import Pair, allowed_errors, chosen, reported

SAFE, CONTROVERSIAL, UNSAFE = Severity


def found(label: Severity, share: float) -> Verdict:
    rest = (1 - share) / 2
    return verdict(label, scores=Scores(**{one.value: share if one is label else rest for one in Severity}))


def pair(small: Severity, share: float, large: Severity) -> Pair:
    return Pair(found(small, share), verdict(large), True)


PAIRS = st.lists(
    st.builds(
        pair, st.sampled_from(Severity), st.sampled_from([0.4, 0.5, 0.6, 0.7, 0.8, 0.9]), st.sampled_from(Severity)
    ),
    min_size=1,
    max_size=12,
)


def decided(pairs: list[Pair], bounds: Bounds) -> list[Pair]:
    return [one for one in pairs if why_up(one.small, Sureness(), bounds) is None]


def errors(pairs: list[Pair], bounds: Bounds) -> int:
    return sum(one.small.severity is not one.large.severity for one in decided(pairs, bounds))


@settings(max_examples=60)
@given(pairs=PAIRS, agreement=st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_no_other_bounds_decide_more_with_so_much_agreement(pairs: list[Pair], agreement: float) -> None:
    bounds = chosen(pairs, agreement=agreement)
    allowed = allowed_errors(len(pairs), agreement)
    assert errors(pairs, bounds) <= allowed
    grid = [Bounds(safe, unsafe) for safe, unsafe in product([0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95], repeat=2)]
    best = max(len(decided(pairs, one)) for one in grid if errors(pairs, one) <= allowed)
    assert len(decided(pairs, bounds)) == best


def test_fewer_errors_are_allowed_than_are_to_be_expected() -> None:
    assert [allowed_errors(texts, 0.99) for texts in (50, 100, 400, 1000, 10_000)] == [0, 0, 2, 6, 90]
    assert allowed_errors(1000, 1.0) == 0


def test_the_side_on_which_the_small_model_errs_gets_the_stricter_bound() -> None:
    pairs = [pair(SAFE, 0.99, SAFE)] * 60 + [pair(SAFE, 0.8, UNSAFE)] * 10 + [pair(UNSAFE, 0.5, UNSAFE)] * 30
    bounds = chosen(pairs, agreement=0.99)
    assert (bounds.safe, bounds.unsafe) == (0.895, 0.42)
    shown = reported(pairs, bounds)
    assert (shown["went_up"], shown["missed"], shown["stricter"], shown["agreement"]) == (10, 0, 0, 1.0)
    low, high = shown["agreement_interval"]
    assert high == 1.0
    assert 0.95 < low < 0.97, "a hundred texts without an error show no more than that"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """600 prompts: both models agree but where the small one is not sure, and there it misses a third."""
    chance = random.Random(7)
    rows = []
    for number in range(600):
        share = chance.uniform(0.5, 1.0)
        is_wrong = share < 0.8 and chance.random() < 0.33
        small = f"{share:.4f},{(1 - share) / 2:.4f},{(1 - share) / 2:.4f}"
        rows.append({"prompt": f"{number} small={small} large={'0,0,1' if is_wrong else '1,0,0'}"})
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_command_finds_bounds_and_reports_them_on_other_texts(texts: Path) -> None:
    with running(scored("small")) as small, running(scored("large")) as large:
        asked = ["calibrate", str(texts), "--small-upstream", small.url, "--upstream", large.url, "--in-flight", "16"]
        done = CliRunner().invoke(cli, [*asked, "--json"])
        assert done.exit_code == 0, done.output
        shown = CliRunner().invoke(cli, asked)
    document = json.loads(done.stdout)
    prompt = document["targets"]["prompt"]
    assert (document["small"], document["large"], document["judged"]) == ("small", "large", 600)
    assert 0.75 < prompt["bounds"]["safe"] < 0.82
    assert prompt["chosen_on"]["texts"] + prompt["reported_on"]["texts"] == 600
    assert prompt["reported_on"]["agreement"] >= 0.98
    assert prompt["reported_on"]["up"] < 0.65
    assert set(prompt["policies"]) == {"strict", "balanced", "loose"}
    assert f"cascade: {{safe: {prompt['bounds']['safe']:g}, unsafe:" in shown.stdout
    assert "95 % interval" in shown.stdout


def test_without_one_of_the_models_the_command_says_what_is_missing(texts: Path) -> None:
    done = CliRunner().invoke(cli, ["calibrate", str(texts)])
    assert "small_upstreams" in str(done.exception)
