"""**Never milder.** What was read of a text stays read.

No later line, window, engine, retry, cache entry or fallback may make a severity that was read milder. Whatever puts
several readings of one text together does it here: the lines and probabilities of one answer (`qwen3guard`), windows
and tokens (the engines), what is remembered (`verdict_cache`), and the verdict on a part of a text beside the
fallback's (`moderator`). The strictest severity counts; what could be read of the rest goes with it. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .verdict import Category, Coverage, PartRead, Scores, Severity, Verdict, strictest

__all__ = ["alike", "at_least", "highest", "joint_scores", "merged", "stands"]


def merged(verdicts: Sequence[Verdict], *, failure: Exception | None = None) -> Verdict:
    """One verdict from those of the windows of a text: the worst label, joint scores, the categories of all.

    It is a refusal if every window is one. Its language is known as well as that of the least known part. It is sure if
    one of them is: what a sure reading says must not count for less beside an unsure one. `failure` is what kept other
    windows from a verdict.
    """
    worst = max(verdicts, key=_badness)
    categories = {category for one in verdicts for category in one.categories}
    refusals = [one.refusal for one in verdicts]
    parts = frozenset().union(*(one.read_in_part for one in verdicts))
    failures = (one.failure for one in verdicts if one.failure is not None)
    failure = failure or next(failures, None)
    return replace(
        worst,
        categories=tuple(category for category in Category if category in categories)
        if len(verdicts) > 1
        else worst.categories,
        refusal=None if None in refusals else all(refusals),
        scores=joint_scores(verdicts),
        windows=sum(one.windows for one in verdicts),
        read_in_part=parts if failure is None or worst.by_small else parts | {PartRead.WINDOWS},
        failure=failure,
        coverage=_least(verdicts),
        is_sure=any(one.is_sure for one in verdicts),
    )


def at_least(verdict: Verdict, earlier: Verdict) -> Verdict:
    """A verdict on a text that was judged before: itself, or both together if the earlier one is stricter."""
    if earlier.severity.rank <= verdict.severity.rank:
        is_surer = earlier.is_sure and not verdict.is_sure and earlier.severity is not Severity.SAFE
        return replace(verdict, is_sure=True) if is_surer else verdict
    both = merged([earlier, verdict])
    parts = both.read_in_part | {PartRead.CONTRADICTION}
    return replace(both, refusal=verdict.refusal, windows=verdict.windows, read_in_part=parts)


def stands(read: Sequence[Verdict], failure: Exception) -> Verdict:
    """What parts of a text were read to be before a failure came in the way.

    Raises the failure where that is nothing harmful: what was not judged may be.
    """
    if strictest(one.severity for one in read) is Severity.SAFE:
        raise failure
    return merged(read, failure=failure)


def joint_scores(verdicts: Sequence[Verdict]) -> Scores | None:
    """The scores of a text from those of its windows; None if none has any.

    A policy's thresholds then find what they would find in the worst window for each of them. Beside others with
    scores, a harmful verdict without any counts as certain of its label, or the thresholds would overrule it.
    """
    if len(verdicts) == 1:
        return verdicts[0].scores
    if all(one.scores is None for one in verdicts):
        return None
    return highest(one.scores or _CERTAIN[one.severity] for one in verdicts)


def highest(scores: Iterable[Scores]) -> Scores:
    """The highest P(unsafe), and the highest P(controversial) + P(unsafe), of all."""
    unsafe = flagged = 0.0
    for one in scores:
        unsafe = max(unsafe, one.unsafe)
        flagged = max(flagged, one.controversial + one.unsafe)
    flagged = min(max(flagged, unsafe), 1.0)
    return Scores(safe=1.0 - flagged, controversial=flagged - unsafe, unsafe=unsafe)


_CERTAIN = {
    Severity.SAFE: Scores(1.0, 0.0, 0.0),
    Severity.CONTROVERSIAL: Scores(0.0, 1.0, 0.0),
    Severity.UNSAFE: Scores(0.0, 0.0, 1.0),
}


def _least(verdicts: Sequence[Verdict]) -> Coverage | None:
    said = [one.coverage for one in verdicts if one.coverage is not None]
    return max(said, key=lambda coverage: coverage.rank, default=None)


def _badness(verdict: Verdict) -> tuple[int, float]:
    scores = verdict.scores
    return verdict.severity.rank, 0.0 if scores is None else scores.unsafe + scores.controversial


def alike(verdicts: Sequence[Verdict | None], keys: Sequence[bytes]) -> list[Verdict | None]:
    """The same verdicts, where those of equal keys are of one text: each at least as severe as the others of it."""
    worst: dict[bytes, Verdict] = {}
    for verdict, key in zip(verdicts, keys, strict=True):
        if verdict is not None:
            worst[key] = at_least(verdict, worst.get(key, verdict))
    return [
        None if verdict is None else at_least(verdict, worst[key]) for verdict, key in zip(verdicts, keys, strict=True)
    ]
