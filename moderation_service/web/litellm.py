"""`POST /beta/litellm_basic_guardrail_api`: LiteLLM's generic guardrail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.moderator import Outcome
from ..core.question import Question
from ..core.verdict import Decision
from ..errors import ModerationError
from ..streaming.cumulative_stream import ResentAnswer, judge_resent
from ..streaming.growing_answer import Piece
from ..streaming.piece_judge import AnswerJudge
from ..wires import litellm
from ..wires.litellm import GuardrailRequest
from .body import read_json
from .lifecycle import DirectRoute, RequestState
from .moderate import log_fields, read_languages
from .openai import reply_headers
from .reply import Reply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["KNOWN_ERRORS", "direct_routes"]

_PATH = "/beta/litellm_basic_guardrail_api"
KNOWN_ERRORS = {_PATH: litellm.known_error}
"""What errors on this path are turned into, wherever they were raised."""


def direct_routes(service: Service) -> dict[str, DirectRoute]:
    """The route of the guardrail."""
    max_body_bytes = service.settings.max_body_bytes

    def guardrail(environ: WSGIEnvironment, state: RequestState) -> Reply:
        try:
            asked = litellm.parse(
                read_json(environ, max_body_bytes=max_body_bytes),
                policies=service.policies,
                limits=service.limits.conversation,
                max_texts=service.limits.batch_items,
                read_languages=read_languages,
                judges_results=service.settings.chat_judge_tool_results,
            )
            return _judge_answers(service, asked, state) if asked.is_answer else _judge_request(service, asked, state)
        except ModerationError as error:
            # LiteLLM tells nobody more than the status: why a call was refused is found in our log, or nowhere.
            state.fields = {**state.fields, "error": error.type, "param": error.param}
            raise

    return {_PATH: guardrail}


def _judge_request(service: Service, asked: GuardrailRequest, state: RequestState) -> Reply:
    outcomes: Sequence[Outcome] = []
    if asked.question is not None:
        # Remembered before the verdict: in LiteLLM's mode `during_call` the answer may be here first.
        service.calls.put_question(state.caller, asked.call_id, asked.question)
    if checks := litellm.checks(asked):
        outcomes = service.decide(checks)
    state.fields = log_fields(outcomes)
    return json_reply(litellm.render_request(outcomes), headers=reply_headers(outcomes))


def _judge_answers(service: Service, asked: GuardrailRequest, state: RequestState) -> Reply:
    service.count(len(asked.texts))
    calls, caller, policy = service.calls, state.caller, asked.policy
    known = calls.question(caller, asked.call_id)
    question = known or Question.of(())
    remembered = calls.progress(caller, asked.call_id, question, policy.name)
    judge = AnswerJudge(service.moderator, question, policy, asked.languages, asked.metadata)
    answers = judge_resent(asked.texts, remembered, judge, key=calls.key)
    told = service.decide(checks) if (checks := litellm.call_checks(asked, question)) else []
    outcomes = [*(answer.outcome for answer in answers if answer.outcome is not None), *told]
    state.fields = {**log_fields(outcomes), "question_known": known is not None}
    message = _message(service, asked, answers, judge)
    reply = json_reply(litellm.render_answers(asked, answers, told, message=message), headers=reply_headers(outcomes))
    if asked.soft_block or not _is_blocked(answers):
        calls.put_progress(caller, asked.call_id, question, policy.name, [answer.progress for answer in answers])
    return reply


def _message(service: Service, asked: GuardrailRequest, answers: Sequence[ResentAnswer], judge: AnswerJudge) -> str:
    """What is shown in place of a blocked answer."""
    blocked = next((answer for answer in answers if answer.is_blocked), None)
    decision = blocked.outcome if blocked is not None else None
    # In a stream the same with every call: LiteLLM ends one whose new text does not begin with the old.
    if not asked.soft_block and isinstance(decision, Decision) and decision.message is not None:
        return decision.message
    text = "" if blocked is None else blocked.text
    return service.moderator.message(judge.check(Piece("", text, 0, is_last=True)), None)


def _is_blocked(answers: Sequence[ResentAnswer]) -> bool:
    return any(answer.is_blocked for answer in answers)
