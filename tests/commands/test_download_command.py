"""`moderation-service download`, as the chart's init container runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment, run_command

from moderation_service.launch.download import MANIFEST
from moderation_service.launch.hub import Source

MODEL = "Qwen/Qwen3Guard-Gen-0.6B"


def download(stand_in, cache, *arguments, **variables):
    return run_command("download", "--hub-endpoint", stand_in.url, "--cache-dir", str(cache), *arguments, **variables)


@pytest.mark.parametrize("source", list(Source), ids=lambda source: source.value)
@pytest.mark.parametrize("named", [("--model", MODEL), ("--size", "0.6B")], ids=["model", "size"])
def test_the_folder_is_printed_and_has_the_model(source, named, hub_stand_in, tmp_path):
    done = download(hub_stand_in, tmp_path, *named, "--source", source.value)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.decode().strip())
    assert folder == tmp_path / source.value / "Qwen--Qwen3Guard-Gen-0.6B" / source.default_revision
    assert (folder / MANIFEST).is_file()
    assert (folder / "model.safetensors").read_bytes() == hub_stand_in.files["model.safetensors"]


@pytest.mark.parametrize("source", list(Source), ids=lambda source: source.value)
def test_without_weights_the_small_files_come_alone(source, hub_stand_in, tmp_path):
    done = download(hub_stand_in, tmp_path, "--model", MODEL, "--source", source.value, "--without-weights")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.decode().strip())
    assert folder.name == f"{source.default_revision}.without-weights"
    assert (folder / "config.json").read_bytes() == hub_stand_in.files["config.json"]
    assert not list(tmp_path.rglob("*.safetensors"))
    hub_stand_in.requests.clear()
    again = download(hub_stand_in, tmp_path, "--model", MODEL, "--source", source.value, "--without-weights")
    assert (again.returncode, again.stdout, hub_stand_in.requests) == (0, done.stdout, [])


def test_a_model_without_weights_never_passes_for_the_complete_one(hub_stand_in, tmp_path):
    assert download(hub_stand_in, tmp_path, "--model", MODEL, "--without-weights").returncode == 0
    done = download(hub_stand_in, tmp_path, "--model", MODEL)
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.decode().strip()) / "model.safetensors").is_file()


def test_the_second_time_nothing_is_asked(hub_stand_in, tmp_path):
    first = download(hub_stand_in, tmp_path, "--model", MODEL)
    hub_stand_in.requests.clear()
    again = download(hub_stand_in, tmp_path, "--model", MODEL)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert hub_stand_in.requests == []


def test_the_token_of_the_environment_is_sent(hub_stand_in, tmp_path):
    hub_stand_in.token = "hf_secret"
    refused = download(hub_stand_in, tmp_path, "--model", MODEL)
    assert refused.returncode == 1
    assert b"a token is needed: set HF_TOKEN" in refused.stderr.replace(b"For a private or gated model ", b"")
    assert download(hub_stand_in, tmp_path, "--model", MODEL, HF_TOKEN="hf_secret").returncode == 0


def test_a_mirror_may_come_from_the_environment(hub_stand_in, tmp_path):
    done = run_command("download", "--size", "0.6B", "--cache-dir", str(tmp_path), HF_ENDPOINT=hub_stand_in.url)
    assert done.returncode == 0, done.stderr


def test_a_model_that_the_hub_does_not_have_is_an_error(hub_stand_in, tmp_path):
    done = download(hub_stand_in, tmp_path, "--model", "Qwen/Nothing")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"has no Qwen/Nothing at revision main" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--size", "0.6B", "--model", MODEL), ("--size", "5B")])
def test_wrong_usage_says_so(arguments):
    done = run_command("download", *arguments)
    assert done.returncode == 2
    assert b"Usage: moderation-service download" in done.stderr


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_at_once_although_the_hub_does_not_answer(how, code, unused_port, tmp_path):
    command = [sys.executable, "-m", "moderation_service", "download", "--size", "0.6B", "--cache-dir", str(tmp_path)]
    command += ["--hub-endpoint", f"http://127.0.0.1:{unused_port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stderr is not None
        assert b"Downloading" in process.stderr.readline()
        assert b"trying again" in process.stderr.readline()
        process.send_signal(how)
        assert process.wait(10) == code
