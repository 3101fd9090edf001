"""Amazon Bedrock's `ApplyGuardrail`: pure parse and render.

    POST /guardrail/{identifier}/version/{version}/apply
    {"source": "INPUT", "content": [{"text": {"text": "...", "qualifiers": ["guard_content"]}}]}
    -> {"action": "NONE", "outputs": [], "assessments": [], "usage": {...}}

The identifier is the name of a policy, or `default`; the version is not looked at. Blocks of text have no roles: all of
them are one text, so that none can stand before another to hide it. Two qualifiers say more: a `query` is the question
of an answer, and a `grounding_source` is material that the caller vouches for; neither is judged where there is
something else. Pictures are refused.

The access key of the signature is a key of ours (`access_key_of`); the signature itself is not checked, because keys
are kept as hashes here.

Source: boto/botocore `data/bedrock-runtime/2023-09-30/service-2.json`, operation ApplyGuardrail; BerriAI/litellm
`litellm/proxy/guardrails/guardrail_hooks/bedrock_guardrails.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.moderator import Check, Outcome
from ..core.policy import Policies
from ..core.verdict import Category, Decision, Severity, Target
from ..errors import InvalidRequest, ModerationError, NotFound, TooLarge
from .gateway_decisions import check_of, deciding, found

__all__ = ["DEFAULT", "FILTERS", "BedrockRequest", "access_key_of", "parse", "render", "render_error"]

DEFAULT = "default"
"""The identifier of the default policy."""

FILTERS: Mapping[Category, Sequence[str]] = {
    Category.VIOLENT: ("VIOLENCE",),
    Category.NON_VIOLENT_ILLEGAL_ACTS: ("MISCONDUCT",),
    Category.SEXUAL_CONTENT: ("SEXUAL",),
    Category.PII: (),
    Category.SUICIDE_SELF_HARM: ("VIOLENCE",),
    Category.UNETHICAL_ACTS: ("INSULTS", "HATE"),
    Category.POLITICALLY_SENSITIVE_TOPICS: (),
    Category.COPYRIGHT_VIOLATION: (),
    Category.JAILBREAK: ("PROMPT_ATTACK",),
}
"""Bedrock's content filters. Every category is a topic too, under our own name: some have no filter."""

_SOURCES = {"INPUT": Target.PROMPT, "OUTPUT": Target.RESPONSE}
_ASIDE = frozenset({"query", "grounding_source"})
_CONFIDENCE = {Severity.CONTROVERSIAL: "MEDIUM", Severity.UNSAFE: "HIGH"}
_UNSPECIFIED = "unspecified"
# "AWS4-HMAC-SHA256 Credential=<access key id>/20261128/eu-central-1/bedrock/aws4_request, SignedHeaders=..."
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=(.{1,512}?)/\d{8}/[^/,]*/[^/,]*/aws4_request,")
_TYPES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    415: "ValidationException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


@dataclass(frozen=True, slots=True)
class BedrockRequest:
    """What to judge."""

    checks: Sequence[Check]


def access_key_of(authorization: str) -> str | None:
    """The access key id of an AWS signature; None where the header holds none."""
    found_key = _CREDENTIAL.match(authorization)
    return found_key[1] if found_key else None


def parse(
    body: object, *, identifier: str, policies: Policies, max_blocks: int, languages: Sequence[str] = ()
) -> BedrockRequest:
    """Read a call. Raises NotFound for an unknown guardrail, InvalidRequest or TooLarge that names the field."""
    if identifier != DEFAULT and identifier not in policies:
        raise NotFound("The guardrail identifier is no policy of this service.", param="guardrailIdentifier")
    policy = policies.get(None if identifier == DEFAULT else identifier)
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    source = body.get("source")
    target = _SOURCES.get(source) if isinstance(source, str) else None
    if target is None:
        raise InvalidRequest("`source` must be `INPUT` or `OUTPUT`.", param="source")
    content = body.get("content")
    if not isinstance(content, list):
        raise InvalidRequest("`content` must be a list of blocks.", param="content")
    if len(content) > max_blocks:
        raise TooLarge(f"`content` has {len(content)} blocks; the limit is {max_blocks}.", param="content")
    blocks = [_block(raw, param=f"content[{index}]") for index, raw in enumerate(content)]
    judged = [text for text, aside in blocks if not aside] or [text for text, _ in blocks]
    query = "\n".join(text for text, aside in blocks if "query" in aside) if target is Target.RESPONSE else ""
    check = check_of("\n".join(judged), target, policy, param="content", languages=languages, question=query.strip())
    return BedrockRequest([check] if check else [])


def render(asked: BedrockRequest, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The reply. A failure is raised: Bedrock's callers let nothing pass without an answer."""
    decision = deciding(outcomes)
    is_blocked = decision is not None and not decision.allowed
    return {
        "action": "GUARDRAIL_INTERVENED" if is_blocked else "NONE",
        "outputs": [{"text": decision.message or ""}] if is_blocked and decision else [],
        "assessments": [] if decision is None else _assessments(decision),
        "usage": {
            "topicPolicyUnits": 0,
            "contentPolicyUnits": len(asked.checks),
            "wordPolicyUnits": 0,
            "sensitiveInformationPolicyUnits": 0,
            "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0,
        },
    }


def render_error(error: ModerationError) -> dict[str, object]:
    """AWS's error document (REST JSON); clients make their exception of `__type`."""
    return {"__type": _TYPES.get(error.status, "InternalServerException"), "message": error.message}


def _block(raw: object, *, param: str) -> tuple[str, frozenset[str]]:
    """The text of a block, and those of its qualifiers that keep it from being judged."""
    inner = raw.get("text") if isinstance(raw, Mapping) and raw.keys() <= {"text"} else None
    if not isinstance(inner, Mapping):
        raise InvalidRequest(f"`{param}` must be a block of text: only text is judged here.", param=param)
    text, qualifiers = inner.get("text"), inner.get("qualifiers")
    if not isinstance(text, str):
        raise InvalidRequest(f"`{param}.text.text` must be a string.", param=f"{param}.text.text")
    marks = {one for one in qualifiers if isinstance(one, str)} if isinstance(qualifiers, list) else set()
    return text, frozenset() if "guard_content" in marks else _ASIDE & marks


def _assessments(decision: Decision) -> list[dict[str, object]]:
    severity = found(decision)
    if severity is Severity.SAFE:
        return []
    action = "NONE" if decision.allowed else "BLOCKED"
    categories = decision.verdict.categories if decision.verdict else ()
    names = [one.value for one in categories] or [_UNSPECIFIED]
    topics = [{"name": name, "type": "DENY", "action": action} for name in names]
    kinds = dict.fromkeys(kind for one in categories for kind in FILTERS[one])
    filters = [{"type": kind, "confidence": _CONFIDENCE[severity], "action": action} for kind in kinds]
    content = {"contentPolicy": {"filters": filters}} if filters else {}
    return [{"topicPolicy": {"topics": topics}, **content}]
