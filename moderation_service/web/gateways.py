"""Gateways with a slot for a moderation service, which take an error for a refusal.

`POST /contentsafety/text:analyze` (Azure), `POST /guardrail/NAME/version/V/apply` (Bedrock), `POST /api/v1/text/...`
(TrustyAI, FMS), `POST /request` and `/response` (agentgateway, kgateway, Gloo). Those that take an error for a pass are
in `withholding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from flask import Blueprint, Response, request

from ..core.moderator import Check, Outcome
from ..core.question import Question
from ..errors import InvalidRequest
from ..wires import agentgateway, azure, bedrock, detectors
from ..wires.agentgateway import BlockAs
from ..wires.gateway_decisions import policy_of, target_of
from .body import read_json
from .lifecycle import DirectRoute, RequestState, current_state
from .moderate import languages_of, log_fields
from .openai import headers_of, reply_headers
from .reply import ErrorShape, Reply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["ERROR_SHAPES", "blueprint", "direct_routes"]

ERROR_SHAPES: Mapping[str, ErrorShape] = {
    "/contentsafety/": azure.render_error,
    "/guardrail/": bedrock.render_error,
    "/api/v1/text/": detectors.render_error,
}
"""The shape of errors of each contract, by the beginning of its addresses."""


def direct_routes(service: Service) -> dict[str, DirectRoute]:
    """The routes whose address is fixed."""
    detector = _Detector(service)
    webhook = _Webhook(service)

    def analyze(environ: WSGIEnvironment, state: RequestState) -> Reply:
        body = read_json(environ, max_body_bytes=service.settings.max_body_bytes)
        asked = azure.parse(body, policies=service.policies, headers=headers_of(environ))
        outcomes = _decide(service, asked.checks, state)
        return json_reply(azure.render(asked, outcomes), headers=reply_headers(outcomes))

    return {
        "/contentsafety/text:analyze": analyze,
        "/api/v1/text/contents": detector.contents,
        "/api/v1/text/chat": detector.chat,
        "/api/v1/text/generation": detector.generation,
        "/request": webhook.request,
        "/response": webhook.response,
    }


def blueprint(service: Service) -> Blueprint:
    """The route that has names in its address."""
    routes = Blueprint("gateways", __name__)

    @routes.post("/guardrail/<identifier>/version/<version>/apply")
    def apply_guardrail(identifier: str, version: str) -> Response:
        body = read_json(request.environ, max_body_bytes=service.settings.max_body_bytes)
        asked = bedrock.parse(
            body,
            identifier=identifier,
            policies=service.policies,
            max_blocks=service.limits.batch_items,
            languages=languages_of(request.environ),
        )
        outcomes = _decide(service, asked.checks, current_state())
        reply = json_reply(bedrock.render(asked, outcomes), headers=reply_headers(outcomes))
        return Response(reply.body, mimetype=reply.content_type, headers=dict(reply.headers))

    @routes.get("/health")
    def health() -> Response:
        # What the orchestrator asks of a detector. Whether verdicts can be had is `/readyz`.
        return Response(json_reply({"status": "ok"}).body, mimetype="application/json")

    return routes


class _Detector:
    """The calls of the Detector API."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def contents(self, environ: WSGIEnvironment, state: RequestState) -> Reply:
        asked = detectors.parse_contents(
            self._body(environ),
            detector=environ.get("HTTP_DETECTOR_ID"),
            policies=self._service.policies,
            max_texts=self._service.limits.batch_items,
            target=target_of(headers_of(environ)),
            languages=languages_of(environ),
        )
        outcomes = _decide(self._service, asked.checks, state)
        return json_reply(detectors.render_contents(asked, outcomes), headers=reply_headers(outcomes))

    def chat(self, environ: WSGIEnvironment, state: RequestState) -> Reply:
        checks = detectors.parse_chat(
            self._body(environ),
            detector=environ.get("HTTP_DETECTOR_ID"),
            policies=self._service.policies,
            limits=self._service.limits.conversation,
            languages=languages_of(environ),
            judges_results=self._service.settings.chat_judge_tool_results,
        )
        return self._found(checks, state)

    def generation(self, environ: WSGIEnvironment, state: RequestState) -> Reply:
        checks = detectors.parse_generation(
            self._body(environ),
            detector=environ.get("HTTP_DETECTOR_ID"),
            policies=self._service.policies,
            languages=languages_of(environ),
        )
        return self._found(checks, state)

    def _body(self, environ: WSGIEnvironment) -> object:
        return read_json(environ, max_body_bytes=self._service.settings.max_body_bytes)

    def _found(self, checks: Sequence[Check], state: RequestState) -> Reply:
        outcomes = _decide(self._service, checks, state)
        return json_reply(detectors.render_one(outcomes), headers=reply_headers(outcomes))


class _Webhook:
    """The two calls of the guardrail webhook."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def request(self, environ: WSGIEnvironment, state: RequestState) -> Reply:
        policy = policy_of(headers_of(environ), self._service.policies)
        body = read_json(environ, max_body_bytes=self._service.settings.max_body_bytes)
        question, conversations = agentgateway.parse_request(
            body,
            policy=policy,
            limits=self._service.limits.conversation,
            judges_results=self._service.settings.chat_judge_tool_results,
        )
        if question is not None:
            self._service.calls.put_question(state.caller, _call_id(environ), question)
        checks = [Check(one, policy, languages=languages_of(environ)) for one in conversations]
        return self._answer(body, checks, environ, state, BlockAs.REJECT)

    def response(self, environ: WSGIEnvironment, state: RequestState) -> Reply:
        policy = policy_of(headers_of(environ), self._service.policies)
        block_as = _block_as(environ)
        body = read_json(environ, max_body_bytes=self._service.settings.max_body_bytes)
        known = self._service.calls.question(state.caller, _call_id(environ))
        checks = agentgateway.parse_response(
            body,
            question=known or Question.of(()),
            policy=policy,
            max_choices=self._service.limits.batch_items,
            languages=languages_of(environ),
        )
        reply = self._answer(body, checks, environ, state, block_as)
        state.fields = {**state.fields, "question_known": known is not None}
        return reply

    def _answer(
        self, body: object, checks: Sequence[Check], environ: WSGIEnvironment, state: RequestState, block_as: BlockAs
    ) -> Reply:
        policy = policy_of(headers_of(environ), self._service.policies)
        outcomes = _decide(self._service, checks, state)
        reply = agentgateway.render(body, outcomes, policy=policy, languages=languages_of(environ), block_as=block_as)
        return json_reply(reply, headers=reply_headers(outcomes))


def _decide(service: Service, checks: Sequence[Check], state: RequestState) -> list[Outcome]:
    outcomes = service.decide(checks) if checks else []
    state.fields = log_fields(outcomes)
    return outcomes


def _call_id(environ: WSGIEnvironment) -> str | None:
    """The id that the gateway gives to both calls; without one, an answer is judged without its question."""
    return environ.get("HTTP_X_REQUEST_ID") and RequestState.of(environ).request_id


def _block_as(environ: WSGIEnvironment) -> BlockAs:
    refused = InvalidRequest("The URL takes the argument `block_as` only: `reject` or `mask`.", param="block_as")
    try:
        given = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True, max_num_fields=8)
    except ValueError:  # more than that many
        raise refused from None
    values = given.pop("block_as", [BlockAs.REJECT.value])
    if given or values[0] not in [one.value for one in BlockAs] or len(values) > 1:
        raise refused
    return BlockAs(values[0])
