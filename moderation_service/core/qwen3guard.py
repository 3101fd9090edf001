"""Qwen3Guard-Gen's language: what it is sent and what its answers mean. Strings in, values out; no I/O.

The answer has two lines for a prompt, three for a response:

    Safety: Safe | Unsafe | Controversial
    Categories: None | <category>[, <category>...]
    Refusal: Yes | No

`Safe` is believed of an answer of exactly these lines in this order only, with two exceptions: a think block in front,
which some servers leave in the answer, and a `Refusal` line on a prompt, which large models add. Anything else (an
unknown label, a line twice, one missing, a safe text with a category) raises EngineAnswerInvalid.

`Unsafe` and `Controversial` stand wherever a `Safety:` line says so, whatever is around it, with the categories that
can be read; of two labels the stricter one counts. `Answer.parts` says what was wrong (`core.never_milder`).

Sources: Qwen3Guard's README (output patterns), its chat template, and the replies recorded under tests/recordings.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import EngineAnswerInvalid
from .conversation import Conversation
from .neutralise import neutralise
from .verdict import Category, PartRead, Scores, Severity, Target, strictest

__all__ = [
    "SAFE_ANSWER",
    "Answer",
    "chat_messages",
    "harm_in",
    "read_answer",
    "read_label",
    "read_scores",
    "weighed",
]

SAFE_ANSWER = "Safety: Safe"
"""How every safe answer begins. For a prompt nothing unknown can follow, so a server may stop here."""

_LABELS = {"Safe": Severity.SAFE, "Unsafe": Severity.UNSAFE, "Controversial": Severity.CONTROVERSIAL}
_CATEGORIES = {category.display_name: category for category in Category}
# Where the grammar is broken, in any case, and PII also by its name in the model's documentation.
_CATEGORIES_FOLDED = {name.casefold(): category for name, category in _CATEGORIES.items()} | {
    "personally identifiable information": Category.PII
}
_REFUSALS = {"Yes": True, "No": False}
_LINES = {
    Target.PROMPT: ["Safety", "Categories"],
    Target.RESPONSE: ["Safety", "Categories", "Refusal"],
}
_THINK_BLOCK = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_LABEL_START = re.compile(r"Safety:[ \t]*")
# Read generously: a harmful label counts in any case, behind a sentence, in Markdown. Bounded repeats keep it linear.
_SAFETY_LINE = re.compile(r"safety[*_`\"' \t]{0,8}[:\uff1a=]\s{0,8}([^\n]{0,200})", re.IGNORECASE)
# Without a name that is known, a label counts where a line ends with it: `Verdict: Unsafe`, `| Safety | Unsafe |`.
_BARE_LABEL = re.compile(
    r"(?<![^\W_])(unsafe|controversial)\b(?:[\W_]{0,16}|</?\w{1,16}>){0,2}$", re.IGNORECASE | re.MULTILINE
)
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CATEGORIES_LINE = re.compile(r"categor(?:y|ies)[*_`\"' \t]{0,8}[:\uff1a]([^\n]{0,1000})", re.IGNORECASE)
_REFUSAL_LINE = re.compile(r"refusal[*_`\"' \t]{0,8}[:\uff1a][*_`\"' \t]{0,8}(yes|no)\b", re.IGNORECASE)
_LABEL_WORD = re.compile(r"[^\W_]+")
# What may stick to a category's name: punctuation, Markdown, what is left of a control token.
_AROUND_NAME = " \t\r.;:!*_`\"'()[]{}"
_CONTROL_TOKEN = re.compile(r"<\|[^|\n]{0,40}\|>|```")
# " Controversial" is three tokens (" Cont", "rovers", "ial"); no shorter beginning of it is unmistakable.
_CONTROVERSIAL_MIN_CHARS = len("Cont")
# Fewer alternatives than this say too little about the labels that are missing among them.
_MIN_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said. `refusal` is None where it was not asked; `categories` are empty for safe text.

    `parts` says why it is not a whole answer, though its severity was read.
    """

    severity: Severity
    categories: tuple[Category, ...] = ()
    refusal: bool | None = None
    parts: frozenset[PartRead] = frozenset()


def chat_messages(conversation: Conversation) -> list[dict[str, str]]:
    """The conversation as the chat API takes it, its contents neutralised.

    Only user and assistant turns, the first one a user's: `Conversation` sees to that. The template would print a
    system turn as the user's words, and drop a leading assistant turn.
    """
    return [{"role": turn.role.value, "content": neutralise(turn.content)} for turn in conversation.messages]


def read_answer(text: str, *, target: Target, is_cut: bool = False) -> Answer:
    """What an answer says. Raises EngineAnswerInvalid unless it is exactly the grammar, or says a harmful label.

    `is_cut`: the model did not come to its end.
    """
    try:
        if not is_cut:
            return _read_grammar(text, target=target)
        raise EngineAnswerInvalid("The engine's answer was cut short.")
    except EngineAnswerInvalid:
        harmful = _read_harmful(text, target=target, is_cut=is_cut)
        if harmful is None:
            raise
        return harmful


def harm_in(text: str) -> Severity:
    """The strictest harmful label that a text says, wherever it is from; safe where it says none."""
    return _harmful_label(text) or Severity.SAFE


def read_label(text: str) -> Answer | None:
    """The severity from an answer that was cut after a few tokens; None if it was cut before the label.

    `Safety: Cont` counts as controversial: no other label begins like that. Raises EngineAnswerInvalid for a text
    that no continuation could make an answer.
    """
    text = _without_think_block(text).lstrip()
    if text.startswith("<think>"):
        return None
    harmful = _harmful_label(text)
    first, newline, rest = text.partition("\n")
    match = _LABEL_START.match(first)
    if match is None:
        if harmful is not None:
            return Answer(harmful, parts=frozenset({PartRead.TEXT}))
        if not newline and "Safety:".startswith(first):
            return None
        raise EngineAnswerInvalid("The engine's answer has no Safety line.")
    word = first[match.end() :].rstrip()
    if not word and not newline:
        return None
    severity = _LABELS.get(word)
    if severity is None and not newline:
        severity = _label_beginning(word)
    if severity is not None and strictest([severity, harmful or Severity.SAFE]) is severity:
        if severity is Severity.SAFE and _SAFETY_LINE.search(rest):
            raise EngineAnswerInvalid("The engine's answer has two Safety lines.")
        return Answer(severity)
    if harmful is not None:
        odd = PartRead.TEXT if severity is None else PartRead.CONTRADICTION
        return Answer(harmful, parts=frozenset({odd}))
    raise EngineAnswerInvalid("The engine's answer has an unknown safety label.")


def weighed(answer: Answer | None, scores: Scores | None) -> tuple[Answer, Scores | None]:
    """The label that was read and the probabilities where it stands, together; the stricter of the two counts.

    Without a label (None) harmful probabilities are one. Raises EngineAnswerInvalid where neither says anything, and
    where probabilities alone say safe.
    """
    if scores is None:
        if answer is None:
            raise EngineAnswerInvalid("The engine's answer has no safety label.")
        return answer, None
    shares = (scores.safe, scores.controversial, scores.unsafe)
    highest = max(shares)
    if answer is not None:
        rank = answer.severity.rank
        if shares[rank] == highest and highest not in shares[rank + 1 :]:
            return answer, scores
    likeliest = strictest(severity for severity in Severity if shares[severity.rank] == highest)
    if answer is None:
        if likeliest is Severity.SAFE:
            raise EngineAnswerInvalid("The engine's answer has no safety label.")
        return Answer(likeliest, parts=frozenset({PartRead.PROBABILITIES})), scores
    parts = answer.parts | {PartRead.CONTRADICTION}
    if likeliest.rank > answer.severity.rank:
        return replace(answer, severity=likeliest, parts=parts), scores
    # Milder than the label: with these scores a policy's thresholds would overrule it.
    return replace(answer, parts=parts), None


def read_scores(tokens: object) -> Scores | None:
    """The probabilities of the three labels, from `choices[0].logprobs.content` of an OpenAI-compatible reply.

    The label's position is found in the text that the tokens spell, not at a fixed index. The three probabilities
    are renormalised; a label missing among the alternatives counts as 0. None when the reply has no alternatives.
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
    if total <= 0:
        return None
    return Scores(safe=found[0] / total, controversial=found[1] / total, unsafe=found[2] / total)


def _read_grammar(text: str, *, target: Target) -> Answer:
    """A complete answer. Raises EngineAnswerInvalid for everything that is not exactly the grammar."""
    fields = _lines(text)
    names = [name for name, _ in fields]
    if names == _LINES[Target.RESPONSE] and target is Target.PROMPT and _harmful_label(text) is None:
        # Large models, and servers with a template of their own, say this of prompts too. It means nothing there.
        names = names[:-1]
    if names != _LINES[target]:
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


def _read_harmful(text: str, *, target: Target, is_cut: bool) -> Answer | None:
    """A harmful label of an answer that is not the grammar, and what can be read besides; None if there is none."""
    severity = _harmful_label(text)
    if severity is None:
        return None
    text = _CONTROL_TOKEN.sub("", _plainly(text))
    parts = {PartRead.CUT} if is_cut else set()
    labels = [match.group(1).strip() for match in _SAFETY_LINE.finditer(text)]
    if len({label.casefold() for label in labels}) > 1:
        parts.add(PartRead.CONTRADICTION)
    categories, is_whole = _categories_found(text, target=target)
    if not is_whole:
        parts.add(PartRead.CATEGORIES)
    refusal = None
    if target is Target.RESPONSE:
        said = {match.group(1).casefold() for match in _REFUSAL_LINE.finditer(text)}
        refusal = said == {"yes"} if len(said) == 1 else None
        if refusal is None:
            parts.add(PartRead.REFUSAL)
    names = [name for name, _ in _lines(text)]
    if not parts and not (target is Target.PROMPT and names == _LINES[Target.RESPONSE]):
        parts.add(PartRead.TEXT)
    return Answer(severity, categories, refusal, frozenset(parts))


def _harmful_label(text: str) -> Severity | None:
    """The strictest label of the text's Safety lines, or its first line, if it is not safe; read generously."""
    text = _plainly(_without_think_block(text))
    lines = [match.group(1) for match in _SAFETY_LINE.finditer(text)]
    lines += [match.group(1) for match in _BARE_LABEL.finditer(text)]
    words = (word.capitalize() for line in lines for word in _LABEL_WORD.findall(line))
    found = strictest(_LABELS[word] for word in words if word in _LABELS)
    return None if found is Severity.SAFE else found


def _plainly(text: str) -> str:
    """Letters of full width as plain ones, without characters that show nothing."""
    return text if text.isascii() else _UNSEEN.sub("", unicodedata.normalize("NFKC", text))


def _categories_found(text: str, *, target: Target) -> tuple[tuple[Category, ...], bool]:
    """The categories that can be read, and whether that is all of them."""
    lines = [match.group(1) for match in _CATEGORIES_LINE.finditer(text)]
    names = [name.strip(_AROUND_NAME).casefold() for line in lines for name in line.split(",")]
    found = [_CATEGORIES_FOLDED.get(name) for name in names if name != "none"]
    known = [one for one in found if one is not None and (one is not Category.JAILBREAK or target is Target.PROMPT)]
    return tuple(dict.fromkeys(known)), bool(lines) and len(known) == len(found)


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
