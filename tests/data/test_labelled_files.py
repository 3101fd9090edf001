"""Labelled files: every shape that the readers know, and what their columns say."""

from __future__ import annotations

import gzip
import json

import pytest

from moderation_service.core.verdict import Category, Severity, Target
from moderation_service.data.evaluation.reading import open_labelled
from moderation_service.data.formats import Format, Judge
from moderation_service.errors import DataError


def written(tmp_path, *rows, name="rows.jsonl"):
    path = tmp_path / name
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_several_shapes_in_one_file_are_read(tmp_path):
    path = written(
        tmp_path,
        {"prompt": "a", "label": "safe"},
        {"prompt": "b", "response": "c", "label": "Unsafe", "categories": ["Violent", "pii"], "refusal": "No"},
        {"id": "x7", "messages": [{"role": "user", "content": "d"}], "label": "controversial", "refusal": None},
        "",
    )
    labelled = open_labelled([path])
    first, second, third = labelled
    assert labelled.count == 3
    assert (first.gold.id, first.gold.severity, first.gold.categories) == ("1", Severity.SAFE, ())
    assert (second.conversation.response, second.gold.refusal, second.gold.target) == ("c", False, Target.RESPONSE)
    assert second.gold.categories == (Category.VIOLENT, Category.PII)
    assert (third.gold.id, third.conversation.prompt) == ("x7", "d")


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "bread"}]},
        {"instruction": "q", "input": "", "output": "bread"},
        {"question": "q", "answer": "bread"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bread"}]},
    ],
)
def test_the_shapes_of_data_sets_are_read(tmp_path, row):
    [text] = open_labelled([written(tmp_path, {**row, "label": "safe"})])
    assert (text.conversation.prompt, text.conversation.response) == ("q", "bread")
    assert (text.gold.target, text.gold.characters) == (Target.RESPONSE, 5)


def test_a_csv_file_is_read_with_its_categories(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('text,label,categories\n"a, b",unsafe,violent;PII\nc,safe,\n', encoding="utf-8")
    first, second = open_labelled([path])
    assert (first.conversation.prompt, first.gold.categories) == ("a, b", (Category.VIOLENT, Category.PII))
    assert second.gold.categories == ()


def test_compressed_files_are_read(tmp_path):
    assert open_labelled([written(tmp_path, {"prompt": "a", "label": "safe"}, name="rows.jsonl.gz")]).count == 1


def test_columns_and_the_turn_can_be_named(tmp_path):
    path = written(tmp_path, {"q": "one", "a": "two", "label": "safe"})
    fields = {"prompt": "q", "response": "a"}
    [text] = open_labelled([path], row_format=Format.PROMPT_RESPONSE, fields=fields, judge=Judge.PROMPT)
    assert text.gold.target is Target.PROMPT


def test_a_row_with_a_refusal_needs_no_label(tmp_path):
    [text] = open_labelled([written(tmp_path, {"prompt": "a", "response": "b", "refusal": True})])
    assert (text.gold.severity, text.gold.refusal) == (None, True)


def test_languages_and_sources_are_short_lines_whatever_the_file_has_there(tmp_path):
    path = written(
        tmp_path, {"prompt": "a", "label": "safe", "lang": "", "language": "de", "source": "\x1b[2Jx\n" * 500}
    )
    [text] = open_labelled([path])
    assert text.gold.language == "de"
    assert len(text.gold.source) == 100
    assert text.gold.source.isprintable()


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("{not json", None),
        ("[1, 2]", None),
        ({"label": "safe"}, "prompt"),
        ({"prompt": "a"}, "label"),
        ({"prompt": "a", "label": "bad"}, "label"),
        ({"prompt": " ", "label": "safe"}, "prompt"),
        ({"prompt": "a", "label": "unsafe", "categories": {"Violent": 1}}, "categories"),
        ({"prompt": "a", "label": "unsafe", "categories": ["Violent", "Rude"]}, "categories[1]"),
        ({"prompt": "a", "response": "b", "label": "safe", "refusal": "perhaps"}, "refusal"),
    ],
)
def test_a_bad_row_is_named_with_its_field(tmp_path, row, field):
    path = written(tmp_path, {"prompt": "fine", "label": "safe"}, row)
    with pytest.raises(DataError) as caught:
        open_labelled([path])
    place = f"{path}:2" if field is None else f"{path}:2, field `{field}`"
    assert str(caught.value).startswith(place + ": ")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "messages": [], "label": "safe"},
        {"prompt": "a", "messages": [{"role": "user", "content": "b"}], "label": "safe"},
    ],
)
def test_a_row_with_two_conversations_is_refused(tmp_path, row):
    with pytest.raises(DataError):
        open_labelled([written(tmp_path, {"prompt": "fine", "label": "safe"}, row)])


def test_rows_with_two_answers_are_refused(tmp_path):
    path = written(tmp_path, {"prompt": "a", "chosen": "b", "rejected": "c", "label": "safe"})
    with pytest.raises(DataError, match="a label is of one"):
        open_labelled([path])


def test_an_empty_file_is_an_error(tmp_path):
    with pytest.raises(DataError):
        open_labelled([written(tmp_path, "")])


@pytest.mark.parametrize(("name", "content"), [("rows.jsonl.gz", b"not gzip"), ("rows.jsonl", b"\xff\xfe\x00")])
def test_an_unreadable_file_is_an_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError):
        open_labelled([path])
