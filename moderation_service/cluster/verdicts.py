"""Verdicts that any gateway may have found. No text is in them, and none can be found by its text without the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..core.never_milder import at_least
from ..core.verdict import Category, Coverage, Detail, PartRead, Scores, Severity, Span, Target, Verdict
from ..core.verdict_cache import VerdictCache, says_more
from .memory import ClusterMemory

__all__ = ["ClusterVerdictCache"]

_KIND = b"verdict "


class ClusterVerdictCache(VerdictCache):
    """A `VerdictCache` that asks the other gateways' memory for what it does not know itself.

    Never milder, across gateways too: a verdict takes the place of an earlier one in one step with reading that, and
    the stricter of the two stays.
    """

    def __init__(self, memory: ClusterMemory, *, size: int, ttl_s: float) -> None:
        super().__init__(size=size, ttl_s=ttl_s)
        self._cluster = memory
        self._cluster_ttl_s = ttl_s

    def get(self, key: bytes, detail: Detail) -> Verdict | None:
        """The own verdict, or else that of another gateway."""
        found = super().get(key, detail)
        if found is None and self.size and (shared := self._shared(self._cluster.get(_KIND + key))) is not None:
            super().put(key, *shared)
            found = super().get(key, detail)
        return found

    def put(self, key: bytes, detail: Detail, verdict: Verdict) -> Verdict:
        """Remember it here and for the others, and return what it is in the light of what was remembered."""
        verdict = super().put(key, detail, verdict)
        if not self.size or verdict.may_be_worse:
            return verdict
        kept = Detail.SEVERITY if verdict.read_in_part else detail
        name, content = _KIND + key, _encoded(kept, verdict)
        earlier = self._shared(self._cluster.exchange(name, content, ttl_s=self._cluster_ttl_s))
        if earlier is None:
            return verdict
        both = at_least(verdict, earlier[1])
        if both is verdict:
            if not says_more(earlier, kept, verdict):
                return verdict
            # The earlier one says more, and no less strictly.
            kept, both = earlier
        kept = Detail.SEVERITY if both.read_in_part else kept
        self._cluster.put(name, _encoded(kept, both), ttl_s=self._cluster_ttl_s)
        return super().put(key, kept, both)

    @staticmethod
    def _shared(raw: bytes | None) -> tuple[Detail, Verdict] | None:
        try:
            return None if raw is None else _decoded(json.loads(raw))
        except (ValueError, KeyError, TypeError):
            return None


def _encoded(detail: Detail, verdict: Verdict) -> bytes:
    scores, span = verdict.scores, verdict.span
    document = {
        "detail": detail.value,
        "target": verdict.target.value,
        "severity": verdict.severity.value,
        "categories": [one.value for one in verdict.categories],
        "refusal": verdict.refusal,
        "scores": scores and [scores.safe, scores.controversial, scores.unsafe],
        "engine": verdict.engine,
        "model": verdict.model,
        "windows": verdict.windows,
        "span": span and [span.start, span.end],
        "read_in_part": [one.value for one in verdict.read_in_part],
        "coverage": verdict.coverage and verdict.coverage.value,
        "is_sure": verdict.is_sure,
        "decoded": list(verdict.decoded),
        "by_small": verdict.by_small,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _decoded(document: Mapping[str, Any]) -> tuple[Detail, Verdict]:
    """Raises ValueError, KeyError or TypeError for what another version has written."""
    scores, span, coverage = document["scores"], document["span"], document["coverage"]
    verdict = Verdict(
        Target(document["target"]),
        Severity(document["severity"]),
        tuple(map(Category, document["categories"])),
        document["refusal"],
        None if scores is None else Scores(*scores),
        document["engine"],
        document["model"],
        windows=document["windows"],
        span=None if span is None else Span(*span),
        read_in_part=frozenset(map(PartRead, document["read_in_part"])),
        coverage=None if coverage is None else Coverage(coverage),
    )
    rest = {"is_sure": document["is_sure"], "decoded": tuple(document["decoded"]), "by_small": document["by_small"]}
    return Detail(document["detail"]), replace(verdict, **rest)
