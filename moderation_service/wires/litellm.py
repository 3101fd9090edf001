"""LiteLLM's generic guardrail, `POST /beta/litellm_basic_guardrail_api`: pure parse and render of its two calls.

    {"input_type": "request", "structured_messages": [...], "texts": [...], "litellm_call_id": "0e8d...", ...}
    {"input_type": "response", "structured_messages": null, "texts": ["the answer"], "litellm_call_id": "0e8d...", ...}

* *Whoever calls LiteLLM writes the roles.* A request is judged by all that was said since the model last spoke, and a
  beginning of the answer that the client put behind it is judged too (`question.Question`).
* *An answer comes without its question,* but under the same call id, and a streamed one comes again and again, each
  time from its beginning (`resent_answers`).
* *Errors are LiteLLM's fail modes.* 502, 503 and 504 count as "unreachable" there and nothing else does, so too many
  requests are 503 here, not 429.

Source: BerriAI/litellm 1.106.2 `litellm/proxy/guardrails/guardrail_hooks/generic_guardrail_api/`,
`litellm/types/proxy/guardrails/guardrail_hooks/generic_guardrail_api.py` and
`litellm/llms/openai/chat/guardrail_translation/handler.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import Conversation, Limits, Message, Role, check_text
from ..core.moderator import Check, Outcome
from ..core.policy import Policies, Policy
from ..core.question import Question
from ..core.tool_calls import ToolCall, calls_in
from ..core.verdict import Decision
from ..errors import EngineUnavailable, InvalidRequest, ModerationError, Overloaded, TooLarge
from ..streaming.cumulative_stream import ResentAnswer
from .gateway_chats import question_of, read_turns
from .gateway_requests import chat_conversations
from .tools import told_to_tools

__all__ = ["GuardrailRequest", "call_checks", "checks", "parse", "render_answers", "render_request"]

_MAX_CALL_ID_CHARS = 256
_PARAMS = "additional_provider_specific_params"
_KNOWN_PARAMS = ("language", "policy", "soft_block")
_SOFT_BLOCK = "incremental_diff"


@dataclass(frozen=True, slots=True)
class GuardrailRequest:
    """One call of LiteLLM's: `question` and `to_judge` for a request, `texts` and `calls` of answers for a response.

    `soft_block`: a blocked answer is replaced by the policy's message, instead of ending in an error.
    """

    policy: Policy
    languages: Sequence[str]
    call_id: str | None
    soft_block: bool
    question: Question | None = None
    to_judge: Sequence[Conversation] = ()
    texts: Sequence[str] = ()
    calls: Sequence[ToolCall] = ()

    @property
    def is_answer(self) -> bool:
        """Whether there is something of an answer to judge."""
        return bool(self.texts or self.calls)

    @property
    def metadata(self) -> Mapping[str, object]:
        """For the audit record: LiteLLM's own logs know the call by this id."""
        return {} if self.call_id is None else {"litellm_call_id": self.call_id}


def parse(
    body: object,
    *,
    policies: Policies,
    limits: Limits,
    max_texts: int,
    read_languages: Callable[[str], Sequence[str]] = lambda header: (),
    judges_results: bool = False,
) -> GuardrailRequest:
    """Read a call. Raises InvalidRequest or TooLarge that names the field.

    `read_languages` reads an `Accept-Language` header, which LiteLLM passes on where it is told to.
    """
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    kind = body.get("input_type")
    if kind not in ("request", "response"):
        raise InvalidRequest("`input_type` must be `request` or `response`.", param="input_type")
    params = _params(body.get(_PARAMS))
    policy = policies.get(params.get("policy"), param=f"{_PARAMS}.policy")
    fixed = params.get("language")
    languages = [fixed] if fixed else _client_languages(body.get("request_headers"), read_languages)
    call_id = _call_id(body.get("litellm_call_id"))
    soft_block = "soft_block" in params
    texts = _texts(body.get("texts"))
    if kind == "response":
        if len(texts) > max_texts:
            raise TooLarge(f"`texts` has {len(texts)} texts; the limit is {max_texts}.", param="texts")
        calls = list(calls_in({"tool_calls": body.get("tool_calls")}))
        return GuardrailRequest(policy, languages, call_id, soft_block, texts=texts, calls=calls)
    messages = body.get("structured_messages")
    question = _question(messages, texts, limits=limits)
    found = chat_conversations(messages, question, policy=policy, limits=limits, judges_results=judges_results)
    return GuardrailRequest(policy, languages, call_id, soft_block, question, found)


def checks(asked: GuardrailRequest) -> list[Check]:
    """What of a request is judged."""
    return _checks(asked, asked.to_judge)


def call_checks(asked: GuardrailRequest, question: Question) -> list[Check]:
    """What the answers to this question tell tools."""
    return _checks(asked, told_to_tools(question, asked.calls, policy=asked.policy))


def _checks(asked: GuardrailRequest, conversations: Sequence[Conversation]) -> list[Check]:
    return [Check(one, asked.policy, languages=asked.languages, metadata=asked.metadata) for one in conversations]


def render_request(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The reply to a request. One block is enough; without one, a failure is raised rather than guessed around."""
    for outcome in outcomes:
        if isinstance(outcome, Decision) and not outcome.allowed:
            return _blocked(outcome.message)
    _raise_failure(outcomes)
    return {"action": "NONE"}


def render_answers(
    asked: GuardrailRequest, answers: Sequence[ResentAnswer], told: Sequence[Outcome] = (), *, message: str
) -> dict[str, object]:
    """The reply to a response; `message` is shown in place of a blocked one. `told` is what became of calls of tools.

    A blocked call ends in an error even with `soft_block`: LiteLLM takes other texts, but the calls would go out.
    LiteLLM is told to keep back what is not cleared yet; it does so in one of its stream modes, until the stream ends.
    """
    is_blocked = any(answer.is_blocked for answer in answers)
    blocked = next((one for one in told if isinstance(one, Decision) and not one.allowed), None)
    if blocked is not None:
        return _blocked(blocked.message)
    if is_blocked and not asked.soft_block:
        return _blocked(message)
    _raise_failure(told)
    _raise_failure([answer.outcome for answer in answers if answer.outcome is not None])
    reply: dict[str, object] = {"action": "NONE"}
    if is_blocked:
        texts = [_replaced(answer, message) if answer.is_blocked else answer.text for answer in answers]
        reply = {"action": "GUARDRAIL_INTERVENED", "texts": texts}
    held = [0 if answer.is_blocked else len(answer.text) - answer.cleared for answer in answers]
    return {**reply, "stream_holdback_chars": held} if any(held) else reply


def known_error(error: ModerationError) -> ModerationError:
    """The error as LiteLLM can tell it: under `unreachable_fallback` it knows 502, 503 and 504, but not 429."""
    if isinstance(error, Overloaded):
        return EngineUnavailable(error.message, retry_after_s=error.retry_after_s)
    return error


def _blocked(message: str | None) -> dict[str, object]:
    # LiteLLM shows the reason to the end user as it is.
    return {"action": "BLOCKED", "blocked_reason": message}


def _raise_failure(outcomes: Sequence[Outcome]) -> None:
    """Raise the failure of a text that was not judged, if there is one."""
    for outcome in outcomes:
        if isinstance(outcome, ModerationError):
            raise known_error(outcome)


def _replaced(answer: ResentAnswer, message: str) -> str:
    """What was sent can't be taken back: LiteLLM ends a stream whose new text does not begin with it."""
    sent = answer.text[: answer.sent]
    return f"{sent}\n\n{message}" if sent.strip() else sent + message


def _params(value: object) -> Mapping[str, str]:
    """What the operator wrote into LiteLLM's configuration. A typo is an error: it must not weaken a check unseen."""
    params = {} if value is None else value
    if not isinstance(params, Mapping):
        raise InvalidRequest(f"`{_PARAMS}` must be an object.", param=_PARAMS)
    for name, given in params.items():
        if name not in _KNOWN_PARAMS:
            raise InvalidRequest(f"`{_PARAMS}` takes {', '.join(_KNOWN_PARAMS)} only.", param=_PARAMS)
        if not isinstance(given, str):
            raise InvalidRequest(f"`{_PARAMS}.{name}` must be a string.", param=f"{_PARAMS}.{name}")
    if params.get("soft_block", _SOFT_BLOCK) != _SOFT_BLOCK:
        # In LiteLLM's other mode the replaced text is dropped and the blocked answer goes out.
        reason = f"`{_PARAMS}.soft_block` must be `{_SOFT_BLOCK}`, the `streaming_transform_mode` that it needs."
        raise InvalidRequest(reason, param=f"{_PARAMS}.soft_block")
    return params


def _call_id(value: object) -> str | None:
    """The call's id. Clients may choose it, so it is bounded; one that is no plain text joins nothing."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= _MAX_CALL_ID_CHARS:
        return value
    return None


def _client_languages(headers: object, read_languages: Callable[[str], Sequence[str]]) -> Sequence[str]:
    header = headers.get("accept-language") if isinstance(headers, Mapping) else None
    return read_languages(header) if isinstance(header, str) else ()


def _texts(value: object) -> Sequence[str]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidRequest("`texts` must be a list of strings.", param="texts")
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise InvalidRequest(f"`texts[{index}]` must be a string.", param=f"texts[{index}]")
    return value


def _question(messages: object, texts: Sequence[str], *, limits: Limits) -> Question | None:
    """What a request asks; None when there is nothing to judge, such as in one with a picture alone."""
    turns = [] if messages is None else read_turns(messages, limits=limits, param="structured_messages")
    if turns:
        return question_of(turns, param="structured_messages")
    # Other kinds of calls (completions, embeddings) have no roles; all texts are the user's, and one text: what is
    # harmless in parts need not be so together.
    text = "\n".join(text for text in texts if text.strip())
    return question_of([Message(Role.USER, check_text(text, param="texts"))], param="texts") if text else None
