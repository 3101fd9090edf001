"""Typed rows with their labels: Parquet, or a folder as Hugging Face's `save_to_disk` writes it.

Neither can be added to, so the output grows as Arrow streams, one complete stream for each chunk, and becomes what it
is to be at the end. The columns of the input keep their types; a schema that tells Hugging Face's feature types is
told of the new columns too, or `datasets` would refuse the file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .arrow_file import ArrowFile
from .dataset import Files
from .files import Chunk, Kind, pyarrow
from .labels import NewColumns

__all__ = ["ArrowEncoder", "label_fields"]

_GROUP_ROWS = 65_536
_HUGGING_FACE = b"huggingface"


class ArrowEncoder:
    """Makes Arrow streams, and of them the file at the end."""

    def __init__(self, dataset: Files, labels: NewColumns, kind: Kind) -> None:
        self._arrow = pyarrow(kind.value)
        first = dataset.files[0]
        assert isinstance(first, ArrowFile)
        taken = [name for name in labels.names if name in first.schema.names]
        if taken:
            raise DataError(
                f"The rows have a column {taken[0]} already; --columns gives the new ones another beginning."
            )
        self._kind = kind
        self._fields = label_fields(self._arrow, labels)
        self._schema = self._arrow.schema(
            [*first.schema, *self._fields], metadata=_metadata(first.schema, self._fields)
        )

    def begin(self) -> bytes:
        """Nothing: each stream begins with the schema."""
        return b""

    def chunk(self, chunk: Chunk, labels: Sequence[Mapping[str, object] | None]) -> bytes:
        """One stream with these rows."""
        added = [
            self._arrow.array([None if label is None else label[field.name] for label in labels], type=field.type)
            for field in self._fields
        ]
        batch = self._arrow.RecordBatch.from_arrays([*chunk.raw.columns, *added], schema=self._schema)
        sink = self._arrow.BufferOutputStream()
        options = self._arrow.ipc.IpcWriteOptions(compression="zstd")
        with self._arrow.ipc.new_stream(sink, self._schema, options=options) as writer:
            writer.write_batch(batch)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def finish(self, part: Path, output: Path) -> Path:
        """Row groups of one size, whatever the chunks were: the same rows are the same bytes."""
        made = output.with_name(output.name + ".packing")
        if self._kind is Kind.ARROW and not output.suffix:
            self._write_folder(part, made, output)
        elif self._kind is Kind.ARROW:
            self._write_stream(part, made)
        else:
            with self._arrow.parquet.ParquetWriter(str(made), self._schema, compression="zstd") as writer:
                for table in self._tables(part):
                    writer.write_table(table, row_group_size=_GROUP_ROWS)
        return made

    def _tables(self, part: Path) -> Iterator[Any]:
        """The rows again, `_GROUP_ROWS` at a time."""
        batches: list[Any] = []
        rows = 0
        with self._arrow.OSFile(str(part)) as source:
            while source.tell() < source.size():
                for batch in self._arrow.ipc.open_stream(source):
                    while rows + batch.num_rows >= _GROUP_ROWS:
                        head = batch.slice(0, _GROUP_ROWS - rows)
                        batch = batch.slice(_GROUP_ROWS - rows)
                        yield self._table([*batches, head])
                        batches, rows = [], 0
                    if batch.num_rows:
                        batches.append(batch)
                        rows += batch.num_rows
        if batches:
            yield self._table(batches)

    def _table(self, batches: Sequence[Any]) -> Any:
        return self._arrow.Table.from_batches(batches, schema=self._schema).combine_chunks()

    def _write_stream(self, part: Path, made: Path) -> None:
        with self._arrow.OSFile(str(made), "wb") as sink, self._arrow.ipc.new_stream(sink, self._schema) as writer:
            for table in self._tables(part):
                writer.write_table(table)

    def _write_folder(self, part: Path, made: Path, output: Path) -> None:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        name = "data-00000-of-00001.arrow"
        with (
            self._arrow.OSFile(str(made / name), "wb") as sink,
            self._arrow.ipc.new_stream(sink, self._schema) as writer,
        ):
            for table in self._tables(part):
                writer.write_table(table)
        told = json.loads((self._schema.metadata or {}).get(_HUGGING_FACE, b"{}")).get("info") or {}
        (made / "dataset_info.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
        state: dict[str, object] = {
            "_data_files": [{"filename": name}],
            "_fingerprint": output.name,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        (made / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")


def label_fields(arrow: Any, labels: NewColumns) -> list[Any]:
    """The new columns and their types."""
    span = arrow.struct([("start", arrow.int64()), ("end", arrow.int64())])
    types = {
        "safety": arrow.string(),
        "categories": arrow.list_(arrow.string()),
        "refusal": arrow.bool_(),
        "p_safe": arrow.float64(),
        "p_controversial": arrow.float64(),
        "p_unsafe": arrow.float64(),
        "span": span,
        "model": arrow.string(),
        "error": arrow.string(),
    }
    turn = arrow.struct([("turn", arrow.int64()), ("role", arrow.string()), *types.items()])
    types["reason"] = arrow.string()
    types["turns"] = arrow.list_(turn)
    return [arrow.field(head + name, types[name]) for head in labels.heads for name in labels.bare_names]


def _metadata(schema: Any, fields: Sequence[Any]) -> dict[bytes, bytes] | None:
    """The schema's own, with the new columns among Hugging Face's features if it tells those."""
    metadata = dict(schema.metadata or {})
    try:
        told = json.loads(metadata.get(_HUGGING_FACE, b"null"))
        features = told["info"]["features"]
        features |= {field.name: _feature(field.type) for field in fields}
    except (ValueError, KeyError, TypeError):
        return metadata or None
    return {**metadata, _HUGGING_FACE: json.dumps(told).encode()}


def _feature(kind: Any) -> object:
    """A type as Hugging Face's `datasets` names it."""
    text = str(kind)
    if text.startswith("list<"):
        inner = _feature(kind.value_type)
        # A list of objects is a plain list of one there; `Sequence` would turn it inside out.
        return [inner] if isinstance(inner, dict) and "_type" not in inner else {"feature": inner, "_type": "Sequence"}
    if text.startswith("struct<"):
        return {kind.field(number).name: _feature(kind.field(number).type) for number in range(kind.num_fields)}
    return {"dtype": {"double": "float64"}.get(text, text), "_type": "Value"}
