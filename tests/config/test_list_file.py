from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.config.list_file import (
    csv_cell,
    parse_list,
    plain_cell,
    read_lists,
    write_csv,
    write_json_lines,
)
from moderation_service.core.list_entry import Entry, Kind, Side, entry_of
from moderation_service.core.verdict import Action, Category, Target
from moderation_service.errors import ConfigurationError, InvalidRequest

WHOLE = {
    "id": "card-1",
    "side": "block",
    "kind": "pattern",
    "text": r"\d{16}",
    "exceptions": ["0000000000000000"],
    "targets": "response",
    "action": "flag",
    "category": "pii",
    "reason": "=1+1, a card",
    "author": "kim",
    "expires": "2030-12-31",
}


def complaint(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_lists(path)
    return str(caught.value).removeprefix(f"{path.parent}/")


def test_every_format_says_the_same(tmp_path: Path) -> None:
    entries = [entry_of(WHOLE, list_name="own"), entry_of({"text": "大麻", "exceptions": "大麻烦"}, list_name="own")]
    (tmp_path / "own.csv").write_text("".join(write_csv(entries)), encoding="utf-8")
    (tmp_path / "own.jsonl").write_text("".join(write_json_lines(entries)), encoding="utf-8")
    (tmp_path / "own.yaml").write_text(
        "entries:\n"
        "  - {id: card-1, kind: pattern, text: '\\d{16}', exceptions: ['0000000000000000'], targets: response,\n"
        "     action: flag, category: pii, reason: '=1+1, a card', author: kim, expires: 2030-12-31}\n"
        "  - {text: 大麻, exceptions: 大麻烦}\n",
        encoding="utf-8",
    )
    for name in ("own.csv", "own.jsonl", "own.yaml"):
        assert read_lists(tmp_path / name) == {"own": entries}, name


def test_an_entry_has_what_its_fields_say_and_otherwise_its_defaults() -> None:
    assert entry_of(WHOLE, list_name="own") == Entry(
        "card-1",
        "own",
        r"\d{16}",
        Kind.PATTERN,
        Side.BLOCK,
        Action.FLAG,
        frozenset({Target.RESPONSE}),
        Category.PII,
        "=1+1, a card",
        "kim",
        1_924_991_999.0,
        ("0000000000000000",),
    )
    plain = entry_of({"text": "buy it"}, list_name="own")
    assert (plain.kind, plain.side, plain.action, plain.targets) == (
        Kind.PHRASE,
        Side.BLOCK,
        Action.BLOCK,
        frozenset(Target),
    )
    assert plain.id == entry_of({"text": " buy it ", "reason": "other"}, list_name="own").id
    assert plain.id != entry_of({"text": "buy it"}, list_name="other").id


def test_a_keyword_library_of_plain_text_is_a_list(tmp_path: Path) -> None:
    file = tmp_path / "zh-words.txt"
    file.write_text("\ufeff# 词库\n毒品\n\n  冰毒  \n毒品\n", encoding="utf-8")
    ((name, entries),) = read_lists(file).items()
    assert (name, [one.text for one in entries], entries[1].origin) == ("zh-words", ["毒品", "冰毒"], f"{file}:4")


def test_a_folder_has_a_list_for_each_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("weed\n")
    (tmp_path / "more.yaml").write_text("lists:\n  b: [weed]\n  c: []\n")
    (tmp_path / "notes.md").write_text("no list")
    assert {name: len(entries) for name, entries in read_lists(tmp_path).items()} == {"a": 1, "b": 1, "c": 0}
    (tmp_path / "b.txt").write_text("weed\n")
    with pytest.raises(ConfigurationError, match="there is a list 'b' in another file"):
        read_lists(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "", "a.csv:1: it needs a header"),
        ("a.csv", "word,reason\nx,y\n", "a.csv:1: it needs a header"),
        ("a.csv", "text,reson\nx,y\n", "a.csv:1: 'reson' is no column"),
        ("a.csv", "text,text\nx,y\n", "a.csv:1: it needs a header"),
        ("a.csv", 'text\nweed\n"a\nb",1\n', "a.csv:3: 2 cells, but the header has 1"),
        ("a.csv", "text\nweed\nweed\n", "a.csv:3: this entry is there already, in line 2"),
        ("a.csv", "id,text\n1,weed\n1,other\n", "a.csv:3: the id '1' is there already, in line 2"),
        ("a.csv", "text,kind\nweed,wrod\n", "a.csv:2: `kind` must be one of word, phrase, pattern, domain"),
        ("a.csv", "text,kind\nbuy weed,word\n", "a.csv:2: `text` has blanks, so it is no `word`"),
        ("a.csv", "text,side,action\nweed,allow,block\n", "a.csv:2: `action` is `block` or `flag` for a block entry"),
        ("a.csv", "text,action\nweed,allow\n", "a.csv:2: `action` is `block` or `flag` for a block entry"),
        ("a.csv", "text,kind\nhttp://x.org,domain\n", "a.csv:2: `text` is no domain"),
        ("a.csv", "text,expires\nweed,tomorrow\n", "a.csv:2: `expires` must be a day"),
        ("a.csv", "text,targets\nweed,prompts\n", "a.csv:2: `targets` are prompt and response"),
        ("a.csv", "text,category\nweed,drugs\n", "a.csv:2: `category` must be one of violent"),
        ("a.csv", 'text\n"weed\n', "not valid CSV"),
        ("a.jsonl", '{"text": "weed"}\nweed\n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", '["weed"]\n', "a.jsonl:1: not an object"),
        ("a.jsonl", '{"text": 5}\n', "a.jsonl:1: `text` must be a text"),
        ("a.jsonl", '{"text": "a\\ud800"}\n', "a.jsonl:1: `text` has a control character, or half"),
        ("a.jsonl", '{"word": "weed"}\n', "a.jsonl:1: `word` is no field of an entry"),
        ("a.yaml", "entries: {text: weed}\n", "a.yaml:1: a list must be a list"),
        ("a.yaml", "entries:\n  - weed\n  - {text: x, text: y}\n", "a.yaml:3: the entry has 'text' twice"),
        ("a.yaml", "words: [weed]\n", "a.yaml:1: the file needs one mapping"),
        ("a.yaml", "lists:\n  My List: [weed]\n", "a.yaml:2: list name 'My List'"),
        ("a.doc", "weed", "a.doc: its name must end in .csv, .jsonl, .txt"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(tmp_path: Path, name: str, text: str, reason: str) -> None:
    assert complaint(tmp_path / name, text).startswith(reason) or reason in complaint(tmp_path / name, text)


def test_a_file_that_is_no_utf_8_is_refused_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("weed\n毒品\n".encode("gbk"))
    with pytest.raises(ConfigurationError, match=r"a\.txt:2: is not UTF-8 text"):
        read_lists(file)


def test_a_field_that_is_too_long_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        entry_of({"text": "a" * 501}, list_name="own")
    assert caught.value.param == "text"


# Spreadsheets


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12))
def test_no_cell_is_a_formula_and_each_is_read_back_as_it_was(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@"))
    assert plain_cell(cell) == text


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=1"])
def test_an_export_opened_in_a_spreadsheet_runs_nothing(text: str) -> None:
    (header, row) = csv.reader(io.StringIO("".join(write_csv([entry_of({"text": text}, list_name="own")]))))
    assert not row[header.index("text")].startswith(("=", "+", "-", "@"))
    back = parse_list(
        "".join(write_csv([entry_of({"text": text}, list_name="own")])), suffix=".csv", name="own", source=""
    )
    assert back[0].text == text
