"""What a chat says to tools, and what they give back: the same rule for every contract. No I/O.

A call is judged as an answer, each by itself. Results are judged as prompts where the operator has it so
(`chat_judge_tool_results`), and those of a tool for which the policy has rules in any case. Calls in the history are
not judged again: the model made them, and they were judged then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..core.conversation import Conversation, Limits, Message, Role, parse_messages, says_nothing
from ..core.policy import Policy
from ..core.question import Question
from ..core.tool_calls import ToolCall, calls_in, texts_in
from .gateway_chats import texts_of_part
from .media_parts import media_texts

__all__ = ["TOOL_ROLES", "told_to_tools", "tool_results", "tool_turns"]

TOOL_ROLES = ("tool", "function")
# Each is a verdict of its own.
_MOST = 64
_RESULT_FIELDS = ("toolResult", "functionResponse")
_RESULT_IDS = ("tool_call_id", "tool_use_id", "call_id", "toolUseId", "id")
_SAID = ("content", "output", "response", "result")


def told_to_tools(question: Question, calls: Iterable[ToolCall], *, policy: Policy) -> list[Conversation]:
    """What is judged of an answer's calls, with the question; many of one rule together.

    Which tool it is says as much as what it is told: a call without arguments is judged too, where its tool has rules.
    """
    found: list[tuple[str, str | None]] = []
    for call in calls:
        if policy.for_tool(call.name) is not None:
            found.append((f"{call.name}\n{call.text}", call.name))
        elif not says_nothing(call.text):
            found.append((call.text, None))
    if len(found) > _MOST:
        found = _by_rule(found, policy)
    return [replace(question.answered(text), tool=tool) for text, tool in found]


def tool_results(
    turns: Sequence[object], limits: Limits, *, policy: Policy, judges_all: bool, history: Sequence[object]
) -> Sequence[Conversation]:
    """The results of tools since the user's last words, each as a prompt of its own; many of one rule together.

    With `judges_all` all of them, otherwise those of tools for which the policy has rules. `history` has the calls that
    they are the results of.
    """
    if not judges_all and not policy.tools:
        return ()
    names = {call.id: call.name for call in calls_in(list(history)) if call.id}
    results: list[tuple[str, object]] = []
    for turn in turns:
        role = turn.get("role") if isinstance(turn, Mapping) else None
        if role == "user":
            results.clear()
        elif role in TOOL_ROLES and isinstance(turn, Mapping):
            tool = names.get(str(turn.get("tool_call_id")), "") or str(turn.get("name") or "")
            if judges_all or policy.for_tool(tool) is not None:
                results.append((tool, {"role": "user", "content": turn.get("content")}))
    found: list[tuple[str, str | None]] = []
    for index, message in parse_messages([result for _, result in results], limits=limits):
        tool = results[index][0]
        if policy.for_tool(tool) is not None:
            found.append((f"{tool}\n{message.content}", tool))
        elif not says_nothing(message.content):
            found.append((message.content, None))
    if len(found) > _MOST:
        found = _by_rule(found, policy)
    return [Conversation((Message(Role.USER, text),), tool) for text, tool in found]


def tool_turns(messages: Iterable[object]) -> Iterator[Mapping[str, object]]:
    """The messages or items of any contract as `tool_results` wants them: whose words they are, and what tools said."""
    for message in messages:
        if not isinstance(message, Mapping):
            continue
        kind, content = message.get("type"), message.get("content", message.get("parts"))
        if message.get("role") in TOOL_ROLES or (isinstance(kind, str) and kind.endswith("_output")):
            yield _turn(message)
            continue
        parts = content if isinstance(content, list) else []
        results = [inner for part in parts if (inner := _result(part)) is not None]
        if message.get("role") == Role.USER.value and (len(results) < len(parts) or isinstance(content, str)):
            yield {"role": "user"}
        yield from map(_turn, results)


def _result(part: object) -> Mapping[str, object] | None:
    """The result of a tool that is a part of a message."""
    if not isinstance(part, Mapping):
        return None
    if isinstance(kind := part.get("type"), str) and kind.endswith("tool_result"):
        return part
    inner = next((part[key] for key in _RESULT_FIELDS if key in part), None)
    return inner if isinstance(inner, Mapping) else None


def _turn(result: Mapping[str, object]) -> Mapping[str, object]:
    said = [result[key] for key in _SAID if result.get(key) is not None]
    given = next((result[key] for key in _RESULT_IDS if isinstance(result.get(key), str)), "")
    text = "\n".join(_said(said))
    return {"role": "tool", "tool_call_id": given, "name": result.get("name"), "content": text}


def _said(value: object) -> Iterator[str]:
    """The text of a result: of its parts, or all that is in an object without parts."""
    if isinstance(value, list):
        for item in value:
            yield from _said(item)
    elif isinstance(value, Mapping) and isinstance(value.get("type"), str):
        yield from texts_of_part(value) or media_texts(value)
    else:
        yield from texts_in(value)


def _by_rule(found: Sequence[tuple[str, str | None]], policy: Policy) -> list[tuple[str, str | None]]:
    """One text for each of the policy's rules: a request must not cost as many verdicts as it has lines."""
    groups: dict[str | None, list[tuple[str, str | None]]] = {}
    for text, tool in found:
        rules = None if tool is None else policy.for_tool(tool)
        groups.setdefault(None if rules is None else rules.glob, []).append((text, tool))
    return [("\n".join(text for text, _ in group), group[0][1]) for group in groups.values()]
