"""Which rows of a labelled data set are kept, and what is said of the others."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from annotating import annotated
from click.testing import CliRunner, Result

from moderation_service.commands.cli import cli
from moderation_service.core.verdict import Severity
from moderation_service.data.filter_summary import Summary, to_html, to_markdown
from moderation_service.data.filtering import Label
from moderation_service.errors import DataError

SAFE = {
    "guard_safety": "safe",
    "guard_categories": [],
    "guard_p_safe": 0.9,
    "guard_p_controversial": 0.08,
    "guard_p_unsafe": 0.02,
}
GREY = {
    "guard_safety": "controversial", "guard_categories": ["unethical_acts"],
    "guard_p_safe": 0.2, "guard_p_controversial": 0.7, "guard_p_unsafe": 0.1,
}  # fmt: skip
BAD = {
    "guard_safety": "unsafe", "guard_categories": ["violent", "pii"],
    "guard_p_safe": 0.0, "guard_p_controversial": 0.1, "guard_p_unsafe": 0.9,
}  # fmt: skip
NONE = {"guard_safety": None, "guard_error": "not_json"}


def outputs(folder: Path, ending: str) -> list[str]:
    """The options that name the files to write."""
    return ["-o", str(folder / f"kept{ending}"), "--rejects", str(folder / f"rejects{ending}"), "--fresh"]


def run(folder: Path, *words: str) -> Result:
    command = ["filter", str(folder / "in.jsonl"), *outputs(folder, ".jsonl")]
    return CliRunner().invoke(cli, [*command, *words], catch_exceptions=False)


def filtered(folder: Path, rows: list[dict[str, Any]], *words: str) -> tuple[list[int], dict[int, str]]:
    """The numbers of the rows that are kept, and the reasons of the others."""
    numbered = [{"n": number, **row} for number, row in enumerate(rows)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in numbered), encoding="utf-8")
    done = run(folder, *words)
    assert done.exit_code == 0, done.output

    def read(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]

    return [row["n"] for row in read("kept.jsonl")], {row["n"]: row["guard_reason"] for row in read("rejects.jsonl")}


@pytest.mark.parametrize(
    ("words", "kept", "reasons"),
    [
        ([], [0], {1: "controversial", 2: "unsafe", 3: "not_judged"}),
        (["--keep", "loose"], [0, 1], {2: "unsafe", 3: "not_judged"}),
        (
            ["--keep", "loose", "--drop", "unethical_acts"],
            [0],
            {1: "category_unethical_acts", 2: "unsafe", 3: "not_judged"},
        ),
        (["--keep", "loose", "--max-unsafe", "0.05"], [0], {1: "p_unsafe", 2: "unsafe", 3: "not_judged"}),
        (
            ["--keep", "loose", "--max-flagged", "0.09"],
            [],
            {0: "p_flagged", 1: "p_flagged", 2: "unsafe", 3: "not_judged"},
        ),
    ],
)
def test_rows_are_kept_by_severity_category_and_probability(
    tmp_path: Path, words: list[str], kept: list[int], reasons: dict[int, str]
) -> None:
    assert filtered(tmp_path, [SAFE, GREY, BAD, NONE], *words) == (kept, reasons)


def test_a_policy_of_ones_own_decides_by_category_and_threshold(tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(
        "policies:\n  mine:\n    actions: {unsafe: allow}\n    categories: {pii: {unsafe: block}}\n", encoding="utf-8"
    )
    only_violent = {**BAD, "guard_categories": ["violent"]}
    unknown = {**BAD, "guard_categories": None}
    words = ["--keep", "mine", "--policies-file", str(policies)]
    # Where the categories are not known, they may be the ones that matter.
    assert filtered(tmp_path, [only_violent, BAD, unknown], *words) == ([0], {1: "unsafe", 2: "unsafe"})


def test_what_a_rule_needs_and_a_label_has_not_is_a_reason_to_drop(tmp_path: Path) -> None:
    row = {"guard_safety": "controversial", "guard_categories": None, "guard_p_unsafe": None}
    assert filtered(tmp_path, [row], "--keep", "loose", "--drop", "pii")[1] == {0: "categories_unknown"}
    assert filtered(tmp_path, [row], "--keep", "loose", "--max-unsafe", "1")[1] == {0: "no_probability"}


def test_refusals_are_dropped_where_that_is_asked(tmp_path: Path) -> None:
    rows = [{**SAFE, "guard_refusal": value} for value in (True, False, None)]
    assert filtered(tmp_path, rows, "--drop-refusals") == ([1, 2], {0: "refusal"})
    assert filtered(tmp_path, rows, "--drop-refusals", "--target", "response")[1] == {
        0: "refusal",
        2: "refusal_unknown",
    }


def test_of_groups_those_are_kept_that_have_both_kinds_of_answers(tmp_path: Path) -> None:
    rows = [
        {"q": "mixed", **SAFE}, {"q": "good", **SAFE}, {"q": "bad", **BAD}, {"q": "mixed", **GREY},
        {"q": "good", **NONE}, {"q": "bad", **GREY}, {"q": "alone", **SAFE}, {"q": "lost", **NONE},
    ]  # fmt: skip
    kept, reasons = filtered(tmp_path, rows, "--mixed-groups", "q")
    assert kept == [0, 3]
    assert reasons == {
        1: "group_all_pass", 2: "group_none_passes", 4: "not_judged", 5: "group_none_passes", 6: "group_all_pass",
        7: "not_judged",
    }  # fmt: skip
    # Loosely, a controversial answer passes.
    assert filtered(tmp_path, rows, "--mixed-groups", "q", "--keep", "loose")[0] == [2, 5]


def test_kept_rows_are_the_bytes_that_they_were(tmp_path: Path) -> None:
    lines = [
        b'{"a" : 1e2,  "guard_safety":"safe" }\r\n',
        b"\n",
        b'{"guard_safety":"unsafe"}\n',
        b"{broken\n",
        b'{"guard_safety":"safe"}',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    assert run(tmp_path).exit_code == 0
    assert (tmp_path / "kept.jsonl").read_bytes() == lines[0] + lines[4] + b"\n"
    rejects = (tmp_path / "rejects.jsonl").read_bytes().splitlines()
    assert rejects[0] == b'{"guard_safety":"unsafe","guard_reason":"unsafe"}'
    assert json.loads(rejects[1]) == {"guard_source": "{broken", "guard_reason": "not_readable"}


def test_pairs_are_kept_by_their_chosen_answer_unless_another_part_is_named(tmp_path: Path) -> None:
    row = {"guard_chosen_safety": "safe", "guard_rejected_safety": "unsafe"}
    assert filtered(tmp_path, [row])[0] == [0]
    assert filtered(tmp_path, [row], "--part", "rejected")[0] == []
    with pytest.raises(AssertionError, match="no labels for prompt"):
        filtered(tmp_path, [row], "--part", "prompt")


def test_csv_and_its_labels_are_read_as_they_were_written(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("prompt\nbread\na bomb\nabout the election\n", encoding="utf-8")
    annotated(source, tmp_path / "labelled.csv")
    words = ["filter", str(tmp_path / "labelled.csv"), *outputs(tmp_path, ".csv")]
    done = CliRunner().invoke(cli, [*words, "--keep", "loose", "--drop", "politically_sensitive_topics"])
    assert done.exit_code == 0, done.output
    with (tmp_path / "kept.csv").open(newline="") as file:
        assert [row["prompt"] for row in csv.DictReader(file)] == ["bread"]
    with (tmp_path / "rejects.csv").open(newline="") as file:
        assert [row["guard_reason"] for row in csv.DictReader(file)] == [
            "unsafe",
            "category_politically_sensitive_topics",
        ]


@pytest.mark.data
def test_parquet_is_filtered_with_its_types(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["bread", "a bomb", None]}), tmp_path / "in.parquet")
    annotated(tmp_path / "in.parquet", tmp_path / "labelled.parquet")
    words = ["filter", str(tmp_path / "labelled.parquet"), *outputs(tmp_path, ".parquet")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    labelled = pyarrow.parquet.read_table(tmp_path / "labelled.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "kept.parquet").equals(labelled.slice(0, 1))
    rejects = pyarrow.parquet.read_table(tmp_path / "rejects.parquet")
    assert rejects["guard_reason"].to_pylist() == ["unsafe", "not_judged"]


@pytest.mark.parametrize(
    ("rows", "words", "said"),
    [
        ([{"a": 1}], [], "annotate"),
        ([SAFE], ["--keep", "strickt"], "no policy strickt"),
        ([SAFE], ["--drop", "violence"], "no category violence"),
        ([SAFE], ["--mixed-groups", "q"], "no row has a column q"),
        ([{"guard_safety": "fine"}], [], "something else"),
        ([SAFE], ["--summary", "page.pdf"], ".html, .md or .json"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    tmp_path: Path, rows: list[dict[str, Any]], words: list[str], said: str
) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    try:
        output = run(tmp_path, *words).output
    except Exception as error:  # what the program's outer edge prints
        output = str(error)
    assert said in output
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


def test_what_is_there_is_replaced_only_when_that_is_said(tmp_path: Path) -> None:
    filtered(tmp_path, [SAFE])
    command = ["filter", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "kept.jsonl")]
    with pytest.raises(DataError, match="--fresh"):
        CliRunner().invoke(cli, command, catch_exceptions=False)


def test_where_one_output_is_refused_nothing_of_the_other_is_left(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps(SAFE) + "\n", encoding="utf-8")
    (tmp_path / "rejects.jsonl").touch()
    words = [one for one in outputs(tmp_path, ".jsonl") if one != "--fresh"]
    with pytest.raises(DataError, match="--fresh"):
        CliRunner().invoke(cli, ["filter", str(tmp_path / "in.jsonl"), *words], catch_exceptions=False)
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "rejects.jsonl"}


class Page(HTMLParser):
    """Its texts, and that it needs nothing from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img")
        assert not {"src", "href"} & dict(attrs).keys()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_summary_has_the_counts_in_every_form(tmp_path: Path) -> None:
    for ending in ("html", "md", "json"):
        filtered(tmp_path, [SAFE, SAFE, GREY, BAD, NONE], "--summary", str(tmp_path / f"page.{ending}"))
    told = json.loads((tmp_path / "page.json").read_text(encoding="utf-8"))
    assert (told["rows"], told["kept"], told["dropped"]) == (5, 2, 3)
    assert told["reasons"] == {"controversial": 1, "unsafe": 1, "not_judged": 1}
    assert told["categories"]["violent"] == {"kept": 0, "dropped": 1}
    assert told["p_unsafe"][0] == {"from": 0.0, "kept": 2, "dropped": 0}
    page = Page()
    page.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    text = " ".join(page.texts)
    markdown = (tmp_path / "page.md").read_text(encoding="utf-8")
    for shown in (text, markdown):
        assert "2 of 5 rows kept (40.0 %), 3 dropped." in shown
        for name in ("not_judged", "controversial", "violent", "0.9 to 1.0"):
            assert name in shown
    assert "| not_judged | 0 | 1 |" in markdown


def test_names_of_files_are_text_on_the_page_too() -> None:
    summary = Summary(source="<b>&", rules="")
    summary.add(Label(Severity.SAFE), None)
    assert "&lt;b&gt;&amp;" in to_html(summary)
    assert "1 of 1 rows kept" in to_markdown(summary)
