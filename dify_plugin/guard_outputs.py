"""From the service's decision to the outputs of a node. Shared by the tools.

Functions, not a base class of theirs: the SDK accepts exactly one Tool subclass per tool module, imported ones too.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from guard_client import moderate, new_request_id
from guard_errors import GuardError, Problem
from guard_history import history_messages, history_with
from guard_service import service_of
from guard_texts import BLOCKED, BY_PROBLEM, NOTHING, in_language, language_of

SAFETY = {"safe": "Safe", "controversial": "Controversial", "unsafe": "Unsafe"}
ERROR = "Error"
ACTIONS = ("allow", "flag", "block")
COVERAGES = ("full", "partial", "none")
SCORE_WITHOUT_SCORES = {"safe": 0.0, "controversial": 0.5, "unsafe": 1.0}
NOTHING_TO_CHECK = "nothing to check"
# The daemon kills a plugin that writes a line of 5 MiB; `safe_text` is one line, with escapes.
MAX_TEXT_LINE_BYTES = 4 * 1024 * 1024
_TEXT_OUTPUTS = ("safe_text", "next_history")

BodyOf = Callable[[Mapping[str, Any]], dict[str, Any]]


def check(
    tool: Any, parameters: Mapping[str, Any], *, text: str, body_of: BodyOf, target: str
) -> Generator[Any, None, None]:
    """Ask the service about `text` and emit every output; `body_of` makes the request from the parameters.

    Never raises for trouble with the service: a missing variable would fail the if/else behind the node.
    """
    language = language_for(parameters, text)
    request_id = new_request_id()
    try:
        if text.strip():
            decision = _ask(
                tool.runtime.credentials, parameters, text, body_of, request_id=request_id, language=language
            )
            outputs = from_decision(decision, target=target, language=language, on_error=on_error_of(parameters))
            if outputs["span"].get("end", 0) > len(text):
                outputs["span"] = {}
        else:
            outputs = nothing_to_check(language)
    except GuardError as error:
        opens = error.is_outage and on_error_of(parameters) == "allow"
        outputs = from_error(error, action="allow" if opens else "block", language=language)
    outputs["safe_text"] = text if outputs["allowed"] else outputs["message"]
    shown = text if target == "response" and outputs["allowed"] else ""
    outputs["next_history"] = _next_history(parameters, shown)
    outputs["request_id"] = request_id
    yield from messages(tool, outputs, summary=_summary(outputs))


def _ask(
    credentials: Mapping[str, Any],
    parameters: Mapping[str, Any],
    text: str,
    body_of: BodyOf,
    *,
    request_id: str,
    language: str,
) -> dict[str, Any]:
    service = service_of(credentials)
    if len(json.dumps(text)) > MAX_TEXT_LINE_BYTES:
        raise GuardError("the text is longer than a node can pass on", Problem.TOO_LONG)
    request = body_of(parameters)
    policy = str(parameters.get("policy") or "").strip() or service.policy
    if policy:
        request["policy"] = policy
    decision = moderate(service, request, request_id=request_id, language=language)
    roles = [message["role"] for message in request.get("messages", ())]
    # Questions without an answer between them are judged as one text: places in it are none in the last one.
    return {**decision, "span": None} if roles[-2:] == ["user", "user"] else decision


def on_error_of(parameters: Mapping[str, Any]) -> str:
    """The node's setting for an outage; it may be missing or null."""
    return str(parameters.get("on_error") or "block")


def prompt_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request for a prompt, with the earlier turns as context. Raises GuardError for a malformed history."""
    query = str(parameters.get("query") or "")
    earlier = history_messages(parameters.get("history"))
    return {"messages": [*earlier, {"role": "user", "content": query}]} if earlier else {"prompt": query}


def output_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request for an answer; with its question the verdict is better, without one it is judged alone."""
    answer, query = str(parameters.get("answer") or ""), str(parameters.get("query") or "")
    earlier = history_messages(parameters.get("history"))
    if not query.strip():
        return {"response": answer}
    if not earlier:
        return {"prompt": query, "response": answer}
    asked = [{"role": "user", "content": query}, {"role": "assistant", "content": answer}]
    return {"messages": [*earlier, *asked]}


def _next_history(parameters: Mapping[str, Any], answer: str) -> str:
    """For a conversation variable: the earlier turns, with this one when it has an answer that is shown."""
    try:
        earlier = history_messages(parameters.get("history"))
    except GuardError:
        earlier = []
    return history_with(earlier, str(parameters.get("query") or "") if answer else "", answer)


def language_for(parameters: Mapping[str, Any], text: str) -> str:
    """The end user's language: as set, else guessed from the question, else from the judged text; empty for unknown."""
    chosen = str(parameters.get("language") or "auto").strip()
    return chosen if chosen != "auto" else language_of(str(parameters.get("query") or "") or text)


def from_decision(decision: Mapping[str, Any], *, target: str, language: str, on_error: str) -> dict[str, Any]:
    """Every output, from a decision. An unknown label or action is no verdict, never a pass. Raises GuardError."""
    safety, action = decision.get("safety"), decision.get("action")
    if action not in ACTIONS or decision.get("target") != target:
        raise GuardError("the service answered with an unknown verdict", Problem.SETUP)
    message = decision.get("message")
    message = message if isinstance(message, str) else ""
    if safety is None:
        # The engine failed and the policy's fail mode decided. The node's own setting may only be stricter.
        passes = action != "block" and on_error == "allow"
        no_verdict = GuardError("the service's model gave no verdict", Problem.DOWN)
        outputs = from_error(no_verdict, action=action if passes else "block", language=language)
        return {**outputs, "message": message or outputs["message"]}
    ids, names = decision.get("categories"), decision.get("category_names")
    if not (isinstance(safety, str) and safety in SAFETY and _are_texts(ids) and _are_texts(names)):
        raise GuardError("the service answered with an unknown verdict", Problem.SETUP)
    allowed = action != "block"
    is_safe = safety == "safe" and allowed
    return {
        "safety": SAFETY[safety],
        "action": action,
        "is_safe": is_safe,
        "allowed": allowed,
        "categories": list(ids),
        "categories_text": ", ".join(names),
        "refusal": {True: "yes", False: "no"}.get(decision.get("refusal"), ""),
        "score": _score(safety, decision.get("scores")),
        "span": _span(decision.get("span")),
        "coverage": decision.get("coverage") if decision.get("coverage") in COVERAGES else "",
        # Also for a text that the policy lets pass: an app that lets only Safe pass must have something to show.
        "message": "" if is_safe else message or in_language(BLOCKED, language),
        "error": "",
    }


def from_error(error: GuardError, *, action: str, language: str) -> dict[str, Any]:
    """The same outputs when there is no verdict. The score is the worst one, so that no comparison lets it pass."""
    return {
        "safety": ERROR,
        "action": action,
        "is_safe": False,
        "allowed": action != "block",
        "categories": [],
        "categories_text": "",
        "refusal": "",
        "score": 1.0,
        "span": {},
        "coverage": "",
        "message": in_language(BY_PROBLEM[error.problem.value], language),
        "error": str(error),
    }


def nothing_to_check(language: str) -> dict[str, Any]:
    """The same outputs for an empty text: nobody is harmed by it, and no service is needed to know that."""
    return {
        "safety": "Safe",
        "action": "allow",
        "is_safe": True,
        "allowed": True,
        "categories": [],
        "categories_text": "",
        "refusal": "",
        "score": 0.0,
        "span": {},
        "coverage": "",
        "message": in_language(NOTHING, language),
        "error": NOTHING_TO_CHECK,
    }


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _score(safety: str, scores: Any) -> float:
    """0 is safe, 1 is unsafe: P(unsafe) plus half of P(controversial); 0, 0.5 or 1 where an engine has no scores."""
    try:
        score = float(scores["unsafe"]) + 0.5 * float(scores["controversial"])
    except (TypeError, KeyError, ValueError):
        return SCORE_WITHOUT_SCORES[safety]
    return round(min(max(score, 0.0), 1.0), 6) if score == score else 1.0


def _span(span: Any) -> dict[str, int]:
    """Where in the text the worst passage is; empty for the whole text, or where the service does not say."""
    start, end = (span.get("start"), span.get("end")) if isinstance(span, dict) else (None, None)
    return {"start": start, "end": end} if type(start) is int and type(end) is int and 0 <= start < end else {}


def messages(
    tool: Any, outputs: Mapping[str, Any], *, summary: str, unsaid: Sequence[str] = _TEXT_OUTPUTS
) -> Generator[Any, None, None]:
    """Strings as stream variables: only those can be printed by an Answer node, and only strings can be streamed."""
    for name, value in outputs.items():
        if isinstance(value, str):
            yield tool.create_stream_variable_message(name, value)
        else:
            yield tool.create_variable_message(name, value)
    # For agents, and the node's own `json` output. Without the texts: they were in the question already.
    yield tool.create_json_message({name: value for name, value in outputs.items() if name not in unsaid})
    yield tool.create_text_message(summary)


def _summary(outputs: Mapping[str, Any]) -> str:
    """What an agent reads, and the node's `text`."""
    details = f" ({outputs['categories_text']})" if outputs["categories_text"] else ""
    reason = f"; {outputs['error']}" if outputs["error"] else ""
    return f"{outputs['action']}: {outputs['safety']}{details}, score {outputs['score']:.2f}{reason}"
