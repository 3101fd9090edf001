"""What the guarded chat needs to know, from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.settings import Settings
from ..errors import ConfigurationError
from ..streaming.growing_answer import Pacing
from ..wires.guarded_chat import GuardedOptions

__all__ = ["ChatOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """Where the model is, how long things may take, how much is held. Times in seconds."""

    url: str
    api_key: str | None = None
    forward_authorization: bool = False
    connect_timeout_s: float = 5.0
    first_token_timeout_s: float = 60.0
    idle_timeout_s: float = 30.0
    timeout_s: float = 600.0
    keep_alive_s: float = 10.0
    check_timeout_s: float = 30.0
    max_answer_bytes: int = 8 * 1024 * 1024
    max_streams: int = 24
    checks_at_once: int = 32
    prompt_first: bool = False
    blocked_prompt_is_error: bool = False
    pacing: Pacing = Pacing()
    request: GuardedOptions = GuardedOptions()

    @classmethod
    def of(cls, settings: Settings) -> ChatOptions | None:
        """The options of these settings; None where no model is configured. Raises ConfigurationError."""
        if settings.chat_upstream is None:
            return None
        if settings.chat_max_streams >= settings.threads:
            raise ConfigurationError(
                f"chat_max_streams: must be less than threads ({settings.threads}), or a worker that is full of chats "
                "could not even refuse the next one."
            )
        least = settings.chat_piece_bytes
        # The embedded engine computes: more of it at once would only take turns, and keep everything else waiting. Of
        # the calls to model servers half are left for what else is asked of this worker.
        checks_at_once = 2 if settings.engine == "lite" else max(1, settings.upstream_concurrency // 2)
        return cls(
            url=settings.chat_upstream,
            api_key=settings.chat_upstream_api_key.value if settings.chat_upstream_api_key else None,
            forward_authorization=settings.chat_forward_authorization,
            connect_timeout_s=settings.chat_connect_timeout_s,
            first_token_timeout_s=settings.chat_first_token_timeout_s,
            idle_timeout_s=settings.chat_idle_timeout_s,
            timeout_s=settings.chat_timeout_s,
            keep_alive_s=settings.chat_keep_alive_s,
            check_timeout_s=settings.deadline_s,
            max_answer_bytes=settings.chat_max_answer_bytes,
            max_streams=settings.chat_max_streams,
            checks_at_once=checks_at_once,
            prompt_first=settings.chat_prompt_first,
            blocked_prompt_is_error=settings.chat_blocked_prompt == "error",
            pacing=Pacing(
                first_bytes=max(1, least // 4), piece_bytes=least, hold_bytes=max(least, settings.chat_hold_bytes)
            ),
            request=GuardedOptions(
                judge_tool_results=settings.chat_judge_tool_results,
                allow_media=settings.chat_allow_media,
                policy_choice=settings.policy_choice,
            ),
        )
