"""Reads YAML as a tree of nodes, which know their line; used for settings, policies and apps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from ..errors import ConfigurationError

__all__ = ["YamlReader", "compose_file", "compose_text", "read_text"]

# PyYAML quotes the names of aliases and tags; a key that begins with `*` or `!` would be printed. Its own words, such
# as '<block end>', and single characters stay.
_QUOTED = re.compile(r" '[^'<][^']{2,}'")
# Far more than any file needs. PyYAML's time grows with the square of the depth.
_MOST_LEVELS = 100

_T = TypeVar("_T")


def compose_file(path: Path) -> yaml.Node | None:
    """The root node, or None for an empty file. Raises ConfigurationError with the file, the line and the reason."""
    return compose_text(read_text(path), where=path)


def read_text(path: Path) -> str:
    """What stands in the file. Raises ConfigurationError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text.") from error


def compose_text(text: str, *, where: Path | str) -> yaml.Node | None:
    """The same for a text; `where` stands in the complaints in place of the file."""
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{where}:{line}: not valid YAML: {_QUOTED.sub('', str(error.problem))}.") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where}: not valid YAML: {error}.") from error


class _Loader(yaml.SafeLoader):
    """Refuses what is nested too deeply as soon as it is."""

    _level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self._level > _MOST_LEVELS:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply", mark)
        self._level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._level -= 1


class YamlReader:
    """One file being read; `where` is its name for the complaints, which name file, line and field."""

    def __init__(self, where: Path | str) -> None:
        self._where = where

    def _mapping(self, node: yaml.Node, *, what: str, known: tuple[str, ...] = ()) -> dict[str, yaml.Node]:
        """The fields of a mapping; only those of `known`, if there are any."""
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{what} must be a mapping")
        fields: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self._scalar(key_node, what=f"a key of {what}")
            if known and key not in known:
                self._fail(key_node, f"{what} has an unknown field {key!r}; it takes {', '.join(known)}")
            if key in fields:
                self._fail(key_node, f"{what} has {key!r} twice")
            fields[key] = value
        return fields

    def _scalar(self, node: yaml.Node, *, what: str) -> str:
        """The text of a single value, as it was written."""
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            self._fail(node, f"{what} must be a single value")
        text = str(node.value)
        if any("\ud800" <= char <= "\udfff" for char in text):
            # "\ud800" in YAML is half a character; it would fail in the middle of a reply.
            self._fail(node, f"{what} has a lone surrogate, which is not valid Unicode")
        return text

    def _choice(self, node: yaml.Node, choices: Callable[[str], _T], *, what: str) -> _T:
        """One of the members of an enum."""
        text = self._scalar(node, what=what)
        try:
            return choices(text)
        except ValueError:
            words = ", ".join(choice.value for choice in choices)  # type: ignore[attr-defined]
            self._fail(node, f"{what} must be one of {words}, not {text!r}")

    def _fail(self, node: yaml.Node, reason: str) -> NoReturn:
        """Complain about this place."""
        raise ConfigurationError(f"{self._where}:{node.start_mark.line + 1}: {reason}.")
