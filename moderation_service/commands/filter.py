"""The command `filter`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError
from .options import CONTEXT, load, setting_options

__all__ = ["filter_command"]

_SHARE = click.FloatRange(0, 1)
_KINDS = ("jsonl", "csv", "tsv", "parquet", "arrow")


@click.command("filter", context_settings=CONTEXT)
@click.argument("inputs", nargs=-1, required=True, metavar="ANNOTATED...")
@click.option("-o", "--output", "kept", required=True, metavar="KEPT", help="The file for the rows that are kept.")
@click.option("--rejects", metavar="FILE", help="The file for the other rows, with the reason in a new column.")
@click.option(
    "--summary",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="One page on what was dropped, and why: .html, .md or .json.",
)
@click.option(
    "--keep",
    default="strict",
    show_default=True,
    metavar="POLICY",
    help="Keep what this policy does not block: strict keeps safe rows, loose controversial ones too.",
)
@click.option("--drop", default="", metavar="CATEGORY,...", help="Drop rows of these categories.")
@click.option("--max-unsafe", type=_SHARE, metavar="P", help="Drop rows whose P(unsafe) is above P.")
@click.option(
    "--max-flagged", type=_SHARE, metavar="P", help="Drop rows whose P(controversial) + P(unsafe) is above P."
)
@click.option("--drop-refusals", is_flag=True, help="Drop responses that are refusals.")
@click.option(
    "--mixed-groups",
    "group",
    metavar="COLUMN",
    help="Keep the groups of rows of which some pass and some don't; COLUMN names the group.",
)
@click.option(
    "--part", type=click.Choice(["prompt", "chosen", "rejected"]), help="The part of pairs that counts.  [chosen]"
)
@click.option(
    "--target",
    type=click.Choice(["prompt", "response"]),
    help="What was judged, for policies that treat them differently; else the refusal column tells it.",
)
@click.option(
    "--columns",
    "prefix",
    default="guard_",
    show_default=True,
    metavar="PREFIX",
    help="How the names of the labels' columns begin.",
)
@click.option("--kind", type=click.Choice(_KINDS), help="What the files are, where their names don't say it.")
@click.option("--fresh", is_flag=True, help="Replace what is there.")
@setting_options("policies_file")
def filter_command(inputs: tuple[str, ...], kept: str, rejects: str | None, summary: Path | None, **given: Any) -> None:
    """Keep the rows of an annotated data set that pass, as they are, and say of the others why they don't.

    Rows without a label are never kept. Exit code: 0 done, 1 failed, 2 wrong usage.
    """  # fmt: skip
    from ..core.verdict import Category, Target
    from ..data.dataset import open_files
    from ..data.files import Kind
    from ..data.filter import Filter, filter_rows, parts_labelled
    from ..data.filter_summary import Summary, to_html, to_markdown
    from ..data.filtering import Rules

    policies = _policies(given["config_file"], given["policies_file"])
    if given["keep"] not in policies:
        raise click.UsageError(f"--keep: there is no policy {given['keep']}; there are {', '.join(sorted(policies))}.")
    rules = Rules(
        policy=policies[given["keep"]],
        target=None if given["target"] is None else Target(given["target"]),
        drop=frozenset(_category(one, Category) for one in filter(None, given["drop"].split(","))),
        max_unsafe=given["max_unsafe"],
        max_flagged=given["max_flagged"],
        drops_refusals=given["drop_refusals"],
    )
    render = {".html": to_html, ".md": to_markdown, ".json": _to_json}
    if summary is not None and summary.suffix not in render:
        raise click.UsageError("--summary: its ending must be .html, .md or .json.")
    _check_names(inputs, kept, rejects)
    files = open_files(inputs, kind=None if given["kind"] is None else Kind(given["kind"]))
    part = _part(parts_labelled(files, given["prefix"]), given["part"])
    job = Filter(
        files=files, kept=kept, rejects=rejects, rules=rules, head=given["prefix"] + part, prefix=given["prefix"],
        group=given["group"], fresh=given["fresh"],
    )  # fmt: skip
    found: Summary = filter_rows(job)
    found.source, found.rules = files.name, _described(given, part)
    if summary is not None:
        summary.write_text(render[summary.suffix](found), encoding="utf-8")
    click.echo(f"{found.source}: {found.rules}", err=True)
    click.echo(f"{kept}: {found.kept:,} of {found.rows:,} rows kept", err=True)
    for reason, count in found.reasons.most_common():
        click.echo(f"  dropped  {count:>9,}  {reason}", err=True)


def _policies(config_file: Path | None, policies_file: Path | None) -> dict[str, Any]:
    from ..config.policy_file import load_policies

    settings = load(config_file, {"policies_file": policies_file}).settings
    return {one.name: one for one in load_policies(settings.policies_file, default="balanced")}


def _category(name: str, categories: Any) -> Any:
    try:
        return categories(name.strip())
    except ValueError:
        known = ", ".join(one.value for one in categories)
        raise ConfigurationError(f"--drop: there is no category {name.strip()}; there are {known}.") from None


def _part(labelled: list[str], wanted: str | None) -> str:
    """How the columns of the part that counts begin, behind the prefix."""
    if wanted is None:
        wanted = "" if "" in labelled else "chosen"
    if wanted not in labelled:
        raise click.UsageError(f"--part: the rows have no labels for {wanted}.")
    return f"{wanted}_" if wanted else ""


def _check_names(inputs: tuple[str, ...], kept: str, rejects: str | None) -> None:
    names = [Path(one).resolve() for one in (*inputs, kept, *([] if rejects is None else [rejects]))]
    if len(set(names)) < len(names):
        raise click.UsageError("Inputs and outputs must be different files.")
    if "-" in (*inputs, kept, rejects):
        raise click.UsageError("filter reads and writes files, not standard input and output.")


def _described(given: Any, part: str) -> str:
    words = [f"keep {given['keep']}"]
    words += [f"drop {one.strip()}" for one in filter(None, given["drop"].split(","))]
    words += [f"P(unsafe) up to {given['max_unsafe']}"] if given["max_unsafe"] is not None else []
    words += [f"P(flagged) up to {given['max_flagged']}"] if given["max_flagged"] is not None else []
    words += ["drop refusals"] if given["drop_refusals"] else []
    words += [f"mixed groups of {given['group']}"] if given["group"] else []
    words += [f"by {part[:-1]}"] if part else []
    return ", ".join(words)


def _to_json(summary: Any) -> str:
    return json.dumps(summary.to_json(), indent=2, ensure_ascii=False) + "\n"
