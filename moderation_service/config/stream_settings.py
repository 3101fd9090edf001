"""The settings of token-level judging: the answers that Qwen3Guard-Stream follows while they are being written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .setting import Secret, Url, declare

__all__ = ["StreamSettings"]

_STOP_RULES = ("report", "evaluation")
_SECTION = "Stream engine"


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Where Qwen3Guard-Stream runs, and how it is used."""

    stream_upstream: Url | None = declare(
        None,
        _SECTION,
        "Base address of the vLLM server that runs Qwen3Guard-Stream with the plugin of docs/stream.md. With it, "
        "answers are judged token by token while they are being written; with `engine: vllm` beside it, Qwen3Guard-Gen "
        "still judges prompts and gives a complete answer its final verdict.",
    )
    stream_model_dir: Path | None = declare(
        None,
        _SECTION,
        "Folder with `config.json` and `tokenizer.json` of that model, which say what its numbers mean and how text "
        "becomes tokens. Needed with `stream_upstream`; the weights are not read.",
    )
    stream_model: str | None = declare(
        None, _SECTION, "The model's name on that server. Needed only where it serves several."
    )
    stream_api_key: Secret | None = declare(
        None,
        _SECTION,
        "The key that the server asks for. vLLM's own `--api-key` does not protect the route in use here: keep the "
        "server on a private address.",
    )
    stream_chunk_tokens: int = declare(
        8,
        _SECTION,
        "New tokens per call while an answer is being written, counted as 4 bytes each. Too low: more calls, each of "
        "which also computes up to a cache block again. Too high: text is shown later.",
        unit="tokens",
        minimum=1,
        maximum=1024,
    )
    stream_stop_rule: str = declare(
        "report",
        _SECTION,
        "When a flagged token counts: `report`, when the one before it is flagged as well (unsafe or controversial); "
        "`evaluation`, when it has the same label, as in the model's evaluation script.",
        choices=_STOP_RULES,
    )
    stream_concurrency: int = declare(
        64,
        _SECTION,
        "Most calls that one worker has under way to that server; beyond it 429. Too low: refusals although the server "
        "is idle. Too high: calls queue in the server and come too late.",
        unit="calls",
        minimum=1,
        maximum=4096,
    )
    stream_timeout_s: float = declare(
        5.0,
        _SECTION,
        "Time for one call to that server. Too low: slow answers count as failures, and `engine` judges the answer in "
        "pieces instead. Too high: readers wait for a server that hangs.",
        unit="seconds",
        minimum=0.1,
        maximum=600,
    )
