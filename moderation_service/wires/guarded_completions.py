"""OpenAI's older `POST /v1/completions` with a guarded model behind it: what to judge, and its replies. No I/O.

There are no roles: the prompt, with the suffix behind it, is the user's. Several prompts are judged as one, so that
none hides behind another. Prompts given as ids of tokens are refused, because nobody here knows what they spell.

Source: openai/openai-openapi, `CreateCompletionRequest` and `CreateCompletionResponse`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.conversation import Limits, Message, Role, check_text
from ..core.policy import Policies
from ..core.question import Question
from ..errors import InvalidRequest, TooLarge
from .guarded_chat import GuardedChat, GuardedOptions, chosen_policy
from .guarded_fields import other_text, refuse_unseen
from .openai_chat import read_flag
from .openai_models import Headers

__all__ = ["as_text", "parse"]

_READ = frozenset({"prompt", "suffix", "messages", "input", "model", "n", "stream", "stream_options"})
_OF_OTHERS = ("messages", "input")
_OBJECT = "text_completion"


def parse(
    body: object, *, policies: Policies, limits: Limits, headers: Headers, options: GuardedOptions
) -> GuardedChat:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field, Forbidden for a milder policy."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    for key in body:
        if key not in _READ and (known := key.casefold()) in _READ:
            raise InvalidRequest(f"`{known}` must be written in lower case.", param=known)
    for field in _OF_OTHERS:
        if body.get(field) is not None:
            raise InvalidRequest(f"`{field}` is no field of this request.", param=field)
    if not isinstance(body.get("model", ""), str):
        raise InvalidRequest("`model` must be a string.", param="model")
    streamed = body.get("stream_options")
    if streamed is not None and not isinstance(streamed, Mapping):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
    beside = {key: value for key, value in body.items() if key not in ("prompt", "suffix")}
    refuse_unseen(beside)
    prompts = _prompts(body.get("prompt"), limits)
    text = "\n".join([*prompts, *_suffix(body.get("suffix"))])
    each = body.get("n")
    return GuardedChat(
        forward=body,
        question=Question((Message(Role.USER, check_text(text, param="prompt")),)),
        tool_results=(),
        other_text=other_text(beside),
        policy=chosen_policy(policies, headers.policy, options.policy_choice),
        languages=headers.languages,
        stream=read_flag(body, "stream"),
        include_usage=streamed is not None and read_flag(streamed, "include_usage", at="stream_options."),
        choices=len(prompts) * (each if isinstance(each, int) and each > 0 else 1),
        wants_moderation=False,
        tools=frozenset(),
    )


def as_text(document: Mapping[str, object]) -> dict[str, object]:
    """A document of chat completions, such as the one for what was blocked, in the shape of this contract."""
    choices = document.get("choices")
    shown = [_choice(one) for one in choices] if isinstance(choices, list) else []
    return {**document, **({"object": _OBJECT} if "object" in document else {}), "choices": shown}


def _choice(choice: object) -> object:
    if not isinstance(choice, Mapping):
        return choice
    said = choice.get("message", choice.get("delta"))
    if "text" in choice or not isinstance(said, Mapping):
        return choice
    kept = {key: value for key, value in choice.items() if key not in ("message", "delta")}
    return {"text": said.get("content") or "", **kept}


def _prompts(value: object, limits: Limits) -> list[str]:
    prompts = [value] if isinstance(value, str) else value
    if not isinstance(prompts, list) or not prompts:
        raise InvalidRequest("`prompt` must be a text or a list of texts.", param="prompt")
    if not all(isinstance(one, str) for one in prompts):
        reason = "`prompt` must be text: what the ids of tokens spell can't be judged here."
        raise InvalidRequest(reason, param="prompt")
    if len(prompts) > limits.messages:
        raise TooLarge(f"`prompt` has {len(prompts)} texts; the limit is {limits.messages}.", param="prompt")
    return list(prompts)


def _suffix(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, str):
        raise InvalidRequest("`suffix` must be a string.", param="suffix")
    return [value]
