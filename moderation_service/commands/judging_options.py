"""Options of the commands that judge rows: how these are read, how many are asked at once, what must be reached."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..data.evaluation.gates import Gate

__all__ = [
    "end",
    "fields_option",
    "files_argument",
    "gates",
    "guard_options",
    "in_flight_option",
    "limits_options",
    "row_options",
    "set_gates",
]

EXIT_NOTHING_JUDGED = 1
EXIT_LIMIT = 4

_F = TypeVar("_F", bound=Callable[..., Any])
_FORMATS = ("messages", "sharegpt", "alpaca", "prompt-response", "text")
_JUDGED = ("last", "prompt", "response")


def files_argument(function: _F) -> _F:
    """The files that are read; - is standard input."""
    return click.argument(
        "files",
        metavar="FILE...",
        type=click.Path(path_type=Path, exists=True, allow_dash=True),
        nargs=-1,
        required=True,
    )(function)


def row_options(function: _F) -> _F:
    """How rows are read, where it is not as it looks."""
    for option in (
        click.option(
            "--judge",
            type=click.Choice(_JUDGED),
            default="last",
            show_default=True,
            callback=_judge,
            help="Which turn of a conversation the label is of.",
        ),
        fields_option,
        click.option(
            "--format",
            "row_format",
            type=click.Choice(_FORMATS),
            callback=_format,
            help="The shape of the rows.  [default: guessed from the first ones]",
        ),
    ):
        function = option(function)
    return function


def fields_option(function: _F) -> _F:
    """Which column is which part, as a mapping."""
    return click.option(
        "--fields",
        metavar="PART=COLUMN,...",
        callback=_fields,
        help="Which column is which part: prompt=question,response=reply.",
    )(function)


def in_flight_option(function: _F) -> _F:
    """How many texts are asked about at the same time."""
    return click.option(
        "--in-flight",
        type=click.IntRange(1, 4096),
        default=256,
        show_default=True,
        help="Texts that a model server is asked about at the same time.",
    )(function)


def guard_options(function: _F) -> _F:
    """Another guard in place of the engine that the settings name."""
    for option in (
        click.option("--guard-model", metavar="NAME", help="The guard's model.  [default: the server's first]"),
        click.option(
            "--guard",
            metavar="NAME=URL",
            help="Measure another guard behind an OpenAI-compatible server: llama-guard-3, llama-guard-4, shieldgemma "
            "or granite-guardian. MODERATION_UPSTREAM_API_KEY is its key.",
        ),
    ):
        function = option(function)
    return function


def limits_options(function: _F) -> _F:
    """Figures that must be reached."""
    for option in (
        click.option(
            "--fail-over",
            multiple=True,
            metavar="METRIC=X",
            help="End with exit code 4 if the figure is over X, such as strict_false_positive_rate=0.1.",
        ),
        click.option(
            "--fail-under",
            multiple=True,
            metavar="METRIC=X",
            help="End with exit code 4 if the figure is under X, such as strict_f1=0.66.",
        ),
    ):
        function = option(function)
    return function


def gates(given: dict[str, Any]) -> list[Gate]:
    """What must be reached, taken out of the options. Raises DataError for what is no figure."""
    from ..data.evaluation.gates import Gate

    under = [Gate.parse(text) for text in given.pop("fail_under")]
    return under + [Gate.parse(text, is_ceiling=True) for text in given.pop("fail_over")]


def set_gates(given: dict[str, Any]) -> list[tuple[str, Gate]]:
    """The same for several sets: what stands before a slash is the name of the only set that it is for."""
    from ..data.evaluation.gates import Gate

    found = []
    for option, is_ceiling in (("fail_under", False), ("fail_over", True)):
        for text in given.pop(option):
            name, slash, rest = text.partition("/")
            gate = Gate.parse(rest if slash else text, is_ceiling=is_ceiling)
            found.append((name if slash else "", gate))
    return found


def end(judged: int, failures: Sequence[str]) -> None:
    """Leave with the exit code of a report of which so many texts were judged, and that failed so."""
    if not judged:
        click.echo("moderation-service: nothing could be judged.", err=True)
        sys.exit(EXIT_NOTHING_JUDGED)
    for failure in failures:
        click.echo(f"moderation-service: {failure}.", err=True)
    if failures:
        sys.exit(EXIT_LIMIT)


def _fields(_context: click.Context, _option: click.Parameter, value: str | None) -> dict[str, str]:
    found = {}
    for pair in filter(None, (value or "").split(",")):
        part, _, column = (word.strip() for word in pair.partition("="))
        if not part or not column:
            raise click.UsageError(f"--fields: {pair!r} is not PART=COLUMN; several have commas between them.")
        found[part] = column
    return found


def _judge(_context: click.Context, _option: click.Parameter, value: str) -> Any:
    from ..data.formats import Judge

    return Judge(value)


def _format(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    from ..data.formats import Format

    return None if value is None else Format(value)
