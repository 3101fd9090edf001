"""The engine `stream`: Qwen3Guard-Stream on a vLLM server with this project's plugin."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from ...config.settings import Settings
from ...errors import ConfigurationError
from ..vllm import UpstreamEvents
from .answer import Answer, JudgedToken
from .engine import StreamEngine, StreamOptions
from .labels import Labels, TokenVerdict
from .stopping import StopRule
from .tokenizer import Tokenizer

__all__ = ["Answer", "JudgedToken", "StopRule", "StreamEngine", "StreamOptions", "TokenVerdict", "create"]


def create(
    settings: Settings, *, events: UpstreamEvents | None = None, outgoing: Callable[[], bytes] | None = None
) -> StreamEngine:
    """The engine as the settings describe it. Raises ConfigurationError for settings or files that can't work."""
    if settings.stream_upstream is None:
        raise ConfigurationError("stream_upstream: engine stream needs the address of a server.")
    if settings.stream_model_dir is None:
        raise ConfigurationError(
            "stream_model_dir: needs the folder with the model's config.json and tokenizer.json; the weights can be "
            "left out."
        )
    config = _read_config(settings.stream_model_dir / "config.json")
    context = config.get("max_position_embeddings")
    if not isinstance(context, int) or isinstance(context, bool):
        raise ConfigurationError(f"{settings.stream_model_dir / 'config.json'}: max_position_embeddings is missing.")
    options = StreamOptions(
        upstream=settings.stream_upstream,
        api_key=settings.stream_api_key,
        model=settings.stream_model,
        stop_rule=StopRule(settings.stream_stop_rule),
        concurrency=settings.stream_concurrency,
        max_windows=settings.upstream_max_windows,
        connect_timeout_s=settings.upstream_connect_timeout_s,
        timeout_s=settings.stream_timeout_s,
        outgoing=outgoing,
    )
    return StreamEngine(
        options,
        tokenizer=Tokenizer.load(settings.stream_model_dir / "tokenizer.json"),
        labels=Labels.from_config(config),
        context_tokens=context,
        events=events,
    )


def _read_config(path: Path) -> Mapping[str, object]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: can't be read ({type(error).__name__}).") from None
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path}: is not a JSON object.")
    return config
