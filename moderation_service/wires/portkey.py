"""The webhook of Portkey's gateway, a guardrail check of type `default.webhook`: pure parse and render.

    {"eventType": "afterRequestHook", "request": {"json": {...}, "text": "hi", ...}, "response": {"json": {...}, ...}}
    -> {"verdict": false, "data": {"safety": "unsafe", "action": "block", "categories": ["violent"]}}

A hook before the request shows the client's request, one behind it the answer too, so that both are judged together.

The gateway takes an error for a pass unless `failOnError` is set, so what can't be judged is answered with
`"verdict": false` (`render_withheld`). A streamed answer is never shown to the hook: it is asked once, with an empty
text, before the first word, and the verdict is false then too; but the gateway sends the stream all the same, with
status 246. Only the hook before the request can refuse streams (`refuses_streams`).

Source: Portkey-AI/gateway @669825c `plugins/default/webhook.ts`, `src/middlewares/hooks/index.ts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import THOUGHTS, Limits, Message, Role, check_text, says_nothing
from ..core.moderator import Check, Outcome
from ..core.policy import Policy
from ..core.question import Question
from ..core.tool_calls import calls_in
from ..errors import InvalidRequest, ModerationError
from .gateway_chats import texts_of_part
from .gateway_decisions import deciding
from .gateway_requests import questions_in, request_conversations
from .tools import told_to_tools

__all__ = ["PortkeyRequest", "parse", "render", "render_withheld"]

_HOOKS = ("beforeRequestHook", "afterRequestHook")
_ANSWERS = ("choices", "content", "candidates", "output", "data")
_UNSEEN_STREAM = "a streamed answer is not shown to this hook"
_NO_STREAMS = "streamed answers are refused here"


@dataclass(frozen=True, slots=True)
class PortkeyRequest:
    """What to judge. `unseen`: why there is an answer that can't be judged, if there is one."""

    checks: Sequence[Check]
    unseen: str | None = None


def parse(
    body: object,
    *,
    policy: Policy,
    limits: Limits,
    languages: Sequence[str] = (),
    refuses_streams: bool = False,
    judges_results: bool = False,
) -> PortkeyRequest:
    """Read a call. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    if body.get("eventType") not in _HOOKS:
        raise InvalidRequest(f"`eventType` must be one of {', '.join(_HOOKS)}.", param="eventType")
    request = _object(body, "request")
    asked = request.get("json")
    if isinstance(asked, Mapping) and asked:
        questions = list(questions_in(asked, limits=limits))
    else:
        text = request.get("text")
        text = check_text(text, param="request.text") if isinstance(text, str) and not says_nothing(text) else ""
        questions = [Question((Message(Role.USER, text),))] if text else []
    if body["eventType"] == _HOOKS[0]:
        if refuses_streams and _is_streamed(request):
            return PortkeyRequest((), unseen=_NO_STREAMS)
        found = request_conversations(asked, questions, policy=policy, limits=limits, judges_results=judges_results)
        return PortkeyRequest([Check(one, policy, languages=languages) for one in found])
    response = _object(body, "response")
    answers, is_empty = _answers(response)
    if is_empty and _is_streamed(request):
        return PortkeyRequest((), unseen=_UNSEEN_STREAM)
    question = questions[0] if questions else Question.of(())
    for text in answers:
        check_text(text, param="response")
    told = told_to_tools(question, calls_in(response.get("json")), policy=policy)
    found = [*map(question.answered, answers), *told]
    return PortkeyRequest([Check(one, policy, languages=languages) for one in found])


def render(asked: PortkeyRequest, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The reply; a failure is raised, and withheld by whoever calls this."""
    if asked.unseen is not None:
        return {"verdict": False, "data": {"action": "block", "safety": None, "reason": asked.unseen}}
    decision = deciding(outcomes)
    if decision is None:
        return {"verdict": True, "data": {"action": "allow", "safety": None, "reason": "nothing to judge"}}
    verdict = decision.verdict
    data: dict[str, object] = {
        "id": decision.id,
        "safety": verdict.severity.value if verdict else None,
        "action": decision.action.value,
        "categories": [one.value for one in verdict.categories] if verdict else [],
        "policy": decision.policy,
        "degraded": decision.degraded,
    }
    if decision.message is not None:
        data["message"] = decision.message
    return {"verdict": decision.allowed, "data": data}


def render_withheld(error: ModerationError) -> dict[str, object]:
    """The reply where nothing could be judged: the gateway would take an error for a pass."""
    told = {"safety": None, "action": "block", "error": error.to_json()}
    return {"verdict": False, "data": told}


def _object(body: Mapping[str, object], field: str) -> Mapping[str, object]:
    value = body.get(field)
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"`{field}` must be an object.", param=field)
    return value


def _is_streamed(request: Mapping[str, object]) -> bool:
    asked = request.get("json")
    return request.get("isStreamingRequest") is True or (isinstance(asked, Mapping) and asked.get("stream") is True)


def _answers(response: Mapping[str, object]) -> tuple[list[str], bool]:
    """The texts of an answer, and whether there is none at all of it, no call of tools either."""
    document = response.get("json")
    fields = document if isinstance(document, Mapping) else {}
    said = [response.get("text")]
    for choice in _list(fields.get("choices")):
        message = choice.get("message") if isinstance(choice, Mapping) else None
        said += _said(message) if isinstance(message, Mapping) else []
        said += [choice.get("text")] if isinstance(choice, Mapping) else []
    said += [text for part in _list(fields.get("content")) for text in texts_of_part(part)]  # Anthropic's Messages
    for candidate in _list(fields.get("candidates")):  # Gemini
        content = candidate.get("content") if isinstance(candidate, Mapping) else None
        parts = _list(content.get("parts")) if isinstance(content, Mapping) else []
        said += [text for part in parts for text in texts_of_part(part)]
    for item in _list(fields.get("output")):  # Responses
        parts = [*_list(item.get("content")), *_list(item.get("summary"))] if isinstance(item, Mapping) else []
        said += [text for part in parts for text in texts_of_part(part)]
    texts = [text for text in said if isinstance(text, str) and not says_nothing(text)]
    is_empty = not texts and not any(_list(fields.get(name)) for name in _ANSWERS)
    return list(dict.fromkeys(texts)), is_empty


def _said(message: Mapping[str, object]) -> list[object]:
    content = message.get("content")
    # Portkey puts a thinking model's parts into `content_blocks`.
    parts = [*_list(content), *_list(message.get("content_blocks"))]
    texts = [text for part in parts for text in texts_of_part(part)]
    audio = message.get("audio")
    spoken = audio.get("transcript") if isinstance(audio, Mapping) else None
    return [content, *texts, spoken, *(message.get(field) for field in ("refusal", *THOUGHTS))]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
