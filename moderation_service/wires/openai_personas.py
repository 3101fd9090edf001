"""Personas: the guard answers a chat in the words of another guard model. No I/O.

Clients of content-safety models parse the model's text. A persona is a model name under which this service answers in
the dialect that such a client reads. `guard-qwen` says what the engine found; the others can only say yes or no, and
say what the policy decided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from ..core.moderator import Check
from ..core.verdict import Category, Decision
from ..errors import EngineUnavailable
from .openai_categories import block_score

__all__ = ["DEFAULT_PERSONA", "LLAMA_GUARD_CODES", "PERSONAS", "speak"]

Persona = Callable[[Check, Decision], str]

DEFAULT_PERSONA = "guard-qwen"

LLAMA_GUARD_CODES: Mapping[Category, str] = {
    Category.VIOLENT: "S1",
    Category.NON_VIOLENT_ILLEGAL_ACTS: "S2",
    Category.SEXUAL_CONTENT: "S12",
    Category.PII: "S7",
    Category.SUICIDE_SELF_HARM: "S11",
    Category.UNETHICAL_ACTS: "S10",
    Category.POLITICALLY_SENSITIVE_TOPICS: "S13",
    Category.COPYRIGHT_VIOLATION: "S8",
    Category.JAILBREAK: "S2",
}
"""Llama Guard 3's hazard codes. None outside S1 to S14: there are clients that take an unknown code for safe."""

_CODE_WITHOUT_CATEGORY = "S2"
_NAME_WITHOUT_CATEGORY = "Unspecified"


def speak(persona: str, check: Check, decision: Decision) -> str:
    """The text that this persona answers. Raises EngineUnavailable when there is no verdict to tell.

    A fail mode may have decided without one; but none of these dialects has a word for "not judged".
    """
    if decision.verdict is None:
        raise EngineUnavailable("No verdict could be had.")
    return PERSONAS[persona](check, decision)


def _qwen(check: Check, decision: Decision) -> str:
    """The lines of Qwen3Guard-Gen (QwenLM/Qwen3Guard, README): the verdict as it is, whatever the policy says."""
    verdict = decision.verdict
    assert verdict is not None
    names = ", ".join(_names(decision)) or "None"
    lines = [f"Safety: {verdict.severity.value.capitalize()}", f"Categories: {names}"]
    if verdict.refusal is not None:
        lines.append(f"Refusal: {'Yes' if verdict.refusal else 'No'}")
    return "\n".join(lines)


def _llama_guard(check: Check, decision: Decision) -> str:
    if decision.allowed:
        return "safe"
    categories = decision.verdict.categories if decision.verdict else ()
    codes = dict.fromkeys(LLAMA_GUARD_CODES[category] for category in categories) or (_CODE_WITHOUT_CATEGORY,)
    return f"unsafe\n{','.join(codes)}"


def _nemoguard(check: Check, decision: Decision) -> str:
    # Both keys always: each of NeMo's two parsers reads its own, and a missing one is an exception there.
    word = "safe" if decision.allowed else "unsafe"
    said = {"User Safety": word, "Response Safety": word}
    if not decision.allowed:
        said["Safety Categories"] = _listed(decision)
    return json.dumps(said)


def _nemotron(check: Check, decision: Decision) -> str:
    word = "safe" if decision.allowed else "unsafe"
    lines = [f"User Safety: {word}", f"Response Safety: {word}"]
    if not decision.allowed:
        lines.append(f"Safety Categories: {_listed(decision)}")
    return "\n".join(lines)


def _n8n(check: Check, decision: Decision) -> str:
    # The node refuses any other key. It triggers when flagged and the score reaches the node's own threshold.
    score = min(1.0, round(block_score(decision, check.policy), 6))
    return json.dumps({"confidenceScore": score, "flagged": not decision.allowed})


def _names(decision: Decision) -> Sequence[str]:
    return [category.display_name for category in decision.verdict.categories] if decision.verdict else []


def _listed(decision: Decision) -> str:
    return ", ".join(_names(decision)) or _NAME_WITHOUT_CATEGORY


PERSONAS: Mapping[str, Persona] = {
    DEFAULT_PERSONA: _qwen,
    "guard-llamaguard": _llama_guard,
    "guard-nemoguard": _nemoguard,
    "guard-nemotron": _nemotron,
    "guard-n8n": _n8n,
}
"""Every persona by its model name."""
