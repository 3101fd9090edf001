"""docs/deploy-gpu.md and its Chinese twin: the commands are understood, and what they print is what is printed."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from moderation_service.commands.bench import bench_command
from moderation_service.commands.cli import cli
from moderation_service.commands.up import up_command
from moderation_service.launch.cpu_engines import CPU_ENGINES
from moderation_service.launch.cpu_plan import plan_on_cpu
from moderation_service.launch.guard import GIB, GUARDS
from moderation_service.launch.machine import Machine
from moderation_service.launch.preparation import Missing

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("deploy-gpu.md", "deploy-gpu.zh-CN.md")
CPU_PAGES = ("cpu.md", "cpu.zh-CN.md")
CARD = Path(__file__).parent / "nvidia_smi" / "one_gpu.xml"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page):
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if "moderation-service up" in line]


@pytest.mark.parametrize("pages", [PAGES, CPU_PAGES])
def test_both_languages_have_the_same_commands_and_outputs(pages):
    english, chinese = pages
    assert commands(english) == commands(chinese)
    for language in ("sh", "text"):
        assert blocks(english, language) == blocks(chinese, language)


@pytest.mark.parametrize("line", [*commands(PAGES[0]), *commands(CPU_PAGES[0])])
def test_every_command_is_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line.partition("moderation-service up")[2])
    context = up_command.make_context("up", arguments)
    assert isinstance(context, click.Context)


def test_the_commands_that_measure_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        line for block in blocks(PAGES[0], "sh") for line in block.splitlines() if "moderation-service bench" in line
    ]
    assert lines
    for line in lines:
        bench_command.make_context("bench", shlex.split(line.partition("moderation-service bench")[2]))


def test_the_unit_starts_a_command_that_is_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DOCS.parent / "manifests" / "systemd" / "moderation-service-up.service")
    program, up, *arguments = shlex.split(parser["Service"]["ExecStart"])
    assert (Path(program).name, up) == ("moderation-service", "up")
    assert arguments.pop() == "$UP_OPTIONS"
    assert up_command.make_context("up", arguments).params["config"] == Path("/etc/moderation/config.yaml")


@pytest.mark.parametrize("page", PAGES)
def test_the_options_shown_for_the_unit_are_understood(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"`UP_OPTIONS=([^`]*)`", (DOCS / page).read_text(encoding="utf-8"))
    assert shown
    for options in shown:
        up_command.make_context("up", shlex.split(options))


def test_the_example_prints_what_the_page_says(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat {CARD}\n")
    tool.chmod(0o755)
    for name in ("XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES", "HF_ENDPOINT", "HF_TOKEN", "MODERATION_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", "/home/guard")
    monkeypatch.setattr("moderation_service.launch.up.sys.executable", "/nowhere/python")
    (line,) = (line for line in commands(PAGES[0]) if "--gpu-memory 14" in line)
    arguments = shlex.split(line)[1:]
    done = CliRunner().invoke(cli, [*arguments, "--vllm-port", "8001"])
    (printed,) = blocks(PAGES[0], "text")
    assert done.stdout == printed


def test_the_plan_for_a_cpu_is_what_the_page_says():
    plan = plan_on_cpu(
        CPU_ENGINES["llamacpp"],
        GUARDS[-1],
        Machine(
            cores=8,
            available_bytes=16 * GIB,
            architecture="x86_64",
            glibc=(2, 36),
            python=(3, 11),
            cpu_flags=frozenset(),
        ),
        missing=Missing(environment=True, model=True, artefact=True),
        origin="https://huggingface.co",
        cache=Path("/home/guard/.cache/moderation-service/models"),
        free_bytes=50_000_000_000,
    )
    (shown,) = blocks(CPU_PAGES[0], "text")
    assert shown.splitlines() == plan.lines()


def test_every_option_is_explained_in_its_help():
    for option in up_command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_bringing_vllm_up_imports_neither_vllm_nor_torch():
    code = (
        "import sys, moderation_service.launch.up\n"
        "print({'torch', 'vllm', 'transformers', 'numpy'} & {name.partition('.')[0] for name in sys.modules})"
    )
    root = str(DOCS.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.stdout == "set()\n"
