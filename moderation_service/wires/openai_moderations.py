"""OpenAI's `POST /v1/moderations`. Source: openai/openai-openapi, `CreateModerationRequest` and `-Response`.

`input` is a text (one result), a list of texts (one result each), or a list of text parts (one result for all of it).
Fields that are not of the contract are ignored: none of them can weaken a check. A blank text is not flagged, as it is
not there: clients send one for a message that has files only, and take an error for an outage.

The contract has no roles. A caller that judges answers says so by header, or by a model name that is or ends in
`response`: `response`, `omni-moderation-latest:response`, `policy:strict:response`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import Conversation, check_text, read_text, says_nothing
from ..core.moderator import Check, Outcome
from ..core.policy import Policies, Policy
from ..core.verdict import Decision, Detail, Target
from ..errors import InvalidRequest, ModerationError, TooLarge
from ..ids import random_hex
from . import native
from .openai_categories import OPENAI_CATEGORIES, block_score, mapped
from .openai_models import TARGET_HEADER, Headers, choose

__all__ = ["ModerationsRequest", "Restore", "parse", "render", "render_result"]

Restore = Callable[[Sequence[str]], Sequence[str] | None]
"""Gives back the texts that a client took apart before sending them, or None for what is not of its making."""

_TARGETS = {target.value: target for target in Target}
_TEXT_ONLY = {name: ["text"] for name in OPENAI_CATEGORIES}
# The result of a text that shows nothing.
_NOTHING: Mapping[str, object] = {
    "flagged": False,
    "categories": dict.fromkeys(OPENAI_CATEGORIES, False),
    "category_scores": dict.fromkeys(OPENAI_CATEGORIES, 0.0),
    "category_applied_input_types": _TEXT_ONLY,
    "x_moderation": None,
}


@dataclass(frozen=True, slots=True)
class ModerationsRequest:
    """What to judge: for each text a check, or None for one that is blank.

    `results` may exceed the texts: one text that came in pieces has a result for each of them.
    """

    texts: Sequence[Check | None]
    results: int

    @property
    def checks(self) -> Sequence[Check]:
        """What there is to judge, in order."""
        return [check for check in self.texts if check is not None]


def parse(
    body: object, *, policies: Policies, max_items: int, headers: Headers, restore: Restore | None = None
) -> ModerationsRequest:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    if "input" not in body:
        raise InvalidRequest("`input` is missing.", param="input")
    model, by_model = _split_target(body.get("model"))
    policy = choose(model, policies=policies, headers=headers).policy
    target = _target(headers, by_model)
    texts, results = _texts(body["input"], max_items=max_items, restore=restore)
    checks: list[Check | None] = []
    for param, value in texts:
        text = read_text(value, param=param)
        if says_nothing(text):
            checks.append(None)
        else:
            conversation = _conversation(text, target, param=param)
            checks.append(Check(conversation, policy, Detail.FULL, headers.languages))
    return ModerationsRequest(checks, results)


def _split_target(model: object) -> tuple[object, Target | None]:
    """The model's name without what it says of the text: `response`, or `:response` at its end; `prompt` likewise."""
    if not isinstance(model, str):
        return model, None
    name, separator, last = model.rpartition(":")
    # `policy:response` is the policy of that name.
    if last not in _TARGETS or (separator and name == "policy"):
        return model, None
    return name or None, _TARGETS[last]


def _target(headers: Headers, by_model: Target | None) -> Target:
    """The contract has no roles: a text is a prompt unless the caller says otherwise."""
    if headers.target is None:
        return by_model or Target.PROMPT
    target = _TARGETS.get(headers.target)
    if target is None:
        raise InvalidRequest(f"`{TARGET_HEADER}` must be one of {', '.join(_TARGETS)}.", param=TARGET_HEADER)
    if by_model not in (None, target):
        raise InvalidRequest(f"`model` and `{TARGET_HEADER}` name different targets.", param=TARGET_HEADER)
    return target


def _texts(value: object, *, max_items: int, restore: Restore | None) -> tuple[list[tuple[str, object]], int]:
    """Each text with the name of its place, and the number of results."""
    if isinstance(value, str):
        pieces = [value]
    elif isinstance(value, list) and value:
        if len(value) > max_items:
            raise TooLarge(f"`input` has {len(value)} items; the limit is {max_items}.", param="input")
        if isinstance(value[0], Mapping):
            return [("input", value)], 1
        pieces = value
    else:
        raise InvalidRequest("`input` must be a string or a list with at least one item.", param="input")
    if restore is not None and all(isinstance(piece, str) for piece in pieces):
        restored = restore(pieces)
        if restored is not None:
            # Together: what is harmless in parts need not be so as a whole.
            return [("input", "\n".join(restored))], len(pieces)
    if isinstance(value, str):
        return [("input", value)], 1
    return [(f"input[{index}]", _text(piece, index)) for index, piece in enumerate(pieces)], len(pieces)


def _text(piece: object, index: int) -> str:
    if isinstance(piece, str):
        return piece
    raise InvalidRequest("`input` must hold either texts or text parts only.", param=f"input[{index}]")


def _conversation(text: str, target: Target, *, param: str) -> Conversation:
    check_text(text, param=param)
    return Conversation.of(prompt=text) if target is Target.PROMPT else Conversation.of(response=text)


def render(asked: ModerationsRequest, outcomes: Sequence[Outcome], *, model: str) -> dict[str, object]:
    """The reply; `model` is named when there was nothing to judge.

    Raises the error of a text that could not be judged: the contract has no place for it in a list.
    """
    for outcome in outcomes:
        if isinstance(outcome, ModerationError):
            raise outcome
    decisions = [outcome for outcome in outcomes if isinstance(outcome, Decision)]
    decided = iter(decisions)
    results = [_NOTHING if check is None else render_result(next(decided), check.policy) for check in asked.texts]
    if len(results) < asked.results:
        results *= asked.results  # one text, put together from so many pieces
    ids = [decision.id.removeprefix("mod_") for decision in decisions] or [random_hex(24)]
    return {"id": f"modr-{ids[0]}", "model": decisions[0].model if decisions else model, "results": results}


def render_result(decision: Decision, policy: Policy) -> dict[str, object]:
    """`flagged` is true for a block only, because clients take it for one, and exactly when a category is."""
    names = mapped(decision.verdict.categories if decision.verdict else ())
    score = min(1.0, round(block_score(decision, policy), 6))
    flagged = not decision.allowed
    return {
        "flagged": flagged,
        "categories": {name: flagged and name in names for name in OPENAI_CATEGORIES},
        "category_scores": {name: score if name in names else 0.0 for name in OPENAI_CATEGORIES},
        "category_applied_input_types": _TEXT_ONLY,
        "x_moderation": native.render(decision),
    }
