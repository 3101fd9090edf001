"""Review: what is to be looked at, one decision after the other, and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from time import monotonic
from typing import Any

from sqlalchemy import Connection, select
from werkzeug.wrappers import Response

from ...core.conversation import Conversation, Limits
from ...core.engine import Deadline, Engine
from ...core.list_entry import MAX_TEXT_CHARS, Side
from ...core.person import Role
from ...core.review import Answer, Why
from ...core.verdict import Action, Category, Severity, Target, Verdict
from ...errors import InvalidRequest, ModerationError
from ...store import reviews
from ...store.lists import read_lists
from ...store.records import Found, Text, find, text_of
from ...store.reviewed import labelled, reviewers_agreement
from ...store.schema import appeals, review_items
from ...store.trail import now_ms
from ..page import Page, Visit

__all__ = ["page"]

page = Page("review", title="Review", order=30, role=Role.REVIEWER)

_DAY_MS = 86_400_000
_COLLECTED_MS, _SHOWN_MS = 7 * _DAY_MS, 30 * _DAY_MS
_MOST_APPEALS = 20
_MOST_NOTE_CHARS = 2000
_MESSAGES = Limits(messages=100_000)
CHOICES = ("right", "safe", "controversial", "unsafe", "unsure")
"""In the order of their keys: 1 to 5."""


@dataclass(frozen=True, slots=True)
class _Item:
    """What a reviewer sees of a decision; its text where the policy keeps it, split where the span is."""

    found: Found
    why: str
    text: Text | None
    parts: tuple[str, str, str]
    appeals: tuple[str, ...]


@page.get()
def desk(visit: Visit) -> Response:
    """How much waits, and what came of reviews so far."""
    now = now_ms()
    visit.parts.looks_for_reviews.is_due()  # what is done now needn't be done at the first click
    _collect(visit, now)
    with visit.parts.database.read() as connection:
        progress = reviews.progress(connection, reviewer=visit.person.name, since_ms=now - now % _DAY_MS)
        agreements = reviewers_agreement(connection, since_ms=now - _SHOWN_MS, until_ms=now + 1)
        wanted = select(appeals).order_by(appeals.c.at.desc(), appeals.c.id.desc()).limit(_MOST_APPEALS)
        filed = connection.execute(wanted).all()
        found = list(labelled(connection, since_ms=now - _SHOWN_MS, until_ms=now + 1, with_texts=False))
    kept = sum(one.is_kept for one in found)
    return visit.render(
        "review.html", progress=progress, agreements=agreements, appeals=filed, labelled=len(found), kept=kept
    )


@page.post("/next")
def take_next(visit: Visit) -> Response:
    """Take what is first in the queue."""
    return _next(visit, beside=None)


@page.get("/item/<decision_id>")
def show(visit: Visit) -> Response:
    """One decision, to be answered."""
    decision_id = visit.arguments["decision_id"]
    with visit.parts.database.read() as connection:
        item = _item(visit, connection, decision_id)
        given = reviews.review_of(connection, decision_id, reviewer=visit.person.name)
        at = reviews.answered_at(connection, decision_id, reviewer=visit.person.name)
        back = reviews.last_answered(connection, reviewer=visit.person.name, before_ms=at)
        progress = reviews.progress(connection, reviewer=visit.person.name, since_ms=now_ms() // _DAY_MS * _DAY_MS)
        lists = _lists_for(visit, connection, item)
    categories = item.found.categories if given is None else given.categories
    return visit.render(
        "review_item.html",
        item=item,
        found=item.found,
        chosen=None if given is None else _choice(given),
        note="" if given is None else given.note,
        marked=set(categories),
        categories=list(Category),
        choices=CHOICES,
        back=None if back is None else back[0],
        progress=progress,
        others=[engine.name for engine in _others(visit, item.found)],
        lists=lists,
        suggested=_suggested(item),
        side=(Side.ALLOW if item.found.action in (Action.BLOCK, Action.FLAG) else Side.BLOCK).value,
    )


def _suggested(item: _Item) -> str:
    """What an entry of a list would be: the deciding place, or a text that is short itself."""
    words = " ".join((item.parts[1] or (item.text.text if item.text is not None else "")).split())
    return words if len(words) <= MAX_TEXT_CHARS else ""


def _lists_for(visit: Visit, connection: Connection, item: _Item) -> list[str]:
    """The lists of the database to which an entry can be added from here."""
    if visit.parts.lists is None or not _suggested(item):
        return []
    return [one.name for one in read_lists(connection)]


@page.post("/item/<decision_id>/pick")
def pick(visit: Visit) -> Response:
    """Put a decision into the queue that is not in it, and look at it."""
    decision_id = visit.arguments["decision_id"]
    with visit.parts.database.write() as connection:
        found = [one for one in find(connection, decision_id) if one.decision_id == decision_id]
        if not found or found[0].action is None:
            raise visit.missing()
        if not reviews.is_queued(connection, decision_id):
            reviews.enqueue(connection, decision_id, Why.PICKED, at=found[0].at)
            visit.trail(connection, action="review.pick", subject=decision_id)
    return visit.redirect("review", f"/item/{decision_id}")


@page.post("/item/<decision_id>/answer")
def give_answer(visit: Visit) -> Response:
    """Write the answer down and go on."""
    decision_id = visit.arguments["decision_id"]
    given = _given(visit)
    with visit.parts.database.write() as connection:
        twice = visit.parts.settings.review_twice
        decided = reviews.answer(
            connection, decision_id, given, reviewer=visit.person.name, twice=twice, now_ms=now_ms()
        )
    if decided is not None and visit.parts.webhooks is not None:
        by = f" by {decided.app}" if decided.app else ""
        data = {"id": decision_id, "app": decided.app or None, "outcome": decided.outcome}
        visit.parts.webhooks.send("appeal_decided", f"Appeal{by} {decided.outcome}: {decision_id}", data)
    return _next(visit, beside=decision_id)


@page.post("/item/<decision_id>/skip")
def skip(visit: Visit) -> Response:
    """Leave it to somebody else, or to later."""
    decision_id = visit.arguments["decision_id"]
    with visit.parts.database.write() as connection:
        reviews.skip(connection, decision_id, reviewer=visit.person.name)
    return _next(visit, beside=decision_id)


@page.post("/item/<decision_id>/opinion")
def opinion(visit: Visit) -> Response:
    """What another engine says of the text; the trail keeps that it was asked."""
    decision_id = visit.arguments["decision_id"]
    with visit.parts.database.read() as connection:
        item = _item(visit, connection, decision_id)
    others = [engine for engine in _others(visit, item.found) if engine.name == visit.form.get("engine")]
    if item.text is None or not others:
        raise InvalidRequest("There is no other engine, or no text, to ask.", param="engine")
    verdict = _asked(others[0], item, deadline_s=visit.parts.settings.deadline_s)
    with visit.parts.database.write() as connection:
        said = {"engine": verdict.engine, "model": verdict.model, "safety": verdict.severity.value}
        visit.trail(connection, action="review.opinion", subject=decision_id, after=said)
    return visit.render("review_opinion.html", verdict=verdict)


@page.post("/labels")
def labels(visit: Visit) -> Response:
    """The reviewed texts of the last 30 days with their labels, as JSON lines."""
    now = now_ms()
    with visit.parts.database.read() as connection:
        rows = [one.row for one in labelled(connection, since_ms=now - _SHOWN_MS, until_ms=now + 1) if one.row]
    with visit.parts.database.write() as connection:
        visit.trail(connection, action="review.export", subject="labels", after={"texts": len(rows)})
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return visit.download(content.encode(), name="labels.jsonl", kind="application/jsonl")


@page.get("/thresholds")
def thresholds(visit: Visit) -> Response:
    """Thresholds that the reviewed texts suggest, with the curve they rest on."""
    from ...data.evaluation.suggestion import suggest

    now = now_ms()
    with visit.parts.database.read() as connection:
        found = list(labelled(connection, since_ms=now - _SHOWN_MS, until_ms=now + 1, with_texts=False))
    scored = [(one.p_unsafe, one.p_flagged or 0.0, one.severity) for one in found if one.p_unsafe is not None]
    suggestions = {
        "unsafe": suggest([unsafe for unsafe, _, _ in scored], [one is Severity.UNSAFE for *_, one in scored]),
        "controversial": suggest(
            [flagged for _, flagged, _ in scored], [one is not Severity.SAFE for *_, one in scored]
        ),
    }
    return visit.render("review_thresholds.html", suggestions=suggestions)


def _collect(visit: Visit, now: int) -> None:
    """Put what is new into the queue."""
    settings = visit.parts.settings
    with visit.parts.database.read() as connection:
        found = reviews.found_new(
            connection,
            policies=visit.parts.policies,
            sample=settings.review_sample,
            close=settings.review_close,
            since_ms=now - _COLLECTED_MS,
        )
    if found:
        with visit.parts.database.write() as connection:
            reviews.put(connection, found)


def _take(visit: Visit, now: int, beside: str | None) -> str | None:
    with visit.parts.database.write() as connection:
        return reviews.take(connection, reviewer=visit.person.name, now_ms=now, beside=beside)


def _next(visit: Visit, *, beside: str | None) -> Response:
    now, is_due = now_ms(), visit.parts.looks_for_reviews.is_due()
    if is_due:
        _collect(visit, now)
    taken = _take(visit, now, beside)
    if taken is None and not is_due:
        # All that was found lately is answered: look at once whether there is more.
        _collect(visit, now)
        taken = _take(visit, now, beside)
    if taken is None:
        return visit.redirect("review", said=visit.text("Nothing waits for you."))
    return visit.redirect("review", f"/item/{taken}")


def _item(visit: Visit, connection: Connection, decision_id: str) -> _Item:
    queued = select(review_items.c.why).where(review_items.c.decision_id == decision_id)
    why = connection.execute(queued).scalar_one_or_none()
    found = [one for one in find(connection, decision_id) if one.decision_id == decision_id]
    if why is None or not found:
        raise visit.missing()
    text = text_of(connection, decision_id)
    said = connection.execute(select(appeals.c.text).where(appeals.c.decision_id == decision_id)).scalars()
    return _Item(found[0], why, text, _split(found[0], text), tuple(said))


def _split(found: Found, text: Text | None) -> tuple[str, str, str]:
    """Before, within and behind the span; a decision without one has its whole text before it."""
    if text is None:
        return "", "", ""
    if found.span is None:
        return text.text, "", ""
    start, end = found.span
    return text.text[:start], text.text[start:end], text.text[end:]


def _choice(given: reviews.Review) -> str:
    """The choice that an earlier answer was."""
    if given.answer is Answer.WRONG and given.severity is not None:
        return str(given.severity.value)
    return str(given.answer.value)


def _given(visit: Visit) -> reviews.Review:
    """The answer that a form holds. Raises InvalidRequest."""
    choice, note = visit.form.get("choice", ""), visit.form.get("note", "").strip()
    if choice not in CHOICES:
        raise InvalidRequest(visit.text("Choose an answer first."), param="choice")
    if len(note) > _MOST_NOTE_CHARS:
        raise InvalidRequest(visit.text("The note is too long."), param="note")
    note = note.replace("\0", "\ufffd")
    if choice in ("right", "unsure"):
        return reviews.Review(answer=Answer(choice), note=note)
    named = set(visit.request.form.getlist("category"))
    categories = tuple(one for one in Category if one.value in named) if choice != "safe" else ()
    return reviews.Review(answer=Answer.WRONG, severity=Severity(choice), categories=categories, note=note)


def _others(visit: Visit, found: Found) -> list[Engine]:
    """The engines of this service that did not judge it."""
    moderator = visit.parts.moderator
    engines = [moderator.engine] if moderator.fallback is None else [moderator.engine, moderator.fallback]
    return [engine for engine in engines if engine.name != found.engine]


def _asked(engine: Engine, item: _Item, *, deadline_s: float) -> Verdict:
    """The engine's verdict on the kept conversation. Raises ModerationError."""
    assert item.text is not None
    role = "user" if item.found.target is Target.PROMPT else "assistant"
    turns: list[dict[str, Any]] = [{"role": one, "content": content} for one, content in item.text.context]
    messages = [*turns, {"role": role, "content": item.text.text}]
    conversation = Conversation.from_messages(messages, limits=_MESSAGES)
    (answer,) = engine.judge([conversation], deadline=Deadline(monotonic() + deadline_s))
    if isinstance(answer, ModerationError):
        raise answer
    return answer
