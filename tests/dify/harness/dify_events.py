"""What Dify shows of a run: the engine's events in the shapes of its Service API, and what its other doors leave out.

Source: Dify's API reference, "Send Chat Message", and langgenius/dify `api/core/app/apps/advanced_chat/` (1.14.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

RELAYED = ("message", "message_end", "message_replace", "agent_message", "workflow_finished", "error")
"""What a backend may hand on to its users: the answer itself, and its end."""


def service_api(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stream of `POST /v1/chat-messages` with `response_mode: streaming`."""
    found = []
    for event in events:
        kind, result = event["event"], event.get("node_run_result") or {}
        node = {"node_id": event.get("node_id"), "node_type": event.get("node_type")}
        if kind == "NodeRunStreamChunkEvent":
            found.append({"event": "message", "answer": event["chunk"]})
        elif kind == "NodeRunStartedEvent":
            found.append({"event": "node_started", "data": node})
        elif kind in ("NodeRunSucceededEvent", "NodeRunFailedEvent", "NodeRunExceptionEvent"):
            parts = {name: result.get(name) for name in ("inputs", "process_data", "outputs", "error")}
            found.append({"event": "node_finished", "data": {**node, **parts}})
        elif kind.startswith("GraphRun") and "Started" not in kind:
            found.append({"event": "workflow_finished", "data": {"outputs": event.get("outputs")}})
    return [*found, {"event": "message_end"}]


def web_app(stream: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same run as Dify's own web app gets it: without what went into nodes and came out of them."""
    hidden = {"inputs", "process_data", "outputs"}
    return [
        {**event, "data": {name: value for name, value in event["data"].items() if name not in hidden}}
        if event["event"] in ("node_started", "node_finished")
        else event
        for event in stream
    ]


def blocking(stream: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The one reply of `response_mode: blocking`."""
    return {"event": "message", "answer": "".join(one["answer"] for one in stream if one["event"] == "message")}


def relayed(stream: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a backend hands on that follows the page's advice."""
    return [event for event in stream if event["event"] in RELAYED]
