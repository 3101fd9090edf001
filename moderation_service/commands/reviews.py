"""The commands under `reviews`: what people said of decisions, for files and for policies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import CONTEXT, load, setting_options
from .stored import MOMENT, open_database, writing

if TYPE_CHECKING:
    from ..config.settings import Settings
    from ..core.verdict import Target
    from ..data.evaluation.suggestion import Suggestion
    from ..store.reviewed import Labelled

__all__ = ["reviews_group"]

_STORE = ("data_dir",)


@click.group("reviews", context_settings=CONTEXT)
def reviews_group() -> None:
    """What people said of decisions: labels, thresholds, how far reviewers agree."""


@reviews_group.command("export", context_settings=CONTEXT)
@click.option("--since", type=MOMENT, default="30d", show_default=True, help="From when on: 12h, 7d, or a date.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="File to write to.")
@setting_options(*_STORE)
def export(since: int, output: Path | None, config_file: Path | None, **given: Any) -> None:
    """Write reviewed texts with their labels as JSON lines, which eval and adapt read.

    Only texts that a policy keeps can be written; those whose reviewers name different severities are left out.
    """
    found = _labelled(load(config_file, given).settings, since)
    rows = [one.row for one in found if one.row is not None]
    with writing(output) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    click.echo(f"{len(rows)} labelled texts; of {len(found) - len(rows)} more the text was not kept", err=True)


@reviews_group.command("agreement", context_settings=CONTEXT)
@click.option("--since", type=MOMENT, default="30d", show_default=True, help="From when on: 12h, 7d, or a date.")
@setting_options(*_STORE)
def agreement(since: int, config_file: Path | None, **given: Any) -> None:
    """Print how far each two reviewers agree on the severity of texts that both answered, with Cohen's kappa."""
    from ..store.reviewed import reviewers_agreement
    from ..store.trail import now_ms

    with open_database(load(config_file, given).settings).read() as connection:
        found = reviewers_agreement(connection, since_ms=since, until_ms=now_ms() + 1)
    if not found:
        click.echo("No text has two answers yet.")
    for (first, second), one in found.items():
        kappa = "-" if one.kappa is None else f"{one.kappa:.2f}"
        click.echo(f"{first}, {second}: {one.agreed} of {one.texts} alike, kappa {kappa}")


@reviews_group.command("thresholds", context_settings=CONTEXT)
@click.option("--since", type=MOMENT, default="30d", show_default=True, help="From when on: 12h, 7d, or a date.")
@click.option("--target", type=click.Choice(["prompt", "response"]), help="Only for prompts, or for responses.")
@click.option("--precision", type=click.FloatRange(0, 1), default=0.0, help="The least share of right alarms.")
@click.option("--json", "as_json", is_flag=True, help="Print the suggestions as JSON.")
@setting_options(*_STORE)
def thresholds(
    since: int,
    target: str | None,
    precision: float,
    as_json: bool,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Suggest a policy's thresholds from reviewed texts, with the curve they rest on."""
    from ..core.verdict import Severity, Target
    from ..data.evaluation.suggestion import suggest

    wanted = None if target is None else Target(target)
    found = _scored(_labelled(load(config_file, given).settings, since), wanted)
    unsafe = suggest(
        [one.p_unsafe or 0.0 for one in found],
        [one.severity is Severity.UNSAFE for one in found],
        least_precision=precision,
    )
    controversial = suggest(
        [one.p_flagged or 0.0 for one in found],
        [one.severity is not Severity.SAFE for one in found],
        least_precision=precision,
    )
    named = {"unsafe": unsafe, "controversial": controversial}
    if as_json:
        shown = {name: None if one is None else one.to_json() for name, one in named.items()}
        click.echo(json.dumps(shown, indent=2))
        return
    for name, one in named.items():
        click.echo("\n".join(_lines(name, one)))


def _lines(name: str, found: Suggestion | None) -> Iterator[str]:
    if found is None:
        yield f"{name}: there are not reviewed texts of both kinds yet"
        return
    best = found.best
    if best is None:
        yield f"{name}: no threshold is as precise as that"
    else:
        yield f"thresholds: {{{name}: {found.setting}}}"
    weak = ", too few to rely on" if found.is_weak else ""
    yield f"  from {found.positives} texts to be found and {found.negatives} others{weak}"
    yield f"  {'threshold':>10} {'precision':>10} {'recall':>8} {'FPR':>8}"
    for point in found.curve:
        mark = "  <" if best is not None and point.threshold == best.threshold else ""
        right = "-" if point.precision is None else f"{point.precision:.3f}"
        yield f"  {point.threshold:>10.7g} {right:>10} {point.recall:>8.3f} {point.false_positive_rate:>8.3f}{mark}"


def _labelled(settings: Settings, since: int) -> list[Labelled]:
    from ..store.reviewed import labelled
    from ..store.trail import now_ms

    with open_database(settings).read() as connection:
        return list(labelled(connection, since_ms=since, until_ms=now_ms() + 1))


def _scored(found: Sequence[Labelled], target: Target | None) -> list[Labelled]:
    """Those that have scores, of that target."""
    return [one for one in found if one.p_unsafe is not None and target in (None, one.target)]
