"""Qwen3Guard-Gen's language: what it is sent and what its answers mean. Strings in, values out; no I/O.

The answer has two lines for a prompt, three for a response:

    Safety: Safe | Unsafe | Controversial
    Categories: None | <category>[, <category>...]
    Refusal: Yes | No

Read strictly: exactly these lines in this order. Anything else (an unknown label or category, a line twice, one
missing, one too many, a safe text with a category) raises EngineAnswerInvalid. `Unsafe` or `Controversial` with
`None` is accepted as a verdict without categories: refusing it would lose the severity. Text in front of the first
line is refused too, but for a think block, which some servers leave in the answer.

Sources: Qwen3Guard's README (output patterns), its chat template, and the replies recorded under tests/recordings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import EngineAnswerInvalid
from .conversation import Conversation
from .neutralise import neutralise
from .verdict import Category, Scores, Severity, Target

__all__ = ["SAFE_ANSWER", "Answer", "chat_messages", "read_answer", "read_label", "read_scores"]

SAFE_ANSWER = "Safety: Safe"
"""How every safe answer begins. For a prompt nothing unknown can follow, so a server may stop here."""

_LABELS = {"Safe": Severity.SAFE, "Unsafe": Severity.UNSAFE, "Controversial": Severity.CONTROVERSIAL}
_CATEGORIES = {category.display_name: category for category in Category}
_REFUSALS = {"Yes": True, "No": False}
_LINES = {
    Target.PROMPT: ["Safety", "Categories"],
    Target.RESPONSE: ["Safety", "Categories", "Refusal"],
}
_THINK_BLOCK = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_LABEL_START = re.compile(r"Safety:[ \t]*")
_SAFETY_LINE = re.compile(r"^[ \t]*Safety:", re.MULTILINE)
# " Controversial" is three tokens (" Cont", "rovers", "ial"); no shorter beginning of it is unmistakable.
_CONTROVERSIAL_MIN_CHARS = len("Cont")
# Fewer alternatives than this say too little about the labels that are missing among them.
_MIN_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said. `refusal` is None where it was not asked; `categories` are empty for safe text."""

    severity: Severity
    categories: tuple[Category, ...] = ()
    refusal: bool | None = None


def chat_messages(conversation: Conversation) -> list[dict[str, str]]:
    """The conversation as the chat API takes it, its contents neutralised.

    Only user and assistant turns, the first one a user's: `Conversation` sees to that. The template would print a
    system turn as the user's words, and drop a leading assistant turn.
    """
    return [{"role": turn.role.value, "content": neutralise(turn.content)} for turn in conversation.messages]


def read_answer(text: str, *, target: Target) -> Answer:
    """A complete answer. Raises EngineAnswerInvalid for everything that is not exactly the grammar."""
    fields = _lines(text)
    if [name for name, _ in fields] != _LINES[target]:
        raise EngineAnswerInvalid("The engine's answer does not have the lines of a verdict.")
    values = dict(fields)
    severity = _LABELS.get(values["Safety"])
    if severity is None:
        raise EngineAnswerInvalid("The engine's answer has an unknown safety label.")
    categories = _read_categories(values["Categories"], target=target)
    if categories and severity is Severity.SAFE:
        raise EngineAnswerInvalid("The engine's answer contradicts itself: safe, but with a category.")
    refusal = None
    if target is Target.RESPONSE:
        refusal = _REFUSALS.get(values["Refusal"])
        if refusal is None:
            raise EngineAnswerInvalid("The engine's answer says neither Yes nor No about a refusal.")
    return Answer(severity, categories, refusal)


def read_label(text: str) -> Severity | None:
    """The severity from an answer that was cut after a few tokens; None if it was cut before the label.

    `Safety: Cont` counts as controversial: no other label begins like that. Raises EngineAnswerInvalid for a text
    that no continuation could make an answer.
    """
    text = _without_think_block(text).lstrip()
    if text.startswith("<think>"):
        return None
    first, newline, rest = text.partition("\n")
    match = _LABEL_START.match(first)
    if match is None:
        if not newline and "Safety:".startswith(first):
            return None
        raise EngineAnswerInvalid("The engine's answer has no Safety line.")
    if _SAFETY_LINE.search(rest):
        raise EngineAnswerInvalid("The engine's answer has two Safety lines.")
    word = first[match.end() :].rstrip()
    if not word and not newline:
        return None
    severity = _LABELS.get(word)
    if severity is None and not newline:
        severity = _label_beginning(word)
    if severity is None:
        raise EngineAnswerInvalid("The engine's answer has an unknown safety label.")
    return severity


def read_scores(tokens: object, *, severity: Severity) -> Scores | None:
    """The probabilities of the three labels, from `choices[0].logprobs.content` of an OpenAI-compatible reply.

    The label's position is found in the text that the tokens spell, not at a fixed index. The three probabilities
    are renormalised; a label missing among the alternatives counts as 0. None when the reply has no alternatives,
    or when they contradict `severity`, the label of the answer itself.
    """
    if not isinstance(tokens, list):
        return None
    token = _label_token(tokens)
    if token is None:
        return None
    alternatives = token.get("top_logprobs")
    spelled = token.get("token")
    if not isinstance(alternatives, list) or not isinstance(spelled, str) or len(alternatives) < _MIN_ALTERNATIVES:
        return None
    lead = spelled[: len(spelled) - len(spelled.lstrip())]
    found = [0.0, 0.0, 0.0]
    for alternative in alternatives:
        label, probability = _alternative(alternative, lead=lead)
        if label is not None:
            found[label.rank] += probability
    total = sum(found)
    if total <= 0 or found[severity.rank] < max(found):
        return None
    return Scores(safe=found[0] / total, controversial=found[1] / total, unsafe=found[2] / total)


def _lines(text: str) -> list[tuple[str, str]]:
    """The answer's lines as (name, value), blank ones left out. A line without a name has the name ''."""
    found = []
    for line in _without_think_block(text).split("\n"):
        if line.strip():
            name, colon, value = line.strip().partition(":")
            found.append((name if colon else "", value.strip()))
    return found


def _without_think_block(text: str) -> str:
    match = _THINK_BLOCK.match(text)
    return text[match.end() :] if match else text


def _read_categories(value: str, *, target: Target) -> tuple[Category, ...]:
    if value == "None":
        return ()
    found: list[Category] = []
    for name in value.split(","):
        category = _CATEGORIES.get(name.strip())
        if category is None:
            raise EngineAnswerInvalid("The engine's answer has an unknown category.")
        if category is Category.JAILBREAK and target is Target.RESPONSE:
            raise EngineAnswerInvalid("The engine's answer finds a jailbreak in a response.")
        if category not in found:
            found.append(category)
    return tuple(found)


def _label_beginning(word: str) -> Severity | None:
    """The label that a cut-off word begins, if there is no doubt."""
    if len(word) >= _CONTROVERSIAL_MIN_CHARS and "Controversial".startswith(word):
        return Severity.CONTROVERSIAL
    return None


def _label_token(tokens: Sequence[object]) -> Mapping[str, object] | None:
    """The token with the first letter of the label."""
    text = ""
    ends: list[int] = []
    read: list[Mapping[str, object]] = []
    for token in tokens:
        spelled = token.get("token") if isinstance(token, dict) else None
        if not isinstance(spelled, str):
            return None
        text += spelled
        ends.append(len(text))
        read.append(token)  # type: ignore[arg-type]  # a dict, see above
        # Found once a letter of the label is there: most answers are not read to their end.
        match = _LABEL_START.search(text)
        if match is not None and match.end() < len(text):
            return next(one for one, end in zip(read, ends, strict=True) if end > match.end())
    return None


def _alternative(alternative: object, *, lead: str) -> tuple[Severity | None, float]:
    """Which label an alternative token begins, and its probability."""
    if not isinstance(alternative, dict):
        return None, 0.0
    spelled, logprob = alternative.get("token"), alternative.get("logprob")
    if not isinstance(spelled, str) or not isinstance(logprob, (int, float)) or not logprob <= 0.01:
        return None, 0.0
    # Another space in front would be another text: "Safe" is not what " Safe" competes with.
    if not spelled.startswith(lead) or spelled[len(lead) :] != spelled.strip():
        return None, 0.0
    word = spelled[len(lead) :]
    return _LABELS.get(word) or _label_beginning(word), math.exp(logprob)
