"""The command `eval`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import CONTEXT, JUDGING, load, setting_options

__all__ = ["eval_command"]


@click.command("eval", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@setting_options(*JUDGING)
def eval_command(file: Path, as_json: bool, config_file: Path | None, **flags: object) -> None:
    """Run a labelled JSONL FILE (or .jsonl.gz) through the engine and print how well it did.

    Each line has `prompt`, `prompt` and `response`, or `messages`; `label` (safe, controversial, unsafe); and perhaps
    `categories` and `refusal`.
    """
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    from ..engines import create_engine
    from . import evaluation

    rows = evaluation.load_rows(file)
    engine = create_engine(load(config_file, flags).settings)
    report = evaluation.evaluate(engine, rows)
    as_text = evaluation.render_text(report)
    click.echo(json.dumps(report.to_dict(), ensure_ascii=False, indent=2) if as_json else as_text)
