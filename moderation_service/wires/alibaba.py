"""Alibaba Cloud's `TextModerationPlus`, as Higress and APISIX ask it: pure parse and render.

    POST /   Service=llm_query_moderation&ServiceParameters={"content": "...", "sessionId": "..."}&...
    -> {"Code": 200, "Data": {"RiskLevel": "high", "Result": [...], "Advice": [...]}, ...}

* *The service is the target and the policy.* A name with `response` in it is about answers, any other about prompts;
  `llm_query_moderation@strict` chooses a policy.
* *Texts come in pieces* of some 2000 bytes or characters, cut anywhere, under one `sessionId`: the pieces of a text are
  judged together (`joined_pieces`), and an answer with its question where both have the same one (APISIX).
* *Both gateways take everything but a risk level for a pass.* So there are no errors in this contract: what can't be
  judged is `high` (`render_withheld`).

The access key id is a key of ours (`access_key_of`); the signature is not checked, because keys are kept as hashes.

Source: alibaba/higress `plugins/wasm-go/extensions/ai-security-guard/lvwang/`, apache/apisix
`apisix/plugins/ai-aliyun-content-moderation.lua`; labels: help.aliyun.com/document_detail/2671445.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import Conversation, Message, Role, check_text, says_nothing
from ..core.moderator import Check, Outcome
from ..core.policy import Policies, Policy
from ..core.question import Question
from ..core.verdict import Category, Decision, Severity, Target
from ..errors import InvalidRequest, ModerationError
from .gateway_decisions import deciding, found
from .unchecked import unchecked_message

__all__ = ["ACTION", "LABELS", "AlibabaRequest", "access_key_of", "checks", "joined_pieces", "parse", "render"]
__all__ += ["render_withheld"]

ACTION = "TextModerationPlus"

LABELS: Mapping[Category, str] = {
    Category.VIOLENT: "violent_incidents",
    Category.NON_VIOLENT_ILLEGAL_ACTS: "contraband_act",
    Category.SEXUAL_CONTENT: "pornographic_adult",
    Category.PII: "privacy_p",
    Category.SUICIDE_SELF_HARM: "inappropriate_ethics",
    Category.UNETHICAL_ACTS: "inappropriate_ethics",
    Category.POLITICALLY_SENSITIVE_TOPICS: "political_n",
    Category.COPYRIGHT_VIOLATION: "customized",
    Category.JAILBREAK: "customized",
}
"""Ours to Alibaba's labels; `customized` for what it has no word for."""

_WITHOUT_LABEL = "customized"
_NOTHING = {"Label": "nonLabel", "Description": "no risk detected"}
_LEVELS = {Severity.SAFE: "none", Severity.CONTROVERSIAL: "medium", Severity.UNSAFE: "high"}
_RESPONSE = "response"
# Higress sends this for a piece of a stream that has no text.
_EMPTY = "[empty content]"
_MAX_SESSION_CHARS = 256
_REMEMBERED_CHARS = 4096
# "ACS3-HMAC-SHA256 Credential=<access key id>,SignedHeaders=...,Signature=..."
_CREDENTIAL = re.compile(r"ACS3-HMAC-SHA256 Credential=(.{1,512}?),SignedHeaders=")


@dataclass(frozen=True, slots=True)
class AlibabaRequest:
    """One call: a text, or a piece of one, that is what `target` says. An empty text is not judged."""

    policy: Policy
    target: Target
    text: str
    session: str | None


def access_key_of(authorization: str) -> str | None:
    """The access key id of a signature in a header; None where the header holds none."""
    found_key = _CREDENTIAL.match(authorization)
    return found_key[1] if found_key else None


def parse(fields: Mapping[str, str], *, policies: Policies) -> AlibabaRequest:
    """Read the fields of a call, from form and query. Raises InvalidRequest that names the field."""
    if fields.get("Action") != ACTION:
        raise InvalidRequest(f"`Action` must be `{ACTION}`.", param="Action")
    service, separator, name = fields.get("Service", "").partition("@")
    if not service:
        raise InvalidRequest("`Service` is missing.", param="Service")
    policy = policies.get(name if separator else None, param="Service")
    target = Target.RESPONSE if _RESPONSE in service else Target.PROMPT
    try:
        parameters = json.loads(fields.get("ServiceParameters", ""))
    except (ValueError, RecursionError):
        raise InvalidRequest("`ServiceParameters` is not valid JSON.", param="ServiceParameters") from None
    content = parameters.get("content") if isinstance(parameters, Mapping) else None
    if not isinstance(content, str):
        reason = "`ServiceParameters` must have a string `content`."
        raise InvalidRequest(reason, param="ServiceParameters.content")
    # Pieces are cut in the middle of characters; what is left of one is no reason to refuse the rest.
    text = content.encode("utf-8", "replace").decode("utf-8", "replace")
    return AlibabaRequest(policy, target, "" if text == _EMPTY else text, _session(parameters.get("sessionId")))


def joined_pieces(said: str, piece: str) -> str:
    """What to judge of a text, of which `said` was sent before this piece: both, of a long one its end."""
    room = max(_REMEMBERED_CHARS - len(piece), 0)
    return said[len(said) - min(room, len(said)) :] + piece


def checks(asked: AlibabaRequest, text: str, *, question: Question | None, languages: Sequence[str]) -> list[Check]:
    """The check of a text, if it says something; `question` is what an answer is known to answer."""
    if says_nothing(text):
        return []
    check_text(text, param="ServiceParameters.content")
    if asked.target is Target.PROMPT:
        conversation = Conversation((Message(Role.USER, text),))
    else:
        conversation = (question or Question.of(())).answered(text)
    return [Check(conversation, asked.policy, languages=languages)]


def render(outcomes: Sequence[Outcome], *, request_id: str) -> dict[str, object]:
    """The reply. A failure is raised, and withheld by whoever calls this."""
    decision = deciding(outcomes)
    severity = found(decision)
    if decision is not None and not decision.allowed:
        severity = Severity.UNSAFE  # the level at which both gateways deny unless they are told otherwise
    results = [_NOTHING] if decision is None or severity is Severity.SAFE else _results(decision)
    data: dict[str, object] = {"RiskLevel": _LEVELS[severity], "Result": results}
    if decision is not None and not decision.allowed:
        data["Advice"] = [{"Answer": decision.message or "", "HitLabel": results[0]["Label"]}]
    return _reply(data, request_id=decision.id if decision else request_id)


def render_withheld(error: ModerationError, *, request_id: str, languages: Sequence[str] = ()) -> dict[str, object]:
    """The reply where nothing could be judged: the gateways would take an error for a pass."""
    results = [{"Label": _WITHOUT_LABEL, "Description": f"not checked: {error.type}"}]
    advice = [{"Answer": unchecked_message(languages), "HitLabel": _WITHOUT_LABEL}]
    return _reply({"RiskLevel": "high", "Result": results, "Advice": advice}, request_id=request_id)


def _reply(data: Mapping[str, object], *, request_id: str) -> dict[str, object]:
    return {"Code": 200, "Message": "OK", "RequestId": request_id, "Data": data}


def _results(decision: Decision) -> list[dict[str, object]]:
    """What was found, by label. Gateways log it, so nothing of the text is in it."""
    verdict = decision.verdict
    if verdict is None:
        return [{"Label": _WITHOUT_LABEL, "Description": "not judged"}]
    scores = verdict.scores
    confidence = {} if scores is None else {"Confidence": round(100 * (scores.controversial + scores.unsafe), 2)}
    named = [(LABELS[one], one.display_name) for one in verdict.categories] or [(_WITHOUT_LABEL, "Unspecified")]
    severity = verdict.severity.value
    return [{"Label": label, **confidence, "Description": f"{name} ({severity})"} for label, name in named]


def _session(value: object) -> str | None:
    """The id of a text's pieces. One that is no plain text joins nothing."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= _MAX_SESSION_CHARS:
        return value
    return None
