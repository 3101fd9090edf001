"""Replies as the pages show them, compared with what the service answers today."""

from __future__ import annotations

from typing import Any

__all__ = ["steady"]

# Of a decision and of the engine's weights, and so other every time.
VARIES = {"id", "created", "latency_ms", "cached", "model", "scores", "category_scores"}


def steady(document: Any) -> Any:
    """A reply without what is other every time."""
    if isinstance(document, list):
        return [steady(one) for one in document]
    if isinstance(document, dict):
        return {key: "varies" if key in VARIES else steady(value) for key, value in document.items()}
    return document
