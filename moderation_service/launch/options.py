"""What `up` is asked to do, and the world around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config.settings import Secret, Settings
from .gpu import Detection, find_gpus
from .hub import Source
from .machine import Machine, read_machine
from .progress import Console

__all__ = ["Outside", "UpOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the user asked for; None is left to the plan."""

    size: str | None = None
    model: str | None = None
    model_dir: Path | None = None
    source: Source = Source.HUGGINGFACE
    revision: str | None = None
    endpoint: str | None = None
    token: Secret | None = None
    cache_dir: Path | None = None
    context: int | None = None
    fraction: float | None = None
    memory_gib: float | None = None
    cpu: bool = False
    cpu_engine: str | None = None
    engine_lock: Path | None = None
    yes: bool = False
    prepare_only: bool = False
    quiet: bool = False
    drop_source: bool = False
    stream: bool = False
    stream_size: str | None = None
    stream_model_dir: Path | None = None
    vllm: str | None = None
    vllm_port: int | None = None
    vllm_args: tuple[str, ...] = ()
    start_timeout_s: float = 900.0
    upstreams: tuple[str, ...] = ()
    dry_run: bool = False
    service_args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The world around `up`, for tests."""

    environ: Mapping[str, str]
    console: Console
    settings: Callable[[Mapping[str, str]], Settings]
    """The service's settings, from an environment and the options for `serve`."""
    print: Callable[[str], None]
    ask: Callable[[str], bool] | None = None
    """Asks the user a question; None where nobody sits in front of it."""
    detect: Callable[[str | None], Detection] = lambda visible: find_gpus(visible=visible)
    machine: Callable[[], Machine] = read_machine
    sleep: Callable[[float], None] = time.sleep
