"""The playground: one text, or a table of them, judged in two ways side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.wrappers import Response

from ...core.moderator import Outcome
from ...core.person import Role
from ...core.verdict import Decision, Severity
from ...errors import InvalidRequest
from ..marked import marked
from ..page import Page, Visit
from ..trial import MOST_IN_PART, Side, engines_of, read_side, row_of, try_texts

__all__ = ["page"]

page = Page("playground", title="Playground", order=70, role=Role.REVIEWER)
_SIDES = ("a", "b")


@page.get()
def show(visit: Visit) -> Response:
    """The forms, empty."""
    return _page(visit, {}, None)


@page.post()
def judge(visit: Visit) -> Response:
    """One text, in both ways; the form keeps what was in it."""
    form = visit.form
    text = {name: form.get(name, "").replace("\r\n", "\n") for name in ("prompt", "response")}
    if not any(one.strip() for one in text.values()):
        raise InvalidRequest("Write a prompt, a response, or both.", param="prompt")
    sides = [read_side(visit.parts, form, name) for name in _SIDES]
    ((first, second),) = try_texts(visit.parts, [text], sides, languages=[visit.language])
    judged = text["response"] if text["response"].strip() else text["prompt"]
    results = [_result(side, outcome, judged) for side, outcome in zip(sides, (first, second), strict=True)]
    if visit.is_fragment:
        return visit.render("playground_result.html", results=results)
    return _page(visit, form, results)


@page.post("/rows")
def rows(visit: Visit) -> Response:
    """A part of a table, as JSON: the browser goes through the table, and nothing of it is kept here."""
    try:
        asked = visit.request.get_json(silent=True)
    except RecursionError:
        asked = None
    sent: dict[str, Any] = asked if isinstance(asked, dict) else {}
    texts = sent.get("rows")
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST_IN_PART or not all(map(_is_row, texts)):
        raise InvalidRequest(f"`rows` must be a list of 1 to {MOST_IN_PART} texts.", param="rows")
    chosen = {name: value for name, value in sent.items() if isinstance(value, str)}
    sides = [read_side(visit.parts, chosen, name) for name in _SIDES]
    found = try_texts(visit.parts, texts, sides, languages=[visit.language])
    answer = [dict(zip(_SIDES, map(row_of, outcomes), strict=True)) for outcomes in found]
    return Response(json.dumps({"rows": answer}), mimetype="application/json")


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(name, ""), str) for name in ("prompt", "response"))


def _result(side: Side, outcome: Outcome, text: str) -> Mapping[str, object]:
    verdict = outcome.verdict if isinstance(outcome, Decision) else None
    span = verdict.span if verdict is not None else None
    return {
        "side": side,
        "decision": outcome if isinstance(outcome, Decision) else None,
        "error": None if isinstance(outcome, Decision) else outcome.message,
        "verdict": verdict,
        "text": marked(text, (span.start, span.end)) if span is not None else None,
    }


def _page(visit: Visit, form: Mapping[str, str], results: Sequence[Mapping[str, object]] | None) -> Response:
    policies = [policy.name for policy in visit.parts.policies]
    engines = list(engines_of(visit.parts))
    usual = visit.parts.policies.default
    chosen = {
        "policy_a": form.get("policy_a", usual),
        "policy_b": form.get("policy_b", next((one for one in policies if one != usual), usual)),
        "engine_a": form.get("engine_a", engines[0]),
        "engine_b": form.get("engine_b", engines[-1] if len(engines) > 1 else engines[0]),
        "prompt": form.get("prompt", ""),
        "response": form.get("response", ""),
    }
    return visit.render(
        "playground.html",
        chosen=chosen,
        results=results,
        policies=policies,
        engines=engines,
        severities=list(Severity),
        in_part=MOST_IN_PART,
    )
