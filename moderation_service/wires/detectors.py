"""The Detector API of TrustyAI and the FMS Guardrails Orchestrator: pure parse and render of its three calls.

    POST /api/v1/text/contents    {"contents": ["...", "..."], "detector_params": {"policy": "strict"}}
    POST /api/v1/text/chat        {"messages": [...], "detector_params": {}}
    POST /api/v1/text/generation  {"prompt": "...", "generated_text": "...", "detector_params": {}}

The first answers a list for each text, with places; the others one list without. A detection has a score, and who asks
has a threshold (0.5 by default): for text that is blocked or marked for review the score is P(controversial) +
P(unsafe), never below a half if it is blocked; for what the policy allows there is no detection.

The header `detector-id` is `qwen3guard` for the default policy, or the name of another one. `text`, which the
orchestrator can't do without, is empty: LiteLLM prints it into an error that its client sees.

Source: foundation-model-stack/fms-guardrails-orchestrator @a33322a `docs/api/openapi_detector_api.yaml`,
`src/clients/detector/`; BerriAI/litellm `litellm/proxy/guardrails/guardrail_hooks/ibm_guardrails/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import Limits, Message, Role, says_nothing
from ..core.moderator import Check, Outcome
from ..core.policy import Policies, Policy
from ..core.question import Question
from ..core.verdict import Decision, Severity, Target
from ..errors import InvalidRequest, ModerationError, NotFound, TooLarge
from .gateway_chats import question_of, read_turns
from .gateway_decisions import check_of, deciding, found
from .gateway_requests import chat_conversations

__all__ = ["DETECTOR", "ContentsRequest", "parse_chat", "parse_contents", "parse_generation", "render_contents"]
__all__ += ["render_error", "render_one"]

DETECTOR = "qwen3guard"
"""The `detector-id` of the default policy, and the type of every detection."""
_PARAMS = frozenset({"policy", "threshold"})
_WITHOUT_SCORES = {Severity.SAFE: 0.0, Severity.CONTROVERSIAL: 0.5, Severity.UNSAFE: 1.0}
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class ContentsRequest:
    """The texts, and the check of each that says something."""

    texts: Sequence[str]
    places: Sequence[Check | None]

    @property
    def checks(self) -> Sequence[Check]:
        """What is judged."""
        return [one for one in self.places if one is not None]


def parse_contents(
    body: object,
    *,
    detector: str | None,
    policies: Policies,
    max_texts: int,
    target: Target = Target.PROMPT,
    languages: Sequence[str] = (),
) -> ContentsRequest:
    """Read a call about texts. Raises NotFound, InvalidRequest or TooLarge that names the field."""
    fields, policy = _opened(body, detector, policies)
    contents = fields.get("contents")
    if not isinstance(contents, list) or not all(isinstance(one, str) for one in contents):
        raise InvalidRequest("`contents` must be a list of strings.", param="contents")
    if len(contents) > max_texts:
        raise TooLarge(f"`contents` has {len(contents)} texts; the limit is {max_texts}.", param="contents")
    places = [
        check_of(text, target, policy, param=f"contents[{index}]", languages=languages)
        for index, text in enumerate(contents)
    ]
    return ContentsRequest(contents, places)


def parse_chat(
    body: object,
    *,
    detector: str | None,
    policies: Policies,
    limits: Limits,
    languages: Sequence[str] = (),
    judges_results: bool = False,
) -> Sequence[Check]:
    """Read a call about a chat. Raises as `parse_contents` does."""
    fields, policy = _opened(body, detector, policies)
    messages = fields.get("messages")
    turns = read_turns(messages, limits=limits, param="messages")
    question = question_of(turns, param="messages") if turns else None
    conversations = chat_conversations(messages, question, policy=policy, limits=limits, judges_results=judges_results)
    return [Check(one, policy, languages=languages) for one in conversations]


def parse_generation(
    body: object, *, detector: str | None, policies: Policies, languages: Sequence[str] = ()
) -> Sequence[Check]:
    """Read a call about an answer and its prompt. Raises as `parse_contents` does."""
    fields, policy = _opened(body, detector, policies)
    for name in ("prompt", "generated_text"):
        if not isinstance(fields.get(name), str):
            raise InvalidRequest(f"`{name}` must be a string.", param=name)
    question = Question((Message(Role.USER, str(fields["prompt"])),))
    answer = str(fields["generated_text"])
    if says_nothing(answer):
        return []
    check_of(answer, Target.RESPONSE, policy, param="generated_text")
    return [Check(question.answered(answer), policy, languages=languages)]


def render_contents(asked: ContentsRequest, outcomes: Sequence[Outcome]) -> list[object]:
    """The reply about texts: a list of what was found in each. A failure is raised."""
    left = iter(outcomes)
    reply: list[object] = []
    for text, check in zip(asked.texts, asked.places, strict=True):
        decision = None if check is None else deciding([next(left)])
        reply.append([_with_place(text, decision, one) for one in _detections(decision)])
    return reply


def render_one(outcomes: Sequence[Outcome]) -> list[object]:
    """The reply about a chat or an answer: what was found. A failure is raised."""
    return list(_detections(deciding(outcomes)))


def render_error(error: ModerationError) -> dict[str, object]:
    """The Detector API's error document."""
    return {"code": error.status, "message": error.message}


def _opened(body: object, detector: str | None, policies: Policies) -> tuple[Mapping[str, object], Policy]:
    """The body's fields, and the policy that the detector's id or the parameters name."""
    if detector not in (None, DETECTOR) and detector not in policies:
        raise NotFound("`detector-id` is neither `qwen3guard` nor a policy of this service.", param="detector-id")
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    params = {} if body.get("detector_params") is None else body["detector_params"]
    if not isinstance(params, Mapping) or not params.keys() <= _PARAMS:
        raise InvalidRequest(f"`detector_params` may have {' and '.join(sorted(_PARAMS))}.", param="detector_params")
    by_id = None if detector in (None, DETECTOR) else detector
    wanted = params.get("policy", by_id)
    if wanted is not None and not isinstance(wanted, str):
        raise InvalidRequest("`detector_params.policy` must be a string.", param="detector_params.policy")
    if by_id is not None and wanted != by_id:
        reason = "`detector-id` and `detector_params.policy` name different policies."
        raise InvalidRequest(reason, param="detector_params.policy")
    return body, policies.get(wanted, param="detector_params.policy")


def _detections(decision: Decision | None) -> Sequence[dict[str, object]]:
    """A detection for each category; none for what the policy allows."""
    severity = found(decision)
    if decision is None or severity is Severity.SAFE:
        return ()
    categories = decision.verdict.categories if decision.verdict else ()
    score = _score(decision, severity)
    metadata = {
        "safety": decision.verdict.severity.value if decision.verdict else None,
        "action": decision.action.value,
    }
    return [
        {"detection": name, "detection_type": DETECTOR, "score": score, "evidence": [], "metadata": metadata}
        for name in [one.display_name for one in categories] or ["Unspecified"]
    ]


def _score(decision: Decision, severity: Severity) -> float:
    scores = decision.verdict.scores if decision.verdict else None
    score = _WITHOUT_SCORES[severity] if scores is None else round(scores.controversial + scores.unsafe, 6)
    return 1.0 if not decision.allowed and score < _HALF else score


def _with_place(text: str, decision: Decision | None, detection: dict[str, object]) -> dict[str, object]:
    span = decision.verdict.span if decision and decision.verdict else None
    return {"start": span.start if span else 0, "end": span.end if span else len(text), "text": "", **detection}
