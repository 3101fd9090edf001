"""The command `annotate`."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EngineError
from ..launch.ending import Ending, StopRequested
from ..launch.errors import LaunchError
from .judging_cluster import cluster_options, judging_cluster
from .judging_engine import engine_options, judging_engine
from .judging_options import fields_option
from .options import CONTEXT

if TYPE_CHECKING:
    from ..core.verdict import Detail
    from ..data.window import Window

__all__ = ["annotate_command"]

EXIT_FAILED = 1
_GOES_ON = "the same command goes on from there."
_FORMATS = ("auto", "messages", "sharegpt", "alpaca", "pairs", "prompt-response", "text")
_KINDS = ("jsonl", "csv", "tsv", "txt", "parquet", "arrow")


@click.command("annotate", context_settings=CONTEXT)
@click.argument("inputs", nargs=-1, required=True, metavar="IN...")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file or folder to write; - is standard output.")
@click.option(
    "--format",
    "row_format",
    type=click.Choice(_FORMATS),
    default="auto",
    show_default=True,
    help="The shape of the rows.",
)
@fields_option
@click.option("--kind", type=click.Choice(_KINDS), help="What the files are, where their names don't say it.")
@click.option(
    "--judge",
    type=click.Choice(["last", "prompt", "response", "every-turn"]),
    default="last",
    show_default=True,
    help="Which turn of a conversation is judged.",
)
@click.option(
    "--detail",
    type=click.Choice(["full", "severity"]),
    default="full",
    show_default=True,
    help="severity is faster, and leaves categories and refusal empty.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, 4000),
    default=256,
    show_default=True,
    metavar="N",
    help="Questions that are under way at the same time.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an engine that is away is waited for.",
)
@click.option(
    "--chunk",
    type=click.IntRange(1, 65536),
    default=256,
    show_default=True,
    metavar="N",
    help="Rows that are written together; a kill costs the work on them.",
)
@click.option(
    "--columns",
    "prefix",
    default="guard_",
    show_default=True,
    metavar="PREFIX",
    help="How the names of the new columns begin.",
)
@click.option(
    "--max-errors",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="With more rows without a label the exit code is 1.",
)
@click.option("--dry-run", type=click.IntRange(min=1), metavar="N", help="Label the first N rows, print that, and end.")
@click.option("--fresh", is_flag=True, help="Begin anew, and replace what is there.")
@cluster_options
@engine_options
def annotate_command(inputs: tuple[str, ...], output: str, max_errors: float, **given: Any) -> None:
    """Label every row of the data set IN (files, folders, or - for standard input) and write it to OUT.

    The rows keep their columns, their order and, in JSON lines and CSV, their bytes. A row that can't be judged keeps
    its place, with an error and no label. After an interruption of any kind the same command goes on where it ended.

    With no engine in the settings, vLLM with Qwen3Guard is started for it, as `up` does, and ended behind it.

    Exit code: 0 done, 1 failed or too many rows without a label, 2 wrong usage, 130 interrupted by Ctrl-C.
    """  # fmt: skip
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    try:
        with Ending() as ending:
            sys.exit(_annotate(inputs, output, max_errors, given, ending))
    except StopRequested as stop:
        where = "" if output == "-" else f" What was written is in {output}.part; {_GOES_ON}"
        click.echo(f"moderation-service: stopped.{where}", err=True)
        sys.exit(130 if stop.signal is signal.SIGINT else 128 + stop.signal)
    except EngineError as error:
        where = "" if not Path(f"{output}.part").exists() else f" What was written is in {output}.part; {_GOES_ON}"
        click.echo(f"moderation-service: {error}{where}", err=True)
        sys.exit(EXIT_FAILED)
    except LaunchError as error:
        click.echo(
            f"moderation-service: {error}\nFor this command: --engine lite, --upstream http://HOST:8000, or --cpu.",
            err=True,
        )
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of standard output has enough
        sys.exit(EXIT_FAILED)


def _annotate(inputs: tuple[str, ...], output: str, max_errors: float, given: dict[str, Any], ending: Ending) -> int:
    from ..core.verdict import Detail
    from ..data.annotate import Annotation, annotate, labelled_sample
    from ..data.bar import Bar
    from ..data.dataset import open_dataset
    from ..data.files import Kind
    from ..data.formats import Format, Judge
    from ..data.labels import Labels

    dataset = open_dataset(
        inputs,
        kind=None if given["kind"] is None else Kind(given["kind"]),
        row_format=None if given["row_format"] == "auto" else Format(given["row_format"]),
        fields=given["fields"],
        judge=Judge(given["judge"]),
    )
    detail = Detail(given["detail"])
    labels = Labels(dataset.reading, detail, given["prefix"])
    _tell(dataset.describe())
    if output != "-" and any(Path(one).resolve() == Path(output).resolve() for one in inputs if one != "-"):
        raise click.UsageError("OUT is one of the inputs; it can't be read and written at once.")
    with _judging(given, detail, ending) as (window, engine, model), Bar() as bar:
        _tell(f"engine {engine}, model {model}, detail {detail.value}, {window.threads} in flight")
        if given["dry_run"]:
            click.echo(labelled_sample(dataset, labels, window, given["dry_run"]))
            return 0
        job = Annotation(
            dataset=dataset, output=output, labels=labels, chunk=given["chunk"], fresh=given["fresh"], watch=bar
        )
        began = time.monotonic()
        counts, was_done = annotate(job, window, engine=engine, model=model)
    took = max(time.monotonic() - began, 1e-9)
    found = f"{counts.safe:,} safe, {counts.controversial:,} controversial, {counts.unsafe:,} unsafe"
    _tell(
        f"{output}: {counts.rows:,} rows: {found}; without a label: {counts.errors:,}"
        + ("; it was complete already" if was_done else f"; {took:,.1f} s")
    )
    if counts.rows and (not counts.judged or counts.errors > counts.rows * max_errors / 100):
        _tell(f"More than {max_errors:g} % of the rows have no label (--max-errors); the column error says why.")
        return EXIT_FAILED
    return 0


@contextlib.contextmanager
def _judging(given: dict[str, Any], detail: Detail, ending: Ending) -> Iterator[tuple[Window, str, str]]:
    """The window that is asked, with the engine's name and model: threads here, or the actors of a cluster."""
    if given["ray_address"] is not None:
        with judging_cluster(given, detail=detail) as cluster:
            yield cluster, cluster.name, cluster.model
        return
    from ..data.window import JudgingWindow, WindowOptions

    in_flight = given["in_flight"]
    options = WindowOptions(in_flight=in_flight, detail=detail, patience_s=given["patience"])
    with (
        judging_engine(given, in_flight=in_flight, ending=ending) as engine,
        JudgingWindow(engine, options) as window,
    ):
        yield window, engine.name, engine.model


def _tell(line: str) -> None:
    click.echo(line, err=True)
