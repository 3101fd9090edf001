"""A request to a language model, of whichever contract: what is asked in it. No I/O.

Gateways show the client's own request. Read here are `messages` (chat completions, Anthropic's Messages, Ollama),
`input` (Responses, embeddings) and `prompt` with `suffix` (completions). A model's server reads one of them, and which
one it is nobody here knows: each that is there is judged for itself, and all other text of the request together, but
for what the application writes. A request with none of them, or with words in a place that is not known here, is
refused rather than passed unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..core.conversation import Conversation, Limits, Message, Role, check_text, says_nothing
from ..core.policy import Policy
from ..core.question import Question
from ..core.tool_calls import calls_in
from ..errors import InvalidRequest, TooLarge
from .gateway_chats import question_of, read_turns
from .guarded_fields import REFUSED, other_text, refuse_doubles, refuse_unseen
from .openai_shapes import is_word
from .tools import told_to_tools, tool_results, tool_turns

__all__ = ["APPLICATION", "ask_conversations", "beside", "chat_conversations", "questions_in", "request_conversations"]

_ASKED = ("messages", "input", "prompt")
# By these a server takes its prompt from elsewhere; `prompt` and `input` are read here.
_UNSEEN = frozenset(REFUSED) - {"prompt", "input"}
_READ = frozenset({*_ASKED, "suffix", "role", "content", "type", "text"})
APPLICATION = frozenset({"system", "instructions", "text", "output_config", "output_format", "options", "include"})
"""Fields of chats that the application writes."""
_LONGEST_WORD = 32

# What stands in `input` beside messages and is none: calls, their results, thoughts, and earlier items by their name.
_NO_MESSAGES = frozenset(
    {"function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"}
    | {"item_reference", "computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output"}
    | {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"}
    | {"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction"}
)


def questions_in(body: object, *, limits: Limits, application: Collection[str] = APPLICATION) -> Sequence[Question]:
    """What a request asks; none where nobody says anything in it. Raises InvalidRequest or TooLarge.

    `application` are the fields that are not judged, beside those of `guarded_fields`.
    """
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    refuse_doubles(body, _READ)
    for field in ("messages", "input"):
        items = body.get(field)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            refuse_doubles(item, _READ, at=f"{field}[{index}].")
    refuse_unseen(body, refused=_UNSEEN)
    given = [field for field in _ASKED if body.get(field) is not None]
    if not given:
        raise InvalidRequest("The body has no `messages`, `input` or `prompt`: what it asks can't be judged here.")
    questions = []
    for field in given:
        turns = _turns(body, field, limits=limits)
        if turns:
            questions.append(question_of(turns, param=field))
    known = {*application, "input", "prompt", *(("suffix",) if "prompt" in given else ())}
    return [*questions, *beside({key: value for key, value in body.items() if key not in known})]


def beside(fields: Mapping[str, object]) -> Sequence[Question]:
    """What these fields of a request say; single words choose a size, a voice or a format, and say nothing."""
    found = other_text({key: value for key, value in fields.items() if not _is_choice(value)})
    return [Question(one.messages) for one in found]


def _is_choice(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return len(values) == 1 and is_word(values[0], _LONGEST_WORD)


def ask_conversations(questions: Sequence[Question]) -> list[Conversation]:
    """What of these questions is judged."""
    return [one for question in questions for one in question.to_judge()]


def request_conversations(
    body: object, questions: Sequence[Question], *, policy: Policy, limits: Limits, judges_results: bool
) -> list[Conversation]:
    """What of a request is judged: its questions, and what tools gave back."""
    found = ask_conversations(questions)
    for field in ("messages", "input"):
        items = body.get(field) if isinstance(body, Mapping) else None
        if isinstance(items, list):
            found += _results(items, policy=policy, limits=limits, judges_results=judges_results)
    return found


def chat_conversations(
    messages: object, question: Question | None, *, policy: Policy, limits: Limits, judges_results: bool
) -> list[Conversation]:
    """What of a chat is judged: its question, the calls of an answer at its end, and what tools gave back."""
    found = [] if question is None else list(question.to_judge())
    if not isinstance(messages, list) or not messages:
        return found
    last = messages[-1]
    if isinstance(last, Mapping) and last.get("role") == Role.ASSISTANT.value:
        found += told_to_tools(question or Question.of(()), calls_in(last), policy=policy)
    return found + _results(messages, policy=policy, limits=limits, judges_results=judges_results)


def _results(items: Sequence[object], *, policy: Policy, limits: Limits, judges_results: bool) -> list[Conversation]:
    if not judges_results and not policy.tools:
        return []
    turns = list(tool_turns(items))
    return list(tool_results(turns, limits, policy=policy, judges_all=judges_results, history=items))


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
