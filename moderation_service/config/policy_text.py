"""Policies that are kept one by one, each as the text of a policy file which defines it alone.

The text is read by the very reader of the file. What it extends, or has as its shadow, may stand in the file, be built
in, or be kept likewise; in which order they were written plays no part.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NoReturn

import yaml

from ..core.policy import Policies, Policy
from ..errors import ConfigurationError
from .policy_file import PolicyReader
from .yaml_file import compose_text

__all__ = ["MAX_POLICIES", "MAX_TEXT_CHARS", "drafted_policies", "split_text", "stored_policies"]

MAX_POLICIES = 100
"""Each is read by every process, and is a label of some metrics."""
MAX_TEXT_CHARS = 64_000
# Aliases may make more of a text than it shows.
_MAX_RULES_CHARS = 400_000
_HEAD = "policies:\n"


def stored_policies(
    texts: Mapping[str, str],
    of_file: Policies,
    *,
    written: Mapping[str, str] | None = None,
    lists: Collection[str] | None = None,
) -> dict[str, Policy]:
    """The policies that these texts say, by their names. Those that `of_file` has too are left out.

    `written` are the names of those that are written just now, with what complaints call them; they may name `lists`
    only, if given. Raises ConfigurationError with place, line and reason.
    """
    places = written or {}
    known = {policy.name: policy for policy in of_file}
    readers = {
        # A list that has gone since is no reason to refuse what named it.
        name: _Reader(
            places.get(name, f"policy {name} of the database"),
            name,
            text,
            lists=lists if name in places else None,
            known=known,
        )
        for name, text in texts.items()
        if name not in known
    }
    found: dict[str, Policy] = {}
    while len(found) < len(readers):
        waiting = {name: reader for name, reader in readers.items() if name not in found}
        able = [reader for reader in waiting.values() if reader.base not in waiting]
        if not able:
            next(iter(waiting.values())).fail_in_circle(waiting)
        for reader in able:
            found[reader.name] = reader.defined({**known, **found})
    return {name: readers[name].with_shadows(policy, {**known, **found}) for name, policy in found.items()}


def drafted_policies(text: str, known: Policies, *, where: str) -> list[Policy]:
    """The policies of a file with this text, which may extend those that there are. Raises ConfigurationError."""
    reader = PolicyReader(where, known={policy.name: policy for policy in known})
    return list(reader.read(compose_text(text, where=where)).values())


def split_text(text: str, *, where: str) -> dict[str, str]:
    """The text of a policy file as one text per policy, with its comments.

    Raises ConfigurationError where a policy does not stand on lines of its own, or uses an anchor of another one.
    """
    nodes = PolicyReader(where).nodes(compose_text(text, where=where))
    if not nodes:
        raise ConfigurationError(f"{where}:1: the file defines no policy.")
    if len(nodes) == 1:
        return dict.fromkeys(nodes, text)
    root = compose_text(text, where=where)
    assert isinstance(root, yaml.MappingNode)
    whole = root.value[0][1]
    marks = [key.start_mark for key, _ in whole.value]
    begins = [mark.index - mark.column for mark in marks]
    found: dict[str, str] = {}
    ends = [*begins[1:], whole.end_mark.index]
    for (name, node), mark, begin, end in zip(nodes.items(), marks, begins, ends, strict=True):
        found[name] = _HEAD + text[begin:end]
        if not _says(found[name], name, node):
            reason = f"policy {name!r} must stand on lines of its own, without anchors of others"
            raise ConfigurationError(f"{where}:{mark.line + 1}: {reason}.")
    return found


def _says(text: str, name: str, node: yaml.Node) -> bool:
    """Whether this text alone defines the policy likewise."""
    try:
        found = PolicyReader(name).nodes(compose_text(text, where=name))
    except ConfigurationError:
        return False
    return list(found) == [name] and yaml.serialize(found[name]) == yaml.serialize(node)


@lru_cache(maxsize=2 * MAX_POLICIES)
def _composed(text: str, where: str) -> yaml.Node | None:
    """All are read anew when one has changed: those that are as they were cost little then."""
    return compose_text(text, where=where)


class _Reader(PolicyReader):
    """The text of one policy."""

    bases = "is built in, in the policies file or in the database"
    others = "is neither built in nor in the policies file or the database"

    def __init__(
        self, where: str, name: str, text: str, *, lists: Collection[str] | None, known: Mapping[str, Policy]
    ) -> None:
        super().__init__(where, lists=lists, known=known)
        self.name = name
        if len(text) > MAX_TEXT_CHARS:
            raise ConfigurationError(f"{where}: it has {len(text)} characters; the limit is {MAX_TEXT_CHARS}.")
        nodes = self.nodes(_composed(text, where))
        if list(nodes) != [name]:
            raise ConfigurationError(f"{where}: it must define the policy {name!r}, and no other.")
        self._node = nodes[name]
        self.base = self.base_of(name, self._node)

    def defined(self, earlier: Mapping[str, Policy]) -> Policy:
        """The policy, but for its shadows."""
        policy = self.policy(self.name, self._node, earlier=earlier)
        if len(json.dumps(policy.to_json())) > _MAX_RULES_CHARS:
            self._fail(self._node, f"policy {self.name!r} is too large with what it extends and its aliases")
        return policy

    def fail_in_circle(self, names: Collection[str]) -> NoReturn:
        """Complain that each of these extends another one of them."""
        self._fail(self._node, f"`extends`: none of {', '.join(sorted(names))} may extend itself by way of others")
