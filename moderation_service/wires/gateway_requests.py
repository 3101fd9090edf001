"""A request to a language model, of whichever contract: what is asked in it. No I/O.

Gateways show the client's own request. Read here are `messages` (chat completions, Anthropic's Messages, Ollama),
`input` (Responses, embeddings) and `prompt` with `suffix` (completions). A model's server reads one of them, and which
one it is nobody here knows: each that is there is judged for itself. A request with none of them, or with words in a
place that is not known here, is refused rather than passed unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.conversation import Conversation, Limits, Message, Role, check_text, says_nothing
from ..core.question import Question
from ..errors import InvalidRequest, TooLarge
from .gateway_chats import question_of, read_turns

__all__ = ["ask_conversations", "questions_in"]

# What stands in `input` beside messages and is none: calls, their results, thoughts, and earlier items by their name.
_NO_MESSAGES = frozenset(
    {"function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"}
    | {"item_reference", "computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output"}
    | {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"}
    | {"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction"}
)


def questions_in(body: object, *, limits: Limits) -> Sequence[Question]:
    """What a request asks; none where nobody says anything in it. Raises InvalidRequest or TooLarge."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    given = [field for field in ("messages", "input", "prompt") if body.get(field) is not None]
    if not given:
        raise InvalidRequest("The body has no `messages`, `input` or `prompt`: what it asks can't be judged here.")
    questions = []
    for field in given:
        turns = _turns(body, field, limits=limits)
        if turns:
            questions.append(question_of(turns, param=field))
    return questions


def ask_conversations(questions: Sequence[Question]) -> list[Conversation]:
    """What of these questions is judged."""
    return [one for question in questions for one in question.to_judge()]


def _turns(body: Mapping[str, object], field: str, *, limits: Limits) -> Sequence[Message]:
    value = body[field]
    if field == "messages":
        return read_turns(value, limits=limits, param=field)
    if field == "input" and isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        return read_turns([one for one in value if _is_message(one)], limits=limits, param=field)
    texts = _texts(value, limits=limits, param=field)
    if field == "prompt":
        texts += _texts(body["suffix"], limits=limits, param="suffix") if body.get("suffix") is not None else []
    text = "\n".join(texts)
    return [] if says_nothing(text) else [Message(Role.USER, check_text(text, param=field))]


def _is_message(item: object) -> bool:
    """Whether an item of `input` is a message. Raises InvalidRequest for what is not known."""
    if not isinstance(item, Mapping):
        raise InvalidRequest("`input` must hold either texts or items.", param="input")
    kind = item.get("type")
    if item.get("role") is not None or kind == "message":
        return True
    if isinstance(kind, str) and kind in _NO_MESSAGES:
        return False
    raise InvalidRequest("`input` has an item of a type that can't be judged here.", param="input")


def _texts(value: object, *, limits: Limits, param: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise InvalidRequest(f"`{param}` must be a text or a list of texts; others can't be judged.", param=param)
    if len(texts) > limits.messages:
        raise TooLarge(f"`{param}` has {len(texts)} texts; the limit is {limits.messages}.", param=param)
    return list(texts)
