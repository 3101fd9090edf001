"""Reads policies from a YAML file; every complaint names the file, the line and the reason.

The YAML is read as a tree of nodes rather than as Python values: nodes know their line, and a scalar stays the text
that was written, so that the language code `no` is not turned into False.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import yaml

from ..core.escalation import Escalation
from ..core.policy import (
    BUILT_IN,
    Bounds,
    KeepText,
    LiteBlocks,
    OnFailure,
    Policies,
    Policy,
    Rules,
    Streaming,
    Thresholds,
    ToolRules,
)
from ..core.verdict import Action, Category, Severity, Target
from ..errors import ConfigurationError
from .yaml_file import YamlReader, compose_file

__all__ = ["PolicyReader", "check_default", "load_policies", "read_policies"]

_T = TypeVar("_T")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_RULE_FIELDS = ("actions", "categories", "thresholds", "on_failure", "on_uncovered", "lite_blocks", "cascade")
_KEPT_FIELDS = ("keep_text", "retention_days")
_ESCALATION_FIELDS = ("after_blocks", "within_minutes", "action", "for_minutes")
_SHOWN_FIELDS = ("description", "extends", "message", "streaming")
_POLICY_FIELDS = (
    *_SHOWN_FIELDS, *_RULE_FIELDS, "prompt", "response", "tools", *_KEPT_FIELDS, "escalation", "shadow",
    "lists", "answers",
)  # fmt: skip
_TOOL_FIELDS = (*_RULE_FIELDS, "call", "result")
_CATEGORIES = {category.value: category for category in Category}
_MAX_MESSAGE_CHARS = 2_000
_MAX_LANGUAGES = 100
_MAX_RETENTION_DAYS = 3650
# The latest blocks of an end user are remembered one by one, and all of it for a week.
_MAX_BLOCKS, _MAX_MINUTES = 20, 7 * 24 * 60
# Each costs a comparison for every call of a tool, and policies are compared by all pairs of them.
_MAX_GLOBS = 64
_MAX_GLOB_CHARS = 128
_MAX_LISTS = 16
# Each is asked of every verdict.
_MAX_SHADOWS = 4


def load_policies(path: Path | None, *, default: str, lists: Collection[str] | None = None) -> Policies:
    """The built-in policies and those of the file, which may replace built-in ones.

    `lists` are the names that a policy may name; None for any. Raises ConfigurationError with file, line and reason, or
    when `default` is none of them.
    """
    policies = read_policies(path, default=default, lists=lists)
    check_default(policies)
    return policies


def read_policies(path: Path | None, *, default: str, lists: Collection[str] | None = None) -> Policies:
    """The same where `default` may be one of the database."""
    of_file = {} if path is None else PolicyReader(path, lists=lists).read(compose_file(path))
    return Policies({**BUILT_IN, **of_file}, default=default)


def check_default(policies: Policies) -> None:
    """Raise ConfigurationError when the default policy is none of them."""
    if policies.default not in policies:
        known = ", ".join(sorted(one.name for one in policies))
        raise ConfigurationError(f"default_policy: there is no policy {policies.default!r}; there are {known}.")


class PolicyReader(YamlReader):
    """One file of policies being read. Those of `known` are there without standing in it."""

    bases = "is built in or defined above"
    others = "is neither built in nor in this file"

    def __init__(
        self,
        where: Path | str,
        *,
        lists: Collection[str] | None = None,
        known: Mapping[str, Policy] = BUILT_IN,
    ) -> None:
        super().__init__(where)
        self._lists = lists
        self._known = known
        self._shadows: dict[str, yaml.Node] = {}

    def read(self, root: yaml.Node | None) -> dict[str, Policy]:
        """The policies of the file. Raises ConfigurationError, as all methods do."""
        found: dict[str, Policy] = {}
        for name, node in self.nodes(root).items():
            found[name] = self.policy(name, node, earlier={**self._known, **found})
        known = {**self._known, **found}
        return {name: self.with_shadows(policy, known) for name, policy in found.items()}

    def nodes(self, root: yaml.Node | None) -> dict[str, yaml.Node]:
        """By its name what the file says of each policy."""
        if root is None:
            raise ConfigurationError(f"{self._where}:1: the file is empty; it needs a mapping `policies`.")
        fields = self._mapping(root, what="the file", known=("policies",))
        if "policies" not in fields:
            self._fail(root, "the file needs a mapping `policies`")
        found = self._mapping(fields["policies"], what="`policies`")
        for name, node in found.items():
            if not _NAME.fullmatch(name):
                self._fail(node, f"policy name {name!r}: use up to 64 of a-z, 0-9, '-' and '_'")
        return found

    def base_of(self, name: str, node: yaml.Node) -> str | None:
        """The name that this policy extends, if it says so."""
        fields = self._mapping(node, what=f"policy {name!r}", known=_POLICY_FIELDS)
        return self._scalar(fields["extends"], what="`extends`") if "extends" in fields else None

    def with_shadows(self, policy: Policy, known: Mapping[str, Policy]) -> Policy:
        """A policy of this file with those that its `shadow` names, which may stand anywhere."""
        node = self._shadows.get(policy.name)
        return policy if node is None else replace(policy, shadow=self._shadow(policy.name, node, known))

    def _shadow(self, name: str, node: yaml.Node, known: Mapping[str, Policy]) -> tuple[Policy, ...]:
        """The policies that `shadow` names, one or a list."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        names = [self._scalar(one, what="`shadow`") for one in nodes]
        for one, other in zip(nodes, names, strict=True):
            if other not in known or other == name:
                reason = "is this policy itself" if other == name else self.others
                self._fail(one, f"`shadow`: policy {other!r} {reason}")
        if len(names) > _MAX_SHADOWS or len(set(names)) != len(names):
            self._fail(node, f"`shadow` names up to {_MAX_SHADOWS} policies, each once")
        return tuple(known[one] for one in names)

    def policy(self, name: str, node: yaml.Node, *, earlier: Mapping[str, Policy]) -> Policy:
        """What is written of one policy, which may extend `earlier` ones; its shadows come later."""
        fields = self._mapping(node, what=f"policy {name!r}", known=_POLICY_FIELDS)
        base = self._base(fields, earlier)
        rules = self._rules_by_target(fields, base)
        if "shadow" in fields:
            self._shadows[name] = fields["shadow"]
        keep_text, days = self._kept(fields, base)

        def own(field: str, read: Callable[[yaml.Node], _T], inherited: _T) -> _T:
            return read(fields[field]) if field in fields else inherited

        return Policy(
            name,
            own("description", lambda node: self._scalar(node, what="`description`"), f"Based on {base.name}."),
            rules,
            own("message", self._messages, base.messages),
            own("streaming", lambda node: self._choice(node, Streaming, what="`streaming`"), base.streaming),
            tuple(own("tools", lambda node: self._tools(node, rules, inherited=base.tools), base.tools)),
            keep_text,
            days,
            own("escalation", self._escalation, base.escalation),
            lists=own("lists", self._named_lists, base.lists),
            answers=self._answers(fields, base),
        )

    def _base(self, fields: Mapping[str, yaml.Node], earlier: Mapping[str, Policy]) -> Policy:
        """What the policy says nothing about is as in this one."""
        if "extends" not in fields:
            return BUILT_IN["balanced"]
        name = self._scalar(fields["extends"], what="`extends`")
        if name not in earlier:
            self._fail(fields["extends"], f"`extends`: no policy {name!r} {self.bases}")
        return earlier[name]

    def _rules_by_target(self, fields: Mapping[str, yaml.Node], base: Policy) -> dict[Target, Rules]:
        """The rules for prompts and for responses: the base's, those for both, and those of `prompt` or `response`."""
        shared = {key: value for key, value in fields.items() if key in _RULE_FIELDS}
        rules: dict[Target, Rules] = {}
        for target in Target:
            rules[target] = self._rules(shared, base.rules[target], target=target)
            if target.value in fields:
                own = self._mapping(fields[target.value], what=f"`{target.value}`", known=_RULE_FIELDS)
                rules[target] = self._rules(own, rules[target], target=target)
        return rules

    def _answers(self, fields: Mapping[str, yaml.Node], base: Policy) -> dict[Category, Mapping[str, str]]:
        """The messages for categories, those of the base where the file has none."""
        found = dict(base.answers)
        if "answers" in fields:
            for key, node in self._mapping(fields["answers"], what="`answers`").items():
                if key not in _CATEGORIES:
                    self._fail(node, f"unknown category {key!r}; the categories are {', '.join(_CATEGORIES)}")
                found[_CATEGORIES[key]] = self._messages(node, what=f"`answers.{key}`")
        return found

    def _named_lists(self, node: yaml.Node) -> tuple[str, ...]:
        """One name, or several."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if len(nodes) > _MAX_LISTS:
            self._fail(node, f"`lists` may name {_MAX_LISTS} lists")
        found: dict[str, None] = {}
        for one in nodes:
            name = self._scalar(one, what="`lists`")
            if self._lists is not None and name not in self._lists:
                known = f"there are {', '.join(sorted(self._lists))}" if self._lists else "`lists_file` names none"
                self._fail(one, f"`lists`: there is no list {name!r}; {known}")
            found[name] = None
        return tuple(found)

    def _escalation(self, node: yaml.Node) -> Escalation | None:
        """`off`, or all four fields."""
        if isinstance(node, yaml.ScalarNode) and node.value in ("off", "false"):
            return None
        fields = self._mapping(node, what="`escalation`", known=_ESCALATION_FIELDS)
        for name in _ESCALATION_FIELDS:
            if name not in fields:
                self._fail(node, f"`escalation` needs `{name}`")
        action = self._choice(fields["action"], Action, what="`escalation.action`")
        if action is Action.ALLOW:
            self._fail(fields["action"], "`escalation.action` must be flag or block")
        return Escalation(
            after_blocks=int(self._amount(fields, "after_blocks", most=_MAX_BLOCKS, is_whole=True)),
            within_minutes=self._amount(fields, "within_minutes", most=_MAX_MINUTES),
            action=action,
            for_minutes=self._amount(fields, "for_minutes", most=_MAX_MINUTES),
        )

    def _amount(self, fields: Mapping[str, yaml.Node], name: str, *, most: int, is_whole: bool = False) -> float:
        what = f"`escalation.{name}`"
        text = self._scalar(fields[name], what=what)
        is_number = re.fullmatch(r"\d{1,6}" if is_whole else r"\d{1,6}(\.\d{1,6})?", text) is not None
        if not is_number or not 0 < float(text) <= most:
            kind = "whole number from 1" if is_whole else "number above 0 and up"
            self._fail(fields[name], f"{what} must be a {kind} to {most}, not {text!r}")
        return float(text)

    def _kept(self, fields: Mapping[str, yaml.Node], base: Policy) -> tuple[KeepText, int]:
        """Which texts are kept, and for how many days."""
        keep_text, days = base.keep_text, base.retention_days
        if "keep_text" in fields:
            keep_text = self._choice(fields["keep_text"], KeepText, what="`keep_text`")
        if "retention_days" in fields:
            text = self._scalar(fields["retention_days"], what="`retention_days`")
            days = int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0
            if not 1 <= days <= _MAX_RETENTION_DAYS:
                most = f"a whole number from 1 to {_MAX_RETENTION_DAYS}"
                self._fail(fields["retention_days"], f"`retention_days` must be {most}, not {text!r}")
        return keep_text, days

    def _tools(
        self, node: yaml.Node, rules: Mapping[Target, Rules], *, inherited: Sequence[ToolRules]
    ) -> list[ToolRules]:
        """The rules for tools: those of the file first, in its order, then those of the base."""
        earlier = {one.glob: one for one in inherited}
        found = []
        for glob, value in self._mapping(node, what="`tools`").items():
            if not glob or len(glob) > _MAX_GLOB_CHARS or not glob.isprintable():
                self._fail(value, f"`tools`: a glob has 1 to {_MAX_GLOB_CHARS} printable characters, such as mail_*")
            fields = self._mapping(value, what=f"`tools.{glob}`", known=_TOOL_FIELDS)
            shared = {key: value for key, value in fields.items() if key in _RULE_FIELDS}
            base = earlier.pop(glob, None) or ToolRules(glob, rules[Target.RESPONSE], rules[Target.PROMPT])
            own: dict[str, Rules] = {}
            for side, target in (("call", Target.RESPONSE), ("result", Target.PROMPT)):
                own[side] = self._rules(shared, base.of(target), target=target)
                if side in fields:
                    what = self._mapping(fields[side], what=f"`tools.{glob}.{side}`", known=_RULE_FIELDS)
                    own[side] = self._rules(what, own[side], target=target)
            found.append(ToolRules(glob, own["call"], own["result"]))
        if len(found) + len(earlier) > _MAX_GLOBS:
            self._fail(node, f"`tools` may have {_MAX_GLOBS} globs, with those it extends")
        return [*found, *earlier.values()]

    def _rules(self, fields: Mapping[str, yaml.Node], base: Rules, *, target: Target) -> Rules:
        """The base's rules with those of the file on top; `on_failure` and `categories` may be given per target."""
        actions = dict(base.actions)
        categories = {category: dict(exceptions) for category, exceptions in base.categories.items()}
        thresholds, on_failure = base.thresholds, base.on_failure
        if "actions" in fields:
            actions |= self._actions(fields["actions"], what="actions")
        if "categories" in fields:
            for key, node in self._mapping(fields["categories"], what="`categories`").items():
                if key not in _CATEGORIES:
                    self._fail(node, f"unknown category {key!r}; the categories are {', '.join(_CATEGORIES)}")
                exceptions = self._exceptions(node, what=f"categories.{key}")
                categories.setdefault(_CATEGORIES[key], {}).update(exceptions)
        if "thresholds" in fields:
            thresholds = Thresholds(**self._bounds(fields["thresholds"], thresholds, what="thresholds"))
        if "on_failure" in fields:
            on_failure = self._on_failure(fields["on_failure"], target=target, base=on_failure)
        on_uncovered, lite_blocks = base.on_uncovered, base.lite_blocks
        if "on_uncovered" in fields:
            on_uncovered = self._choice(fields["on_uncovered"], Action, what="`on_uncovered`")
        if "lite_blocks" in fields:
            lite_blocks = self._choice(fields["lite_blocks"], LiteBlocks, what="`lite_blocks`")
        cascade = base.cascade
        if "cascade" in fields:
            cascade = Bounds(**self._bounds(fields["cascade"], base.cascade, what="cascade"))
        return Rules(actions, categories, thresholds, on_failure, on_uncovered, lite_blocks, cascade)

    def _actions(self, node: yaml.Node, *, what: str) -> dict[Severity, Action]:
        names = {severity.value: severity for severity in Severity}
        fields = self._mapping(node, what=f"`{what}`", known=tuple(names))
        return {names[key]: self._choice(value, Action, what=f"`{what}.{key}`") for key, value in fields.items()}

    def _exceptions(self, node: yaml.Node, *, what: str) -> dict[Severity, Action]:
        """`pii: block` means both harmful severities; `pii: {unsafe: block}` only the one named."""
        if isinstance(node, yaml.ScalarNode):
            action = self._choice(node, Action, what=f"`{what}`")
            return {Severity.CONTROVERSIAL: action, Severity.UNSAFE: action}
        return self._actions(node, what=what)

    def _bounds(self, node: yaml.Node, base: Thresholds | Bounds, *, what: str) -> dict[str, float | None]:
        """Probabilities by the names that the base has, with those of the file on top."""
        bounds: dict[str, float | None] = {name: getattr(base, name) for name in base.__slots__}
        for key, value in self._mapping(node, what=f"`{what}`", known=tuple(bounds)).items():
            text = self._scalar(value, what=f"`{what}.{key}`")
            try:
                bound = float(text)
            except ValueError:
                bound = -1.0
            if not 0.0 < bound <= 1.0:
                self._fail(value, f"`{what}.{key}` must be a number above 0 and at most 1, not {text!r}")
            bounds[key] = bound
        return bounds

    def _on_failure(self, node: yaml.Node, *, target: Target, base: OnFailure) -> OnFailure:
        if isinstance(node, yaml.MappingNode):
            fields = self._mapping(node, what="`on_failure`", known=("prompt", "response"))
            if target.value not in fields:
                return base
            return self._choice(fields[target.value], OnFailure, what=f"`on_failure.{target.value}`")
        return self._choice(node, OnFailure, what="`on_failure`")

    def _messages(self, node: yaml.Node, *, what: str = "`message`") -> dict[str, str]:
        if isinstance(node, yaml.ScalarNode):
            return {"en": self._message(node, what)}
        messages: dict[str, str] = {}
        for language, value in self._mapping(node, what=what).items():
            if not _LANGUAGE.fullmatch(language):
                self._fail(value, f"{what}: {language!r} is no language tag such as en or zh-CN")
            if language.lower() in messages:
                self._fail(value, f"{what} has the language {language.lower()!r} twice")
            messages[language.lower()] = self._message(value, what)
            if len(messages) > _MAX_LANGUAGES:
                self._fail(node, f"{what} may have {_MAX_LANGUAGES} languages")
        if not messages:
            self._fail(node, f"{what} needs a text, or at least one language with its text")
        return messages

    def _message(self, node: yaml.Node, what: str) -> str:
        text = self._scalar(node, what=what).strip()
        if not text or len(text) > _MAX_MESSAGE_CHARS:
            self._fail(node, f"{what} must have 1 to {_MAX_MESSAGE_CHARS} characters")
        return text
