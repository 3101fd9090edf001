"""How well does an engine do on labelled conversations? Reads the file, asks the engine, counts.

Two readings of the three severities: *strict* counts controversial as unsafe, *loose* counts it as safe; a gold label
is positive by the same reading. An item the engine could not judge is an error, counted on its own, part of no rate.
"""

from __future__ import annotations

import gzip
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.conversation import Conversation, Limits
from ..core.engine import Engine
from ..core.verdict import Category, Severity, Verdict
from ..errors import ConfigurationError, InvalidRequest, ModerationError

__all__ = ["BinaryScore", "CategoryScore", "Latency", "Report", "Row", "evaluate", "load_rows", "render_text"]

_BATCH = 16
_TEXT_FIELDS = ("prompt", "response", "messages")
_SEVERITIES = {severity.value: severity for severity in Severity}
_CATEGORIES = {name.casefold(): category for category in Category for name in (category.value, category.display_name)}
_REFUSALS = {"yes": True, "no": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled conversation. `categories` is empty and `refusal` None where the file does not say."""

    id: str
    conversation: Conversation
    severity: Severity
    categories: tuple[Category, ...]
    refusal: bool | None


@dataclass(frozen=True, slots=True)
class BinaryScore:
    """Counts of a yes-or-no decision, and the usual rates; a rate without a denominator is None."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float | None:
        """Share of the found ones that are right."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the positives that were found."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the negatives that were found by mistake."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    def to_dict(self) -> dict[str, object]:
        """Counts and rates for JSON."""
        rates = {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "false_positive_rate": self.false_positive_rate,
        }
        return {**asdict(self), **rates}


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """Over items that are not safe, have gold categories and were given one: is the engine's first among the gold?"""

    items: int
    hits: int

    @property
    def hit_rate(self) -> float | None:
        """Share of hits."""
        return _ratio(self.hits, self.items)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds per item: a batch's time divided by its size, at three percentiles."""

    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` found. Rates cover judged items only; `errors` counts the rest by error type."""

    engine: str
    model: str
    items: int
    errors: Mapping[str, int]
    gold: Mapping[str, int]
    found: Mapping[str, int]
    strict: BinaryScore
    loose: BinaryScore
    categories: CategoryScore
    refusal: BinaryScore
    latency: Latency | None

    def to_dict(self) -> dict[str, object]:
        """The report for JSON."""
        return {
            "engine": self.engine,
            "model": self.model,
            "items": self.items,
            "errors": dict(self.errors),
            "gold": dict(self.gold),
            "found": dict(self.found),
            "strict": self.strict.to_dict(),
            "loose": self.loose.to_dict(),
            "categories": {**asdict(self.categories), "hit_rate": self.categories.hit_rate},
            "refusal": self.refusal.to_dict(),
            "latency": None if self.latency is None else asdict(self.latency),
        }


def load_rows(path: Path) -> list[Row]:
    """Read a labelled `.jsonl` or `.jsonl.gz` file.

    A line has `prompt`, `prompt` with `response`, or `messages`; `label`; and optionally `categories` (ids or display
    names), `refusal` (true, false, "Yes", "No" or null) and `id`. Other fields are ignored: data sets carry many.

    Raises ConfigurationError naming file, line and field of the first bad line.
    """
    rows = []
    for number, line in _lines(path):
        try:
            rows.append(_row(line, number))
        except InvalidRequest as error:
            field = f", field `{error.param}`" if error.param else ""
            raise ConfigurationError(f"{path}:{number}{field}: {error.message}") from error
    if not rows:
        raise ConfigurationError(f"{path}: there is no labelled line in it.")
    return rows


def evaluate(engine: Engine, rows: Sequence[Row]) -> Report:
    """Judge the rows in batches and count. An engine that returns too few results is a bug and raises ValueError."""
    results: list[Verdict | ModerationError] = []
    times_ms: list[float] = []
    for start in range(0, len(rows), _BATCH):
        batch = [row.conversation for row in rows[start : start + _BATCH]]
        began = time.perf_counter()
        results += engine.judge(batch)
        times_ms += [(time.perf_counter() - began) * 1000 / len(batch)] * len(batch)
    judged = [(row, result) for row, result in zip(rows, results, strict=True) if isinstance(result, Verdict)]
    errors = Counter(result.type for result in results if isinstance(result, ModerationError))
    return Report(
        engine=engine.name,
        model=engine.model,
        items=len(rows),
        errors=dict(errors),
        gold=_counts(row.severity for row in rows),
        found=_counts(verdict.severity for _, verdict in judged),
        strict=_binary(
            (row.severity is not Severity.SAFE, found.severity is not Severity.SAFE) for row, found in judged
        ),
        loose=_binary((row.severity is Severity.UNSAFE, found.severity is Severity.UNSAFE) for row, found in judged),
        categories=_category_score(judged),
        refusal=_binary(
            (row.refusal, verdict.refusal)
            for row, verdict in judged
            if row.refusal is not None and verdict.refusal is not None
        ),
        latency=_latency(times_ms),
    )


def render_text(report: Report) -> str:
    """The report as a small plain-text table."""
    errors = ", ".join(f"{name} {count}" for name, count in sorted(report.errors.items()))
    lines = [
        f"engine      {report.engine} ({report.model})",
        f"items       {report.items}, of them not judged {sum(report.errors.values())}"
        + (f": {errors}" if errors else ""),
        "gold        " + ", ".join(f"{name} {count}" for name, count in report.gold.items()),
        "found       " + ", ".join(f"{name} {count}" for name, count in report.found.items()),
        "",
        f"{'':<12}{'F1':>8}{'precision':>11}{'recall':>8}{'FPR':>8}",
    ]
    for name, score in (("strict", report.strict), ("loose", report.loose), ("refusal", report.refusal)):
        rates = (score.f1, score.precision, score.recall, score.false_positive_rate)
        lines.append(
            f"{name:<12}"
            + "".join(f"{_shown(rate):>{width}}" for rate, width in zip(rates, (8, 11, 8, 8), strict=True))
        )
    categories = report.categories
    lines += ["", f"category    {_shown(categories.hit_rate)} right of {categories.items} items"]
    if report.latency is not None:
        times = report.latency
        lines.append(
            f"latency     p50 {times.p50_ms:.1f} ms, p90 {times.p90_ms:.1f} ms, p99 {times.p99_ms:.1f} ms per item"
        )
    return "\n".join(lines)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: can't be read: {type(error).__name__}.") from error


def _row(line: str, number: int) -> Row:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise InvalidRequest("The line is not JSON.") from error
    if not isinstance(raw, dict):
        raise InvalidRequest("The line is not a JSON object.")
    identifier = raw.get("id")
    return Row(
        id=str(number) if identifier is None else str(identifier),
        conversation=_conversation(raw),
        severity=_severity(raw.get("label")),
        categories=_categories(raw.get("categories")),
        refusal=_refusal(raw.get("refusal")),
    )


def _conversation(raw: Mapping[str, object]) -> Conversation:
    prompt, response, messages = (raw.get(name) for name in _TEXT_FIELDS)
    if messages is None:
        return Conversation.of(prompt=prompt, response=response)
    if prompt is not None or response is not None:
        raise InvalidRequest("Give `messages`, or `prompt` and `response`, not both.", param="messages")
    return Conversation.from_messages(messages, limits=Limits())


def _severity(value: object) -> Severity:
    severity = _SEVERITIES.get(value.strip().casefold()) if isinstance(value, str) else None
    if severity is None:
        raise InvalidRequest(f"`label` must be one of {', '.join(_SEVERITIES)}.", param="label")
    return severity


def _categories(value: object) -> tuple[Category, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidRequest("`categories` must be a list of ids or display names.", param="categories")
    found = []
    for index, name in enumerate(value):
        category = _CATEGORIES.get(name.strip().casefold()) if isinstance(name, str) else None
        if category is None:
            known = ", ".join(category.value for category in Category)
            raise InvalidRequest(
                f"`categories[{index}]` is not a known category: {known}.", param=f"categories[{index}]"
            )
        found.append(category)
    return tuple(found)


def _refusal(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    refusal = _REFUSALS.get(value.strip().casefold()) if isinstance(value, str) else None
    if refusal is None:
        raise InvalidRequest('`refusal` must be true, false, "Yes", "No" or null.', param="refusal")
    return refusal


def _counts(severities: Iterator[Severity]) -> dict[str, int]:
    counted = Counter(severities)
    return {severity.value: counted[severity] for severity in Severity}


def _binary(pairs: Iterator[tuple[bool, bool]]) -> BinaryScore:
    counted = Counter(pairs)
    return BinaryScore(counted[True, True], counted[False, True], counted[True, False], counted[False, False])


def _category_score(judged: Sequence[tuple[Row, Verdict]]) -> CategoryScore:
    compared = [
        verdict.categories[0] in row.categories
        for row, verdict in judged
        if row.severity is not Severity.SAFE and row.categories and verdict.categories
    ]
    return CategoryScore(items=len(compared), hits=sum(compared))


def _latency(times_ms: Sequence[float]) -> Latency | None:
    if not times_ms:
        return None
    ordered = sorted(times_ms)

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Latency(at(0.5), at(0.9), at(0.99))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _shown(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f}%"
