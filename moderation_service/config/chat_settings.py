"""The settings of the guarded chat."""

from __future__ import annotations

from dataclasses import dataclass

from .setting import Secret, Url, declare

__all__ = ["ChatSettings"]

_SECTION = "Guarded chat"


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """What `Settings` has for the guarded chat."""

    chat_upstream: Url | None = declare(
        None,
        _SECTION,
        "Base address of the OpenAI-compatible server whose chat model is to be guarded. With it "
        "`POST /v1/chat/completions` answers with that model, for every model name that does not mean the guard; a "
        "`/v1` at the end is left out. See docs/guarded-chat.md.",
    )
    chat_upstream_api_key: Secret | None = declare(
        None, _SECTION, "The key that this server asks for, sent as a bearer token in place of the caller's."
    )
    chat_forward_authorization: bool = declare(
        False,
        _SECTION,
        "Without `chat_upstream_api_key`, pass the caller's own `Authorization` header on to the server. When this "
        "service has API keys, callers send theirs as `X-API-Key` then; a key of this service is never passed on.",
    )
    chat_prompt_first: bool = declare(
        False,
        _SECTION,
        "Judge the prompt before the chat model is called. Otherwise both happen at once: nothing is shown before the "
        "prompt has passed, but a prompt that is blocked has reached the chat model.",
    )
    chat_blocked_prompt: str = declare(
        "answer",
        _SECTION,
        "What a blocked prompt is answered with: `answer`, a completion with the policy's message and the "
        "finish reason `content_filter`, or `error`, status 400 with the code `content_filter`.",
        choices=("answer", "error"),
    )
    policy_choice: str = declare(
        "stricter",
        _SECTION,
        "Which policies a caller of the guarded chat may name with `X-Moderation-Policy`: `stricter`, only those that "
        "let nothing out which `default_policy` would not; `none`, only `default_policy`; or `any`. Another one is "
        "refused with status 403. On doors where a caller only asks for a verdict, such as `POST /moderate`, it names "
        "the policy it likes.",
        choices=("stricter", "none", "any"),
    )
    chat_judge_tool_results: bool = declare(
        False,
        _SECTION,
        "Judge the results of tools, such as pages that were fetched, as prompts before the chat model sees them.",
    )
    chat_allow_media: bool = declare(
        False,
        _SECTION,
        "Let images, sound and files through to the chat model, and sound back, and pass `/v1/audio/...` and "
        "`/v1/images/...` on. Nothing of them is judged but what is text. Otherwise they are refused.",
    )
    chat_judge_embeddings: bool = declare(
        False,
        _SECTION,
        "Judge the texts of `POST /v1/embeddings` as prompts before they are passed on; one that is blocked refuses "
        "the whole request. Otherwise they are passed on unjudged: their reply has no text. Costs a verdict each time.",
    )
    chat_max_streams: int = declare(
        24,
        _SECTION,
        "Most guarded chats that one worker has open, each of which holds one of its `threads`; beyond it 429 at once. "
        "It must be below `threads`, so that verdicts and health checks are still answered. Too low: refusals although "
        "the chat model is idle.",
        unit="chats",
        minimum=1,
        maximum=1024,
    )
    chat_connect_timeout_s: float = declare(
        5.0, _SECTION, "Time to connect to the server.", unit="seconds", minimum=0.05, maximum=60
    )
    chat_first_token_timeout_s: float = declare(
        60.0,
        _SECTION,
        "Time until the reply begins; of a reply that is not streamed, until it is complete. Too low: long "
        "prompts and long answers fail. Too high: a server that hangs is noticed late.",
        unit="seconds",
        minimum=0.1,
        maximum=3600,
    )
    chat_idle_timeout_s: float = declare(
        30.0, _SECTION, "Longest pause within a streamed reply.", unit="seconds", minimum=0.1, maximum=3600
    )
    chat_timeout_s: float = declare(
        600.0, _SECTION, "Time for the whole of a guarded chat.", unit="seconds", minimum=1, maximum=86400
    )
    chat_keep_alive_s: float = declare(
        10.0,
        _SECTION,
        "While a stream has nothing to show, a comment is sent this often, so that proxies and clients keep the "
        "connection. Until the first one is due, an error of the server is an HTTP status; later it is an event.",
        unit="seconds",
        minimum=0.05,
        maximum=600,
    )
    chat_max_answer_bytes: int = declare(
        8 * 1024 * 1024,
        _SECTION,
        "Most bytes of one reply of the server, beyond it an error; the memory that one chat can take is a few times "
        "this. A streamed token takes 200 to 400 bytes.",
        unit="bytes",
        minimum=1024,
        maximum=1024 * 1024 * 1024,
    )
    chat_piece_bytes: int = declare(
        128,
        _SECTION,
        "A streamed answer is judged in pieces that end at the end of a sentence or line and have at least this size; "
        "the first one at a quarter of it. Too low: many checks, each of which sees little. Too high: text appears "
        "late. A token is about 4 bytes of UTF-8.",
        unit="bytes",
        minimum=16,
        maximum=4096,
    )
    chat_hold_bytes: int = declare(
        320,
        _SECTION,
        "Most text that is held back while no sentence or line ends.",
        unit="bytes",
        minimum=16,
        maximum=4096,
    )
    responses_blocked: str = declare(
        "incomplete",
        _SECTION,
        "As what an answer of `POST /v1/responses` ends that was blocked: `incomplete`, with the reason "
        "`content_filter`; `failed`, with the code `invalid_prompt`, for agent command lines, which ask again after "
        "`incomplete`; or `completed`, for clients such as the Agents SDK that raise an exception otherwise and would "
        "not show the message.",
        choices=("incomplete", "failed", "completed"),
    )
    chat_memory_bytes: int = declare(
        64 * 1024 * 1024,
        _SECTION,
        "Memory, shared by the workers, for what `POST /v1/responses` let out, so that the next turn can refer to it "
        "(`previous_response_id`, `item_reference`). It holds text of prompts and answers, never on disk; each caller "
        "finds its own only. The oldest goes first. 0 remembers nothing: such references are refused then.",
        unit="bytes",
        minimum=0,
        maximum=16 * 1024 * 1024 * 1024,
    )
    chat_memory_ttl_s: float = declare(
        3600.0,
        _SECTION,
        "How long that is remembered at most. Too low: a conversation that pauses can't go on by reference.",
        unit="seconds",
        minimum=1,
        maximum=604_800,
    )
    chat_seal_key: Secret | None = declare(
        None,
        _SECTION,
        "The key by which sealed data of the model's server (`encrypted_content`, signatures of thoughts) is marked "
        "when it is handed out, and known when it comes back; what bears no mark is left out of a request. Without a "
        "key one is made at each start: give the same to all replicas.",
    )
