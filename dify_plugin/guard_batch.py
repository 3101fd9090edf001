"""Many texts in one call: retrieved chunks, results of tools, the fields of a form. For the node "Check texts"."""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from guard_client import moderate_all, new_request_id
from guard_errors import GuardError, Problem, error_of, of_service
from guard_lists import is_nothing, read_json
from guard_outputs import (
    MAX_TEXT_LINE_BYTES,
    NOTHING_TO_CHECK,
    from_decision,
    from_error,
    language_for,
    messages,
    nothing_to_check,
    on_error_of,
)
from guard_service import Service, service_of

_RANKS = {"Safe": 0, "Controversial": 1, "Unsafe": 2, "Error": 3}
_ACTION_RANKS = {"allow": 0, "flag": 1, "block": 2}
_TEXT_KEYS = ("content", "text", "page_content")
_ABOUT_EACH = ("safety", "action", "categories", "categories_text", "score", "coverage", "error")


@dataclass(frozen=True)
class Item:
    """One of the texts. `came_as` is the object of a list of objects, such as a chunk with its title and document."""

    text: str
    came_as: dict[str, Any] | None = None

    @property
    def judged(self) -> str:
        """The text as it is judged: a chunk with its title and all else in it that says something.

        It comes back whole (`safe_items`), and an LLM node or a page may show any field of it.
        """
        if self.came_as is None or self.text == _as_text(self.came_as):
            return self.text
        title = self.came_as.get("title")
        titles = [title] if isinstance(title, str) and title.strip() else []
        return "\n".join(
            [*titles, self.text, *(one for one in _texts_in(self.came_as) if one not in (title, self.text))]
        )


def check_texts(tool: Any, parameters: Mapping[str, Any]) -> Generator[Any, None, None]:
    """Judge all texts in one call and emit every output. Never raises for trouble with the service."""
    items = items_of(parameters)
    language = language_for(parameters, "\n".join(item.text[:200] for item in items))
    request_id = new_request_id()
    try:
        each = _judge(tool.runtime.credentials, parameters, items, request_id=request_id, language=language)
    except GuardError as error:
        each = [_error(error, parameters, language) for _ in items]
    outputs = _outputs(items, each, keep=str(parameters.get("keep") or "safe"), language=language)
    outputs["request_id"] = request_id
    yield from messages(tool, outputs, summary=_summary(outputs), unsaid=("safe_texts", "safe_text", "safe_items"))


def items_of(parameters: Mapping[str, Any]) -> list[Item]:
    """The texts of the list, and the single text behind them if there is one."""
    value = parameters.get("texts")
    if isinstance(value, str) and not is_nothing(value):
        read = read_json(value)
        # A text that is no list is one text: whatever it is, it is not left out.
        value = read if isinstance(read, list) else [value]
    if isinstance(value, list) and len(value) == 1 and (value[0] in (None, "") or isinstance(value[0], str)):
        # Dify makes a list of one text from what is no list: of nothing, and of Python's text of a list.
        read = read_json(value[0]) if value[0] else []
        value = read if isinstance(read, list) else value
    items = [_item(one) for one in ([] if is_nothing(value) else value if isinstance(value, list) else [value])]
    extra = parameters.get("text")
    return items if is_nothing(extra) else [*items, Item(str(extra))]


def _item(value: Any) -> Item:
    if isinstance(value, dict):
        texts = [value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)]
        return Item(next((one for one in texts if one.strip()), texts[0]) if texts else _as_text(value), value)
    return Item("" if value is None else value if isinstance(value, str) else _as_text(value))


def _texts_in(item: Any) -> list[str]:
    """The strings in an object, but for single words such as ids, names of files and addresses; keys included."""
    found: list[str] = []
    left = [item]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*reversed(value.values()), *(key for key in value if _says_something(key))]
            found += [value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)]
        elif isinstance(value, (list, tuple)):
            left += reversed(value)
        elif _says_something(value):
            found.append(value)
    return list(dict.fromkeys(found))


def _says_something(value: Any) -> bool:
    return isinstance(value, str) and any(char.isspace() or not char.isascii() for char in value.strip())


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _judge(
    credentials: Mapping[str, Any],
    parameters: Mapping[str, Any],
    items: list[Item],
    *,
    request_id: str,
    language: str,
) -> list[dict[str, Any]]:
    """What was found in each text. Raises GuardError when the call as a whole fails."""
    asked = [item for item in items if item.judged.strip()]
    results = iter(())
    service = None
    target = "response" if parameters.get("judge_as") == "answer" else "prompt"
    if asked:
        service = service_of(credentials)
        if len(_as_text([item.came_as or item.text for item in items]).encode("utf-8", "replace")) > _MAX_BYTES:
            raise GuardError("the texts together are longer than a node can pass on", Problem.TOO_LONG)
        policy = str(parameters.get("policy") or "").strip() or service.policy
        inputs = [{target: item.judged} for item in asked]
        answers = moderate_all(service, inputs, policy=policy, request_id=request_id, language=language)
        results = iter(_read(service, one, target, policy, parameters, language) for one in answers)
    return [next(results) if item.judged.strip() else nothing_to_check(language) for item in items]


_MAX_BYTES = MAX_TEXT_LINE_BYTES // 2  # with escapes it may be twice as long


def _read(
    service: Service, answer: Any, target: str, policy: str, parameters: Mapping[str, Any], language: str
) -> dict[str, Any]:
    """One result of the call: a decision, or an error of its own."""
    ours = error_of(answer)
    try:
        if ours is not None:
            raise of_service(ours, _STATUS.get(ours["type"], 500), service=service, policy=policy)
        decision = answer if isinstance(answer, dict) else {}
        return from_decision(decision, target=target, language=language, on_error=on_error_of(parameters))
    except GuardError as error:
        return _error(error, parameters, language)


_STATUS = {"invalid_request": 400, "too_large": 413, "overloaded": 429, "engine_unavailable": 503}
"""In a batch an error has no status of its own."""


def _error(error: GuardError, parameters: Mapping[str, Any], language: str) -> dict[str, Any]:
    opens = error.is_outage and on_error_of(parameters) == "allow"
    return from_error(error, action="allow" if opens else "block", language=language)


def _outputs(items: list[Item], each: list[dict[str, Any]], *, keep: str, language: str) -> dict[str, Any]:
    """Every output. A text is kept when it is labelled Safe, or, if so wished, when the policy lets it pass."""
    kept = [found["allowed"] if keep == "allowed" else found["is_safe"] for found in each]
    worst = max(each, key=lambda found: (_RANKS[found["safety"]], found["score"]), default=nothing_to_check(language))
    safe = [item for item, keeps in zip(items, kept, strict=True) if keeps]
    left_out = [number for number, keeps in enumerate(kept, start=1) if not keeps]
    reasons = [_reason(each[number - 1]) for number in left_out]
    action = max((found["action"] for found in each), key=_ACTION_RANKS.__getitem__, default="allow")
    return {
        "safe_texts": [item.text for item in safe],
        "safe_text": "\n\n".join(item.text for item in safe if item.text.strip()),
        "safe_items": [item.came_as for item in safe if item.came_as is not None],
        "safe_count": len(safe),
        "withheld": left_out,
        "withheld_count": len(left_out),
        "reasons": reasons,
        "reasons_text": "; ".join(f"{number}: {reason}" for number, reason in zip(left_out, reasons, strict=True)),
        "safety": worst["safety"],
        "action": action,
        "is_safe": worst["is_safe"],
        "score": max((found["score"] for found in each), default=0.0),
        "results": [
            {"position": number, "kept": keeps, **{name: found[name] for name in _ABOUT_EACH}}
            for number, (found, keeps) in enumerate(zip(each, kept, strict=True), start=1)
        ],
        "message": worst["message"],
        "error": _error_text(each) if items else NOTHING_TO_CHECK,
    }


def _reason(found: Mapping[str, Any]) -> str:
    details = found["categories_text"] or found["error"]
    return f"{found['safety']} ({details})" if details else str(found["safety"])


def _error_text(each: list[dict[str, Any]]) -> str:
    """Why there is no verdict on some text; for empty texts only when all of them are."""
    failed = [found["error"] for found in each if found["safety"] == "Error"]
    if failed:
        return str(failed[0])
    return NOTHING_TO_CHECK if all(found["error"] for found in each) else ""


def _summary(outputs: Mapping[str, Any]) -> str:
    """What an agent reads, and the node's `text`."""
    kept, left_out = outputs["safe_count"], outputs["withheld_count"]
    reasons = f"; not safe: {outputs['reasons_text']}" if left_out else ""
    return f"{outputs['action']}: {kept} of {kept + left_out} texts are safe{reasons}"
