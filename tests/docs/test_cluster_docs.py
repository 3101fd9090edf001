"""docs/cluster.md, its Chinese twin and the KubeRay job; tests/ray runs the examples."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Command, Context

from moderation_service.commands.cli import cli

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("cluster.md", "cluster.zh-CN.md"))
each_page = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])
JOB: dict[str, Any] = yaml.safe_load((ROOT / "manifests" / "ray" / "rayjob.yaml").read_text(encoding="utf-8"))


def command(line: str) -> tuple[Command, list[str]]:
    program, name, *words = shlex.split(line)
    assert program == "moderation-service"
    found = cli.get_command(Context(cli), name)
    assert found is not None
    return found, words


def parsed(line: str) -> dict[str, Any]:
    """The options of a command line, as the command would read them."""
    found, words = command(line)
    return found.make_context(found.name, words).params


def test_the_commands_of_the_page_are_read_as_it_says() -> None:
    with_servers, with_vllm = re.findall(r"^\$ (moderation-service .*)$", ENGLISH, re.MULTILINE)
    assert parsed(with_servers) | {"ray_address": "auto", "ray_actors": 4, "inputs": ("chats.jsonl",)} == parsed(
        with_servers
    )
    assert parsed(with_vllm)["model"] == "Qwen/Qwen3Guard-Gen-4B"
    alone = parsed("moderation-service annotate in.jsonl -o out.jsonl --ray")
    assert (alone["ray_address"], alone["inputs"]) == ("local", ("in.jsonl",))


@each_page
def test_every_option_that_is_named_is_one(page: str) -> None:
    options = {word for option in command("moderation-service annotate")[0].params for word in option.opts}
    assert set(re.findall(r"`(--[a-z-]+)", page)) <= options


def test_the_job_for_kuberay_runs_the_command_on_workers_that_have_what_it_asks_for() -> None:
    asked = parsed(JOB["spec"]["entrypoint"])
    assert asked["ray_address"] == "auto"
    cluster = JOB["spec"]["rayClusterSpec"]
    [workers] = cluster["workerGroupSpecs"]
    assert asked["ray_actors"] == workers["replicas"] == workers["maxReplicas"]
    [head], [worker] = (one["template"]["spec"]["containers"] for one in (cluster["headGroupSpec"], workers))
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert head["image"] == worker["image"]
    # Files are read and written by the command, which runs on the head, where no actor is.
    mounts = [one["mountPath"] for one in head["volumeMounts"]]
    assert [Path(one).parent.as_posix() for one in (*asked["inputs"], asked["output"])] == [*mounts, *mounts]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert f"ray:{cluster['rayVersion']}-" in ENGLISH
    assert f"ray[data]=={cluster['rayVersion']}" in (ROOT / "tests" / "ray" / "requirements.txt").read_text()
