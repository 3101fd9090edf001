"""How servers of the same OpenAI-shaped API differ, as far as it matters here. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AUTO", "DIALECTS", "Dialect", "Tokenizer", "detect"]

AUTO = "auto"


class Tokenizer(enum.Enum):
    """How a server counts tokens for others."""

    NONE = "none"
    """Not at all; a text's bytes then stand for its tokens, which is never too low."""
    VLLM = "vllm"
    """`POST /tokenize` with `prompt` and `return_token_strs`."""
    LLAMACPP = "llamacpp"
    """`POST /tokenize` with `content` and `with_pieces`."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of server understands.

    `stops_after_safe`: `stop` with `include_stop_str_in_output`, so that a safe prompt ends with its label.
    `label_ids`: `logprob_token_ids`, so that exactly the labels' probabilities come back.
    `begins_answers`: prompts rendered here are completed by `/v1/completions`, see `rendering`.
    `refuses_long`: a prompt over the context is an error. Where it is not, text is cut without a word, and the
    context has to be known and kept to.
    """

    name: str
    stops_after_safe: bool = False
    label_ids: bool = False
    begins_answers: bool = False
    tokenizer: Tokenizer = Tokenizer.NONE
    refuses_long: bool = True


DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("vllm", stops_after_safe=True, label_ids=True, begins_answers=True, tokenizer=Tokenizer.VLLM),
        Dialect("sglang"),
        Dialect("llamacpp", tokenizer=Tokenizer.LLAMACPP),
        Dialect("ollama", refuses_long=False),
        Dialect("openai", refuses_long=False),
    )
}
"""By name; `openai` is anything else, taken to understand nothing beyond the plain API."""

_OWNERS = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llamacpp", "library": "ollama"}


def detect(owned_by: object) -> Dialect:
    """The dialect of a server by the `owned_by` of its model list."""
    return DIALECTS[_OWNERS.get(owned_by, "openai") if isinstance(owned_by, str) else "openai"]
