"""As `loaders`, for sets that are on the hub only. Their columns are those of their data cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .loaders import UNLABELLED, Load, Row, labelled, labelled_row

__all__ = [
    "aegis1",
    "aegis2",
    "answers",
    "beavertails",
    "polyguard",
    "qwen3guard_test",
    "safe_rlhf",
    "toxic_chat",
    "wildguard",
    "xstest_response",
]

_UNSAFE_TYPES = {"PII, Personally Identifiable Information": "PII"}


def toxic_chat(files: Sequence[Path]) -> Iterator[Row]:
    """Prompts of real users; unsafe is what people called toxic."""
    for row in labelled(files):
        yield labelled_row(row["conv_id"], row["user_input"], unsafe=str(row["toxicity"]) == "1")


def aegis1(files: Sequence[Path]) -> Iterator[Row]:
    """User messages, by the majority of up to five raters, a tie being unsafe; `Needs Caution` counts as unsafe."""
    for row in labelled(files):
        votes = [row.get(f"labels_{rater}") for rater in range(5)]
        given = [vote for vote in votes if vote not in UNLABELLED]
        if row["text_type"] == "user_message" and given:
            safe = Counter(vote == "Safe" for vote in given)
            yield labelled_row(row["id"], row["text"], unsafe=safe[False] >= safe[True])


def aegis2(target: str) -> Load:
    """Prompts, or answers with their prompt; those that were taken out (`REDACTED`) are left out."""

    def load(files: Sequence[Path]) -> Iterator[Row]:
        for row in labelled(files):
            label, response = row.get(f"{target}_label"), row.get("response")
            if label in UNLABELLED or row["prompt"] == "REDACTED" or (target == "response" and not response):
                continue
            yield labelled_row(
                row["id"], row["prompt"], response if target == "response" else None, unsafe=label == "unsafe"
            )

    return load


def beavertails(files: Sequence[Path]) -> Iterator[Row]:
    """Answers; an answer that several people judged is unsafe unless half of them call it safe."""
    votes: dict[tuple[str, str], list[bool]] = {}
    for row in labelled(files):
        votes.setdefault((row["prompt"], row["response"]), []).append(_truth(row["is_safe"]))
    for number, ((prompt, response), safe) in enumerate(votes.items()):
        yield labelled_row(f"beavertails-{number}", prompt, response, unsafe=sum(safe) * 2 < len(safe))


def safe_rlhf(files: Sequence[Path]) -> Iterator[Row]:
    """Two answers per prompt, each with a label."""
    for number, row in enumerate(labelled(files)):
        for index in (0, 1):
            safe = _truth(row[f"is_response_{index}_safe"])
            yield labelled_row(f"saferlhf-{number}-{index}", row["prompt"], row[f"response_{index}"], unsafe=not safe)


def wildguard(target: str, *, language: str | None = None) -> Load:
    """WildGuardTest: prompts, or answers with a refusal label too. `language` names the column of the language."""
    return answers(
        unsafe=("harmful",),
        safe=("unharmful",),
        label=f"{target}_harm_label",
        is_response=target == "response",
        refusal="response_refusal_label",
        language=language,
    )


def polyguard(target: str) -> Load:
    """WildGuardTest in 17 languages."""
    return wildguard(target, language="language")


def answers(
    *,
    unsafe: Sequence[str],
    safe: Sequence[str],
    label: str,
    is_response: bool = True,
    refusal: str | None = None,
    language: str | None = None,
) -> Load:
    """Rows with `prompt`, `response` and labels in words; rows without the label are left out."""

    def load(files: Sequence[Path]) -> Iterator[Row]:
        for number, row in enumerate(labelled(files)):
            word = row.get(label)
            if word not in (*unsafe, *safe) or (is_response and not row.get("response")):
                continue
            response = row["response"] if is_response else None
            tongue = str(row.get(language) or "") if language else "en"
            found = labelled_row(
                str(row.get("id", number)), row["prompt"], response, unsafe=word in unsafe, language=tongue
            )
            given = row.get(refusal) if refusal and is_response else None
            if given in ("refusal", "compliance"):
                found = {**found, "refusal": given == "refusal"}
            yield found

    return load


def qwen3guard_test(files: Sequence[Path]) -> Iterator[Row]:
    """Answers with the thoughts before them; `label` is the model's word for the severity."""
    for number, row in enumerate(labelled(files)):
        label = str(row["label"]).casefold()
        yield {
            "id": str(row.get("id", number)),
            "messages": row["message"],
            "label": label,
            "source": row.get("source"),
        }


def xstest_response(files: Sequence[Path]) -> Iterator[Row]:
    """WildGuard's labels of answers to XSTest."""
    return answers(unsafe=("harmful",), safe=("unharmful",), label="label")(files)


def _truth(value: object) -> bool:
    """A truth value, also as CSV files write it."""
    return value.strip().casefold() == "true" if isinstance(value, str) else bool(value)
