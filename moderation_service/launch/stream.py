"""`up --stream`: a second vLLM with Qwen3Guard-Stream beside the first, and how the two share a GPU.

The rule: Gen has the last word on every text, so it is not made smaller than it must be; of what is left Stream takes
the largest model, down to the smallest. First tried is a cache for many answers at once, then for fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ..config.extras import install_command
from ..config.settings import Secret, Settings, Url
from ..errors import ConfigurationError, ModerationError
from .errors import LaunchError, NothingToRunOn, ServerFailed
from .gpu import Gpu
from .guard import GUARDS, Guard
from .plan import LARGEST_FRACTION, MARGIN_BYTES, Plan, Wishes, largest_usable, plan_cpu, plan_gpu
from .upstream import Upstream

__all__ = ["STREAM_FLAGS", "STREAM_GUARDS", "StreamUpstream", "check_installed", "plan_pair_cpu", "plan_pair_gpu"]

_MIB = 1024**2
_CONTEXT = 8192
STREAM_GUARDS: tuple[Guard, ...] = tuple(
    replace(guard, repo=guard.repo.replace("-Gen-", "-Stream-"), max_context=_CONTEXT) for guard in GUARDS
)
"""Their backbones are those of Gen; the guard heads are a few megabytes."""
_PAIRS = (("8B", "8B"), ("8B", "4B"), ("8B", "0.6B"), ("4B", "4B"), ("4B", "0.6B"), ("0.6B", "0.6B"))
_KV_TOKENS = (65536, 32768, 16384)
"""Room for 128, 64 or 32 answers of 500 tokens with their questions. An answer that loses its place costs its whole
length with every call."""
_GOOD_CONTEXT = 8192
# A reply has a row for every token computed; of a first, long call the last ones are enough.
STREAM_FLAGS = ("--hf-overrides", '{"guard_max_rows": 512}')
"""What `vllm serve` is told besides the usual."""


def check_installed() -> None:
    """Raise LaunchError when the service could not use what would be started."""
    if find_spec("tokenizers") is None:
        missing = "--stream: the package `tokenizers` is missing. To install it: "
        raise LaunchError(missing + install_command("stream"))


def plan_pair_gpu(gpus: Sequence[Gpu], wishes: Wishes, *, stream: Guard | None = None) -> tuple[Plan, Plan]:
    """The plans for Gen and for Stream, on the same GPU. Raises NothingToRunOn when they do not fit together.

    A fixed memory of `wishes` is for Gen; `stream` fixes the model of the other.
    """
    gpu = largest_usable(gpus)
    for gen, streaming in _candidates(wishes, stream):
        possible = [_together(gpu, replace(wishes, guard=gen), streaming, tokens) for tokens in _KV_TOKENS]
        found = [pair for pair in possible if pair is not None]
        good = [pair for pair in found if wishes.context or pair[0].context >= _GOOD_CONTEXT]
        if found:
            return (good or found[-1:])[0]
    raise NothingToRunOn(
        f"Qwen3Guard-Gen and Qwen3Guard-Stream do not fit on {gpu.label} together "
        f"({gpu.free_gib:.1f} of {gpu.total_gib:.1f} GiB are free); leave --stream out, or choose smaller models."
    )


def plan_pair_cpu(
    guard: Guard, *, available_bytes: int, context: int | None, stream: Guard | None = None
) -> tuple[Plan, Plan]:
    """Both on the CPU. Raises NothingToRunOn when the memory does not suffice."""
    gen = plan_cpu(guard, available_bytes=available_bytes, context=context)
    left = available_bytes - int(gen.memory_gib * 1024**3)
    return gen, plan_cpu(stream or STREAM_GUARDS[-1], available_bytes=left)


def _candidates(wishes: Wishes, stream: Guard | None) -> list[tuple[Guard, Guard]]:
    gens = {guard.size: guard for guard in GUARDS}
    streams = {guard.size: guard for guard in STREAM_GUARDS}
    if wishes.guard is None and stream is None:
        return [(gens[gen], streams[one]) for gen, one in _PAIRS]
    return [
        (gen, one)
        for gen in ((wishes.guard,) if wishes.guard else GUARDS)
        for one in ((stream,) if stream else STREAM_GUARDS)
    ]


def _together(gpu: Gpu, wishes: Wishes, stream: Guard, kv_tokens: int) -> tuple[Plan, Plan] | None:
    kv_bytes = kv_tokens * stream.kv_bytes_per_token
    total = gpu.total_mib * _MIB
    fraction = math.ceil((stream.weights_bytes + stream.overhead_bytes + kv_bytes) / total * 1000) / 1000
    # What is left for the other, so that both together stay below what one alone might take.
    usable = min(gpu.free_mib, int(LARGEST_FRACTION * gpu.total_mib) + MARGIN_BYTES // _MIB)
    left = replace(gpu, free_mib=usable - math.ceil(fraction * gpu.total_mib))
    if left.free_mib <= 0:
        return None
    try:
        gen = plan_gpu([left], wishes)
    except NothingToRunOn:
        return None
    streaming = Plan(
        guard=stream,
        gpu=gpu,
        context=min(_CONTEXT, stream.max_context),
        kv_bytes=kv_bytes,
        fraction=fraction,
        dtype=gen.dtype,
    )
    return replace(gen, gpu=gpu), streaming


class StreamUpstream(Upstream):
    """A vLLM with Qwen3Guard-Stream: warmed up by the engine's own test of it."""

    def __init__(self, url: str, *, api_key: Secret, model_dir: Path) -> None:
        super().__init__(url, api_key=api_key)
        self._settings = Settings(
            engine="stream", stream_upstream=Url(url), stream_model_dir=model_dir, stream_api_key=api_key
        )

    def warm_up(self, model: str, *, timeout_s: float) -> bool:
        """Test the server as the service will. Raises ServerFailed for one that gives no rows."""
        # Only here: it brings numpy along, which nothing else of `up` needs.
        from ..engines.stream import create

        try:
            engine = create(replace(self._settings, stream_timeout_s=min(timeout_s, 600.0)))
        except ConfigurationError as error:
            raise ServerFailed(str(error)) from error
        try:
            engine.check_ready()
        except ModerationError as error:
            raise ServerFailed(f"{self.url}: {error.message}") from error
        finally:
            engine.close()
        return True
