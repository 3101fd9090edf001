"""What a reasoning model wrote, parted into its thoughts and its answer. No I/O.

The tags are Qwen3's: `<think>...</think>`, or `...</think>` where the chat template has opened the thought already.
Nothing that is shown may pass for a thought, or a model in training would learn to hide it there: what stands before an
opening tag, and all that follows the first closing one, is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Written", "split_thoughts"]

_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Written:
    """The two parts of a completion; either may be blank."""

    thought: str
    answer: str


def split_thoughts(text: str) -> Written:
    """Thoughts and answer of a completion; of a thought that never ends, the answer is empty."""
    before, opened, rest = text.partition(_OPEN)
    if opened and _CLOSE not in before:
        thought, _, answer = rest.partition(_CLOSE)
        return Written(thought, f"{before}{answer}" if before.strip() else answer)
    thought, closed, answer = text.partition(_CLOSE)
    return Written(thought, answer) if closed else Written("", text)
