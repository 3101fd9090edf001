"""Reads a chat back out of the text that a chat template has made of it: some trainers know their prompts only so.

Known are ChatML (Qwen and many more), Llama 3 and Gemma; any other text is one message of the user's. What begins the
answer, such as `<think>`, belongs to the answer. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InvalidRequest

__all__ = ["Rendered", "read_query", "read_rendered"]

_TEMPLATES = (
    re.compile(r"<\|im_start\|>(\w+)\n(.*?)(<\|im_end\|>|\Z)", re.DOTALL),
    re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)(<\|eot_id\|>|<\|eom_id\|>|\Z)", re.DOTALL),
    re.compile(r"<start_of_turn>(\w+)\n(.*?)(<end_of_turn>|\Z)", re.DOTALL),
)
# Gemma's and Llama's own names.
_ROLES = {"model": "assistant", "ipython": "tool"}
_ENDS = re.compile(
    r"(?:\s*(?:<\|im_end\|>|<\|endoftext\|>|<\|eot_id\|>|<\|eom_id\|>|<\|end_of_text\|>|<end_of_turn>|<eos>|<pad>|</s>))+\s*\Z"
)
# How much a tokenizer may put before the prompt, such as the token that begins a text.
_BEFORE_PROMPT_CHARS = 64


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt, as messages or, without a template, as a text; and what was written after it."""

    prompt: str | Sequence[dict[str, str]]
    completion: str


def read_query(query: str, prompt: str, *, param: str) -> Rendered:
    """A whole text and its beginning, the prompt, as both were decoded with their special tokens.

    Raises InvalidRequest that names `param` when the one is not the beginning of the other.
    """
    start = query.find(prompt, 0, len(prompt) + _BEFORE_PROMPT_CHARS)
    if start < 0:
        raise InvalidRequest(f"`{param}` does not begin with its prompt.", param=param)
    return read_rendered(prompt, query[start + len(prompt) :])


def read_rendered(prompt: str, response: str) -> Rendered:
    """A prompt that may have gone through a chat template, and the response; end tokens are taken off it."""
    completion = _ENDS.sub("", response)
    for template in _TEMPLATES:
        turns = template.findall(prompt)
        if not turns:
            continue
        messages = [{"role": _ROLES.get(role, role), "content": content} for role, content, _ in turns]
        is_open = not turns[-1][2] and messages[-1]["role"] == "assistant"
        begun = messages.pop()["content"] if is_open else ""
        return Rendered(messages, begun + completion)
    return Rendered(prompt, completion)
