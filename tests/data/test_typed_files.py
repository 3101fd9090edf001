"""Parquet, Arrow, zstd and the bar: what needs the extra `data`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from annotating import annotated
from fakes import FakeEngine

from moderation_service.data.columns import NAMES
from moderation_service.data.formats import Judge
from moderation_service.errors import DataError

pytestmark = pytest.mark.data

MESSAGES = [
    {"role": "user", "content": "a bomb", "tool_calls": None},
    {"role": "assistant", "content": "I can't build a bomb.", "tool_calls": [{"id": "1"}]},
]


@pytest.fixture
def arrow() -> Any:
    import pyarrow
    import pyarrow.ipc
    import pyarrow.parquet

    return pyarrow


def rows(count: int) -> list[dict[str, Any]]:
    words = ["bread", "a bomb", "the election", None]
    return [{"id": number, "prompt": words[number % 4], "blob": bytes([number % 256])} for number in range(count)]


def parquet(arrow: Any, path: Path, count: int = 1000, **how: Any) -> Path:
    arrow.parquet.write_table(arrow.Table.from_pylist(rows(count)), path, row_group_size=300, **how)
    return path


def test_parquet_keeps_its_columns_types_and_order(tmp_path: Path, arrow: Any) -> None:
    source, output = parquet(arrow, tmp_path / "in.parquet"), tmp_path / "out.parquet"
    counts, _ = annotated(source, output, chunk=64)
    before, after = arrow.parquet.read_table(source), arrow.parquet.read_table(output)
    assert after.select(before.schema.names).equals(before)
    assert after.schema.names == [*before.schema.names, *(f"guard_{name}" for name in NAMES)]
    assert after["guard_safety"].to_pylist()[:5] == ["safe", "unsafe", "controversial", None, "safe"]
    assert after["guard_categories"].to_pylist()[:2] == [[], ["violent"]]
    assert str(after["guard_error"][3]).startswith("invalid_request")
    assert (counts.rows, counts.errors) == (1000, 250)


@pytest.mark.parametrize("stop_at", [64, 320, 960])
def test_parquet_is_gone_on_with_and_ends_in_the_same_bytes(tmp_path: Path, arrow: Any, stop_at: int) -> None:
    source, output = parquet(arrow, tmp_path / "in.parquet"), tmp_path / "out.parquet"

    class Enough(BaseException):
        pass

    def stop(counts: Any, judged: int, total: int | None) -> None:
        assert total is not None
        if counts.rows >= stop_at:
            raise Enough

    with pytest.raises(Enough):
        annotated(source, output, chunk=64, watch=stop)
    with (tmp_path / "out.parquet.part").open("ab") as part:
        part.write(b"half a batch")
    annotated(source, output, chunk=64)
    annotated(source, tmp_path / "whole.parquet", chunk=50)
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_dictionaries_dates_and_nested_columns_come_back(tmp_path: Path, arrow: Any) -> None:
    table = arrow.table(
        {
            "messages": [MESSAGES, MESSAGES[:1]],
            "source": arrow.array(["web", "web"]).dictionary_encode(),
            "when": arrow.array([0, 10**15], arrow.timestamp("us", "UTC")),
        }
    )
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    arrow.parquet.write_table(table, source)
    annotated(source, output, chunk=1)
    after = arrow.parquet.read_table(output)
    assert after.select(table.schema.names).equals(arrow.parquet.read_table(source))
    assert after["guard_refusal"].to_pylist() == [True, None]


def test_parquet_is_written_as_json_lines_where_that_is_asked(tmp_path: Path, arrow: Any) -> None:
    annotated(parquet(arrow, tmp_path / "in.parquet", 8), tmp_path / "out.jsonl")
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in found] == list(range(8))
    assert (found[1]["blob"], found[1]["guard_safety"]) == ("01", "unsafe")


def test_a_folder_of_save_to_disk_comes_back_as_one_with_its_features(tmp_path: Path, arrow: Any) -> None:
    features = {"id": {"dtype": "int64", "_type": "Value"}, "prompt": {"dtype": "string", "_type": "Value"}}
    told = json.dumps({"info": {"features": features}}).encode()
    table = arrow.Table.from_pylist([{"id": row["id"], "prompt": row["prompt"]} for row in rows(10)])
    table = table.replace_schema_metadata({b"huggingface": told})
    source = tmp_path / "in"
    source.mkdir()
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for name, part in zip(names, (table.slice(0, 6), table.slice(6)), strict=True):
        with arrow.OSFile(str(source / name), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part)
    state = {"_data_files": [{"filename": name} for name in names]}
    (source / "state.json").write_text(json.dumps(state), encoding="utf-8")
    annotated(source, tmp_path / "out", chunk=4)
    state = json.loads((tmp_path / "out" / "state.json").read_text(encoding="utf-8"))
    with arrow.OSFile(str(tmp_path / "out" / state["_data_files"][0]["filename"])) as file:
        after = arrow.ipc.open_stream(file).read_all()
    assert after["id"].to_pylist() == list(range(10))
    assert after["guard_safety"].to_pylist()[:4] == ["safe", "unsafe", "controversial", None]
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text(encoding="utf-8"))
    assert list(info["features"]) == after.schema.names
    assert info["features"]["guard_p_unsafe"] == {"dtype": "float64", "_type": "Value"}


def test_hugging_faces_own_library_reads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)
    features = datasets.Features({"prompt": datasets.Value("string"), "kind": datasets.ClassLabel(names=["a", "b"])})
    given = datasets.Dataset.from_dict({"prompt": ["bread", "a bomb"], "kind": [0, 1]}, features=features)
    given.save_to_disk(str(tmp_path / "in"))
    given.to_parquet(str(tmp_path / "in.parquet"))
    annotated(tmp_path / "in", tmp_path / "out", judge=Judge.EVERY_TURN)
    annotated(tmp_path / "in.parquet", tmp_path / "out.parquet")
    for found in (
        datasets.load_from_disk(str(tmp_path / "out")),
        datasets.load_dataset("parquet", data_files=str(tmp_path / "out.parquet"), cache_dir=str(tmp_path))["train"],
    ):
        assert found["guard_safety"][:] == ["safe", "unsafe"]
        assert found[1]["guard_categories"] == ["violent"]
        assert found.features["kind"].names == ["a", "b"]


def test_zstd_goes_in_and_comes_out(tmp_path: Path, arrow: Any) -> None:
    source, output = tmp_path / "in.jsonl.zst", tmp_path / "out.jsonl.zst"
    with arrow.CompressedOutputStream(str(source), "zstd") as stream:
        stream.write(b"".join(b'{"prompt":"a bomb %d"}\n' % number for number in range(300)))
    annotated(source, output)
    with arrow.input_stream(str(output), compression="zstd") as stream:
        assert stream.read().count(b'"guard_safety":"unsafe"') == 300


@pytest.mark.parametrize(
    ("source", "output", "said"),
    [
        ("in.parquet", "out.csv", "as jsonl"),
        ("in.parquet", "out.parquet.gz", "compressed"),
        ("in.pq", "out.pq", "no parquet"),
    ],
)
def test_what_can_not_be_written_or_read_is_refused(
    tmp_path: Path, arrow: Any, source: str, output: str, said: str
) -> None:
    if source.endswith("parquet"):
        parquet(arrow, tmp_path / source, 4)
    else:
        (tmp_path / source).write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=said):
        annotated(tmp_path / source, tmp_path / output)


def test_a_column_that_is_there_already_is_not_written_twice(tmp_path: Path, arrow: Any) -> None:
    source = parquet(arrow, tmp_path / "in.parquet", 4)
    annotated(source, tmp_path / "once.parquet")
    with pytest.raises(DataError, match="--columns"):
        annotated(tmp_path / "once.parquet", tmp_path / "twice.parquet")
    annotated(
        tmp_path / "once.parquet", tmp_path / "twice.parquet", prefix="second_", engine=FakeEngine(model="fake-2")
    )


def test_the_bar_is_shown_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from moderation_service.data.bar import Bar

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt":"a bomb"}\n{"prompt":"bread"}\n' * 20, encoding="utf-8")
    for stream, is_shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        with Bar() as bar:
            annotated(source, tmp_path / f"out{is_shown}.jsonl", watch=bar)
        assert ("unsafe 50.0%, errors 0" in stream.getvalue()) is is_shown
        assert ("40/40" in stream.getvalue()) is is_shown
