"""Azure AI Content Safety's `POST /contentsafety/text:analyze`: pure parse and render.

    {"text": "...", "categories": ["Hate", "Violence"], "outputType": "FourSeverityLevels"}
    -> {"blocklistsMatch": [], "categoriesAnalysis": [{"category": "Hate", "severity": 0}, ...]}

The contract has no roles and four categories. A text is a prompt unless the header says that it is an answer. The
severity follows the policy: 6 for unsafe and 4 for controversial text that is blocked, 2 for what is marked for review,
0 for what is allowed. What was really found is named in `blocklistsMatch`, as an item of the list `qwen3guard`.

A caller that asks for some categories only learns of the others under the first of those it asked for: harm that has
another name must not pass unseen.

Source: Azure/azure-rest-api-specs `ContentSafety/stable/2024-09-01/contentsafety.json`; BerriAI/litellm
`litellm/proxy/guardrails/guardrail_hooks/azure/text_moderation.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.moderator import Check, Outcome
from ..core.policy import Policies
from ..core.verdict import Category, Decision, Severity
from ..errors import InvalidRequest, ModerationError
from .gateway_decisions import check_of, deciding, found, policy_of, target_of
from .openai_models import Headers

__all__ = ["CATEGORIES", "MAPPING", "AzureRequest", "parse", "render", "render_error"]

CATEGORIES = ("Hate", "SelfHarm", "Sexual", "Violence")
"""All of Azure's, which are also those that are answered when none are asked for."""

MAPPING: Mapping[Category, str] = {
    Category.VIOLENT: "Violence",
    Category.NON_VIOLENT_ILLEGAL_ACTS: "Violence",
    Category.SEXUAL_CONTENT: "Sexual",
    Category.PII: "Violence",
    Category.SUICIDE_SELF_HARM: "SelfHarm",
    Category.UNETHICAL_ACTS: "Hate",
    Category.POLITICALLY_SENSITIVE_TOPICS: "Violence",
    Category.COPYRIGHT_VIOLATION: "Violence",
    Category.JAILBREAK: "Violence",
}
"""Ours to Azure's; `Violence` also stands for what Azure has no word for."""

BLOCKLIST = "qwen3guard"
_CATCH_ALL = "Violence"
_OUTPUT_TYPES = ("FourSeverityLevels", "EightSeverityLevels")
_BLOCKED = {Severity.UNSAFE: 6, Severity.CONTROVERSIAL: 4}
_FLAGGED = 2
_CODES = {
    400: "InvalidRequestBody",
    401: "Unauthorized",
    404: "NotFound",
    413: "InvalidRequestBody",
    415: "InvalidRequestBody",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True)
class AzureRequest:
    """What to judge, and the categories that are asked for, in their order."""

    checks: Sequence[Check]
    categories: Sequence[str]


def parse(body: object, *, policies: Policies, headers: Headers) -> AzureRequest:
    """Read a call. Raises InvalidRequest that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    text = body.get("text")
    if not isinstance(text, str):
        raise InvalidRequest("`text` must be a string.", param="text")
    if body.get("outputType") not in (None, *_OUTPUT_TYPES):
        raise InvalidRequest(f"`outputType` must be one of {', '.join(_OUTPUT_TYPES)}.", param="outputType")
    categories = _categories(body.get("categories"))
    policy, target = policy_of(headers, policies), target_of(headers)
    check = check_of(text, target, policy, param="text", languages=headers.languages)
    return AzureRequest([check] if check else [], categories)


def render(asked: AzureRequest, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The reply. A failure is raised: Azure's callers let nothing pass without an answer."""
    decision = deciding(outcomes)
    severity = _severity(decision)
    hit = _hit(asked, decision) if severity else frozenset()
    analysis = [{"category": one, "severity": severity if one in hit else 0} for one in asked.categories]
    return {"blocklistsMatch": _matches(decision), "categoriesAnalysis": analysis}


def render_error(error: ModerationError) -> dict[str, object]:
    """Azure's error document."""
    code = _CODES.get(error.status, "InternalError")
    target = {} if error.param is None else {"target": error.param}
    return {"error": {"code": code, "message": error.message, **target, "innererror": {"code": error.type}}}


def _categories(value: object) -> Sequence[str]:
    if value is None or value == []:
        return CATEGORIES
    if not isinstance(value, list) or not all(one in CATEGORIES for one in value):
        raise InvalidRequest(f"`categories` may have {', '.join(CATEGORIES)}.", param="categories")
    return list(dict.fromkeys(value))


def _severity(decision: Decision | None) -> int:
    if decision is None or found(decision) is Severity.SAFE:
        return 0
    return _FLAGGED if decision.allowed else _BLOCKED[found(decision)]


def _hit(asked: AzureRequest, decision: Decision | None) -> frozenset[str]:
    categories = decision.verdict.categories if decision and decision.verdict else ()
    mapped = frozenset(MAPPING[one] for one in categories) or frozenset({_CATCH_ALL})
    return mapped & frozenset(asked.categories) or frozenset(asked.categories[:1])


def _matches(decision: Decision | None) -> list[dict[str, str]]:
    """What a policy blocks, by our names: an item for each category."""
    if decision is None or decision.allowed:
        return []
    categories = decision.verdict.categories if decision.verdict else ()
    named = [(one.value, one.display_name) for one in categories] or [("unspecified", "Unspecified")]
    return [{"blocklistName": BLOCKLIST, "blocklistItemId": name, "blocklistItemText": shown} for name, shown in named]
