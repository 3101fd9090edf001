"""The commands `benchmark list`, `run` and `compare`; `fetch` is in `benchmark_fetch`."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..errors import DataError
from .benchmark_fetch import data_option, fetch_command
from .judging_options import end, guard_options, in_flight_option, limits_options, set_gates
from .options import CONTEXT, JUDGING, load, setting_options
from .report_folder import make_folder, write_whole

if TYPE_CHECKING:
    from ..data.benchmark.local_files import LocalSet
    from ..data.evaluation.gates import Gate

__all__ = ["benchmark_group"]

REPORTS = ("report.json", "report.html", "report.md")


@click.group("benchmark", context_settings=CONTEXT)
def benchmark_group() -> None:
    """How good a guard is on public benchmarks: fetch them, run them, compare two guards."""


benchmark_group.add_command(fetch_command)


@benchmark_group.command("list", context_settings=CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
@data_option
def list_command(as_json: bool, data: Path) -> None:
    """List the benchmarks: rows, licence, where each is, and whether it is here."""
    from ..data.benchmark.local_files import locate
    from ..data.benchmark.registry import registry
    from ..data.benchmark.report import set_facts
    from ..data.evaluation.tables import Table
    from ..data.evaluation.text import render_table

    sets = registry()
    if as_json:
        facts = {one.name: {**set_facts(one, files=(), is_own=False), "items": one.items} for one in sets}
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    rows = [
        [
            one.name,
            "-" if one.items is None else str(one.items),
            "-" if one.unsafe is None else str(one.unsafe),
            one.labels.value,
            one.languages,
            one.place.value,
            "here" if locate(one, data) is not None else "",
            one.licence,
        ]
        for one in sets
    ]
    click.echo(render_table(Table(["set", "rows", "unsafe", "labels", "language", "at", "", "licence"], rows)))


@benchmark_group.command("run", context_settings=CONTEXT)
@click.argument("names", metavar="[SET...]", nargs=-1)
@data_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for report.json, report.html and report.md.",
)
@click.option(
    "--errors",
    "errors_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write what the guard got wrong to SET.jsonl in this folder. These files have the texts in them.",
)
@click.option("--gpu-hour-price", type=click.FloatRange(min=0), help="What an hour of your machine costs.")
@in_flight_option
@guard_options
@limits_options
@setting_options(*JUDGING)
def run_command(
    names: tuple[str, ...],
    data: Path,
    output: Path,
    errors_folder: Path | None,
    gpu_hour_price: float | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Run SETs through the engine and write one report; without a name, all sets that are in the data folder.

    A SET is a name from the list, or a labelled file of your own as `eval` reads it. --fail-under and --fail-over hold
    for every set, or for one: openaimod/strict_f1=0.66.

    Exit code: 0 done, 1 failed or nothing could be judged, 2 wrong usage, 4 a figure is beyond its limit.
    """
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    from ..data.benchmark.report import report
    from .measuring import Measuring

    gates = set_gates(given)
    found = _located(names, data)
    # All are read once before the first is judged: a broken file must not end a run of hours.
    for local in found.values():
        _texts(local)
    facts = {name: _facts(name, local) for name, local in found.items()}
    for folder in filter(None, (output, errors_folder)):
        make_folder(folder)
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    asked = {name: given.pop(name) for name in ("in_flight", "guard", "guard_model")}
    sets: dict[str, Any] = {}
    document: dict[str, Any] = {}
    with Measuring.of(load(config_file, given), **asked) as measuring:
        for name, local in found.items():
            texts, wrong = _texts(local), errors_folder and errors_folder / f"{name}.jsonl"
            figures = measuring.document(texts, total=len(texts), errors_file=wrong, name=name)
            sets[name] = {"set": facts[name], **figures}
            guard = measuring.guard()
            document = report(sets, guard=guard, service=__version__, date=date, gpu_hour_price=gpu_hour_price)
            # After each: what was judged stays, whatever happens to the next one.
            _write(document, output)
    click.echo("\n".join(str(output / name) for name in REPORTS))
    end(document["judged"], _failures(gates, sets))


@benchmark_group.command("report", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def report_command(file: Path) -> None:
    """Make report.html and report.md again beside a report.json."""
    from ..data.benchmark.compare import sets_of

    document = _json(file)
    sets_of(document, name=str(file))
    try:
        _write(document, file.parent, names=REPORTS[1:])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: is not a whole report of `benchmark run`.") from error


@benchmark_group.command("compare", context_settings=CONTEXT)
@click.argument("first", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("second", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare_command(first: Path, second: Path, as_json: bool) -> None:
    """Compare two reports on the same texts, with McNemar's test: report.json files, or what `eval --json` printed."""
    from ..data.benchmark.compare import comparison, comparison_table, sets_of
    from ..data.evaluation.text import render_table

    found = comparison(*(sets_of(_json(file), name=str(file)) for file in (first, second)))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    click.echo(render_table(comparison_table(found)))
    left_out = {name: one["left_out"] for name, one in found.items() if one["left_out"]}
    for name, count in left_out.items():
        click.echo(f"{name}: {count} texts are left out, because one of the two could not judge them.")


def _failures(gates: Sequence[tuple[str, Gate]], sets: Mapping[str, Any]) -> list[str]:
    """What was to be reached and is not."""
    found = [
        failure
        for only, gate in gates
        for name, one in sets.items()
        if only in ("", name) and (failure := gate.failure(one, of=name)) is not None
    ]
    return found + [f"there is no set {only} in the report" for only, _ in gates if only and only not in sets]


def _located(names: Sequence[str], data: Path) -> dict[str, LocalSet | Path]:
    """What is to be run, by name: sets that are here, and files. Raises DataError for what is not here."""
    from ..data.benchmark.local_files import locate
    from ..data.benchmark.registry import chosen, registry

    own = {Path(name).name.partition(".")[0]: Path(name) for name in names if Path(name).is_file()}
    wanted = chosen([name for name in names if not Path(name).is_file()]) if names else list(registry())
    here = {one.name: found for one in wanted if (found := locate(one, data)) is not None}
    missing = [one for one in wanted if one.name not in here]
    if names and missing:
        lacking = ", ".join(one.name for one in missing)
        raise DataError(f"{data} has no {lacking}: `moderation-service benchmark fetch {lacking.replace(',', '')}`.")
    if not here and not own:
        raise DataError(f"{data} has no benchmark in it: `moderation-service benchmark fetch openaimod` gets one.")
    return {**here, **own}


def _texts(local: LocalSet | Path) -> list[Any]:
    from ..data.evaluation.reading import open_labelled

    return list(open_labelled([local])) if isinstance(local, Path) else local.texts()


def _facts(name: str, local: LocalSet | Path) -> dict[str, Any]:
    from ..data.benchmark.report import own_facts, set_facts

    if isinstance(local, Path):
        return own_facts(local)
    files = local.facts()
    for file in files:
        if file["is_pinned"] is False:
            click.echo(f"moderation-service: warning: {name}: {file['file']} is not the file that is pinned.", err=True)
    return set_facts(local.benchmark, files=files, is_own=local.is_own)


def _write(document: Any, folder: Path, *, names: Sequence[str] = REPORTS) -> None:
    from ..data.benchmark.html import render_html
    from ..data.benchmark.markdown import render_markdown

    made = {
        "report.json": lambda: json.dumps(document, ensure_ascii=False, indent=1) + "\n",
        "report.html": lambda: render_html(document),
        "report.md": lambda: render_markdown(document),
    }
    for name in names:
        write_whole(folder / name, made[name]())


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: can't be read as JSON.") from error
