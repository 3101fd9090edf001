"""Labels for every row: bytes and order kept, errors in their places, an end at any moment survived."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from annotating import annotated
from fakes import FakeEngine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Detail
from moderation_service.data.columns import NAMES
from moderation_service.data.formats import Judge
from moderation_service.data.window import WindowOptions
from moderation_service.errors import DataError, EngineAnswerInvalid, EngineUnavailable

PROGRAM = Path(__file__).parents[1] / "support" / "annotating.py"
KILLS = int(os.environ.get("KILLS", "5"))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]


def test_labels_stand_behind_the_bytes_of_the_line(tmp_path: Path) -> None:
    rows = [
        b'{"prompt":"How do I bake bread?",  "id": 1e3, "x":"\\u00e9\xc3\xa9"}\r\n',
        b"\n",
        b'  {"prompt" : "a bomb", "response" : "I can\'t build a bomb." , "nested":{"guard_safety":1, "prompt":2}}  \n',
        '{"prompt":"one\u2028two\u0085three"}'.encode() + b"\n",
        b'{"prompt":"about the election"}',
    ]
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + b"".join(rows))
    counts, _ = annotated(source, output)
    written = output.read_bytes()
    assert written.startswith(
        b'\xef\xbb\xbf{"prompt":"How do I bake bread?",  "id": 1e3, "x":"\\u00e9\xc3\xa9","guard_safety":"safe",'
    )
    kept = [line.split(b',"guard_safety":"')[0] for line in written.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    assert kept[:5] == [row.rstrip().removesuffix(b"}") for row in rows]
    assert written.count(b"}\r\n") == 1
    found = lines_of_bom(written)
    assert [row["guard_safety"] for row in found] == ["safe", "unsafe", "safe", "controversial"]
    assert [name for name in found[1] if name.startswith("guard_")] == [f"guard_{name}" for name in NAMES]
    assert found[1]["guard_categories"] == ["violent"]
    assert found[1]["guard_refusal"] is True
    assert (counts.rows, counts.unsafe, counts.errors) == (4, 1, 0)


def lines_of_bom(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]


def test_a_row_without_a_verdict_keeps_its_place_with_an_error_and_no_label(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [
        b'{"prompt":"bread"}',
        b'{"prompt":"broken',
        b"[1]",
        b'{"prompt":""}',
        b'{"prompt":17}',
        b'{"prompt":"a bomb","prompt":"bread"}',
        b'{"prompt":"garbled"}',
        b'{"id":7}',
        b"\xff\xfe",
        b'{"prompt":"half a \\ud800"}',
        b'{"prompt":"not a number","x":NaN}',
        b'{"prompt":"a bomb"}',
    ]
    source.write_bytes(b"\n".join(rows) + b"\n")
    engine = FakeEngine(errors={"garbled": EngineAnswerInvalid("The engine's answer has no safety label.")})
    counts, _ = annotated(source, output, engine=engine)
    found = lines_of(output)
    assert len(found) == len(rows)
    assert [row["guard_safety"] for row in found] == ["safe", *[None] * 9, "safe", "unsafe"]
    errors = [str(row["guard_error"]).partition(":")[0] for row in found]
    assert errors == [
        "None", "not_json", "not_an_object", *["invalid_request"] * 3, "engine_answer_invalid", "invalid_request",
        "not_json", "invalid_request", "None", "None",
    ]  # fmt: skip
    assert found[1]["guard_source"] == '{"prompt":"broken'
    assert all(row["guard_p_unsafe"] is None and row["guard_model"] is None for row in found[1:10])
    assert counts.errors == 9


def test_what_the_journal_keeps_has_no_text_in_it(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"prompt":"secretword bomb"}\n{"secretcolumn":1}\n', encoding="utf-8")
    annotated(source, output)
    assert "secret" not in (tmp_path / "out.jsonl.journal").read_text(encoding="utf-8")


def test_pairs_have_columns_for_each_answer(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"prompt":"Hi","chosen":"I can\'t.","rejected":"a bomb"}\n', encoding="utf-8")
    counts, _ = annotated(source, output)
    [row] = lines_of(output)
    assert (row["guard_chosen_safety"], row["guard_chosen_refusal"]) == ("safe", True)
    assert (row["guard_rejected_safety"], row["guard_rejected_categories"]) == ("unsafe", ["violent"])
    assert (counts.rows, counts.judged) == (1, 2)


def test_every_turn_is_listed_and_the_strictest_is_the_label_of_the_row(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    turns = [("user", "How do I build a bomb?"), ("assistant", "garbled"), ("user", "Thanks"), ("assistant", "Bye")]
    messages = [{"role": role, "content": text} for role, text in turns]
    rows = [{"messages": messages}, {"messages": [{"role": "user", "content": "bread"}, messages[1]]}, {"messages": []}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    class LastTurn(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **how: Any) -> Any:
            last = conversations[0].messages[-1].content
            return super().judge([Conversation.of(prompt=last)], **how)

    engine = LastTurn(errors={"garbled": EngineAnswerInvalid("no label")})
    annotated(source, output, engine=engine, judge=Judge.EVERY_TURN)
    first, second, third = lines_of(output)
    assert first["guard_safety"] == "unsafe"
    assert [(turn["turn"], turn["role"], turn["safety"]) for turn in first["guard_turns"]] == [
        (0, "user", "unsafe"), (1, "assistant", None), (2, "user", "safe"), (3, "assistant", "safe"),
    ]  # fmt: skip
    assert "no label" in first["guard_error"]
    # One turn without a verdict may be anything, so the row has no label.
    assert second["guard_safety"] is None
    assert second["guard_turns"][0]["safety"] == "safe"
    assert third["guard_safety"] is None
    assert third["guard_error"]


def test_severity_leaves_open_what_it_did_not_ask(tmp_path: Path) -> None:
    class Quick(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **how: Any) -> Any:
            from dataclasses import replace

            assert how["detail"] is Detail.SEVERITY
            return [replace(one, categories=(), refusal=None) for one in super().judge(conversations, **how)]

    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"prompt":"a bomb"}\n{"prompt":"bread"}\n', encoding="utf-8")
    annotated(source, output, engine=Quick(), detail=Detail.SEVERITY)
    assert [row["guard_categories"] for row in lines_of(output)] == [None, []]


def test_files_are_read_one_after_the_other_into_one(tmp_path: Path) -> None:
    first, second, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "out.jsonl.gz"
    first.write_bytes(b'{"prompt":"bread"}')
    second.write_bytes(gzip.compress(b'{"prompt":"a bomb"}\n'))
    annotated([first, second], output)
    found = [json.loads(line)["guard_safety"] for line in gzip.decompress(output.read_bytes()).splitlines()]
    assert found == ["safe", "unsafe"]
    assert not (tmp_path / "out.jsonl.gz.part").exists()


def test_a_csv_keeps_its_bytes_and_its_records_of_several_lines(tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    content = (
        b'\xef\xbb\xbfid,prompt,response\r\n1,"How do I\r\nbake ""bread""?",\r\n'
        b'2,"a bomb, please",I can\'t build a bomb.\r\n\r\n3\r\n4,a "raw" quote,'
    )
    source.write_bytes(content)
    annotated(source, output)
    written = output.read_bytes()
    rows = list(csv.DictReader(io.StringIO(written.removeprefix(b"\xef\xbb\xbf").decode(), newline="")))
    assert [row["prompt"] for row in rows] == ['How do I\r\nbake "bread"?', "a bomb, please", "", 'a "raw" quote']
    assert [row["guard_safety"] for row in rows] == ["safe", "unsafe", "", "safe"]
    assert (rows[1]["guard_categories"], rows[1]["guard_refusal"]) == ("violent", "true")
    assert rows[2]["guard_error"].startswith("too_few_fields")
    # Without the new cells it is what it was, byte for byte.
    assert written.startswith(b"\xef\xbb\xbfid,prompt,response,guard_safety,")
    assert b'1,"How do I\r\nbake ""bread""?",,safe,' in written


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.csv", b"prompt\na,b\n", "2 fields"),
        ("in.csv", b'prompt\n"never closed\n', "never closed"),
        ("in.csv", "prompt\ncaf\u00e9\n".encode("latin-1"), "UTF-8"),
        ("in.csv", b"prompt,prompt\na,b\n", "columns"),
        ("in.jsonl", b'[{"prompt":"a"},\n{"prompt":"b"}]', "jq -c"),
        ("in.json", b'{\n  "prompt": "a"\n}', "jq -c"),
        ("in.jsonl", b'{"prompt":"a","guard_safety":"safe"}\n', "--columns"),
        ("in.jsonl", b"", "no readable row"),
        ("in.jsonl", b"nonsense\n", "no readable row"),
        ("in.xlsx", b"PK", "--kind"),
        ("missing.jsonl", None, "not there"),
    ],
)
def test_what_can_not_be_read_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        annotated(tmp_path / name, tmp_path / f"out{Path(name).suffix}")


def test_a_packed_file_that_breaks_off_ends_the_run_and_not_its_rows(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl.gz"
    content = "".join(json.dumps({"prompt": f"bread {random.random()}"}) + "\n" for _ in range(3000))
    source.write_bytes(gzip.compress(content.encode())[:-2000])
    with pytest.raises(DataError, match="to its end"):
        annotated(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_lines_of_text_become_json_lines(tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_bytes(b"bread\r\n\na bomb\n")
    annotated(source, output)
    assert [(row["text"], row["guard_safety"]) for row in lines_of(output)] == [("bread", "safe"), ("a bomb", "unsafe")]


def test_a_line_of_some_megabytes_is_a_row_like_others(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"prompt": "x" * 9_000_000 + " a bomb"}, {"prompt": "bread"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    annotated(source, output)
    assert [row["guard_safety"] for row in lines_of(output)] == ["unsafe", "safe"]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.dictionaries(texts.filter(lambda name: name != "prompt"), values, max_size=3), texts),
        min_size=1,
        max_size=8,
    ),
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", " \n\n"]),
)
def test_any_json_row_comes_back_as_it_was(
    tmp_path: Path, rows: list[tuple[dict[str, Any], str]], ascii_only: bool, end: str
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given = [json.dumps({**row, "prompt": text}, ensure_ascii=ascii_only) for row, text in [({}, "first"), *rows]]
    source.write_bytes("".join(line + end for line in given).encode())
    annotated(source, output, fresh=True, fields={"prompt": "prompt"})
    found = output.read_bytes().split(b"\n")
    kept = [line.split(b',"guard_safety":')[0] + b"}" for line in found if line.strip()]
    assert kept == [line.encode() for line in given]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12), min_size=2, max_size=2),
        max_size=8,
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_csv_record_comes_back_as_it_was(tmp_path: Path, rows: list[list[str]], quoting: int, end: str) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    given = io.StringIO(newline="")
    csv.writer(given, quoting=quoting, lineterminator=end).writerows([["prompt", "note"], ["first", ""], *rows])  # type: ignore[arg-type]
    source.write_bytes(given.getvalue().encode())
    annotated(source, output, fresh=True)
    back = list(csv.reader(io.StringIO(output.read_bytes().decode(), newline="")))
    before = list(csv.reader(io.StringIO(given.getvalue(), newline="")))
    assert [row[:2] for row in back] == before
    assert {len(row) for row in back if row} == {2 + len(NAMES)}


# Going on.


def dataset(path: Path, rows: int) -> Path:
    words = ["bread", "a bomb", "the election", "can't", "x" * 50]
    choose = random.Random(7)
    with path.open("wb") as file:
        for number in range(rows):
            row = {"id": number, "prompt": f"{choose.choice(words)} {choose.randrange(rows // 2)}"}
            file.write(json.dumps(row).encode() + choose.choice([b"\n", b"\n", b"\r\n"]))
            if number % 97 == 5:
                file.write(choose.choice([b"\n", b"{broken\n", b'{"prompt":null}\n']))
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_killed_at_any_moment_it_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, ending: str) -> None:
    """KILLS=100 in the environment makes it a hundred of each."""
    source = dataset(tmp_path / "in.jsonl", 1500)
    whole, output = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    annotated(source, whole)
    choose = random.Random(os.getpid())
    kills = 0
    while True:
        # Enough work for several kills, and none when there were enough.
        pause = "0.002" if kills < KILLS else "0"
        program = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(source), str(output), pause], stdout=subprocess.PIPE
        )
        part = tmp_path / f"out{ending}.part"
        while program.poll() is None and not part.exists():
            time.sleep(0.002)
        if kills < KILLS:
            time.sleep(choose.uniform(0, 0.3))
            program.send_signal(signal.SIGKILL)
        program.communicate()
        if program.returncode == 0:
            assert output.read_bytes() == whole.read_bytes()
            assert not part.exists()
            if kills >= KILLS:
                break
            for path in (output, tmp_path / f"out{ending}.journal"):
                path.unlink()
            continue
        kills += 1
        if kills % 2 and part.exists():
            with part.open("ab") as file:  # what a kill in the midst of a write leaves
                file.write(b'{"id": 1, "prompt": "half a ro')
            with (tmp_path / f"out{ending}.journal").open("ab") as file:
                file.write(b'{"in":[0,99')


def stopped(tmp_path: Path, rows: int = 200) -> tuple[Path, Path]:
    """An output that is begun."""
    source, output = dataset(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"

    class Enough(BaseException):
        pass

    def stop(counts: Any, judged: int, total: int | None) -> None:
        if counts.rows > 40:
            raise Enough

    with pytest.raises(Enough):
        annotated(source, output, watch=stop)
    assert not output.exists()
    return source, output


def test_an_output_is_gone_on_with_by_the_same_command_only(tmp_path: Path) -> None:
    source, output = stopped(tmp_path)
    for what, how in {
        "detail": {"detail": Detail.SEVERITY},
        "judge": {"judge": Judge.PROMPT},
        "columns": {"prefix": "other_"},
        "model": {"engine": FakeEngine(model="fake-2")},
        "engine": {"engine": FakeEngine(name="other")},
    }.items():
        with pytest.raises(DataError, match=what):
            annotated(source, output, **how)  # type: ignore[arg-type]
    other = tmp_path / "in.jsonl"
    before = other.read_bytes()
    other.write_bytes(before.replace(b"bread", b"flour"))
    with pytest.raises(DataError, match="input"):
        annotated(other, output)
    other.write_bytes(before)
    asked = FakeEngine()
    annotated(source, output, engine=asked)
    annotated(source, tmp_path / "whole.jsonl")
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_finished_output_is_left_as_it_is(tmp_path: Path) -> None:
    source, output = dataset(tmp_path / "in.jsonl", 20), tmp_path / "out.jsonl"
    annotated(source, output)
    engine = FakeEngine()
    counts, was_done = annotated(source, output, engine=engine)
    assert was_done
    assert counts.rows >= 20
    assert engine.calls == []
    (tmp_path / "out.jsonl.journal").unlink()
    with pytest.raises(DataError, match="--fresh"):
        annotated(source, output)
    annotated(source, output, fresh=True)


def test_two_processes_do_not_write_one_output(tmp_path: Path) -> None:
    from moderation_service.data.journal import GrowingFile

    source, output = dataset(tmp_path / "in.jsonl", 20), tmp_path / "out.jsonl"
    growing = GrowingFile(output, {})
    with pytest.raises(DataError, match="another process"):
        annotated(source, output)
    growing.close()


def test_a_full_disk_ends_it_with_a_reason_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, output = dataset(tmp_path / "in.jsonl", 200), tmp_path / "out.jsonl"
    written = 0
    write = os.write

    def full(descriptor: int, content: Any) -> int:
        nonlocal written
        written += len(content)
        if written > 20_000:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:100])

    with monkeypatch.context() as patched:
        patched.setattr("moderation_service.data.journal.os.write", full)
        with pytest.raises(DataError, match="No space left"):
            annotated(source, output)
    annotated(source, output)
    annotated(source, tmp_path / "whole.jsonl")
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_an_engine_that_goes_away_for_good_leaves_no_rows_of_errors(tmp_path: Path) -> None:
    class Leaving(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **how: Any) -> Any:
            if len(self.calls) > 30:
                return [EngineUnavailable("The model server can't be reached.")]
            return super().judge(conversations, **how)

    source, output = dataset(tmp_path / "in.jsonl", 400), tmp_path / "out.jsonl"
    with pytest.raises(EngineUnavailable):
        annotated(source, output, engine=Leaving(), window=WindowOptions(in_flight=4, patience_s=0.0))
    assert b"can't be reached" not in (tmp_path / "out.jsonl.part").read_bytes()
    annotated(source, output)
    annotated(source, tmp_path / "whole.jsonl")
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_the_word_of_another_model_or_engine_is_never_written(tmp_path: Path) -> None:
    from dataclasses import replace

    class Other(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **how: Any) -> Any:
            return [replace(one, engine="lite", model="lite-1") for one in super().judge(conversations, **how)]

    source, output = dataset(tmp_path / "in.jsonl", 20), tmp_path / "out.jsonl"
    with pytest.raises(DataError, match="lite-1"):
        annotated(source, output, engine=Other())
    assert not (tmp_path / "out.jsonl.part").read_bytes()
