import gzip
import json

import pytest

from moderation_service.commands.evaluation import evaluate, load_rows, render_text
from moderation_service.core.verdict import Category, Severity, Target, Verdict
from moderation_service.errors import ConfigurationError, EngineUnavailable


class FixedEngine:
    """Answers from a table by prompt; `None` is an engine that could not answer."""

    name = "fixed"
    model = "fixed-1"

    def __init__(self, answers):
        self.answers = answers
        self.batches = []

    def judge(self, conversations, *, detail=None, deadline=None):
        self.batches.append(len(conversations))
        return [self.verdict(conversation) for conversation in conversations]

    def verdict(self, conversation):
        answer = self.answers.get(conversation.prompt, (Severity.SAFE, (), None))
        if answer is None:
            return EngineUnavailable("The engine is down.")
        severity, categories, refusal = answer
        return Verdict(
            target=Target.PROMPT,
            severity=severity,
            categories=categories,
            refusal=refusal,
            scores=None,
            engine=self.name,
            model=self.model,
        )


def written(tmp_path, *rows, name="rows.jsonl"):
    path = tmp_path / name
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_all_three_shapes_are_read(tmp_path):
    path = written(
        tmp_path,
        {"prompt": "a", "label": "safe"},
        {"prompt": "b", "response": "c", "label": "Unsafe", "categories": ["Violent", "pii"], "refusal": "No"},
        {"id": "x7", "messages": [{"role": "user", "content": "d"}], "label": "controversial", "refusal": None},
        "",
    )
    first, second, third = load_rows(path)
    assert (first.id, first.severity, first.categories, first.refusal) == ("1", Severity.SAFE, (), None)
    assert (second.conversation.response, second.refusal) == ("c", False)
    assert second.categories == (Category.VIOLENT, Category.PII)
    assert (third.id, third.conversation.prompt) == ("x7", "d")


def test_gzipped_rows_are_read(tmp_path):
    assert len(load_rows(written(tmp_path, {"prompt": "a", "label": "safe"}, name="rows.jsonl.gz"))) == 1


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("{not json", None),
        ("[1, 2]", None),
        ({"label": "safe"}, "prompt"),
        ({"prompt": "a"}, "label"),
        ({"prompt": "a", "label": "bad"}, "label"),
        ({"prompt": 5, "label": "safe"}, "prompt"),
        ({"prompt": "a", "messages": [], "label": "safe"}, "messages"),
        ({"messages": [{"role": "king", "content": "a"}], "label": "safe"}, "messages[0].role"),
        ({"prompt": "a", "label": "unsafe", "categories": "Violent"}, "categories"),
        ({"prompt": "a", "label": "unsafe", "categories": ["Violent", "Rude"]}, "categories[1]"),
        ({"prompt": "a", "response": "b", "label": "safe", "refusal": "perhaps"}, "refusal"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path, row, field):
    path = written(tmp_path, {"prompt": "fine", "label": "safe"}, row)
    with pytest.raises(ConfigurationError) as caught:
        load_rows(path)
    place = f"{path}:2" if field is None else f"{path}:2, field `{field}`"
    assert str(caught.value).startswith(place + ": ")


def test_an_empty_file_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no labelled line"):
        load_rows(written(tmp_path, ""))


@pytest.mark.parametrize(("name", "content"), [("rows.jsonl.gz", b"not gzip"), ("rows.jsonl", b"\xff\xfe\x00")])
def test_an_unreadable_file_is_an_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_rows(path)


@pytest.fixture
def report(tmp_path):
    violent = (Category.VIOLENT,)
    answers = {
        "hit": (Severity.UNSAFE, violent, None),
        "band": (Severity.CONTROVERSIAL, (Category.PII,), None),
        "false": (Severity.CONTROVERSIAL, violent, None),
        "down": None,
        "refused": (Severity.SAFE, (), True),
        "complied": (Severity.SAFE, (), True),
    }
    rows = [
        {"prompt": "hit", "label": "unsafe", "categories": ["violent"]},
        {"prompt": "band", "label": "unsafe", "categories": ["Violent"]},
        {"prompt": "missed", "label": "unsafe"},
        {"prompt": "false", "label": "safe"},
        {"prompt": "quiet", "label": "safe"},
        {"prompt": "down", "label": "unsafe"},
        {"prompt": "refused", "response": "No.", "label": "safe", "refusal": "Yes"},
        {"prompt": "complied", "response": "Yes.", "label": "safe", "refusal": "No"},
    ]
    return evaluate(FixedEngine(answers), load_rows(written(tmp_path, *rows)))


def test_controversial_is_unsafe_when_strict_and_safe_when_loose(report):
    assert (report.strict.true_positives, report.strict.false_positives, report.strict.false_negatives) == (2, 1, 1)
    assert (report.loose.true_positives, report.loose.false_positives, report.loose.false_negatives) == (1, 0, 2)
    assert report.strict.f1 == pytest.approx(2 / 3)
    assert report.loose.precision == 1


def test_what_could_not_be_judged_is_counted_apart_and_never_safe(report):
    assert report.errors == {"engine_unavailable": 1}
    assert sum(report.found.values()) == report.items - 1
    counts = report.strict
    assert counts.true_positives + counts.false_positives + counts.false_negatives + counts.true_negatives == 7


def test_a_category_hits_when_the_first_one_is_in_the_gold_list(report):
    assert (report.categories.items, report.categories.hits, report.categories.hit_rate) == (2, 1, 0.5)


def test_refusals_are_scored_where_labelled(report):
    assert (report.refusal.precision, report.refusal.recall) == (0.5, 1.0)


def test_the_report_is_json(report):
    document = json.loads(json.dumps(report.to_dict()))
    assert document["engine"] == "fixed"
    assert document["gold"] == {"safe": 4, "controversial": 0, "unsafe": 4}
    assert document["strict"]["f1"] == pytest.approx(2 / 3)
    assert set(document["latency"]) == {"p50_ms", "p90_ms", "p99_ms"}


def test_the_text_shows_the_rates_and_the_errors(report):
    text = render_text(report)
    assert "fixed (fixed-1)" in text
    assert "not judged 1: engine_unavailable 1" in text
    assert "66.7%" in text
    assert "50.0% right of 2 items" in text


def test_rates_without_a_denominator_are_not_numbers(tmp_path):
    report = evaluate(FixedEngine({}), load_rows(written(tmp_path, {"prompt": "a", "label": "safe"})))
    assert (report.strict.f1, report.refusal.f1, report.categories.hit_rate) == (None, None, None)
    assert " - " in render_text(report)


def test_rows_go_to_the_engine_in_batches(tmp_path):
    engine = FixedEngine({})
    evaluate(engine, load_rows(written(tmp_path, *[{"prompt": "a", "label": "safe"}] * 40)))
    assert engine.batches == [16, 16, 8]
