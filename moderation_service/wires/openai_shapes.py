"""What of a chat model's reply passes unjudged: a closed list of fields, each of a shape too narrow for a text. No I/O.

Whatever is not on it counts as text, wherever it stands: strings of fields nobody here knows, names of such fields,
and also an `id` or a `finish_reason` that doesn't look like one. So a reply has no place where words pass unseen.

Numbers are no text, but a list of whole numbers can spell one (`token_ids`, `bytes`): see `encodes`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "BESIDE",
    "CALL",
    "CHOICE",
    "FREE",
    "MESSAGE",
    "NAMES",
    "Shape",
    "encodes",
    "is_count",
    "is_identifier",
    "is_model",
    "is_word",
    "one_of",
    "passes",
    "plain",
    "strings",
]

Shape = Callable[[object], bool]

# A word and then parts that have a digit in them or are very short, as in `chatcmpl-8f3a`, `call_x1` or a UUID.
_PART = r"(?:[A-Za-z]*[0-9][A-Za-z0-9]*|[A-Za-z]{1,3})"
_ID = re.compile(rf"(?:[A-Za-z]{{1,12}}[-_.:])?{_PART}(?:[-_.:]{_PART})*")
_ID_CHARS = 64
_MODEL = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9._:/@+-]{1,128}")
_WORD = re.compile(r"[A-Za-z0-9_.:+/@-]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SEALED_CHARS = 16


def _number(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float))


def _identifier(value: object) -> bool:
    if isinstance(value, str):
        return not value or (len(value) <= _ID_CHARS and _ID.fullmatch(value) is not None)
    return _number(value)


def _model(value: object) -> bool:
    return value is None or (isinstance(value, str) and (not value or _MODEL.fullmatch(value) is not None))


def _one_of(*words: str) -> Shape:
    known = frozenset((*words, ""))
    return lambda value: value is None or (isinstance(value, str) and value in known)


def _counts(value: object) -> bool:
    """Numbers under known names, such as the usage."""
    if isinstance(value, Mapping):
        return all(key in NAMES and _counts(item) for key, item in value.items())
    return _number(value)


def _ids(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, int) for one in value))


_FINISHES = (
    "stop", "length", "tool_calls", "function_call", "content_filter", "STOP", "MAX_TOKENS", "SAFETY", "end_turn",
    "max_tokens", "stop_sequence", "tool_use", "eos", "eos_token", "abort", "error", "completed",
    "insufficient_system_resource", "model_length", "pause_turn", "refusal",
)  # fmt: skip
_KINDS = (
    "function", "custom", "text", "refusal", "output_text", "summary_text", "thinking", "redacted_thinking",
    "url_citation", "file_citation", "file_path", "container_file_citation", "reasoning.text", "reasoning.summary",
    "reasoning.encrypted", "image_url", "audio", "input_audio", "message", "reasoning", "tool_call", "tool_use",
)  # fmt: skip

BESIDE: Mapping[str, Shape] = {
    "id": _identifier,
    "object": _one_of("chat.completion", "chat.completion.chunk", "text_completion"),
    "created": _number,
    "model": _model,
    "system_fingerprint": _identifier,
    "service_tier": _one_of("auto", "default", "flex", "priority", "scale", "standard", "on_demand", "performance"),
    "usage": _counts,
    "timings": _counts,
    "prompt_token_ids": _ids,  # they spell the prompt
}
"""Beside the choices, at the top of a document."""
FREE = frozenset({"id", "model", "system_fingerprint"})
"""Those of them that a server words itself: a second, different one in the same reply counts as text."""
CHOICE: Mapping[str, Shape] = {
    "index": _number,
    "finish_reason": _one_of(*_FINISHES),
    "native_finish_reason": _one_of(*_FINISHES),
    "stop_reason": _one_of(*_FINISHES),
    "matched_stop": _number,
}
"""In a choice, beside its message."""
MESSAGE: Mapping[str, Shape] = {"role": _one_of("assistant", "model")}
"""In a message or a delta."""
CALL: Mapping[str, Shape] = {"index": _number, "id": _identifier, "type": _one_of("function", "custom")}
"""In a call of a tool."""
_ANYWHERE: Mapping[str, Shape] = {
    "id": _identifier,
    "index": _number,
    "type": _one_of(*_KINDS),
    "status": _one_of("completed", "in_progress", "incomplete"),
    "format": _one_of("wav", "mp3", "flac", "opus", "pcm16", "aac", "unknown", "anthropic-claude-v1"),
    "role": MESSAGE["role"],
    "severity": _one_of("safe", "low", "medium", "high"),
}
"""Deeper, wherever it is."""

NAMES = frozenset(
    {*BESIDE, *CHOICE, *MESSAGE, *CALL, *_ANYWHERE}
    # Of messages and what stands in them.
    | {"choices", "message", "delta", "content", "text", "refusal", "reasoning_content", "reasoning", "thinking"}
    | {"reasoning_details", "signature", "summary", "annotations", "url_citation", "file_citation", "url", "title"}
    | {"start_index", "end_index", "audio", "data", "expires_at", "transcript", "images", "image_url", "name"}
    | {"tool_calls", "tool_call_id", "function_call", "function", "custom", "arguments", "input", "parsed"}
    | {"provider_specific_fields", "citations", "search_results", "web_search", "provider", "x_groq", "warning"}
    # Of what servers tell about a choice.
    | {"logprobs", "token", "logprob", "bytes", "top_logprobs", "tokens", "token_logprobs", "text_offset"}
    | {"token_ids", "prompt_logprobs", "rank", "decoded_token", "kv_transfer_params", "error", "code"}
    | {"content_filter_results", "prompt_filter_results", "content_filter_offsets", "content_filter_result"}
    | {"prompt_index", "hate", "self_harm", "sexual", "violence", "profanity", "jailbreak", "indirect_attack"}
    | {"protected_material_text", "protected_material_code", "filtered", "detected", "check_offset", "start_offset"}
    | {"end_offset", "citation", "license", "custom_blocklists", "details", "moderation"}
    # Of the usage.
    | {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
    | {"cached_tokens", "audio_tokens", "text_tokens", "image_tokens", "reasoning_tokens", "cache_write_tokens"}
    | {"accepted_prediction_tokens", "rejected_prediction_tokens", "prompt_cache_hit_tokens", "video_tokens"}
    | {"prompt_cache_miss_tokens", "cost", "cost_details", "upstream_inference_cost", "is_byok", "queue_time"}
    | {"prompt_time", "completion_time", "total_time", "cache_read_input_tokens", "cache_creation_input_tokens"}
    | {"num_search_queries", "citation_tokens", "upstream_inference_prompt_cost", "file_tokens"}
    | {"upstream_inference_completions_cost", "cache_n", "prompt_n", "prompt_ms", "prompt_per_token_ms"}
    | {"prompt_per_second", "predicted_n", "predicted_ms", "predicted_per_token_ms", "predicted_per_second"}
    | {"draft_n", "draft_n_accepted", "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"}
    | {"input_tokens_per_turn", "output_tokens_per_turn", "tool_output_tokens", "cached_tokens_per_turn"}
    | {"tool_output_tokens_per_turn", "cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"}
)
"""Names of fields that say nothing by themselves; any other name is text."""


def passes(place: Mapping[str, Shape], key: str, value: object) -> bool:
    """Whether this field may be shown unjudged there."""
    shape = place.get(key)
    return shape is not None and shape(value)


def plain(document: Mapping[str, object], keys: tuple[str, ...]) -> dict[str, object]:
    """Those of the fields beside the choices that are there and may be shown unjudged."""
    return {key: document[key] for key in keys if key in document and passes(BESIDE, key, document[key])}


def strings(value: object, opaque: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every string in a value that counts as text, in the order in which it stands there, with unknown names.

    `opaque` are the fields in it that hold sealed data: what reads as base64 and is no text behind it.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, opaque)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in NAMES:
                yield f"{key}\n"
            if not passes(_ANYWHERE, key, item) and not (key in opaque and _is_sealed(item)):
                yield from strings(item, opaque)


def encodes(value: object) -> bool:
    """Whether there is a list of whole numbers in a value: ids of tokens or bytes, which a program can read as text."""
    if isinstance(value, list):
        return any(isinstance(one, int) and not isinstance(one, bool) for one in value) or any(map(encodes, value))
    return isinstance(value, Mapping) and any(map(encodes, value.values()))


def is_identifier(value: object) -> bool:
    """Whether it looks like an identifier: too short for a text, with digits in it."""
    return _identifier(value)


def is_count(value: object) -> bool:
    """Whether it is a number, true, false or null; or such under known names."""
    return _counts(value)


def one_of(*words: str) -> Shape:
    """The shape of a closed list of words."""
    return _one_of(*words)


def is_model(value: object) -> bool:
    """Whether it looks like a model's name, which has a digit in it."""
    return _model(value)


def is_word(value: object, longest: int) -> bool:
    """Whether it is a single word, such as the name of an option."""
    return isinstance(value, str) and len(value) <= longest and _WORD.fullmatch(value) is not None


def _is_sealed(value: object) -> bool:
    if not isinstance(value, str):
        return _number(value)
    if len(value) < _SEALED_CHARS or not _BASE64.fullmatch(value):
        return False
    try:
        data = value.rstrip("=").replace("+", "-").replace("/", "_")
        return not base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)).decode().isprintable()
    except binascii.Error:
        return False
    except UnicodeDecodeError:
        return True
