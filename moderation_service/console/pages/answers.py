"""Prepared answers: which there are, and which one a question would get."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from ...core.person import Role
from ...errors import InvalidRequest
from ..page import Page, Visit

__all__ = ["page"]

page = Page("answers", title="Answers", order=55)
_PER_PAGE = 100


@page.get()
def show(visit: Visit) -> Response:
    """All answers, and the form to try a question."""
    return _page(visit)


@page.post("/try", role=Role.REVIEWER)
def try_question(visit: Visit) -> Response:
    """The answer that a question would get when it is blocked, and questions that are only similar to it."""
    question, policy = visit.form.get("question", "").strip(), visit.form.get("policy", "")
    if not question:
        raise InvalidRequest("Write a question.", param="question")
    if policy not in visit.parts.policies:
        raise InvalidRequest("There is no policy of this name.", param="policy")
    answers = visit.parts.answers
    shown = None if answers is None else answers.find(policy, question)
    similar = [] if answers is None or shown is not None else answers.nearest(policy, question)
    return _page(visit, question=question, policy=policy, tried=True, shown=shown, similar=similar)


def _page(visit: Visit, **values: Any) -> Response:
    wanted = visit.query.get("q", "").strip()
    answers = [] if visit.parts.answers is None else visit.parts.answers.all
    found = [one for one in answers if wanted.casefold() in f"{one.question}\n{one.answer}".casefold()]
    usual: dict[str, Any] = {
        "question": "",
        "policy": visit.parts.policies.default,
        "tried": False,
        "shown": None,
        "similar": [],
    }
    return visit.render(
        "answers.html",
        **{**usual, **values},
        wanted=wanted,
        answers=found[:_PER_PAGE],
        count=len(found),
        most=_PER_PAGE,
        policies=[one.name for one in visit.parts.policies],
        by_policy={one.name: one.answers for one in visit.parts.policies if one.answers},
    )
