"""How quick a guard on a CPU really is: two questions, timed, and told in plain words."""

from __future__ import annotations

import time
from collections.abc import Callable

from .upstream import Upstream

__all__ = ["timing_lines"]

_SENTENCE = "How do I bake bread with spelt flour, and which mistakes should I avoid?"
_AGAIN = "Which trees can be planted by the sea, and how often do they need water?"
_PAGE = (
    "The bridge over the river was built in three years, and the people of both towns came to see it open. "
    "In the morning the bakers brought bread, the children sang, and an old man told how his father had crossed "
    "the ice with two horses. Later it rained. "
) * 4
_SLOW_S = 2.0


def timing_lines(
    upstream: Upstream, model: str, *, title: str, threads: int, clock: Callable[[], float] = time.monotonic
) -> list[str]:
    """What to tell the user. Raises ServerFailed."""

    def timed(text: str) -> tuple[float, int]:
        began = clock()
        tokens = upstream.question_tokens(model, text)
        return clock() - began, tokens

    timed(_SENTENCE)
    short_s, short_tokens = timed(_AGAIN)
    long_s, long_tokens = timed(_PAGE)
    lines = [
        f"{model}, {title}, {threads} {'core' if threads == 1 else 'cores'}: {short_s:.2f} s for a sentence "
        f"({short_tokens} tokens with the guard's own), {long_s:.2f} s for a page ({long_tokens} tokens), about "
        f"{1 / max(short_s, 1e-3):.1f} checks of a sentence per second",
    ]
    if short_s > _SLOW_S:
        lines.append(
            "  That is slow. `detail: severity` saves the writing of the categories; --cpu-engine vllm is quicker on "
            "CPUs that know bfloat16; a GPU is far quicker."
        )
    return lines
