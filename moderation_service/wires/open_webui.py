"""Open WebUI's *pipelines filter*: pure parse and render of what a filter server is asked. No I/O.

    GET  {base}/models                what makes a connection a filter server
    POST {base}/{id}/filter/inlet     {"user": {...}, "body": {...}}: before the model is asked
    POST {base}/{id}/filter/outlet    {"user": {...}, "body": {...}}: when the answer is complete

Both hooks are answered with the `body`, as it came or with another answer in it. A refused prompt is an error status
whose *reason phrase* is the message: Open WebUI drops the body of an error. An error of the outlet is a pass for it, so
an answer that could not be judged is replaced (`replace_answer`), never answered with an error.

Source: open-webui/open-webui 0.12.4, `backend/open_webui/routers/pipelines.py`, `routers/tasks.py` and
`utils/middleware.py` (`process_chat_payload`, `outlet_filter_handler`).
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import Conversation, Limits, Message, Role
from ..core.languages import written_in
from ..core.moderator import Check
from ..core.policy import Policies, Policy
from ..core.question import Question
from ..core.tool_calls import calls_in
from ..errors import InvalidRequest, TooLarge
from .gateway_chats import texts_of_part

__all__ = [
    "CONTEXT_CHARS",
    "CONTEXT_TURNS",
    "FILTER_ID",
    "FilterRequest",
    "Hook",
    "filter_id",
    "languages_of",
    "parse",
    "reason_phrase",
    "render_models",
    "render_pipelines",
    "replace_answer",
]

FILTER_ID = "moderation-guard"
CONTEXT_TURNS = 16
CONTEXT_CHARS = 20_000
"""Of the turns before the judged text so many, the newest, are its context. Open WebUI sends the whole chat with every
message; what is older was judged when it was new."""

_MAX_RESPONSES = 16
_MAX_PHRASE_BYTES = 400
_MAX_ID_CHARS = 64
_LANGUAGE_VARIABLE = "{{USER_LANGUAGE}}"
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Hook(enum.Enum):
    """When the filter is asked."""

    INLET = "inlet"
    """Before the model is asked."""
    OUTLET = "outlet"
    """When the answer is complete; the user may have read it already."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A message's text and who speaks; whoever is neither assistant nor system counts as the user."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class FilterRequest:
    """One call. `checks` is empty when there is no visible text to judge."""

    body: Mapping[str, object]
    checks: Sequence[Check]


def filter_id(policy: str | None) -> str:
    """The filter's id for a policy named in the address; Open WebUI keeps one entry per id, over all connections."""
    return FILTER_ID if policy is None else f"{FILTER_ID}.{policy}"


def render_models(policies: Policies, policy: str | None) -> dict[str, object]:
    """The list with the one filter that is behind this address. Raises InvalidRequest for an unknown policy."""
    chosen = policies.get(policy)
    # "*" is every model. `created` is required by the contract and means nothing here.
    pipeline = {"type": "filter", "pipelines": ["*"], "priority": 0, "valves": False}
    model = {"id": filter_id(policy), "name": _name(chosen), "object": "model", "created": 0}
    return {
        "object": "list",
        "pipelines": True,
        "data": [{**model, "owned_by": "moderation-service", "pipeline": pipeline}],
    }


def render_pipelines(policies: Policies, policy: str | None) -> dict[str, object]:
    """The same for the page *Pipelines* of the administrator."""
    chosen = policies.get(policy)
    return {"data": [{"id": filter_id(policy), "name": _name(chosen), "type": "filter", "valves": False}]}


def _name(policy: Policy) -> str:
    return f"Moderation guard (policy {policy.name})"


def parse(hook: Hook, envelope: object, *, policies: Policies, policy: str | None) -> FilterRequest:
    """Read a call. Raises InvalidRequest or TooLarge that names the field."""
    chosen = policies.get(policy)
    body = _mapping(envelope, "body")
    conversations = _inlet(body) if hook is Hook.INLET else _outlet(body)
    languages = languages_of(body)
    metadata = _audit_metadata(_mapping_or_empty(envelope, "user"), body)
    return FilterRequest(body, [Check(one, chosen, languages=languages, metadata=metadata) for one in conversations])


def _mapping(value: object, key: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    found = value.get(key)
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"`{key}` must be an object.", param=key)
    return found


def _mapping_or_empty(value: object, key: str) -> Mapping[str, object]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


# What is judged.


def _inlet(body: Mapping[str, object]) -> list[Conversation]:
    """What the user has newly written.

    A task (a title, tags, a merged answer) wraps the user's text in a prompt of Open WebUI's; its `task_body` has it as
    it was. Open WebUI sets `metadata` itself, so a user can't make a message pass for a task.
    """
    metadata = _mapping_or_empty(body, "metadata")
    task_body = metadata.get("task_body")
    if metadata.get("task") and isinstance(task_body, Mapping):
        return _task(task_body)
    return _prompts(_turns(body.get("messages"), at="body.messages"))


def _task(task_body: Mapping[str, object]) -> list[Conversation]:
    at = "body.metadata.task_body"
    found = _prompts(_turns(task_body.get("messages") or [], at=f"{at}.messages"))
    prompt = _text(task_body.get("prompt"), at=f"{at}.prompt")
    if prompt.strip():
        found.append(Conversation.of(prompt=prompt))
    responses = task_body.get("responses") or []
    if not isinstance(responses, list):
        raise InvalidRequest(f"`{at}.responses` must be a list.", param=f"{at}.responses")
    if len(responses) > _MAX_RESPONSES:
        raise TooLarge(f"`{at}.responses` has more than {_MAX_RESPONSES} items.", param=f"{at}.responses")
    texts = [_text(one, at=f"{at}.responses[{index}]") for index, one in enumerate(responses)]
    return found + [Conversation.of(prompt=prompt, response=text) for text in texts if text.strip()]


def _outlet(body: Mapping[str, object]) -> list[Conversation]:
    """The last answer with the turns before it; nothing if the chat does not end with an answer that has text."""
    messages = body.get("messages")
    turns = _turns(messages, at="body.messages")
    if not turns or turns[-1].role is not Role.ASSISTANT:
        return []
    assert isinstance(messages, list)
    answer = "\n".join([turns[-1].text, *_output_texts(messages[-1].get("output"), besides=turns[-1].text)])
    before = [Message(turn.role, turn.text) for turn in turns[:-1] if turn.role is not Role.SYSTEM]
    return [_conversation(before, Message(Role.ASSISTANT, answer))] if answer.strip() else []


def _turns(messages: object, *, at: str) -> list[_Turn]:
    if not isinstance(messages, list):
        raise InvalidRequest(f"`{at}` must be a list of messages.", param=at)
    return [_turn(message, at=f"{at}[{index}]") for index, message in enumerate(messages)]


def _turn(message: object, *, at: str) -> _Turn:
    if not isinstance(message, Mapping):
        raise InvalidRequest(f"`{at}` must be an object.", param=at)
    name = message.get("role")
    # Nobody knows who wrote a tool's result or a turn of an unknown role; to the model they are all input.
    role = {"assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}.get(str(name), Role.USER)
    return _Turn(role, _text(message.get("content"), at=f"{at}.content"))


def _text(content: object, *, at: str) -> str:
    """The text of a message: a string, or the text parts of a list. Images, audio and files are not judged."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"`{at}` must be a string or a list of parts.", param=at)
    return "\n".join(text for part in content for text in texts_of_part(part))


def _prompts(turns: Sequence[_Turn]) -> list[Conversation]:
    """What to judge of the turns before the model is asked.

    All that was written since the last answer is one text, so that nothing hides in a message before the last. System
    prompts are judged by themselves: over the API it is the user who writes them. An answer at the very end (the model
    is to go on with it) is judged as an answer; over the API it is the user who writes that too.
    """
    found = []
    system = "\n".join(turn.text for turn in turns if turn.role is Role.SYSTEM and turn.text)
    if system.strip():
        found.append(Conversation.of(prompt=system))
    question = Question.of(
        Message(turn.role, turn.text) for turn in turns if turn.role is not Role.SYSTEM and turn.text
    )
    *before, written = question.turns
    if written.content.strip():
        found.append(_conversation(before, written))
    if question.begun.strip():
        found.append(_conversation(question.turns, Message(Role.ASSISTANT, question.begun)))
    return found


def _conversation(before: Sequence[Message], judged: Message) -> Conversation:
    """The turn to judge with the newest turns before it. Raises InvalidRequest if it is no visible text."""
    context = [turn for turn in before if turn.content.strip()][-CONTEXT_TURNS:]
    while context and sum(len(turn.content) for turn in context) > CONTEXT_CHARS:
        del context[0]
    messages = [{"role": turn.role.value, "content": turn.content} for turn in (*context, judged)]
    return Conversation.from_messages(messages, limits=Limits(messages=CONTEXT_TURNS + 1), param="body.messages")


def _output_texts(output: object, *, besides: str) -> list[str]:
    """Texts of a message's `output` that are not in its content: reasoning and calls of tools, which the page shows."""
    found: list[str] = [call.text for call in calls_in(output) if call.text.strip()]
    for item in output if isinstance(output, list) else []:
        if not isinstance(item, Mapping) or item.get("type") not in ("message", "reasoning"):
            continue
        parts = [part for key in ("content", "summary") if isinstance(item.get(key), list) for part in item[key]]
        texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
        found += [text for text in texts if isinstance(text, str) and text.strip() and text.strip() not in besides]
    return found


# What is answered.


def replace_answer(body: Mapping[str, object], message: str) -> dict[str, object]:
    """The body of an outlet call with `message` in place of the last answer, and of its `output`, which repeats it.

    An output that is only taken away would stay in the saved chat.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], Mapping):
        return dict(body)
    last = {**messages[-1], "content": message}
    if "output" in last:
        part = {"type": "output_text", "text": message}
        item = {
            "type": "message",
            "id": "msg_moderation",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
        last["output"] = [item]
    return {**body, "messages": [*messages[:-1], last]}


def reason_phrase(message: str) -> str:
    """`message` as the reason phrase of a status line: one bounded line, and its UTF-8 bytes as WSGI wants them.

    A line break in a status line would end it; the service's own text is never trusted not to have one.
    """
    line = "".join(" " if unicodedata.category(char) in _CONTROL_CATEGORIES else char for char in message)
    cut = " ".join(line.split()).encode()[:_MAX_PHRASE_BYTES].decode("utf-8", "ignore")
    return (cut.strip() or "Blocked").encode().decode("latin-1")


def languages_of(body: object) -> Sequence[str]:
    """The end user's language: the one of their browser if Open WebUI tells it, else what the script gives away."""
    variables = _mapping_or_empty(_mapping_or_empty(body, "metadata"), "variables")
    tag = variables.get(_LANGUAGE_VARIABLE)
    if isinstance(tag, str) and _LANGUAGE_TAG.fullmatch(tag):
        return (tag,)
    return written_in(_last_user_text(body))


def _last_user_text(body: object) -> str:
    messages = body.get("messages") if isinstance(body, Mapping) else None
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, Mapping) and message.get("role") == "user":
            content = message.get("content")
            return _text(content, at="") if isinstance(content, (str, list)) else ""
    return ""


def _audit_metadata(user: Mapping[str, object], body: Mapping[str, object]) -> dict[str, object]:
    """Ids for the audit record, by which a reviewer finds the chat; they are Open WebUI's, mostly UUIDs."""
    metadata = _mapping_or_empty(body, "metadata")
    ids = {
        "open_webui_user": user.get("id"),
        "open_webui_chat": body.get("chat_id") or metadata.get("chat_id"),
        "open_webui_message": body.get("id") or metadata.get("message_id"),
        "open_webui_task": metadata.get("task"),
    }
    return {name: value for name, value in ids.items() if isinstance(value, str) and _is_id(value)}


def _is_id(value: str) -> bool:
    return 0 < len(value) <= _MAX_ID_CHARS and value.isascii() and value.isprintable()
