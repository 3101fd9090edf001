"""The programs that run Qwen3Guard-Gen on a CPU, each behind the same few facts. No I/O.

An engine is a name, a lock of what its environment holds, the command that makes of a model what it serves, and the
command that serves it. Adding one adds a class here, a lock in `locks/` and a line in CPU_ENGINES; where its server
speaks a new dialect, that is added in `upstream/dialects`.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .command_line import ServerCommand, vllm_command
from .guard import GIB, GUARDS, Guard
from .machine import Machine
from .plan import Plan

__all__ = ["CPU_ENGINES", "CpuEngine", "Load", "Needs"]

_HERE = Path(__file__).parent
_MB = 1_000_000
_Costs = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What a server is to be ready for."""

    context: int
    """Tokens of the longest question, with the guard's own text around it."""
    slots: int
    """Questions that are computed at the same time."""
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an engine takes besides the model's own files. Bytes."""

    fetched: int
    """From the package index."""
    environment: int
    """Of the disk, for its programs."""
    artefact: int
    """Of the disk, for what it makes of the model; 0 where it serves the model's own files."""
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuEngine(ABC):
    """One way to run the model on a CPU."""

    name: str
    """As in `--cpu-engine`."""
    title: str
    dialect: str
    """A name in `upstream/dialects.DIALECTS`."""
    lock: Path
    """The requirements of its environment, with hashes."""
    imports: tuple[str, ...]
    """Modules that must be importable there."""
    extra_index: str | None = None
    """Where wheels of the lock are that the package index has only as builds for GPUs."""
    suffix: str = ""
    """Of the file that it serves; empty where it serves the model's folder."""
    alias: tuple[str, str] | None = None
    """A distribution's name and version that its code asks for, where its wheel has another name."""

    @abstractmethod
    def unsuited(self, machine: Machine) -> str | None:
        """Why it can't run there, in a sentence; None if it can."""

    @abstractmethod
    def needs(self, guard: Guard, load: Load) -> Needs:
        """What it takes for this model."""

    @abstractmethod
    def seconds(self, guard: Guard, tokens: int, *, threads: int) -> float:
        """About how long a full verdict takes on a question of so many tokens, its common beginning being cached."""

    @abstractmethod
    def conversion(self, python: Path, model: Path, artefact: Path) -> Sequence[str]:
        """The command that makes the artefact of a model's folder; empty where there is nothing to make."""

    @abstractmethod
    def command(self, python: Path, served: Path, *, port: int, guard: Guard, load: Load) -> ServerCommand:
        """The command that serves it."""


class _LlamaCpp(CpuEngine):
    """llama.cpp's HTTP server with 8-bit weights: small, quick to install, complete."""

    __slots__ = ()

    def unsuited(self, machine: Machine) -> str | None:
        if machine.architecture not in ("x86_64", "aarch64"):
            return f"its wheels are for x86_64 and aarch64, not for {machine.architecture}"
        return _unsuited_library(machine)

    def needs(self, guard: Guard, load: Load) -> Needs:
        # Q8_0: 34 bytes for 32 weights.
        weights = guard.weights_bytes // 2 * 34 // 32
        cache = load.context * load.slots * guard.kv_bytes_per_token
        return Needs(fetched=52 * _MB, environment=190 * _MB, artefact=weights, memory=weights + cache + 300 * _MB)

    def seconds(self, guard: Guard, tokens: int, *, threads: int) -> float:
        return _core_seconds(((320, 1.43), (600, 4.71), (2000, 27.7)), guard, tokens) / threads

    def conversion(self, python: Path, model: Path, artefact: Path) -> Sequence[str]:
        return (str(python), "-I", str(_HERE / "inside" / "convert.py"), str(model), str(artefact))

    def command(self, python: Path, served: Path, *, port: int, guard: Guard, load: Load) -> ServerCommand:
        numbers = {"port": port, "context": load.context, "slots": load.slots, "threads": load.threads}
        argv = [str(python), "-I", str(_HERE / "inside" / "serve_llamacpp.py"), str(served), "--name", guard.repo]
        for flag, number in numbers.items():
            argv += [f"--{flag}", str(number)]
        return ServerCommand(argv=tuple(argv), env={}, port=port, served_name=guard.repo, key_variable="LLAMA_API_KEY")


class _Vllm(CpuEngine):
    """vLLM's build for CPUs: the wire of a GPU's vLLM, quicker where the CPU knows bfloat16, ten times as large."""

    __slots__ = ()

    def unsuited(self, machine: Machine) -> str | None:
        if machine.architecture != "x86_64":
            return f"its lock is for x86_64, not for {machine.architecture}"
        if machine.python != (3, 11):
            return f"its lock is for Python 3.11, this is {machine.python[0]}.{machine.python[1]}"
        return _unsuited_library(machine)

    def needs(self, guard: Guard, load: Load) -> Needs:
        memory = guard.weights_bytes + 2 * GIB + self._kv_bytes(guard, load)
        return Needs(fetched=560 * _MB, environment=1900 * _MB, artefact=0, memory=memory)

    def seconds(self, guard: Guard, tokens: int, *, threads: int) -> float:
        return _core_seconds(((320, 0.83), (600, 1.81), (2000, 8.91)), guard, tokens) / threads

    def conversion(self, python: Path, model: Path, artefact: Path) -> Sequence[str]:
        return ()

    def command(self, python: Path, served: Path, *, port: int, guard: Guard, load: Load) -> ServerCommand:
        plan = Plan(
            guard=guard,
            gpu=None,
            context=load.context,
            kv_bytes=self._kv_bytes(guard, load),
            fraction=None,
            dtype="bfloat16",
        )
        # The common beginning of all questions has some 200 tokens: blocks of 128, the default, hold half of it.
        extra = ("--block-size", "32")
        return vllm_command(plan, program=str(python.with_name("vllm")), model=served, port=port, extra=extra)

    @staticmethod
    def _kv_bytes(guard: Guard, load: Load) -> int:
        # vLLM takes whole GiB here (VLLM_CPU_KVCACHE_SPACE).
        return math.ceil(load.slots * load.context * guard.kv_bytes_per_token / GIB) * GIB


CPU_ENGINES: Mapping[str, CpuEngine] = {
    engine.name: engine
    for engine in (
        _LlamaCpp(
            name="llamacpp",
            title="llama.cpp",
            dialect="llamacpp",
            lock=_HERE / "locks" / "llamacpp.txt",
            imports=("xllamacpp", "gguf", "numpy"),
            suffix=".q8_0.gguf",
        ),
        _Vllm(
            name="vllm",
            title="vLLM",
            dialect="vllm",
            lock=_HERE / "locks" / "vllm.txt",
            imports=("torch", "vllm.entrypoints.openai.api_server"),
            extra_index="https://download.pytorch.org/whl/cpu",
            # The command asks for the version of "vllm", and takes the platform from it.
            alias=("vllm", "0.32.0+cpu"),
        ),
    )
}
"""By name; the first is the default."""


def _unsuited_library(machine: Machine) -> str | None:
    if machine.glibc is None or machine.glibc < (2, 28):
        return "its wheels need glibc 2.28 or newer (Debian 10, Ubuntu 20.04, RHEL 8)"
    return None


def _core_seconds(costs: _Costs, guard: Guard, tokens: int) -> float:
    """CPU seconds of one verdict by one thread, between and beyond the lengths that were measured.

    Measured with the 0.6B's dimensions on an AMD EPYC with AVX-512 and bfloat16 (docs/cpu.md); taken to grow with the
    number of weights.
    """
    (begin, low), (end, high) = next((pair for pair in itertools.pairwise(costs) if tokens <= pair[1][0]), costs[-2:])
    seconds = low + (high - low) * (tokens - begin) / (end - begin)
    return max(seconds, costs[0][1] / 2) * guard.weights_bytes / GUARDS[-1].weights_bytes
