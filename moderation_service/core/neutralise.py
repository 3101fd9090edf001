"""Text that is judged must stay text: nothing in it may become a control token or a part of the template. No I/O.

Qwen3Guard's chat template puts the conversation as raw text between `<BEGIN CONVERSATION>` and `<END CONVERSATION>`,
each turn behind `USER: ` or `ASSISTANT: `, and tokenizers turn `<|im_end|>`, `<think>` and their like into control
tokens wherever they find them. `neutralise` swaps single characters of such strings for look-alikes:

| in the text                                                          | becomes                    |
|----------------------------------------------------------------------|----------------------------|
| `<|`, the beginning of every ChatML token                            | `‹|`                       |
| `<think>`, `</think>`, `<tool_call>`, `<tool_response>`, in any case | `‹think›`, ...             |
| `<BEGIN CONVERSATION>`, `<END CONVERSATION>`, in any case            | `‹BEGIN CONVERSATION›`, ...|
| `USER:`, `ASSISTANT:` at the beginning of a line, in any case        | `USER：`, `ASSISTANT：`    |

Nothing is removed or added: the text keeps its length in characters and reads as before, to people and to the
model. Doing it twice is the same as doing it once. Everything else is passed on exactly as it was sent.
"""

from __future__ import annotations

import re

__all__ = ["neutralise"]

# Bounded repeats keep the time linear in the length of the text, whatever it is.
_TAG = re.compile(
    r"<([ \t]{0,4}/?[ \t]{0,4}"
    r"(?:think|tool_call|tool_response|(?:begin|end)[ \t_]{1,4}conversation)"
    r"[ \t]{0,4})>",
    re.IGNORECASE,
)
# A line begins after every kind of line break, and invisible characters in front of the word do not change that.
_ROLE = re.compile(
    "(?:^|(?<=[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]))"
    "([ \t\u00a0\u00ad\u200b-\u200f\u2060\ufeff]{0,8}(?:user|assistant)[ \t]{0,4}):",
    re.IGNORECASE,
)


def neutralise(text: str) -> str:
    """`text` with the characters swapped that could make it structure."""
    if "<" in text:
        text = text.replace("<|", "‹|")
        if "<" in text:
            text = _TAG.sub(r"‹\1›", text)
    if ":" in text:
        text = _ROLE.sub(r"\1：", text)
    return text
