"""Makes apps quickly. Werkzeug reads each route and compiles two functions for it: most of what an app takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from werkzeug.routing import Rule
from werkzeug.routing.rules import RulePart

__all__ = ["share_route_builders"]


def share_route_builders() -> None:
    """Let all apps of this process share what is made of a route: thousands of them have the same ones."""
    _share_functions()
    _share_parts()


def _share_functions() -> None:
    """Those that build addresses."""
    compiled: dict[tuple[object, ...], Callable[..., Any]] = {}
    compile_builder: Callable[..., Callable[..., Any]] = Rule._compile_builder

    def shared(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        # All that goes into the function; it looks up the converters in the rule that it is bound to.
        key = (rule.rule, append_unknown, repr(rule.defaults), *rule._trace)
        if key not in compiled:
            compiled[key] = compile_builder(rule, append_unknown)
        return compiled[key]

    Rule._compile_builder = shared  # type: ignore[method-assign]


def _share_parts() -> None:
    """What a route without variables is found by. With variables it has converters, which belong to one app."""
    parsed: dict[str, tuple[list[RulePart], list[tuple[bool, str]]]] = {}
    parse: Callable[[Rule, str], Iterable[RulePart]] = Rule._parse_rule

    def shared(rule: Rule, text: str) -> Iterator[RulePart]:
        if "<" in text:
            yield from parse(rule, text)
            return
        if text not in parsed:
            before = len(rule._trace)
            parts = list(parse(rule, text))
            parsed[text] = parts, rule._trace[before:]
        else:
            rule._trace.extend(parsed[text][1])
        yield from parsed[text][0]

    Rule._parse_rule = shared  # type: ignore[method-assign]
