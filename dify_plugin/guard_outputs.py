"""From the service's decision to the outputs of a node. Shared by both tools.

Functions, not a base class of theirs: the SDK accepts exactly one Tool subclass per tool module, imported ones too.
"""

import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from guard_client import GuardError, moderate, new_request_id, service_of
from guard_texts import BLOCKED, UNCHECKED, in_language, language_of

SAFETY = {"safe": "Safe", "controversial": "Controversial", "unsafe": "Unsafe"}
ERROR = "Error"
ACTIONS = ("allow", "flag", "block")
SCORE_WITHOUT_SCORES = {"safe": 0.0, "controversial": 0.5, "unsafe": 1.0}
MAX_HISTORY_MESSAGES = 20
# The daemon kills a plugin that writes a line of 5 MiB; `safe_text` is one line, with escapes.
MAX_TEXT_LINE_BYTES = 4 * 1024 * 1024


BodyOf = Callable[[Mapping[str, Any]], dict[str, Any]]


def check(
    tool: Any, parameters: Mapping[str, Any], *, text: str, body_of: BodyOf, target: str
) -> Generator[Any, None, None]:
    """Ask the service about `text` and emit every output; `body_of` makes the request from the parameters.

    Never raises for trouble with the service: a missing variable would fail the if/else behind the node.
    """
    language = _language(parameters, text)
    request_id = new_request_id()
    try:
        decision = _ask(tool.runtime.credentials, parameters, text, body_of, request_id=request_id, language=language)
        on_error = str(parameters.get("on_error") or "block")
        outputs = from_decision(decision, target=target, language=language, on_error=on_error)
    except GuardError as error:
        opens = error.outage and str(parameters.get("on_error") or "block") == "allow"
        outputs = from_error(str(error), action="allow" if opens else "block", language=language)
    outputs["safe_text"] = text if outputs["allowed"] else outputs["message"]
    outputs["request_id"] = request_id
    yield from messages(tool, outputs)


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
    if not text.strip():
        raise GuardError("there is no text to check", outage=True)
    if len(json.dumps(text)) > MAX_TEXT_LINE_BYTES:
        raise GuardError("the text is longer than a node can pass on", outage=False)
    request = body_of(parameters)
    policy = str(parameters.get("policy") or "").strip() or service.policy
    if policy:
        request["policy"] = policy
    return moderate(service, request, request_id=request_id, language=language)


def prompt_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request for a prompt, with the earlier turns as context. Raises GuardError for a malformed history."""
    query = str(parameters.get("query") or "")
    earlier = history_messages(parameters.get("history") or "")
    return {"messages": [*earlier, {"role": "user", "content": query}]} if earlier else {"prompt": query}


def output_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request for an answer; with its question the verdict is better, without one it is judged alone."""
    body = {"response": str(parameters.get("answer") or "")}
    query = str(parameters.get("query") or "")
    return {"prompt": query, **body} if query.strip() else body


def _language(parameters: Mapping[str, Any], text: str) -> str:
    """The end user's language: as set, else guessed from the question, else from the judged text; empty for unknown."""
    chosen = str(parameters.get("language") or "auto").strip()
    return chosen if chosen != "auto" else language_of(str(parameters.get("query") or "") or text)


def history_messages(history: Any) -> list[dict[str, str]]:
    """Earlier turns, from JSON text or a list: `[{"role": "user", "content": "..."}, ...]`, the newest 20 of them."""
    if isinstance(history, str):
        if not history.strip():
            return []
        try:
            history = json.loads(history)
        except (ValueError, RecursionError):
            history = None
    turns = history if isinstance(history, list) else [None]
    found = []
    for turn in turns:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if role not in ("user", "assistant", "system", "tool") or not isinstance(content, str):
            raise GuardError(
                'history must be a JSON list like [{"role": "user", "content": "..."}, ...]',
                outage=False,
            )
        # Only what people and the model said to each other is context; the service would leave the others out too.
        if role in ("user", "assistant"):
            found.append({"role": role, "content": content})
    return found[-MAX_HISTORY_MESSAGES:]


def from_decision(decision: Mapping[str, Any], *, target: str, language: str, on_error: str) -> dict[str, Any]:
    """Every output, from a decision. An unknown label or action is no verdict, never a pass. Raises GuardError."""
    safety, action = decision.get("safety"), decision.get("action")
    if action not in ACTIONS or decision.get("target") != target:
        raise GuardError("the service answered with an unknown verdict", outage=False)
    message = decision.get("message")
    message = message if isinstance(message, str) else ""
    if safety is None:
        # The engine failed and the policy's fail mode decided. The node's own setting may only be stricter.
        passes = action != "block" and on_error == "allow"
        outputs = from_error(
            "the service's model gave no verdict", action=action if passes else "block", language=language
        )
        return {**outputs, "message": message or outputs["message"]}
    ids, names = decision.get("categories"), decision.get("category_names")
    if not (isinstance(safety, str) and safety in SAFETY and _are_texts(ids) and _are_texts(names)):
        raise GuardError("the service answered with an unknown verdict", outage=False)
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
        # Also for a text that the policy lets pass: an app that lets only Safe pass must have something to show.
        "message": "" if is_safe else message or in_language(BLOCKED, language),
        "error": "",
    }


def from_error(error: str, *, action: str, language: str) -> dict[str, Any]:
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
        "message": in_language(UNCHECKED, language),
        "error": error,
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


def messages(tool: Any, outputs: Mapping[str, Any]) -> Generator[Any, None, None]:
    """Strings as stream variables: only those can be printed by an Answer node, and only strings can be streamed."""
    for name, value in outputs.items():
        if isinstance(value, str):
            yield tool.create_stream_variable_message(name, value)
        else:
            yield tool.create_variable_message(name, value)
    # For agents, and the node's own `json` output. Without the text: it was in the question already.
    yield tool.create_json_message({name: value for name, value in outputs.items() if name != "safe_text"})
    details = f" ({outputs['categories_text']})" if outputs["categories_text"] else ""
    yield tool.create_text_message(f"{outputs['action']}: {outputs['safety']}{details}, score {outputs['score']:.2f}")
