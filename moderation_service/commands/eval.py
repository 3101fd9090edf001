"""The command `eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .judging_options import end, files_argument, gates, guard_options, in_flight_option, limits_options, row_options
from .options import CONTEXT, JUDGING, load, setting_options

__all__ = ["eval_command"]


@click.command("eval", context_settings=CONTEXT)
@files_argument
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--errors",
    "errors_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the texts that the guard got wrong, or could not judge, to this JSONL file. It has the texts in it.",
)
@row_options
@in_flight_option
@guard_options
@limits_options
@setting_options(*JUDGING)
def eval_command(
    files: tuple[Path, ...],
    as_json: bool,
    errors_file: Path | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Run labelled FILEs through the engine and print how well it did.

    Each row has a conversation in any shape that `annotate` reads, such as `prompt`, `prompt` and `response`, or
    `messages`; `label` (safe, controversial, unsafe), or `refusal` (true, false), or both; and perhaps `categories`,
    `lang` and `source`. JSONL, CSV, Parquet and Arrow, also compressed.

    Exit code: 0 done, 1 failed or nothing could be judged, 2 wrong usage, 4 a figure is beyond --fail-under or
    --fail-over.
    """
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    from ..data.evaluation.reading import open_labelled
    from ..data.evaluation.text import render_text
    from .measuring import Measuring

    wanted = gates(given)
    labelled = open_labelled(
        [str(file) for file in files],
        row_format=given.pop("row_format"),
        fields=given.pop("fields"),
        judge=given.pop("judge"),
    )
    if not as_json:
        click.echo(labelled.describe(), err=True)
    asked = {name: given.pop(name) for name in ("in_flight", "guard", "guard_model")}
    with Measuring.of(load(config_file, given), **asked) as measuring:
        document = measuring.document(labelled, total=labelled.count, errors_file=errors_file)
    click.echo(json.dumps(document, ensure_ascii=False, indent=2) if as_json else render_text(document))
    end(document["judged"], [failure for gate in wanted if (failure := gate.failure(document)) is not None])
