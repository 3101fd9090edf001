"""Reads prepared answers from a file; every complaint names the file, the line and the reason.

A CSV or JSON lines with `question`, `answer` and perhaps `policies`; or YAML, where `answers` is a list of such
mappings and a mapping may have several `questions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import yaml

from ..core.prepared_answer import FIELDS, PreparedAnswer, prepared_answer
from ..errors import ConfigurationError, InvalidRequest
from .list_file import csv_rows, json_rows, text_of, yaml_fields
from .yaml_file import compose_file

__all__ = ["read_answers"]

_MAX_ANSWERS = 100_000

Rows = Iterator[tuple[int, Mapping[str, object]]]


def read_answers(path: Path, *, policies: Collection[str] | None) -> list[PreparedAnswer]:
    """The answers of a file. `policies` are the names that they may be for; None for any.

    Raises ConfigurationError with file, line and reason.
    """
    found: list[PreparedAnswer] = []
    lines: dict[tuple[str, frozenset[str]], int] = {}
    for line, fields in _rows(path):
        where = f"{path}:{line}"
        try:
            one = prepared_answer(fields, origin=where)
        except InvalidRequest as error:
            raise ConfigurationError(f"{where}: {error.message}") from error
        unknown = None if policies is None else next(iter(sorted(one.policies.difference(policies))), None)
        if unknown is not None:
            raise ConfigurationError(f"{where}: `policies`: there is no policy {unknown!r}.")
        key = (one.question, one.policies)
        if key in lines:
            raise ConfigurationError(f"{where}: this question is there already, in line {lines[key]}.")
        if len(found) >= _MAX_ANSWERS:
            raise ConfigurationError(f"{where}: a file has {_MAX_ANSWERS} questions at most.")
        lines[key] = line
        found.append(one)
    return found


def _rows(path: Path) -> Rows:
    if path.suffix == ".csv":
        return csv_rows(text_of(path), str(path), known=FIELDS, needed=("question", "answer"))
    if path.suffix == ".jsonl":
        return json_rows(text_of(path), str(path))
    if path.suffix in (".yaml", ".yml"):
        return _yaml_rows(path)
    raise ConfigurationError(f"{path}: its name must end in .csv, .jsonl, .yaml or .yml.")


def _yaml_rows(path: Path) -> Rows:
    root = compose_file(path)
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    if len(entries) != 1 or entries[0][0].value != "answers" or not isinstance(entries[0][1], yaml.SequenceNode):
        raise ConfigurationError(f"{path}:1: the file needs one list, `answers`.")
    for node in entries[0][1].value:
        line = node.start_mark.line + 1
        fields = yaml_fields(node, path)
        questions = fields.pop("questions", None)
        if questions is None:
            yield line, fields
            continue
        if "question" in fields or not isinstance(questions, list) or not questions:
            raise ConfigurationError(f"{path}:{line}: give one `question`, or a list of `questions`.")
        for question in questions:
            yield line, {**fields, "question": question}
