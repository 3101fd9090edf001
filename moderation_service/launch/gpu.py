"""Which GPUs this machine has, and how much of their memory is free: read from `nvidia-smi`, without loading CUDA."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree

__all__ = ["Detection", "Gpu", "find_gpus", "parse_capabilities", "parse_nvidia_smi", "parse_uuids", "select_visible"]

_TIMEOUT_S = 20.0
"""nvidia-smi answers in under a second; the first call after the driver went to sleep takes several."""

# https://docs.nvidia.com/cuda/cuda-c-programming-guide: bfloat16 arithmetic came with Ampere (compute capability 8.0).
_BFLOAT16 = (8, 0)
_VLLM = (7, 0)
"""The compute capability that vLLM needs, which came with Volta (its installation page)."""
_TOO_OLD = frozenset({"Pascal", "Maxwell", "Kepler", "Fermi"})
_WITHOUT_BFLOAT16 = _TOO_OLD | {"Turing", "Volta"}

Runner = Callable[[Sequence[str]], str]
"""Runs a command and returns its output; raises OSError or subprocess.SubprocessError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One device that vLLM can use: a whole GPU, or one MIG slice of it. Memory in MiB, as CUDA counts it."""

    index: int
    """Position on the PCI bus, which is nvidia-smi's numbering."""
    name: str
    uuid: str
    total_mib: int
    free_mib: int
    architecture: str = ""
    """`Hopper`, `Ampere`, ...; empty where the driver does not say."""
    mig_index: int | None = None
    """The slice's number on its GPU; None for a whole GPU."""
    capability: tuple[int, int] | None = None
    """CUDA's compute capability; None where the driver is too old to say, and then the architecture stands for it."""

    @property
    def total_gib(self) -> float:
        """All memory of the device."""
        return self.total_mib / 1024

    @property
    def free_gib(self) -> float:
        """What other programs have left."""
        return self.free_mib / 1024

    @property
    def has_bfloat16(self) -> bool:
        """Whether it computes in bfloat16, the type of Qwen3Guard's weights; true where the driver does not say."""
        if self.capability is not None:
            return self.capability >= _BFLOAT16
        return self.architecture not in _WITHOUT_BFLOAT16

    @property
    def runs_vllm(self) -> bool:
        """Whether vLLM has kernels for it; true where the driver does not say what it is."""
        if self.capability is not None:
            return self.capability >= _VLLM
        return self.architecture not in _TOO_OLD

    @property
    def label(self) -> str:
        """The device in words."""
        slice_ = "" if self.mig_index is None else f", MIG slice {self.mig_index}"
        return f"GPU {self.index} ({self.name}{slice_})"


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found; `problem` says in a sentence why there is nothing."""

    gpus: tuple[Gpu, ...]
    problem: str | None = None


def find_gpus(
    *,
    visible: str | None = None,
    run: Runner | None = None,
    which: Callable[[str], str | None] = shutil.which,
) -> Detection:
    """The GPUs of this machine, as far as `visible` (the value of CUDA_VISIBLE_DEVICES) allows them."""
    if which("nvidia-smi") is None:
        if which("rocm-smi") is not None or which("amd-smi") is not None:
            return Detection((), "This machine has AMD tools; `up` knows NVIDIA GPUs only. Start vLLM yourself.")
        return Detection((), "nvidia-smi is not installed, so there seems to be no NVIDIA driver.")
    run = run or _run
    try:
        gpus = parse_nvidia_smi(run(("nvidia-smi", "-q", "-x")))
        gpus = _with_capabilities(gpus, run)
        if any(gpu.mig_index is not None and not gpu.uuid for gpu in gpus):
            gpus = _with_uuids(gpus, parse_uuids(run(("nvidia-smi", "-L"))))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Detection((), f"nvidia-smi failed ({_reason(error)}); the driver may need to be loaded or reinstalled.")
    if not gpus:
        return Detection((), "nvidia-smi finds no GPU whose memory it can tell.")
    chosen = select_visible(gpus, visible)
    if not chosen:
        return Detection((), f"CUDA_VISIBLE_DEVICES={visible} names none of the {len(gpus)} GPUs here.")
    return Detection(chosen)


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """The devices in the output of `nvidia-smi -q -x`. Raises ValueError when it is something else.

    A GPU in MIG mode can't be used as a whole: its slices stand in its place. Drivers differ in whether a slice's
    UUID is in this output; where it is missing it is empty here.
    """
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # the driver's own tool wrote it
    except ElementTree.ParseError as error:
        raise ValueError("no XML") from error
    found: list[Gpu] = []
    for index, node in enumerate(root.iter("gpu")):
        name = node.findtext("product_name", "unknown").strip()
        whole = _device(node, index=index, name=name, architecture=_word(node, "product_architecture"))
        if _word(node, "mig_mode/current_mig") != "Enabled":
            if whole is not None:
                found.append(whole)
            continue
        for position, slice_node in enumerate(node.iter("mig_device")):
            slice_ = _device(slice_node, index=index, name=name, architecture=_word(node, "product_architecture"))
            if slice_ is not None:
                number = _word(slice_node, "index")
                found.append(replace(slice_, mig_index=int(number) if number.isdigit() else position))
    return tuple(found)


def parse_uuids(text: str) -> dict[tuple[int, int | None], str]:
    """UUIDs in the output of `nvidia-smi -L`, by number of the GPU and of the slice (None for the GPU itself)."""
    found: dict[tuple[int, int | None], str] = {}
    gpu = -1
    for line in text.splitlines():
        if whole := re.match(r"GPU (\d+): .*\(UUID: (GPU-[^)]+)\)", line):
            gpu = int(whole[1])
            found[gpu, None] = whole[2]
        elif slice_ := re.match(r"\s+MIG .*Device\s+(\d+): \(UUID: (MIG-[^)]+)\)", line):
            found[gpu, int(slice_[1])] = slice_[2]
    return found


def parse_capabilities(text: str) -> dict[int, tuple[int, int]]:
    """What `nvidia-smi --query-gpu=index,compute_cap --format=csv,noheader` prints, by number of the GPU."""
    found = re.findall(r"^(\d+), *(\d{1,3})\.(\d{1,3})\s*$", text, re.MULTILINE)
    return {int(index): (int(major), int(minor)) for index, major, minor in found}


def select_visible(gpus: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """The devices that CUDA_VISIBLE_DEVICES names, by number or by the beginning of a UUID; None means all."""
    if visible is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for word in (part.strip() for part in visible.split(",")):
        matching = [
            gpu
            for gpu in gpus
            if (word.isdigit() and gpu.mig_index is None and gpu.index == int(word))
            or (word.startswith(("GPU-", "MIG-")) and gpu.uuid.startswith(word))
        ]
        if not matching:
            # CUDA ignores everything behind the first name it doesn't know.
            break
        chosen.extend(matching[:1])
    return tuple(chosen)


def _device(node: ElementTree.Element, *, index: int, name: str, architecture: str) -> Gpu | None:
    """None where the memory is not told: then it can't be used."""
    total, free = _mib(node, "fb_memory_usage/total"), _mib(node, "fb_memory_usage/free")
    # CUDA, and with it vLLM's memory fraction, counts without what the driver keeps for itself.
    reserved = _mib(node, "fb_memory_usage/reserved") or 0
    if total is None or free is None or total <= reserved:
        return None
    uuid = _word(node, "uuid")
    return Gpu(index=index, name=name, uuid=uuid, total_mib=total - reserved, free_mib=free, architecture=architecture)


def _mib(node: ElementTree.Element, path: str) -> int | None:
    number, _, unit = _word(node, path).partition(" ")
    return int(number) if number.isdigit() and unit == "MiB" else None


def _word(node: ElementTree.Element, path: str) -> str:
    text = node.findtext(path, "").strip()
    return "" if text == "N/A" else text


def _with_uuids(gpus: Sequence[Gpu], uuids: dict[tuple[int, int | None], str]) -> tuple[Gpu, ...]:
    return tuple(gpu if gpu.uuid else replace(gpu, uuid=uuids.get((gpu.index, gpu.mig_index), "")) for gpu in gpus)


def _with_capabilities(gpus: Sequence[Gpu], run: Runner) -> tuple[Gpu, ...]:
    """Drivers before 510 don't know the question, and answer it with an error."""
    try:
        known = parse_capabilities(run(("nvidia-smi", "--query-gpu=index,compute_cap", "--format=csv,noheader")))
    except (OSError, subprocess.SubprocessError):
        known = {}
    return tuple(replace(gpu, capability=known.get(gpu.index)) for gpu in gpus)


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=_TIMEOUT_S).stdout  # noqa: S603


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stdout or error.stderr or "").strip().splitlines()
        return said[0][:200] if said else f"exit code {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return "no answer"
    return str(error)
