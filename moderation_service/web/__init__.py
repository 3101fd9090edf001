"""The Flask app: routes that join wires and moderator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    # Late: the server reads keys through this package before it has made the folder that metrics need when imported.
    if name == "create_app":
        from .app import create_app

        return create_app
    raise AttributeError(name)
