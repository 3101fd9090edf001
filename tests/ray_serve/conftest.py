"""A Ray Serve LLM of two replicas, as examples/serving-stacks/ray-serve.yaml has it but with tiny-guard on CPU.

The tests run in the environment that run.sh makes; elsewhere they are not even read.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]
TINY_GUARD = ROOT / "examples/tiny-guard"
SHOWN = ROOT / "examples/serving-stacks/ray-serve.yaml"
CONTEXT_TOKENS = 512
START_S = 300

collect_ignore_glob = [] if importlib.util.find_spec("ray") and importlib.util.find_spec("vllm") else ["test_*.py"]

# Nothing is told to anybody and nothing is fetched; Ray's processes inherit it.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> None:
    """In place of the check for all other tests: Ray keeps threads of its own."""


def answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{url}/v1/models", timeout=5).status_code == 200
    return False


@contextlib.contextmanager
def one_server() -> Iterator[str]:
    """vLLM alone with tiny-guard; its address."""
    port = free_port()
    command = ["bash", str(TINY_GUARD / "serve_vllm_cpu.sh"), str(TINY_GUARD / "model"), str(port)]
    process = subprocess.Popen(command, env={**os.environ, "VENV": sys.prefix}, stdout=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}"), within_s=START_S)
        assert process.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


class Served:
    """The application as it runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def deploy(self, **options: object) -> None:
        """Give Ray Serve the application with these options of its replicas, as a RayService does; doesn't wait.

        When they differ from those of before, Ray Serve replaces the replicas one after the other.
        """
        from ray import serve
        from ray.serve.llm import build_openai_app

        serve.run(build_openai_app(_arguments(options)), name="guard", route_prefix="/", blocking=False)

    def replicas(self) -> set[int]:
        """The processes of the model's replicas."""
        return {pid for pid, name in _processes() if name.startswith("ray::ServeReplica") and "LLMServer" in name}

    def is_whole(self) -> bool:
        """Whether both replicas run and no others, by Ray's own word."""
        from ray import serve

        deployments = serve.status().applications["guard"].deployments
        [states] = [one.replica_states for name, one in deployments.items() if name.startswith("LLMServer")]
        return {str(getattr(state, "value", state)): count for state, count in states.items()} == {"RUNNING": 2}


def _processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _arguments(options: Mapping[str, object]) -> dict[str, Any]:
    """What the example gives to `build_openai_app`, with another model, on CPU, and these options of its replicas."""
    [application] = yaml.safe_load(yaml.safe_load(SHOWN.read_text())["spec"]["serveConfigV2"])["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    arguments: dict[str, Any] = application["args"]
    [config] = arguments["llm_configs"]
    config["model_loading_config"]["model_source"] = str(TINY_GUARD / "model")
    config["engine_kwargs"] |= {"max_model_len": CONTEXT_TOKENS, "dtype": "bfloat16", "enforce_eager": True}
    config["deployment_config"] |= options
    config |= {"accelerator_config": {"kind": "cpu"}, "log_engine_metrics": False}
    return arguments


@pytest.fixture(scope="session")
def ray_serve() -> Iterator[Served]:
    import ray
    from ray import serve

    ray.init(address="local", num_cpus=8, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    served = Served(f"http://127.0.0.1:{port}")
    served.deploy()
    until(served.is_whole, within_s=START_S)
    yield served
    serve.shutdown()
    ray.shutdown()
