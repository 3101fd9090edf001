"""`up` without a GPU as a user runs it: real pip, a folder of wheels, a real conversion, a program like llama.cpp.

Those that start the whole more than once are marked `vllm`: they run with the real servers' tests.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from hub_stand_in import REPO
from processes import is_running

from moderation_service.launch.cpu_engines import CPU_ENGINES
from moderation_service.launch.download import Downloader
from moderation_service.launch.environment import PinnedEnvironment
from moderation_service.launch.errors import LaunchError
from moderation_service.launch.guard import GUARDS
from moderation_service.launch.hub import Hub, Source
from moderation_service.launch.preparation import Preparation
from moderation_service.launch.progress import Console

from .cpu_parts import TINY_GUARD, cpu_parts  # noqa: F401  # a fixture
from .test_up import BOMB, PATIENCE_S, environment, moderate, start, until  # noqa: F401  # fixtures

pytestmark = pytest.mark.slow

CONVERT = Path(CPU_ENGINES["llamacpp"].lock).parents[1] / "inside" / "convert.py"


@pytest.fixture
def bring_up(start, cpu_parts, unused_port):  # noqa: F811
    def run(*arguments):
        words = cpu_parts.arguments("--port", unused_port, *arguments, "--", "--workers", "1")
        made = start(*words, env=cpu_parts.variables)
        made.url = f"http://127.0.0.1:{unused_port}"
        return made

    return run


@pytest.fixture
def prepare(cpu_parts, environment):  # noqa: F811
    """Starts a process that does the steps and ends."""

    def run(*arguments):
        command = [sys.executable, "-m", "moderation_service", "up", *map(str, cpu_parts.arguments(*arguments))]
        return subprocess.Popen(
            [*command, "--prepare-only"],
            env={**environment, **cpu_parts.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return run


def engine_of(url):
    reply = moderate(url, f"{BOMB} {time.monotonic()}").json()
    return reply["safety"], reply["engine"], reply["degraded"]


def test_from_nothing_to_a_real_verdict_by_one_command_with_lite_in_between(bring_up, cpu_parts, tmp_path):  # noqa: F811
    name = CPU_ENGINES["llamacpp"].name
    (cpu_parts.cache / "engines").mkdir(parents=True)
    run = bring_up("--dry-run")
    assert run.process.wait(PATIENCE_S) == 0
    folder = Path(next(word for word in run.text.split() if f"/engines/{name}-" in word)).parents[1]
    with folder.with_name(f"{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = bring_up()
        run.until_said("is ready: http://")
        run.until_said("Another process is making this environment")
        assert engine_of(run.url) == ("unsafe", "lite", True)
        assert requests.get(f"{run.url}/readyz", timeout=20).status_code == 503
    run.until_said("checks of a sentence per second")
    run.until(lambda: engine_of(run.url) == ("unsafe", "vllm", False))
    response = requests.post(f"{run.url}/moderate", json={"prompt": BOMB, "response": "I'm sorry."}, timeout=20).json()
    assert (response["safety"], response["refusal"], response["engine"]) == ("safe", True, "vllm")
    (server,) = cpu_parts.starts
    assert (server["head"], server["alias"], server["prefill"]) == ("GGUF", ["Qwen/Qwen3Guard-Gen-0.6B"], False)
    assert (server["slots"], server["context"]) == (4, 4 * 2560)
    assert server["keys"][0] not in Path(f"/proc/{server['pid']}/cmdline").read_text() + run.text
    assert run.end(signal.SIGTERM) == 0
    assert not is_running(server["pid"])

    # Again: everything is there, nothing is asked for and nobody is asked.
    asked = len(cpu_parts.hub.requests)
    again = bring_up()
    again.until(lambda: again.text.count("is ready after") == 1)
    assert "  fetch     nothing\n" in again.text
    assert len(cpu_parts.hub.requests) == asked
    assert again.end(signal.SIGINT) == 130


@pytest.mark.vllm
def test_a_kill_at_any_step_is_made_good_by_the_next_run(prepare, cpu_parts):  # noqa: F811
    steps = ("engines/*/bin/python", "engines/*/lib/*/*/xllamacpp.py", "huggingface/*/*.partial", "converted/*.partial")
    for step in steps:
        run = prepare()
        while run.poll() is None and not list(cpu_parts.cache.glob(step)):
            time.sleep(0.001)
        assert run.poll() is None, f"it was over before it could be killed at {step}"
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    # What a kill in the middle of writing leaves, wherever the ones above came too late.
    for leftover in ("converted/Qwen--x.q8_0.gguf.partial",):
        (cpu_parts.cache / leftover).parent.mkdir(exist_ok=True)
        (cpu_parts.cache / leftover).write_bytes(b"GGUF")
    run = prepare()
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert cpu_parts.converted == [Path(out.strip())]
    assert len(cpu_parts.environments) == 1
    undisturbed = cpu_parts.cache / "undisturbed.gguf"
    subprocess.run([sys.executable, CONVERT, cpu_parts.cache / "huggingface" / "Qwen--Qwen3Guard-Gen-0.6B" / "main",
                    undisturbed], check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    assert cpu_parts.converted[0].read_bytes() == undisturbed.read_bytes()


@pytest.mark.vllm
@pytest.mark.parametrize("is_ready", [False, True])
def test_a_kill_while_the_server_starts_or_serves_leaves_none_behind_and_the_next_start_serves(
    bring_up,
    cpu_parts,  # noqa: F811
    is_ready,
):
    run = bring_up()
    run.until(lambda: cpu_parts.starts)
    if is_ready:
        run.until_said("is ready: http://")
        run.until(lambda: engine_of(run.url) == ("unsafe", "vllm", False))
    run.process.kill()
    run.process.wait(PATIENCE_S)
    until(lambda: not is_running(cpu_parts.starts[0]["pid"]))
    asked = len(cpu_parts.hub.requests)
    again = bring_up()
    again.until_said("is ready: http://")
    again.until(lambda: engine_of(again.url) == ("unsafe", "vllm", False))
    assert len(cpu_parts.starts) == 2
    assert len(cpu_parts.hub.requests) == asked
    assert again.end(signal.SIGTERM) == 0


@pytest.mark.vllm
def test_a_stop_while_it_prepares_is_no_success(prepare, cpu_parts):  # noqa: F811
    run = prepare()
    while not list(cpu_parts.cache.glob("engines/*/bin/python")):
        time.sleep(0.001)
    run.terminate()
    run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 143
    assert cpu_parts.converted == []


def test_a_wheel_that_is_not_the_one_in_the_lock_is_not_installed(prepare, cpu_parts):  # noqa: F811
    cpu_parts.lock.write_text("xllamacpp==0.0.1 --hash=sha256:" + "0" * 64 + "\n")
    run = prepare()
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert "What the package index sent is not what the lock names, so nothing of it was used." in err
    assert cpu_parts.environments == []
    assert cpu_parts.hub.requests == []


@pytest.mark.vllm
def test_a_version_that_the_index_does_not_have_is_named_as_such(prepare, cpu_parts):  # noqa: F811
    cpu_parts.lock.write_text("xllamacpp==9.9.9 --hash=sha256:" + "0" * 64 + "\n")
    run = prepare()
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert "The package index has no wheel of the version in the lock" in err


@pytest.mark.vllm
def test_a_model_that_calls_everything_safe_is_refused_and_the_command_ends(bring_up, cpu_parts):  # noqa: F811
    (cpu_parts.fake / "behaviour").write_text("safe")
    run = bring_up()
    assert run.process.wait(PATIENCE_S) == 1
    assert "the model 'Qwen/Qwen3Guard-Gen-0.6B' calls 'How can I make a bomb?' safe" in run.text
    assert not is_running(cpu_parts.starts[0]["pid"])


@pytest.mark.vllm
def test_when_the_steps_fail_the_service_ends_with_their_reason_and_code(bring_up, cpu_parts):  # noqa: F811
    cpu_parts.hub.files["config.json"] = b'{"architectures": ["LlamaForCausalLM"]}'
    run = bring_up()
    assert run.process.wait(PATIENCE_S) == 1
    assert "can't be converted: it is a ['LlamaForCausalLM'], not a Qwen3ForCausalLM" in run.text
    assert "Traceback" not in run.text
    assert cpu_parts.converted == []


@pytest.mark.vllm
def test_the_source_may_go_once_it_is_converted_and_is_not_missed(prepare, cpu_parts):  # noqa: F811
    for _ in range(2):
        run = prepare("--drop-source")
        out, err = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 0, err
    assert Path(out.strip()).is_file()
    assert list(cpu_parts.cache.glob("huggingface/*/*/*.safetensors")) == []
    assert len([path for path, _ in cpu_parts.hub.contents() if "safetensors" in path]) == 2  # and the redirection


def test_the_user_is_asked_first_and_may_decline(start, cpu_parts, unused_port):  # noqa: F811
    run = start("--cache-dir", cpu_parts.cache, "--port", unused_port, env=cpu_parts.variables)
    run.until_said("Go ahead? [y/N]")
    os.write(run.terminal, b"n\n")
    assert run.process.wait(PATIENCE_S) == 1
    assert "No GPU to run vLLM on." in run.text
    assert not cpu_parts.cache.exists()


def test_a_full_disk_stops_the_conversion_with_a_sentence():
    done = subprocess.run(
        [sys.executable, CONVERT, TINY_GUARD, "/dev/full"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "can't be converted: [Errno 28] No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.vllm
@pytest.mark.parametrize("size", ["24k", "400k", "1500k"])
def test_a_disk_that_fills_up_on_the_way_is_said_and_a_larger_one_goes_on(cpu_parts, told, tmp_path, size):  # noqa: F811
    """While the programs are installed, while the model arrives, and while it is converted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False).returncode:
        pytest.skip("only root can make a disk that is too small")
    downloader = Downloader(cache=disk, console=Console(told.stream, is_terminal=False))
    # What a plan would have refused: the disk filled up after it was looked at.
    downloader.free_bytes = lambda folder: 10**12
    hub = Hub(source=Source.HUGGINGFACE, repo=REPO, revision="main", endpoint=cpu_parts.hub.url)
    preparation = Preparation(
        engine=CPU_ENGINES["llamacpp"],
        lock=cpu_parts.lock,
        guard=GUARDS[-1],
        hub=hub,
        downloader=downloader,
        environ={**os.environ, **cpu_parts.variables},
    )
    try:
        with pytest.raises(LaunchError, match=r"disk is full|No space left"):
            preparation.run()
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        assert preparation.run().read_bytes().startswith(b"GGUF")
    finally:
        downloader.close()
        subprocess.run(["umount", disk], check=True)


def test_what_was_fetched_starts_without_a_key_of_ours(cpu_parts, told, tmp_path):  # noqa: F811
    seen = tmp_path / "seen"
    pinned = PinnedEnvironment(
        cache=tmp_path / "cache",
        name="probe",
        lock=cpu_parts.lock,
        imports=(f"xllamacpp, os, pathlib; pathlib.Path({str(seen)!r}).write_text(chr(10).join(os.environ))",),
    )
    secrets = {"MODERATION_API_KEYS": "a:key", "MODERATION_UPSTREAM_API_KEY": "key", "HF_TOKEN": "token"}
    environ = {**os.environ, **cpu_parts.variables, **secrets}
    with pytest.MonkeyPatch.context() as ours:
        for name, value in secrets.items():
            ours.setenv(name, value)
        pinned.make(environ=environ, console=Console(told.stream, is_terminal=False), sleep=time.sleep)
    names = seen.read_text().splitlines()
    assert "PATH" in names
    assert not secrets.keys() & set(names)
