"""From free memory to a model, a context length and vLLM's memory fraction. No I/O.

The rule, in GiB: memory = weights + overhead + KV cache. The largest model is taken whose KV cache has room for two
conversations of a good context length at once (one, at the shortest). Of a large GPU only as much is taken as a
guard can use, so that the model it guards can live on the same card.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import NothingToRunOn
from .gpu import Gpu
from .guard import GIB, GUARDS, Guard

__all__ = ["LARGEST_FRACTION", "MARGIN_BYTES", "Plan", "Wishes", "largest_usable", "plan_cpu", "plan_gpu"]

_CONTEXTS = ((32768, 2), (16384, 2), (10240, 2), (8192, 2), (4096, 1))
"""Context lengths worth having, and how many conversations of that length must fit at once. Typical conversations
have a few hundred tokens, so at the shortest length one is enough."""
LARGEST_FRACTION = 0.9
"""vLLM's own default is 0.90 to 0.92, depending on its version; the rest is for the driver and fragmentation."""
MARGIN_BYTES = 256 * 1024**2
"""Left of what is free: a desktop or another process may grow while vLLM loads, and vLLM then refuses to start."""
_KV_TOKENS_WANTED = 65536
"""More KV cache than this rarely helps a guard: it is room for 100 conversations of 650 tokens at the same moment."""
_CPU_OVERHEAD_BYTES = 2 * GIB
"""Three processes without weights and KV cache; 1.7 to 2.0 GB were measured with vLLM 0.32."""
_CPU_CONTEXT = 4096
"""A longer prompt takes minutes on a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user fixed; None is left to the plan. At most one of `fraction` and `memory_gib` is set."""

    guard: Guard | None = None
    context: int | None = None
    fraction: float | None = None
    memory_gib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How vLLM is to be started."""

    guard: Guard
    gpu: Gpu | None
    """None: on the CPU."""
    context: int
    kv_bytes: int
    """For the KV cache; on a GPU an estimate, because vLLM measures what is left."""
    fraction: float | None
    """Of the GPU's whole memory; None on the CPU."""
    dtype: str

    @property
    def kv_tokens(self) -> int:
        """How many tokens of all conversations in progress fit at once."""
        return self.kv_bytes // self.guard.kv_bytes_per_token

    @property
    def memory_gib(self) -> float:
        """What vLLM will take."""
        if self.gpu is not None and self.fraction is not None:
            return self.fraction * self.gpu.total_gib
        return (self.guard.weights_bytes + _CPU_OVERHEAD_BYTES + self.kv_bytes) / GIB

    def describe(self) -> str:
        """The plan in one line."""
        place = "on the CPU" if self.gpu is None else f"on {self.gpu.label}, {self.gpu.free_gib:.1f} GiB free"
        return (
            f"{self.guard.repo} {place}: context {self.context}, about {self.memory_gib:.1f} GiB "
            f"({self.guard.weights_bytes / GIB:.1f} weights, {self.kv_bytes / GIB:.1f} KV cache "
            f"= {self.kv_tokens} tokens), {self.dtype}"
        )


def plan_gpu(gpus: Sequence[Gpu], wishes: Wishes | None = None, *, guards: Sequence[Guard] = GUARDS) -> Plan:
    """The plan for the GPU with the most free memory, of those that vLLM runs on.

    Raises NothingToRunOn, with the figures, when nothing fits.
    """
    wishes = wishes or Wishes()
    gpu = largest_usable(gpus)
    allowed = _allowed_fraction(gpu, wishes)
    budget = allowed * gpu.total_mib * 1024**2
    for guard in (wishes.guard,) if wishes.guard else guards:
        room = int(budget) - guard.weights_bytes - guard.overhead_bytes
        context = _context(guard, room // guard.kv_bytes_per_token, wishes.context)
        if context is not None:
            fixed = wishes.fraction is not None or wishes.memory_gib is not None
            fraction = allowed if fixed else min(allowed, _wanted_fraction(gpu, guard, context))
            kv_bytes = int(fraction * gpu.total_mib * 1024**2) - guard.weights_bytes - guard.overhead_bytes
            return Plan(
                guard=guard,
                gpu=gpu,
                context=context,
                kv_bytes=kv_bytes,
                fraction=fraction,
                dtype="bfloat16" if gpu.has_bfloat16 else "float16",
            )
    raise NothingToRunOn(_too_small(gpu, budget, wishes, guards))


def largest_usable(gpus: Sequence[Gpu]) -> Gpu:
    """The one with the most free memory, of those that vLLM runs on. Raises NothingToRunOn if there is none."""
    usable = [gpu for gpu in gpus if gpu.runs_vllm]
    if not usable:
        first = gpus[0]
        what = f"of the generation {first.architecture}" if first.architecture else "too old"
        if first.capability is not None:
            what += " (compute capability {}.{})".format(*first.capability)
        raise NothingToRunOn(
            f"{first.label} is {what}; vLLM needs Volta or newer (compute capability 7.0). --cpu runs the model on the "
            "CPU."
        )
    return max(usable, key=lambda one: (one.free_mib, -one.index))


def plan_cpu(guard: Guard, *, available_bytes: int, context: int | None = None) -> Plan:
    """The plan for vLLM on the CPU. Raises NothingToRunOn when the memory does not suffice."""
    chosen = min(_CPU_CONTEXT, guard.max_context) if context is None else context
    _check_context(guard, chosen)
    # vLLM takes whole GiB here (VLLM_CPU_KVCACHE_SPACE).
    kv_bytes = math.ceil(2 * chosen * guard.kv_bytes_per_token / GIB) * GIB
    plan = Plan(guard=guard, gpu=None, context=chosen, kv_bytes=kv_bytes, fraction=None, dtype="bfloat16")
    if plan.memory_gib > available_bytes / GIB:
        raise NothingToRunOn(
            f"{guard.repo} on the CPU needs about {plan.memory_gib:.1f} GiB of memory; {available_bytes / GIB:.1f} GiB "
            "are available. A smaller --size or a shorter --max-model-len needs less."
        )
    return plan


def _allowed_fraction(gpu: Gpu, wishes: Wishes) -> float:
    """The largest fraction of the GPU that vLLM may take, rounded down to three places."""
    free = gpu.free_mib / gpu.total_mib
    asked = wishes.fraction
    if wishes.memory_gib is not None:
        asked = _floor(wishes.memory_gib / gpu.total_gib)
    if asked is None:
        return max(0.0, min(LARGEST_FRACTION, _floor(free - MARGIN_BYTES / (gpu.total_mib * 1024**2))))
    if asked > free:
        # vLLM compares the same two numbers when it starts, and refuses.
        raise NothingToRunOn(
            f"{asked * gpu.total_gib:.1f} GiB were asked for, but only {gpu.free_gib:.1f} of the "
            f"{gpu.total_gib:.1f} GiB of {gpu.label} are free."
        )
    return asked


def _wanted_fraction(gpu: Gpu, guard: Guard, context: int) -> float:
    tokens = max(_KV_TOKENS_WANTED, 2 * context)
    wanted = guard.weights_bytes + guard.overhead_bytes + tokens * guard.kv_bytes_per_token
    return math.ceil(wanted / (gpu.total_mib * 1024**2) * 1000) / 1000


def _context(guard: Guard, kv_tokens: int, asked: int | None) -> int | None:
    """The longest good context for which `kv_tokens` suffice, or the one asked for; None when it does not fit."""
    if asked is not None:
        _check_context(guard, asked)
        return asked if kv_tokens >= asked else None
    choices = [(context, at_once) for context, at_once in _CONTEXTS if context <= guard.max_context]
    for context, at_once in choices or [(guard.max_context, 1)]:
        if kv_tokens >= context * at_once:
            return context
    return None


def _check_context(guard: Guard, context: int) -> None:
    if context > guard.max_context:
        raise NothingToRunOn(f"--max-model-len: {guard.repo} goes up to {guard.max_context}, not {context}.")


def _too_small(gpu: Gpu, budget: float, wishes: Wishes, guards: Sequence[Guard]) -> str:
    guard = wishes.guard or guards[-1]
    context = wishes.context or min(_CONTEXTS[-1][0], guard.max_context)
    needed = (guard.weights_bytes + guard.overhead_bytes + context * guard.kv_bytes_per_token) / GIB
    return (
        f"{guard.repo} with context {context} needs about {needed:.1f} GiB; {budget / GIB:.1f} of the "
        f"{gpu.total_gib:.1f} GiB of {gpu.label} can be used ({gpu.free_gib:.1f} GiB are free)."
    )


def _floor(fraction: float) -> float:
    return math.floor(fraction * 1000) / 1000
