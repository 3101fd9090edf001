"""The command `calibrate`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .judging_options import files_argument, in_flight_option, row_options
from .options import CONTEXT, load, setting_options

if TYPE_CHECKING:
    from ..config.settings import Settings
    from ..core.conversation import Conversation
    from ..core.engine import Engine
    from ..core.verdict import Verdict
    from ..errors import ModerationError

__all__ = ["calibrate_command"]

_SETTINGS = (
    "default_policy", "policies_file", "upstreams", "upstream_model", "upstream_dialect", "upstream_context_tokens",
    "small_upstreams", "small_upstream_model", "small_upstream_dialect", "small_upstream_context_tokens",
)  # fmt: skip
# As in `eval`: a server with hundreds of questions in its queue is late with each.
_DEADLINE_S, _TIMEOUT_S = 300.0, 120.0
_SPARE_SLOTS = 32
_FEW = 200


@click.command("calibrate", context_settings=CONTEXT)
@files_argument
@click.option(
    "--agreement",
    type=click.FloatRange(0.5, 1.0),
    default=0.99,
    show_default=True,
    help="The share of texts on which the cascade must say what the larger model says.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@row_options
@in_flight_option
@setting_options(*_SETTINGS)
def calibrate_command(
    files: tuple[Path, ...],
    agreement: float,
    as_json: bool,
    in_flight: int,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Find the bounds of the engine cascade for your two models, from the texts in FILEs.

    Both models judge every text. The bounds are chosen on one half of the texts and reported on the other. Labels are
    not needed; use texts like those of your users, at least some hundred for prompts and for responses each.
    """
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    from ..data.dataset import open_dataset
    from ..data.evaluation.cascade import Pair, calibrated
    from ..errors import DataError
    from .stored import policies_of

    reading = {name: given.pop(name) for name in ("row_format", "fields", "judge")}
    dataset = open_dataset([str(file) for file in files], **reading)
    settings = load(config_file, given).settings
    policies = policies_of(settings)
    slots = max(settings.upstream_concurrency, in_flight + _SPARE_SLOTS)
    settings = dataclasses.replace(settings, upstream_concurrency=slots, upstream_timeout_s=_TIMEOUT_S)
    asked, skipped = _conversations(dataset)
    if not as_json:
        click.echo(f"{dataset.describe()}; {len(asked)} different texts, {skipped} that can't be judged", err=True)
    (small, small_verdicts), (large, large_verdicts) = _verdicts(settings, asked, in_flight)
    both = zip(asked, small_verdicts, large_verdicts, strict=True)
    pairs = [
        Pair.of(conversation, one, other)
        for conversation, one, other in both
        if not isinstance(one, Exception) and not isinstance(other, Exception)
    ]
    targets = calibrated(pairs, agreement=agreement, policies=policies)
    if not targets:
        raise DataError("There are too few texts that both models judged: bounds need some for each half.")
    document = {
        "small": small,
        "large": large,
        "wanted_agreement": agreement,
        "judged": len(pairs),
        "errors": len(asked) - len(pairs),
        "targets": targets,
    }
    click.echo(json.dumps(document, indent=2) if as_json else _text(document))


def _conversations(dataset: Any) -> tuple[list[Conversation], int]:
    """The different texts, and how many rows have none."""
    from ..core.conversation import Conversation
    from ..data.dataset import read_rows
    from ..data.files import Unreadable
    from ..data.window import question_key

    found: dict[bytes, Conversation] = {}
    skipped = 0
    for row in read_rows(dataset):
        asked = [] if isinstance(row, Unreadable) else [one.conversation for one in row.asked]
        texts = [one for one in asked if isinstance(one, Conversation)]
        skipped += not texts
        found |= {question_key(one): one for one in texts}
    return list(found.values()), skipped


def _verdicts(
    settings: Settings, asked: Sequence[Conversation], in_flight: int
) -> list[tuple[str, list[Verdict | ModerationError]]]:
    """Of the small and of the large model: its name, and what it says of each text."""
    from ..engines.cascade import create_models

    found = []
    for engine in create_models(settings):
        with contextlib.closing(engine):
            engine.check_ready()
            verdicts = _judged(engine, asked, in_flight)
            found.append((engine.model, verdicts))
    return found


def _judged(engine: Engine, asked: Sequence[Conversation], in_flight: int) -> list[Verdict | ModerationError]:
    from ..data.window import JudgingWindow, WindowOptions

    with JudgingWindow(engine, WindowOptions(in_flight=in_flight, deadline_s=_DEADLINE_S)) as window:
        return window.judge(asked)


def _text(document: Any) -> str:
    """The report for people, with the lines for a policy file."""
    lines = [f"small {document['small']}, large {document['large']}; {document['errors']} texts without two verdicts"]
    for name, target in document["targets"].items():
        lines += ["", *_target_text(name, target, document["wanted_agreement"])]
    lines += ["", "For a policy:"]
    for name, target in document["targets"].items():
        bounds = target["bounds"]
        lines += [f"    {name}:", f"      cascade: {{safe: {bounds['safe']:g}, unsafe: {bounds['unsafe']:g}}}"]
    return "\n".join(lines)


def _target_text(name: str, target: Any, wanted: float) -> list[str]:
    shown, bounds = target["reported_on"], target["bounds"]
    low, high = shown["agreement_interval"]
    lines = [
        f"{name}s: safe from {bounds['safe']:g} on, unsafe from {bounds['unsafe']:g} on "
        f"(chosen on {target['chosen_on']['texts']} texts)",
        f"  on {shown['texts']} others: {shown['up']:.1%} go up, {shown['agreement']:.1%} agree "
        f"(95 % interval {low:.1%} to {high:.1%}); missed {shown['missed']}, too strict {shown['stricter']}; "
        f"the small model alone {shown['small_alone']:.1%}",
    ]
    if low < wanted:
        lines.append(f"  That shows at least {low:.1%}, not {wanted:.1%}: more texts make the interval smaller.")
    if shown["texts"] < _FEW:
        lines.append(f"  {shown['texts']} texts are few.")
    for policy, one in target["policies"].items():
        lines.append(f"  policy {policy}: {one['up']:.1%} go up, the same action for {one['agreement']:.1%}")
    for point in target["curve"]:
        lines.append(
            f"  for {point['wanted']:.1%}: safe {point['safe']:g}, unsafe {point['unsafe']:g}: "
            f"{point['up']:.1%} go up, {point['agreement']:.1%} agree"
        )
    return lines
