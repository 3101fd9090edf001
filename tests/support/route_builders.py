"""Makes apps quickly. Werkzeug compiles two functions per route, which takes most of the time that an app takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

__all__ = ["share_route_builders"]


def share_route_builders() -> None:
    """Let all apps of this process share the functions that build addresses: thousands of them have the same routes."""
    compiled: dict[tuple[object, ...], Callable[..., Any]] = {}
    compile_builder: Callable[..., Callable[..., Any]] = Rule._compile_builder

    def shared(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        # All that goes into the function; it looks up the converters in the rule that it is bound to.
        key = (rule.rule, append_unknown, repr(rule.defaults), *rule._trace)
        if key not in compiled:
            compiled[key] = compile_builder(rule, append_unknown)
        return compiled[key]

    Rule._compile_builder = shared  # type: ignore[method-assign]
