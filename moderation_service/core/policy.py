"""Policies: what to do with a verdict. A verdict goes in, an action comes out; no I/O.

A policy has an action for each severity, exceptions per category, optional score thresholds, a message for the end
user per language, and a fail mode for when no verdict can be had. Each of these may differ between prompts and
responses. `policy_file` reads them from YAML.

How an action is found:

1. *Severity.* The engine's label; with `thresholds` and scores, the scores decide instead (`Thresholds`).
2. *Action.* The policy's action for that severity. If the verdict has categories, each category's own action (its
   exception, else the policy's) is looked up, and the strictest of them wins. Where categories could not be read, the
   strictest of all does.
3. *Doubts about the embedded engine.* With `lite_blocks: sure` a block becomes a flag where that engine is not sure.
   `on_uncovered` is what happens at least to a text in a language that the engine does not know.

A policy may have rules of its own for what tools are told and give back (`ToolRules`), by the tools' names.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..errors import Forbidden, InvalidRequest, StoreUnavailable
from .app import App
from .escalation import Escalation
from .policy_words import KeepText, LiteBlocks, OnFailure, Streaming
from .verdict import Action, Category, Coverage, Scores, Severity, Target, Verdict

__all__ = [
    "BUILT_IN",
    "DEFAULT_MESSAGES",
    "Bounds",
    "KeepText",
    "LiteBlocks",
    "OnFailure",
    "Policies",
    "Policy",
    "Rules",
    "Streaming",
    "Thresholds",
    "ToolRules",
]

Actions = Mapping[Severity, Action]
_RETRY_AFTER_S = 2.0

DEFAULT_MESSAGES: Mapping[str, str] = {
    "en": "Sorry, I can't help with that.",
    "zh": "抱歉，我无法协助处理此请求。",
    "ja": "申し訳ありませんが、そのご要望にはお応えできません。",
    "ko": "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "pt": "Desculpe, não posso ajudar com isso.",
    "es": "Lo siento, no puedo ayudar con eso.",
    "fr": "Désolé, je ne peux pas vous aider avec cela.",
    "de": "Dabei kann ich leider nicht helfen.",
}
"""The text shown for a blocked prompt or response when the policy file gives none."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Severity from scores, in place of the engine's label; each bound is a number in (0, 1].

    `unsafe`: unsafe if P(unsafe) reaches it. `controversial`: at least controversial if P(controversial) + P(unsafe)
    reaches it. A bound left out keeps the label's word on that step. Without scores the label stands.
    """

    controversial: float | None = None
    unsafe: float | None = None

    def severity(self, label: Severity, scores: Scores | None) -> Severity:
        """The severity that the policy acts on."""
        if scores is None or (self.unsafe is None and self.controversial is None):
            return label
        return self.severity_of(label, unsafe=scores.unsafe, flagged=scores.controversial + scores.unsafe)

    def severity_of(self, label: Severity, *, unsafe: float | None, flagged: float | None) -> Severity:
        """The same from P(unsafe) and P(controversial) + P(unsafe), in which it never falls; None without scores."""
        if unsafe is None or flagged is None:
            return label
        # "not below" rather than "at least": a score that is no number (NaN) must not pass for a low one.
        if label is Severity.UNSAFE if self.unsafe is None else not unsafe < self.unsafe:
            return Severity.UNSAFE
        if self.controversial is None:
            is_controversial = label is not Severity.SAFE
        else:
            is_controversial = not flagged < self.controversial
        return Severity.CONTROVERSIAL if is_controversial else Severity.SAFE


@dataclass(frozen=True, slots=True)
class Bounds:
    """From which probability on the small model of a cascade decides, for each of its labels; numbers in (0, 1].

    A bound left out is the engine's own (`cascade_safe`, `cascade_unsafe`). See `core.cascade`.
    """

    safe: float | None = None
    unsafe: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a policy for one target."""

    actions: Actions
    categories: Mapping[Category, Actions] = field(default_factory=dict)
    thresholds: Thresholds = Thresholds()
    on_failure: OnFailure = OnFailure.LITE
    on_uncovered: Action = Action.ALLOW
    lite_blocks: LiteBlocks = LiteBlocks.ALWAYS
    cascade: Bounds = Bounds()

    def action(self, verdict: Verdict) -> Action:
        """What to do with a text of this verdict."""
        found = self._by_severity(verdict)
        if found is Action.BLOCK and self.lite_blocks is LiteBlocks.SURE and not verdict.is_sure:
            found = Action.FLAG
        if verdict.coverage is Coverage.NONE and self.on_uncovered.rank > found.rank:
            return self.on_uncovered
        return found

    def _by_severity(self, verdict: Verdict) -> Action:
        severity = self.thresholds.severity(verdict.severity, verdict.scores)
        default = self.actions[severity]
        if not self.categories:
            return default
        found = [self.categories.get(category, {}).get(severity, default) for category in verdict.categories]
        if verdict.may_lack_categories:
            # One that was not read may be any: the strictest of all counts.
            found += [default, *(actions.get(severity, default) for actions in self.categories.values())]
        return max(found, key=lambda action: action.rank, default=default)

    @property
    def needs_categories(self) -> bool:
        """Whether a category can change the action; if not, knowing the severity is enough to act."""
        return bool(self.categories) and any(
            action is not self.actions[severity]
            for exceptions in self.categories.values()
            for severity, action in exceptions.items()
        )

    def to_json(self) -> dict[str, object]:
        """The rules as `GET /policies` shows them, in the words of the policy file."""
        shown: dict[str, object] = {
            "actions": _actions_json(self.actions),
            "categories": {category.value: _actions_json(actions) for category, actions in self.categories.items()},
            "thresholds": {"controversial": self.thresholds.controversial, "unsafe": self.thresholds.unsafe},
            "on_failure": self.on_failure.value,
            "on_uncovered": self.on_uncovered.value,
            "lite_blocks": self.lite_blocks.value,
        }
        if self.cascade != Bounds():
            shown["cascade"] = {"safe": self.cascade.safe, "unsafe": self.cascade.unsafe}
        return shown


@dataclass(frozen=True, slots=True)
class ToolRules:
    """The rules for tools whose name matches `glob` (`*`, `?`, `[...]`; capitals count).

    `call` is for what a model tells the tool, `result` for what it gives back.
    """

    glob: str
    call: Rules
    result: Rules

    def matches(self, tool: str) -> bool:
        """Whether these are the rules of this tool."""
        return fnmatch.fnmatchcase(tool, self.glob)

    def of(self, target: Target) -> Rules:
        """A result is judged as a prompt, a call as a response."""
        return self.result if target is Target.PROMPT else self.call

    def to_json(self) -> dict[str, object]:
        """The rules as `GET /policies` shows them."""
        return {"call": self.call.to_json(), "result": self.result.to_json()}


@dataclass(frozen=True)
class Policy:
    """A named profile: rules for prompts, rules for responses, and the message shown when blocked."""

    name: str
    description: str
    rules: Mapping[Target, Rules]
    messages: Mapping[str, str] = field(default_factory=lambda: DEFAULT_MESSAGES)
    streaming: Streaming = Streaming.HOLD
    tools: Sequence[ToolRules] = ()
    """The first whose glob matches counts."""
    keep_text: KeepText = KeepText.NONE
    retention_days: int = 30
    """For how long a kept text is kept."""
    escalation: Escalation | None = None
    """What is done about end users who are blocked again and again."""
    shadow: Sequence[Policy] = ()
    """Policies whose action on each text is noted beside this one's, and never taken."""
    lists: tuple[str, ...] = ()
    """The names of the lists that its texts are compared with."""
    answers: Mapping[Category, Mapping[str, str]] = field(default_factory=dict)
    """What is shown in place of the message for a category, by language."""
    app: App | None = field(default=None, repr=False, compare=False)
    """Who asks under it, which is no part of what it says: lists may count for one app alone."""

    def for_tool(self, tool: str) -> ToolRules | None:
        """The rules of its own that this tool has, if any."""
        return next((one for one in self.tools if one.matches(tool)), None)

    def rules_for(self, target: Target, tool: str | None = None) -> Rules:
        """The rules that a text is judged by; `tool` is the one that it is from, or for."""
        own = self.for_tool(tool) if tool is not None and self.tools else None
        return self.rules[target] if own is None else own.of(target)

    def action(self, verdict: Verdict) -> Action:
        """What to do with a text of this verdict."""
        return self.rules[verdict.target].action(verdict)

    def message(self, languages: Sequence[str] = (), categories: Sequence[Category] = ()) -> str:
        """The text for a blocked end user, in the first of their languages (BCP 47 tags) that the policy has.

        `zh-Hant-TW` finds `zh-hant-tw`, then `zh-hant`, then `zh` (RFC 4647, section 3.4). Otherwise English, otherwise
        the first message of the policy. Of the `categories` that were found the first with an answer of its own counts,
        but the plain message goes before an answer in a language that the user did not ask for.
        """
        for category in categories:
            if category in self.answers:
                answers = self.answers[category]
                found = _in_language(answers, languages)
                if found is not None:
                    return found
                if _in_language(self.messages, languages) is None:
                    return _usual(answers)
        return _in_language(self.messages, languages) or _usual(self.messages)

    @cached_property
    def version(self) -> str:
        """12 hex digits that change whenever the policy does; goes to audit records."""
        text = json.dumps(self._content(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, object]:
        """The policy as `GET /policies` shows it."""
        return {**self._content(), "version": self.version}

    def _content(self) -> dict[str, object]:
        rules = {target.value: self.rules[target].to_json() for target in Target}
        shown = {"message": dict(self.messages), "streaming": self.streaming.value}
        tools = {"tools": {one.glob: one.to_json() for one in self.tools}}
        lists = {"lists": list(self.lists)} if self.lists else {}
        by_category = {category.value: dict(texts) for category, texts in self.answers.items()}
        answers = {"answers": by_category} if by_category else {}
        kept = {"keep_text": self.keep_text.value, "retention_days": self.retention_days}
        beside = {
            "escalation": self.escalation and self.escalation.to_json(),
            "shadow": [one.name for one in self.shadow],
        }
        about = {"name": self.name, "description": self.description}
        return {**about, **rules, **shown, **tools, **kept, **beside, **lists, **answers}


class Policies:
    """All policies of a service, by name; the default one has a name too."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        default: str,
        granted: Collection[str] | None = None,
        is_partial: bool = False,
    ) -> None:
        self._policies = dict(policies)
        self._granted = granted
        self.default = default
        self.is_partial = is_partial
        """Whether there may be more in a database that could not be read yet."""
        self.lists_of: Callable[[Policy], Collection[str]] = lambda policy: policy.lists
        """The names of the lists that count for a policy, whether it names them or not."""

    @property
    def are_granted(self) -> bool:
        """Whether the operator has named those that this caller may use, which then are free to be chosen from."""
        return self._granted is not None

    def of_app(self, app: App) -> Policies:
        """The policies as an app may use them: only those that it names, if it does, and its own default."""
        policies = {name: replace(policy, app=app) for name, policy in self._policies.items()}
        default = app.policy or self.default
        own = Policies(policies, default=default, granted=app.policies, is_partial=self.is_partial)
        own.lists_of = self.lists_of
        return own

    def and_stored(self, stored: Mapping[str, Policy] | None) -> Policies:
        """With those of a database, where one that has a name of these counts for nothing; None: they are not known."""
        together = Policies({**self._policies}, default=self.default, is_partial=stored is None)
        for name, policy in (stored or {}).items():
            together._policies.setdefault(name, policy)
        together.lists_of = self.lists_of
        return together

    def get(self, name: str | None, *, param: str = "policy") -> Policy:
        """The policy of that name, the default one for None.

        Raises InvalidRequest or Forbidden naming `param`; StoreUnavailable where the database may have it.
        """
        policy = self._policies.get(self.default if name is None else name)
        if policy is None and self.is_partial:
            message = "The database, which may have this policy, can't be read; try again later."
            raise StoreUnavailable(message, retry_after_s=_RETRY_AFTER_S, param=param)
        if policy is None:
            known = ", ".join(sorted(one.name for one in self))
            raise InvalidRequest(f"`{param}` is no policy of this service; it has {known}.", param=param)
        if self._granted is not None and policy.name not in self._granted:
            reason = f"The app of this key may not use the policy `{policy.name}`"
            raise Forbidden(f"{reason}; it may use {', '.join(sorted(self._granted))}.", param=param)
        return policy

    def __contains__(self, name: object) -> bool:
        return name in self._policies

    def __iter__(self) -> Iterator[Policy]:
        granted = self._granted
        return iter([one for one in self._policies.values() if granted is None or one.name in granted])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _in_language(messages: Mapping[str, str], languages: Sequence[str]) -> str | None:
    for tag in languages:
        wanted = tag.lower()
        while wanted:
            if wanted in messages:
                return messages[wanted]
            wanted = wanted.rpartition("-")[0]
    return None


def _usual(messages: Mapping[str, str]) -> str:
    return messages.get("en") or next(iter(messages.values()))


def _actions_json(actions: Actions) -> dict[str, str]:
    return {severity.value: action.value for severity, action in actions.items()}


def _built_in(name: str, description: str, controversial: Action) -> Policy:
    actions = {Severity.SAFE: Action.ALLOW, Severity.CONTROVERSIAL: controversial, Severity.UNSAFE: Action.BLOCK}
    return Policy(name, description, {target: Rules(actions) for target in Target})


BUILT_IN: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        _built_in("strict", "Blocks unsafe and controversial text.", Action.BLOCK),
        _built_in("balanced", "Blocks unsafe text, lets controversial text through marked for review.", Action.FLAG),
        _built_in("loose", "Blocks unsafe text only.", Action.ALLOW),
    )
}
"""The policies that need no file. `balanced` is the default."""
