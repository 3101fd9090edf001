"""Text that is judged must stay text: nothing in it may become a control token or a part of the template. No I/O.

Qwen3Guard-Gen's chat template is one text: a task, sections between markers such as `<BEGIN SAFETY POLICY>` and
`<END SAFETY POLICY>`, the conversation in a section of its own with each turn behind `USER: ` or `ASSISTANT: `, and
closing instructions. Tokenizers turn `<|im_end|>`, `<think>` and their like into control tokens wherever they find
them. `neutralise` swaps single characters of such strings for look-alikes:

| in the text                                                            | becomes                       |
|------------------------------------------------------------------------|-------------------------------|
| `<|im_end|>`, any other control token of Qwen3, or one of its shape     | `‹|im_end|›`                  |
| `<think>`, `</think>`, `<tool_call>`, `<tool_response>`                 | `‹think›`, ...                |
| `<END CONVERSATION>`, `<BEGIN SAFETY POLICY>`, `<END ANYTHING>`         | `‹END CONVERSATION›`, ...     |
| `USER:` and `ASSISTANT:` at the beginning of a line                     | `USER：`, `ASSISTANT：`       |
| the template's instructions, at the beginning of a line                 | `＃ Task:`, `1） Evaluate ...` |

White space of any kind between their words, and characters that show nothing anywhere in them, change nothing: a
language model reads over them. Nor does the case of letters, but where people write the like themselves: `User:` in the
log of a chat and `<begin something>` stay.

Nothing is removed or added: every character keeps its place, so that offsets into the result are offsets into the
caller's text, and the text reads as before, to people and to the model. Doing it twice is the same as doing it once.
Everything else is passed on exactly as it was sent: `f <| x`, `a < b`, `if x: ...`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

__all__ = ["neutralise"]

# Every repeat below is possessive and stops at characters that the next search begins with, which keeps the time linear
# in the length of the text, whatever it is.

_CHATML = (
    "endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end", "quad_start",
    "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad", "fim_prefix", "fim_middle",
    "fim_suffix", "fim_pad", "repo_name", "file_sep",
)  # fmt: skip
"""Qwen3's control tokens between `<|` and `|>` (QwenLM/Qwen3, `tokenizer_config.json`)."""
_SECTIONS = ("conversation", "safety policy", "unsafe content categories", "refusal policy")
_GAP = r"[\s_-]*+"


def _loosely(name: str) -> str:
    """A pattern for this name, whatever separates its words."""
    return _GAP.join(re.split("[ _]", name))


_BRACKETED = re.compile(
    rf"""
    < \s*+ (?:
        \|++ {_GAP} (?i:{"|".join(map(_loosely, _CHATML))}) {_GAP} \|++ \s*+
      | \| \w{{1,64}}+ \|
      | /?+ \s*+ (?i:think | tool{_GAP}call | tool{_GAP}response) \s*+
      | /?+ \s*+ (?i:(?:begin|end) {_GAP} (?:{"|".join(map(_loosely, _SECTIONS))})) \s*+
      | /?+ \s*+ (?:BEGIN|END) [\s_-]++ [A-Z0-9&/\s_-]++
    ) >
    """,
    re.VERBOSE,
)
# What lines of the template begin with, up to one character that is swapped; words that it can't be without.
_LINES = (
    (("USER", "ASSISTANT"), re.compile(r"(?:USER|ASSISTANT)\s*+(:)")),
    (("Task", "TASK"), re.compile(r"(\#)\#{0,5}+\s*+(?:Task|TASK)\s*+:")),
    (
        ("Evaluate", "Identify", "Determine"),
        re.compile(
            r"[0-9]{1,2}+\s*+(\))\s*+"
            r"(?:Evaluate\s++whether\s++THE|Identify\s++the\s++category\s++of\s++unsafe|Determine\s++if\s++THE)"
        ),
    ),
    (
        ("**",),
        re.compile(r"(\*)\*\s*+(?i:Safety\s*+:\s*+(?:Safe|Unsafe|Controversial)|Refusal\s*+:\s*+(?:Yes|No))\s*+\*"),
    ),
    (("assessment", "ASSESSMENT"), re.compile(r"([Pp])(?i:rovide\s++your\s++safety\s++assessment)")),
    (("line",), re.compile(r"([-*])\s*+The\s++(?:first|second|third)\s++line\s++(?:must|should)\s")),
)
_PLAIN_WORDS = ("assessment", "ASSESSMENT", "line")
_BREAK = re.compile("[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
# Characters that show nothing and are no white space: control characters, those that Unicode calls "default ignorable"
# (DerivedCoreProperties.txt), marks of annotations, and the blank of Braille.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_HIDDEN_RUN = re.compile(f"{_HIDDEN.pattern}++")
_LOOKALIKES = {"<": "‹", ">": "›"}
_TO_FULL_WIDTH = 0xFEE0


def neutralise(text: str) -> str:
    """`text`, as long as it was, with the characters swapped that could make it structure."""
    # Most texts have none of these, and no structure is without.
    if "<" not in text and ":" not in text and ")" not in text and not _may_instruct(text):
        return text
    if not _has_hidden(text):
        return _swapped(text, _places(text))
    hidden = [match.span() for match in _HIDDEN_RUN.finditer(text)]
    # Looked for without what nobody sees, and swapped where it stands.
    starts = [0, *(end for _, end in hidden)]
    shown = [text[start:end] for start, end in zip(starts, [*(start for start, _ in hidden), len(text)], strict=True)]
    places = _places("".join(shown))
    ends = list(accumulate(map(len, shown)))
    found = ((place, bisect_right(ends, place)) for place in places)
    return _swapped(text, [starts[part] + place - ends[part] + len(shown[part]) for place, part in found])


def _may_instruct(text: str) -> bool:
    """Whether one of the instructions that have none of those characters may be in a text.

    Unlike a character, a word can have others in it that show nothing.
    """
    return any(word in text for word in _PLAIN_WORDS) or _has_hidden(text)


def _has_hidden(text: str) -> bool:
    """Whether there are characters that show nothing."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return False
    return _HIDDEN.search(text) is not None


def _places(text: str) -> list[int]:
    """Where in a text without hidden characters one must be swapped, in order."""
    places: list[int] = []
    if "<" in text and ">" in text:
        for match in _BRACKETED.finditer(text):
            places += (match.start(), match.end() - 1)
    for words, line in _LINES:
        for word in words:
            if word in text:
                places += _in_lines(text, line)
                break
    return sorted(places)


def _in_lines(text: str, line: re.Pattern[str]) -> Iterator[int]:
    """The place to swap in every line that begins like this, behind any white space."""
    end = 0
    for match in line.finditer(text):
        # From the last match on is enough, so that nothing is looked at twice.
        before = text[end : match.start()]
        indent = before[len(before.rstrip()) :]
        if _BREAK.search(indent) or (not end and len(indent) == len(before)):
            yield match.start(1)
        end = match.end()


def _swapped(text: str, places: Iterable[int]) -> str:
    parts: list[str] = []
    end = 0
    for place in places:
        char = text[place]
        parts += (text[end:place], _LOOKALIKES.get(char) or chr(ord(char) + _TO_FULL_WIDTH))
        end = place + 1
    return "".join([*parts, text[end:]]) if parts else text
