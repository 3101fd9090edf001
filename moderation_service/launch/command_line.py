"""The plan as the command and environment of `vllm serve`. No I/O."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.settings import Secret
from .errors import LaunchError
from .guard import GIB
from .plan import Plan

__all__ = ["HOST", "ServerCommand", "vllm_command", "without_secrets"]

HOST = "127.0.0.1"
"""vLLM's key protects only /v1: /metrics, /tokenize and others answer anybody who reaches the port."""

_OURS = (
    "--host",
    "--port",
    "--api-key",
    "--uds",
    "--served-model-name",
    "--ssl-certfile",
    "--ssl-keyfile",
    "--root-path",
)
# What a model server has no use for, and what makes it misbehave: Kubernetes sets VLLM_PORT=tcp://... for a Service
# called "vllm" (github.com/vllm-project/vllm/issues/34199), and its metrics don't belong into the service's folder.
_WITHHELD = (
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN"),
    *("VLLM_PORT", "VLLM_API_KEY", "PROMETHEUS_MULTIPROC_DIR"),
)
_WITHHELD_PREFIX = "MODERATION_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """How to start a model server. The API key is not in it: everybody can read the command line of a process."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """What is added to the environment."""
    port: int
    served_name: str
    key_variable: str = "VLLM_API_KEY"
    """The variable in which it looks for its key."""

    @property
    def base_url(self) -> str:
        """Where it will listen."""
        return f"http://{HOST}:{self.port}"

    def environment(self, base: Mapping[str, str], *, api_key: Secret) -> dict[str, str]:
        """The whole environment of the process, from ours; secrets of the service stay here."""
        return {**without_secrets(base), **self.env, self.key_variable: api_key.value}

    def render(self) -> str:
        """As one would type it into a shell."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join([*words, f"{self.key_variable}=<random>", shlex.join(self.argv)])


def without_secrets(base: Mapping[str, str]) -> dict[str, str]:
    """An environment without the service's secrets and settings, and without what makes model servers misbehave."""
    return {
        name: value for name, value in base.items() if name not in _WITHHELD and not name.startswith(_WITHHELD_PREFIX)
    }


def vllm_command(plan: Plan, *, program: str, model: Path, port: int, extra: Sequence[str] = ()) -> ServerCommand:
    """The command for a plan; `extra` comes last, so that it wins. Raises LaunchError for flags that are ours."""
    for word in extra:
        if word.split("=", 1)[0] in _OURS:
            raise LaunchError(f"--vllm-arg: {word.split('=', 1)[0]} is set by `up` itself.")
    served_name = plan.guard.repo
    argv = [
        *(program, "serve", str(model), "--host", HOST, "--port", str(port)),
        *("--served-model-name", served_name, "--max-model-len", str(plan.context), "--dtype", plan.dtype),
        "--enable-prefix-caching",
        # One line per request is written by the service already.
        "--disable-uvicorn-access-log",
    ]
    env = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if plan.gpu is None:
        argv.append("--enforce-eager")
        # Unset, vLLM takes most of the machine's memory for the KV cache.
        env["VLLM_CPU_KVCACHE_SPACE"] = str(plan.kv_bytes // GIB)
        # Else the first request with logprobs compiles for 20 s; on a CPU there is nothing to gain from it.
        env["TORCHDYNAMO_DISABLE"] = "1"
    else:
        argv += ["--gpu-memory-utilization", f"{plan.fraction:g}"]
        # nvidia-smi counts by PCI bus, CUDA by speed unless told otherwise. A slice has no number, only a UUID.
        env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        env["CUDA_VISIBLE_DEVICES"] = str(plan.gpu.index) if plan.gpu.mig_index is None else plan.gpu.uuid
    return ServerCommand(argv=(*argv, *extra), env=env, port=port, served_name=served_name)
