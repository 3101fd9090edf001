"""The native contract, `POST /moderate`: one conversation, or many under `inputs`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..core.conversation import Conversation, Limits
from ..core.moderator import Check, Outcome
from ..core.policy import Policies
from ..core.verdict import Decision, Detail, ListedBy
from ..errors import InvalidRequest, ModerationError, TooLarge

__all__ = [
    "NativeLimits",
    "NativeRequest",
    "given",
    "list_entry",
    "parse",
    "parse_options",
    "refuse_unknown",
    "render",
    "render_batch",
]

_OPTIONS = frozenset({"policy", "detail", "metadata"})
_ITEM_FIELDS = _OPTIONS | {"prompt", "response", "messages"}
_BATCH_FIELDS = _OPTIONS | {"inputs"}
_FIELDS = _ITEM_FIELDS | _BATCH_FIELDS
_DETAILS = {detail.value: detail for detail in Detail}
_MAX_METADATA_KEYS = 16


@dataclass(frozen=True, slots=True)
class NativeLimits:
    """Bounds on one request."""

    conversation: Limits = Limits()
    batch_items: int = 256
    metadata_bytes: int = 2048


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """What to judge. In a batch, an item that could not be read is the error that its result will be."""

    items: Sequence[Check | ModerationError]
    is_batch: bool


def parse(body: object, *, policies: Policies, limits: NativeLimits, languages: Sequence[str] = ()) -> NativeRequest:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    parser = _Parser(policies, limits, languages)
    body = given(body, _FIELDS)
    if "inputs" not in body:
        return NativeRequest([parser.item(body, at="")], is_batch=False)
    refuse_unknown(body, _BATCH_FIELDS)
    inputs = body["inputs"]
    if not isinstance(inputs, list) or not inputs:
        raise InvalidRequest("`inputs` must be a list with at least one item.", param="inputs")
    if len(inputs) > limits.batch_items:
        raise TooLarge(f"`inputs` has {len(inputs)} items; the limit is {limits.batch_items}.", param="inputs")
    shared = {key: value for key, value in body.items() if key in _OPTIONS}
    parser.options(shared, at="")
    return NativeRequest([parser.item_or_error(raw, shared, index) for index, raw in enumerate(inputs)], is_batch=True)


class _Parser:
    """Reads the items of one request."""

    def __init__(self, policies: Policies, limits: NativeLimits, languages: Sequence[str]) -> None:
        self._policies = policies
        self._limits = limits
        self._languages = languages

    def item_or_error(self, raw: object, shared: Mapping[str, object], index: int) -> Check | ModerationError:
        """One item of a batch; options beside `inputs` count for every item that has none of its own."""
        at = f"inputs[{index}]"
        try:
            if not isinstance(raw, Mapping):
                raise InvalidRequest(f"`{at}` must be an object.", param=at)
            return self.item({**shared, **given(raw, _ITEM_FIELDS)}, at=f"{at}.")
        except ModerationError as error:
            return error

    def item(self, body: Mapping[str, object], *, at: str) -> Check:
        refuse_unknown(body, _ITEM_FIELDS, at=at)
        conversation = self._conversation(body, at=at)
        if len(body) == 1:
            return Check(conversation, self._policies.get(None), languages=self._languages)
        policy, detail, metadata = self.options(body, at=at)
        return Check(conversation, self._policies.get(policy, param=f"{at}policy"), detail, self._languages, metadata)

    def _conversation(self, body: Mapping[str, object], *, at: str) -> Conversation:
        if "messages" in body:
            for other in ("prompt", "response"):
                if other in body:
                    raise InvalidRequest(
                        f"`{at}{other}` can't be given together with `{at}messages`.", param=f"{at}{other}"
                    )
            return Conversation.from_messages(body["messages"], limits=self._limits.conversation, param=f"{at}messages")
        return Conversation.of(prompt=body.get("prompt"), response=body.get("response"), at=at)

    def options(self, body: Mapping[str, object], *, at: str) -> tuple[str | None, Detail, Mapping[str, object]]:
        """`policy`, `detail` and `metadata`, checked."""
        policy = body.get("policy")
        if "policy" in body and not isinstance(policy, str):
            raise InvalidRequest(f"`{at}policy` must be a string.", param=f"{at}policy")
        if policy is not None and policy not in self._policies:
            self._policies.get(str(policy), param=f"{at}policy")
        wanted = body.get("detail", "full")
        detail = _DETAILS.get(wanted) if isinstance(wanted, str) else None
        if detail is None:
            raise InvalidRequest(f"`{at}detail` must be one of {', '.join(_DETAILS)}.", param=f"{at}detail")
        metadata: Mapping[str, object] = {}
        if "metadata" in body:
            metadata = self._metadata(body["metadata"], param=f"{at}metadata")
        return policy if isinstance(policy, str) else None, detail, metadata

    def _metadata(self, value: object, *, param: str) -> Mapping[str, object]:
        if not isinstance(value, Mapping):
            raise InvalidRequest(f"`{param}` must be an object.", param=param)
        if any(isinstance(item, (list, Mapping)) for item in value.values()):
            raise InvalidRequest(f"`{param}` must hold strings, numbers, booleans and null only.", param=param)
        try:
            size = len(json.dumps(value, ensure_ascii=False).encode())
        except UnicodeEncodeError:
            raise InvalidRequest(f"`{param}` has a lone surrogate, which is not valid Unicode.", param=param) from None
        if len(value) > _MAX_METADATA_KEYS or size > self._limits.metadata_bytes:
            raise TooLarge(
                f"`{param}` is over its limit of {_MAX_METADATA_KEYS} keys and {self._limits.metadata_bytes} bytes.",
                param=param,
            )
        return dict(value)


def parse_options(
    body: Mapping[str, object], *, policies: Policies, limits: NativeLimits
) -> tuple[str | None, Detail, Mapping[str, object]]:
    """`policy`, `detail` and `metadata` of a request, checked. Raises InvalidRequest or TooLarge."""
    return _Parser(policies, limits, ()).options(body, at="")


def given(body: Mapping[str, object], known: frozenset[str]) -> Mapping[str, object]:
    """The body without those of its `known` fields that are null: generated clients send them for what is not set."""
    if None not in body.values():
        return body
    return {key: value for key, value in body.items() if value is not None or key not in known}


def refuse_unknown(body: Mapping[str, object], known: frozenset[str], *, at: str = "") -> None:
    """Raise InvalidRequest for a field that is not known: a typo must not weaken a check."""
    if body.keys() <= known:
        return
    for key in body:
        if key not in known:
            # The key is the caller's; only a short, printable form of it is repeated.
            name = "".join(char for char in str(key)[:40] if char.isascii() and (char.isalnum() or char in "_-")) or "?"
            raise InvalidRequest(f"`{at}{name}` is no field of this request.", param=f"{at}{name}")


def render(outcome: Outcome) -> dict[str, object]:
    """A decision, or an error in its envelope, as the reply's JSON."""
    if not isinstance(outcome, Decision):
        return {"error": outcome.to_json()}
    verdict = outcome.verdict
    reply: dict[str, object] = {"id": outcome.id, "target": outcome.target.value}
    if verdict is None:
        reply |= {"safety": None, "categories": [], "category_names": [], "refusal": None, "scores": None}
    else:
        scores = verdict.scores
        reply["safety"] = verdict.severity.value
        reply["categories"] = [category.value for category in verdict.categories]
        reply["category_names"] = [category.display_name for category in verdict.categories]
        reply["refusal"] = verdict.refusal
        reply["scores"] = scores and {
            "safe": round(scores.safe, 6),
            "controversial": round(scores.controversial, 6),
            "unsafe": round(scores.unsafe, 6),
        }
    reply["action"] = outcome.action.value
    reply["allowed"] = outcome.allowed
    reply["policy"] = outcome.policy
    reply["message"] = outcome.message
    reply["engine"] = outcome.engine
    reply["model"] = outcome.model
    reply["degraded"] = outcome.degraded
    reply["cached"] = outcome.cached
    reply["windows"] = 0 if verdict is None else verdict.windows
    span = None if verdict is None else verdict.span
    reply["span"] = span and {"start": span.start, "end": span.end}
    reply["coverage"] = verdict and verdict.coverage and verdict.coverage.value
    reply["latency_ms"] = round(outcome.latency_ms, 3)
    if outcome.listed_by is not None:
        reply["list_entry"] = list_entry(outcome.listed_by)
    if outcome.escalated_until is not None:
        until = datetime.fromtimestamp(outcome.escalated_until, UTC)
        reply["escalated_until"] = until.isoformat(timespec="seconds").replace("+00:00", "Z")
    return reply


def list_entry(listed_by: ListedBy) -> dict[str, object]:
    """The entry of a list that made the action, as a reply names it."""
    return {
        "list": listed_by.list_name,
        "id": listed_by.entry,
        "side": listed_by.side,
        "reason": listed_by.reason or None,
        "span": {"start": listed_by.span.start, "end": listed_by.span.end},
    }


def render_batch(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The results of a batch, in the order of its `inputs`."""
    return {"results": [render(outcome) for outcome in outcomes]}
