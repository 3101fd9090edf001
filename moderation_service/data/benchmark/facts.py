"""What stands above a report's tables: who judged, when, at what cost; and of each set where it comes from. No I/O."""

from __future__ import annotations

from ..evaluation.summary import Document

__all__ = ["guard_facts", "set_lines"]


def guard_facts(document: Document) -> list[tuple[str, str]]:
    """Names and values of the report as a whole."""
    guard = document["guard"]
    facts = [("guard", f"{guard['engine']} ({guard['model']})")]
    facts += [(name, str(guard[name])) for name in ("prompt", "contract", "detail") if guard.get(name)]
    facts += [
        ("date", document["date"]),
        ("service", document["service"]),
        ("rows", f"{document['rows']}, of them not judged {document['rows'] - document['judged']}"),
        ("seconds", f"{document['seconds']:.1f}"),
    ]
    cost = document["cost_per_1000_rows"]
    if cost is not None:
        facts.append(("cost of 1,000 rows", f"{cost:.4f} at {document['gpu_hour_price']:g} per hour"))
    return facts


def set_lines(one: Document) -> list[tuple[str, str]]:
    """Names and values of one set."""
    about = one["set"]
    errors = ", ".join(f"{name} {count}" for name, count in one["errors"].items())
    missing = one["items"] - one["judged"]
    facts = [
        ("set", about["title"]),
        ("from", f"{about['address']} at {about['revision']}" if about["address"] else "a file of your own"),
        ("licence", about["licence"]),
        *((f"SHA-256 of {file['file']}", f"{file['sha256']} ({_pin(file['is_pinned'])})") for file in about["files"]),
        ("items", f"{one['items']}, of them not judged {missing}" + (f": {errors}" if errors else "")),
    ]
    if about["note"]:
        facts.append(("note", about["note"]))
    return facts


def _pin(is_pinned: bool | None) -> str:
    return {True: "as pinned", False: "NOT the pinned file", None: "not pinned"}[is_pinned]
