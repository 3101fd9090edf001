"""Anthropic's `POST /v1/messages` with a guarded model behind it: what to judge of a request. No I/O.

Content is blocks; those that are known are read, and others refused by name, as is what would run or be kept at the
model's server. Source: anthropics/anthropic-sdk-python `types/message_create_params.py` and `types/message_param.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..core.conversation import Limits, parse_messages
from ..core.policy import Policies
from ..core.question import Question
from ..errors import InvalidRequest
from .guarded_chat import GuardedChat, GuardedOptions, chosen_policy
from .guarded_fields import APPLICATION, REFUSED, UNREAD, as_prompt, refuse_doubles, refuse_unseen, texts_beside
from .media_parts import media_texts
from .openai_chat import read_flag
from .openai_models import Headers
from .sealed import Sealer
from .tools import tool_results

__all__ = ["parse"]

_REFUSED = frozenset(REFUSED) | {"container", "mcp_servers"}
_UNREAD = UNREAD | {"stop_sequences", "service_tier", "inference_geo", "thinking", "cache_control", "thread"}
_APPLICATION = APPLICATION | {"system", "output_config", "output_format"}
_READ = frozenset(
    {"messages", "model", "system", "role", "content", "type", "text", "stream", "tools", "thread", "container"}
    | {"mcp_servers", "thinking", "source"}
)
# Tools that the client runs, though their contract is Anthropic's. Source: `types/tool_union_param.py`.
_CLIENTS_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")
_ROLES = ("user", "assistant", "system")
_MEDIA = frozenset({"image", "document"})
# What is read elsewhere of each kind of block.
_READ_OF = {"text": frozenset({"type", "text"}), "tool_result": frozenset({"type", "content"})}
_OF_MODEL = frozenset(
    {"type", "text", "citations", "thinking", "signature", "data", "name", "input", "caller", "toolset_name"}
)


def parse(
    body: object, *, policies: Policies, limits: Limits, headers: Headers, options: GuardedOptions, sealer: Sealer
) -> GuardedChat:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    refuse_doubles(body, _READ)
    if body.get("thread") is not None:
        # Its next turns would come without the earlier ones, and nobody could judge them in context.
        raise InvalidRequest("`thread` is not served: send the whole conversation.", param="thread")
    refuse_unseen(body, refused=_REFUSED)
    if not isinstance(body.get("model", ""), str):
        raise InvalidRequest("`model` must be a string.", param="model")
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise InvalidRequest("`messages` must be a list of messages.", param="messages")
    tools = frozenset(_tool_names(body.get("tools")))
    last = len(messages) - 1
    turns: list[object] = []
    for index, message in enumerate(messages):
        turns += _turns(message, at=f"messages[{index}]", is_last=index == last, options=options)
    parsed = parse_messages(turns, limits=limits)
    beside = [*texts_beside(body, _UNREAD | _APPLICATION), *(text for one in messages for text in _beside(one))]
    policy = chosen_policy(policies, headers.policy, options.policy_choice)
    sent = [kept for message in messages if (kept := _sent(message, sealer)) is not None]
    return GuardedChat(
        forward={**body, "messages": sent},
        question=Question.of(message for _, message in parsed),
        tool_results=tool_results(
            turns, limits, policy=policy, judges_all=options.judge_tool_results, history=messages
        ),
        other_text=as_prompt(beside),
        policy=policy,
        languages=headers.languages,
        stream=read_flag(body, "stream"),
        include_usage=True,
        choices=1,
        wants_moderation=False,
        tools=tools,
    )


def _tool_names(tools: object) -> Iterator[str]:
    if tools is not None and not isinstance(tools, list):
        raise InvalidRequest("`tools` must be a list.", param="tools")
    for index, tool in enumerate(tools or ()):
        kind = tool.get("type") if isinstance(tool, Mapping) else ""
        is_clients = kind in (None, "custom") or (isinstance(kind, str) and kind.startswith(_CLIENTS_TOOLS))
        if not is_clients:
            where = f"tools[{index}].type"
            reason = (
                f"`{where}`: only tools that the client runs are let through; others run at the model's server, where "
            )
            raise InvalidRequest(f"{reason}what they bring is not judged.", param=where)
        name = tool.get("name")
        if isinstance(name, str):
            yield name


def _turns(message: object, *, at: str, is_last: bool, options: GuardedOptions) -> Iterator[dict[str, object]]:
    """A message as those of a chat: the results of tools in it are turns of their own."""
    if not isinstance(message, Mapping):
        raise InvalidRequest(f"`{at}` must be an object.", param=at)
    refuse_doubles(message, _READ, at=f"{at}.")
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise InvalidRequest(f"`{at}.role` must be one of {', '.join(_ROLES)}.", param=f"{at}.role")
    if isinstance(content, str):
        yield {"role": role, "content": content}
        return
    if not isinstance(content, list):
        raise InvalidRequest(f"`{at}.content` must be a string or a list of blocks.", param=f"{at}.content")
    texts: list[str] = []
    for index, block in enumerate(content):
        where = f"{at}.content[{index}]"
        kind = block.get("type") if isinstance(block, Mapping) else None
        if isinstance(block, Mapping) and kind == "tool_result" and role == "user":
            yield {
                "role": "tool",
                "tool_call_id": block.get("tool_use_id"),
                "content": "\n".join(_texts(block.get("content"), at=f"{where}.content", options=options)),
            }
        elif (
            isinstance(block, Mapping) and role == "assistant" and kind in ("thinking", "redacted_thinking", "tool_use")
        ):
            # What the model has thought is no turn, unless it is the beginning of the answer that is to come.
            texts += [_text(block, "thinking", at=where)] if kind == "thinking" and is_last else []
        else:
            texts += _texts([block], at=where, options=options, is_one=True)
    if texts or role == "assistant":
        yield {"role": role, "content": "\n".join(texts)}


def _texts(content: object, *, at: str, options: GuardedOptions, is_one: bool = False) -> Iterator[str]:
    """The texts of a content, a string or blocks; what is no text is left out where it is let through."""
    if content is None or isinstance(content, str):
        yield content or ""
        return
    if not isinstance(content, list):
        raise InvalidRequest(f"`{at}` must be a string or a list of blocks.", param=at)
    for index, block in enumerate(content):
        where = at if is_one else f"{at}[{index}]"
        kind = block.get("type") if isinstance(block, Mapping) else None
        if isinstance(block, Mapping) and kind == "text":
            yield _text(block, "text", at=where)
        elif not isinstance(kind, str) or kind not in _MEDIA:
            raise InvalidRequest(f"`{where}.type`: this kind of block is not let through here.", param=f"{where}.type")
        elif not options.allow_media:
            reason = f"`{where}` is no text and can't be judged; `chat_allow_media` lets it through."
            raise InvalidRequest(reason, param=f"{where}.type")


def _text(block: Mapping[str, object], field: str, *, at: str) -> str:
    text = block.get(field)
    if not isinstance(text, str):
        raise InvalidRequest(f"`{at}.{field}` must be a string.", param=f"{at}.{field}")
    return text


def _beside(message: object) -> Iterator[str]:
    """The texts of a message in fields that nobody here knows, and of what is no text in it."""
    if not isinstance(message, Mapping):
        return
    yield from texts_beside(message, ("role", "content"))
    yield from _beside_blocks(message.get("content"), is_answer=message.get("role") == "assistant")


def _beside_blocks(blocks: object, *, is_answer: bool) -> Iterator[str]:
    for block in blocks if isinstance(blocks, list) else ():
        kind = block.get("type") if isinstance(block, Mapping) else None
        if not isinstance(block, Mapping) or not isinstance(kind, str):
            continue
        if kind in _MEDIA:
            yield from media_texts(block)
            continue
        yield from texts_beside(block, _OF_MODEL if is_answer else _READ_OF.get(kind, frozenset()))
        if kind == "tool_result":
            yield from _beside_blocks(block.get("content"), is_answer=False)


def _sent(message: object, sealer: Sealer) -> object | None:
    """A message as the model's server gets it; None for an answer of which nothing is left."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(message, Mapping) or message.get("role") != "assistant" or not isinstance(content, list):
        return message
    blocks = [sent for block in content if (sent := _sent_block(block, sealer)) is not None]
    return {**message, "content": blocks} if blocks or not content else None


def _sent_block(block: object, sealer: Sealer) -> object | None:
    """A block as it goes back: a thought only if it was handed out here, or it could be anybody's words."""
    if not isinstance(block, Mapping):
        return block
    fields: Sequence[str] = {"thinking": ("signature",), "redacted_thinking": ("data",)}.get(str(block.get("type")), ())
    sent = dict(block)
    for field in fields:
        if not block.get(field):
            continue
        opened = sealer.open(block[field])
        if opened is None:
            return None
        sent[field] = opened
    return sent
