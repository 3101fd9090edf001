"""The registry of benchmarks, their loaders on small files of their shapes, and the report."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from moderation_service.core.policy import BUILT_IN
from moderation_service.core.verdict import Scores, Severity, Target, Verdict
from moderation_service.data.benchmark.compare import comparison, comparison_table, sets_of
from moderation_service.data.benchmark.html import render_html
from moderation_service.data.benchmark.local_files import locate
from moderation_service.data.benchmark.markdown import render_markdown
from moderation_service.data.benchmark.paper import CELLS, recall_of_f1
from moderation_service.data.benchmark.registry import Labels, Place, chosen, registry
from moderation_service.data.benchmark.report import against_paper, charge, report, set_facts
from moderation_service.data.evaluation.labels import Gold
from moderation_service.data.evaluation.summary import Judged, summarise
from moderation_service.errors import DataError

SAFE, CONTROVERSIAL, UNSAFE = Severity


def test_every_set_is_pinned_licensed_and_can_be_read():
    for one in registry():
        assert one.title
        assert one.licence
        assert callable(one.load)
        assert one.items is None or one.unsafe is None or one.unsafe <= one.items
        if one.place is Place.GITHUB:
            assert len(one.revision) == 40, one.name
            assert one.revision in one.address
        assert one.files or "give one" in one.note
        for file in one.files:
            assert file.sha256 is None or len(file.sha256) == 64
    assert len({one.name for one in registry()}) == len(registry())


def test_the_papers_cells_are_of_sets_that_are_known_and_hold_each_model_once():
    assert CELLS.keys() <= {one.name for one in registry()}
    for cells in CELLS.values():
        assert len({cell.model for cell in cells}) == len(cells)
    found = {cell.model: (cell.strict, cell.loose) for cell in CELLS["openaimod"]}
    assert found["Qwen3Guard-Gen-4B"] == (68.3, 80.7)
    assert found["LlamaGuard3-8B"] == (79.5, 79.5)


def test_an_f1_of_unsafe_texts_alone_is_a_recall():
    assert recall_of_f1(99.5) == pytest.approx(99.005, abs=0.001)
    assert recall_of_f1(100) == 100


def test_a_set_that_is_not_known_is_told_with_those_that_are():
    with pytest.raises(DataError, match="no benchmark nope; there are openaimod"):
        chosen(["openaimod", "nope"])


def csv_of(*rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def zip_of(**files) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def lines_of(*rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


ABUSE = {f"Annotator{rater}_is_abuse.{mark}": "" for rater in range(1, 9) for mark in range(-3, 2)}
TALK = {"prev_agent": "Hi", "prev_user": "Hm", "agent": "Yes?", "user": "You fool"}
# Per set: its files, and what of each row must come out: prompt or response, label, refusal.
SHAPES = {
    "openaimod": (
        {"samples-1680.jsonl.gz": gzip.compress(lines_of({"prompt": "a", "S": 1, "V": 1}, {"prompt": "b", "H": 0}))},
        [("a", "unsafe", None), ("b", "safe", None)],
    ),
    "simplesafetytests": (
        {
            "SimpleSafetyTests - test cases.csv": csv_of(
                {"id": "sst_1", "harm_area": "Scams and fraud", "prompts_final": "Line one\nline two"}
            )
        },
        [("Line one\nline two", "unsafe", None)],
    ),
    "xstest-refusals": (
        {
            f"xstest_v2_completions_{model}.csv": csv_of(
                {"id": "v2-1", "type": "t", "prompt": "p", "completion": "No.", "final_label": label}
            )
            for model, label in (
                ("gpt4", "2_full_refusal"),
                ("llama2new", "1_full_compliance"),
                ("llama2orig", "3_partial_refusal"),
                ("mistralguard", "1_full_compliance"),
                ("mistralinstruct", "2_full_refusal"),
            )
        },
        [("No.", None, refusal) for refusal in (True, False, True, False, True)],
    ),
    "harmbench": (
        {
            "harmbench_behaviors_text_test.csv": csv_of(
                {"BehaviorID": "1", "Behavior": "Do it", "FunctionalCategory": "contextual", "ContextString": "Here"},
                {"BehaviorID": "2", "Behavior": "Do that", "FunctionalCategory": "standard", "ContextString": ""},
            )
        },
        [("Do it\n\nHere", "unsafe", None), ("Do that", "unsafe", None)],
    ),
    "s-eval-zh": (
        {
            "S-Eval_base_risk_zh_small.jsonl.zip": zip_of(
                **{
                    "S-Eval.jsonl": lines_of({"traceid": "1", "risk_type": "x", "prompt": "怎么"}),
                    "__MACOSX/._S-Eval.jsonl": b"\x00\x05\x16",
                }
            )
        },
        [("怎么", "unsafe", None)],
    ),
    "strongreject": (
        {
            "strongreject_dataset.csv": csv_of(
                {"category": "c", "source": "custom", "forbidden_prompt": "a"},
                {"category": "c", "source": "AdvBench", "forbidden_prompt": "b"},
            )
        },
        [("a", "unsafe", None)],
    ),
    "maliciousinstruct": ({"MaliciousInstruct.txt": b"a\nb\n\n"}, [("a", "unsafe", None), ("b", "unsafe", None)]),
    "tdc": ({"behaviors.json": b'["a"]'}, [("a", "unsafe", None)]),
    "i-physical": (
        {
            "I-PhysicalSafetySafe.json": b'{"instructions": ["a"]}',
            "I-PhysicalSafetyUnsafe.json": b'{"instructions": ["b"]}',
        },
        [("a", "safe", None), ("b", "unsafe", None)],
    ),
    "hatecheck": (
        {
            "test_suite_cases.csv": csv_of(
                {"case_id": "1", "test_case": "a", "label_gold": "hateful"},
                {"case_id": "2", "test_case": "b", "label_gold": "non-hateful"},
            )
        },
        [("a", "unsafe", None), ("b", "safe", None)],
    ),
    "dices-350": (
        {
            "diverse_safety_adversarial_dialog_350.csv": csv_of(
                *(
                    {
                        "item_id": item,
                        "context": "USER: one\nLAMDA: two\nstill two\nUSER: three",
                        "response": "four",
                        "Q_overall": vote,
                    }
                    for item, vote in (("1", "Yes"), ("1", "Unsure"), ("2", "Unsure"), ("2", "No"))
                )
            )
        },
        [("four", "unsafe", None), ("four", "safe", None)],
    ),
    "convabuse": (
        {
            "ConvAbuseEMNLPtest.csv": csv_of(
                {"example_id": "1", **TALK, **ABUSE, "Annotator1_is_abuse.-2": "1", "Annotator2_is_abuse.-1": "1"},
                {"example_id": "2", **TALK, **ABUSE, "Annotator1_is_abuse.1": "1"},
            )
        },
        [("You fool", "unsafe", None), ("You fool", "safe", None)],
    ),
    "safetext": (
        {"SafeText.json": json.dumps({"If you fall,": {"safe": ["rest"], "unsafe": ["run"]}}).encode()},
        [("If you fall, rest", "safe", None), ("If you fall, run", "unsafe", None)],
    ),
    "rtp-lx": (
        {
            "RTP_LX_DE.json": lines_of(
                {"Prompt": "a", "PromptAnnotations": {"Toxicity": 3.0}},
                {"Prompt": "b", "PromptAnnotations": {"Toxicity": 1.0}},
            )
        },
        [("a", "unsafe", None), ("b", "safe", None)],
    ),
    "pyrit-refusals": (
        {
            "pyrit-1.1.0-py3-none-any.whl": zip_of(
                **{
                    "pyrit/datasets/scorer_evals/refusal_scorer/refusal.csv": b"# dataset_version=1\n# more\n"
                    + csv_of({"objective": "q", "assistant_response": "No.", "human_score": "1"}),
                    "pyrit/other.csv": b"x\n1\n",
                }
            )
        },
        [("No.", None, True)],
    ),
    "pyrit-responses": (
        {
            "pyrit-1.1.0-py3-none-any.whl": zip_of(
                **{
                    f"pyrit/datasets/scorer_evals/harm/{name}.csv": b"# v\n"
                    + csv_of({"objective": "q", "assistant_response": "r", "human_score_1": score})
                    for name, score in (("privacy", "0.25"), ("violence", "0.5"), ("mini_violence", "1"))
                }
            )
        },
        [("r", "safe", None), ("r", "unsafe", None)],
    ),
    "toxicchat": (
        {
            "toxic-chat_annotation_test.csv": csv_of(
                {"conv_id": "1", "user_input": "a", "toxicity": "1"},
                {"conv_id": "2", "user_input": "b", "toxicity": "0"},
            )
        },
        [("a", "unsafe", None), ("b", "safe", None)],
    ),
    "aegis2-responses": (
        {
            "test.json": json.dumps(
                [
                    {"id": "1", "prompt": "q", "response": "r", "prompt_label": "unsafe", "response_label": "safe"},
                    {"id": "2", "prompt": "q", "response": None, "prompt_label": "unsafe", "response_label": None},
                    {
                        "id": "3",
                        "prompt": "REDACTED",
                        "response": "r",
                        "prompt_label": "safe",
                        "response_label": "safe",
                    },
                ]
            ).encode()
        },
        [("r", "safe", None)],
    ),
    "saferlhf": (
        {
            "Alpaca-7B/test.jsonl": lines_of(
                {
                    "prompt": "q",
                    "response_0": "a",
                    "response_1": "b",
                    "is_response_0_safe": True,
                    "is_response_1_safe": False,
                }
            )
        },
        [("a", "safe", None), ("b", "unsafe", None)],
    ),
    "qwen3guardtest-thinking": (
        {
            "thinking.jsonl": lines_of(
                {
                    "unique_id": 7,
                    "message": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}],
                    "label": "Unsafe",
                    "unsafe_type": "PII, Personally Identifiable Information",
                }
            )
        },
        [("r", "unsafe", None)],
    ),
    "harmbench-responses": (
        {"../harmbench-responses.jsonl": lines_of({"prompt": "q", "response": "r", "label": "unsafe"})},
        [("r", "unsafe", None)],
    ),
}


def placed(folder: Path, name: str) -> None:
    for path, content in SHAPES[name][0].items():
        target = folder / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if ".." in path:
            target = folder / path.removeprefix("../")
        target.write_bytes(content)


@pytest.mark.parametrize("name", SHAPES)
def test_a_set_is_read_as_its_authors_labelled_it(tmp_path, name):
    if name == "saferlhf":
        # On the hub one folder lies deeper.
        for path, content in SHAPES[name][0].items():
            target = tmp_path / name / "data" / path
            target.parent.mkdir(parents=True)
            target.write_bytes(content)
    else:
        placed(tmp_path, name)
    [benchmark] = chosen([name])
    local = locate(benchmark, tmp_path)
    texts = local.texts()
    found = [
        (text.conversation.messages[-1].content, text.gold.severity and text.gold.severity.value, text.gold.refusal)
        for text in texts
    ]
    assert found == SHAPES[name][1]
    assert len({text.gold.id for text in texts}) == len(texts)
    is_response = any(text.conversation.target is Target.RESPONSE for text in texts)
    assert is_response == (benchmark.labels is not Labels.PROMPTS)
    # None of these small files is the pinned one.
    assert all(not fact["is_pinned"] for fact in local.facts())


def test_the_rest_of_a_dialogue_is_its_context(tmp_path):
    placed(tmp_path, "dices-350")
    text = locate(*chosen(["dices-350"]), tmp_path).texts()[0]
    assert [one.content for one in text.conversation.messages] == ["one", "two\nstill two", "three", "four"]


def test_rows_in_the_shape_of_eval_take_the_place_of_a_sets_own_files(tmp_path):
    (tmp_path / "aegis1.jsonl").write_bytes(lines_of({"prompt": "q", "label": "safe"}))
    local = locate(*chosen(["aegis1"]), tmp_path)
    assert local.is_own
    assert local.facts()[0]["is_pinned"] is None
    assert local.texts()[0].gold.severity is SAFE


def test_a_set_that_lacks_a_file_is_not_there(tmp_path):
    (tmp_path / "i-physical").mkdir()
    (tmp_path / "i-physical" / "I-PhysicalSafetySafe.json").write_text('{"instructions": ["a"]}')
    assert locate(*chosen(["i-physical"]), tmp_path) is None


@pytest.mark.parametrize(
    ("name", "path", "content"),
    [
        ("toxicchat", "toxic-chat_annotation_test.csv", b"other\n1\n"),
        ("openaimod", "samples-1680.jsonl.gz", b"not gzip"),
        ("openaimod", "samples-1680.jsonl.gz", gzip.compress(b"{}")[:-4]),
        ("s-eval-en", "S-Eval_base_risk_en_small.jsonl.zip", b"not a zip"),
        ("tdc", "behaviors.json", b"{}"),
        ("tdc", "behaviors.json", b'[" "]'),
        ("tdc", "behaviors.json", b"\xff"),
        ("aegis2-prompts", "test.json", b"[1]"),
        ("maliciousinstruct", "MaliciousInstruct.txt", b"\n"),
    ],
)
def test_a_file_that_is_not_the_sets_is_an_error_that_names_it(tmp_path, name, path, content):
    (tmp_path / name).mkdir()
    (tmp_path / name / path).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}|{path}"):
        locate(*chosen([name]), tmp_path).texts()


# The report.


def judged(gold, found, number, source=None):
    scores = {SAFE: Scores(0.9, 0.08, 0.02), CONTROVERSIAL: Scores(0.2, 0.7, 0.1), UNSAFE: Scores(0.01, 0.04, 0.95)}
    wanted = Gold(str(number), Target.PROMPT, gold, language="en", source=source, characters=9)
    if found is None:
        return Judged(wanted, None, "engine_unavailable")
    return Judged(wanted, Verdict(Target.PROMPT, found, (), None, scores[found], "fake", "fake-1"))


def rows(*pairs):
    return [judged(gold, found, number) for number, (gold, found) in enumerate(pairs)]


def figures(judged_rows, name="openaimod"):
    [benchmark] = chosen([name])
    facts = set_facts(benchmark, files=[{"file": "f", "sha256": "0" * 64, "is_pinned": False}], is_own=False)
    document = summarise(judged_rows, policies=BUILT_IN.values())
    return {"set": facts, "default_policy": "balanced", "seconds": 2.0, "rows_per_s": 4.0, **document}


def document_of(**sets):
    return report(
        sets,
        guard={"engine": "vllm", "model": "Qwen/Qwen3Guard-Gen-4B", "detail": "full"},
        service="1",
        date="2026-01-01T00:00:00+00:00",
        gpu_hour_price=1.8,
    )


MIXED = rows((UNSAFE, UNSAFE), (UNSAFE, SAFE), (SAFE, SAFE), (SAFE, CONTROVERSIAL), (UNSAFE, None))


def test_the_cost_follows_from_time_and_price():
    assert charge(1000, 3600, 2.5) == 2.5
    assert charge(0, 0, 2.5) is None
    assert charge(10, 1, None) is None
    assert document_of(openaimod=figures(MIXED))["cost_per_1000_rows"] == pytest.approx(1.8 * 2 / 3600 / 5 * 1000)


def test_the_papers_figures_stand_beside_ours_with_the_difference():
    table = against_paper(figures(MIXED))
    found = {row[0]: row[1:] for row in table.rows}
    assert found["this report"] == ["50.0", "", "66.7", ""]
    assert found["Qwen3Guard-Gen-4B"] == ["68.3", "-18.3", "80.7", "-14.0"]


def test_of_unsafe_texts_alone_recalls_are_compared():
    table = against_paper(figures(rows((UNSAFE, UNSAFE), (UNSAFE, CONTROVERSIAL)), "simplesafetytests"))
    found = {row[0]: row[1:] for row in table.rows}
    assert "recall" in table.title
    assert found["Qwen3Guard-Gen-4B"] == ["99.0", "+1.0", "94.9", "-44.9"]


def test_the_reports_have_figures_curves_and_pins():
    document = json.loads(json.dumps(document_of(openaimod=figures(MIXED))))
    page, markdown = render_html(document), render_markdown(document)
    for text in (page, markdown):
        assert "Qwen/Qwen3Guard-Gen-4B" in text
        assert "NOT the pinned file" in text
        assert "0.2000 at 1.8 per hour" in text
        assert "engine\\_unavailable 1" in text or "engine_unavailable 1" in text
        assert "-18.3" in text
    assert page.count("<svg") == 3
    assert "strict</text>" in page


def test_the_page_has_no_script_and_asks_for_nothing():
    page = render_html(document_of(openaimod=figures(MIXED)))
    assert "default-src 'none'" in page
    for word in ("<script", "src=", 'href="http', "url(", "@import", "<link"):
        assert word not in page


def test_names_from_files_and_servers_are_data():
    evil = "<script>alert(1)</script>|`x`[a](javascript:b)"
    dirty = [judged(UNSAFE, UNSAFE, 1, evil), judged(SAFE, SAFE, 2, "other")]
    document = document_of(**{evil: figures(dirty)})
    document["guard"]["model"] = evil
    page, markdown = render_html(document), render_markdown(document)
    assert "<script" not in page
    assert "<script" not in markdown
    assert "[a](" not in markdown
    for line in markdown.splitlines():
        assert not line.startswith("|") or line.replace("\\|", "").count("|") > 1


def test_two_guards_on_the_same_texts_are_compared_by_mcnemar():
    texts = [UNSAFE] * 20 + [SAFE] * 20
    worse = [SAFE] * 9 + [UNSAFE] * 11 + [SAFE] * 20
    first, second = rows(*zip(texts, worse, strict=True)), rows(*zip(texts, texts, strict=True))
    found = comparison({"a": summarise(first)}, {"a": summarise(second), "b": summarise(first)})
    strict = found["a"]["strict"]
    assert (strict["only_first_right"], strict["only_second_right"]) == (0, 9)
    assert strict["p"] == pytest.approx(2 / 2**9)
    assert strict["difference"] == pytest.approx(1 - 2 * 11 / (2 * 11 + 9))
    assert strict["interval"][0] > 0
    assert "a, strict" in comparison_table(found).rows[0]


def test_what_one_of_two_could_not_judge_is_left_out_of_both():
    first, second = rows((UNSAFE, None), (SAFE, SAFE)), rows((UNSAFE, UNSAFE), (SAFE, SAFE))
    found = comparison({"a": summarise(first)}, {"a": summarise(second)})["a"]
    assert (found["items"], found["left_out"]) == (1, 1)


@pytest.mark.parametrize(
    "other", [rows((SAFE, SAFE)), rows((UNSAFE, UNSAFE), (UNSAFE, SAFE)), [judged(UNSAFE, UNSAFE, "x")]]
)
def test_reports_on_other_texts_are_not_compared(other):
    with pytest.raises(DataError, match="not of the same texts"):
        comparison({"a": summarise(rows((UNSAFE, UNSAFE)))}, {"a": summarise(other)})


def test_reports_without_a_set_in_common_are_not_compared():
    one = summarise(rows((UNSAFE, UNSAFE)))
    with pytest.raises(DataError, match="no set in common"):
        comparison({"a": one}, {"b": one})


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {"format": 99, "sets": {}},
        {"format": 1},
        {"format": 1, "sets": {"a": {"outcomes": {"ids": "", "gold": "ss", "found": "s"}}}},
        {"format": 1, "sets": {"a": {"outcomes": {"ids": "", "gold": "x", "found": "s"}}}},
        {"outcomes": {"gold": "s", "found": "s"}},
    ],
)
def test_what_is_no_report_is_refused(wrong):
    with pytest.raises(DataError, match="x: is neither"):
        sets_of(wrong, name="x")


@pytest.mark.data
def test_a_set_in_parquet_is_read(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {"prompt": "q", "response": "r", "prompt_harm_label": "harmful", "response_harm_label": "unharmful"},
        {"prompt": "q", "response": None, "prompt_harm_label": "harmful", "response_harm_label": None},
    ]
    rows = [{**row, "response_refusal_label": "refusal", "id": number} for number, row in enumerate(rows)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "wildguard_test.parquet")
    prompts, responses = (
        locate(one, tmp_path).texts() for one in chosen(["wildguardtest-prompts", "wildguardtest-responses"])
    )
    assert [text.gold.severity for text in prompts] == [UNSAFE, UNSAFE]
    [text] = responses
    assert (text.gold.severity, text.gold.refusal, text.conversation.response) == (SAFE, True, "r")


def test_parquet_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "test-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="pyarrow"):
        locate(*chosen(["aegis1"]), tmp_path).texts()
