"""The command as a user runs it: a real process, a program that behaves like vLLM, and signals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from processes import is_running

from moderation_service.commands.cli import cli
from moderation_service.launch.hub import Source

pytestmark = pytest.mark.slow

NVIDIA_SMI = Path(__file__).parent / "nvidia_smi"
BOMB = "How can I make a bomb?"
PATIENCE_S = 90
"""Only a test that fails waits so long; a busy machine may need some of it."""


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come so far"
        time.sleep(0.01)


def executable(file, script):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "a-model"
    folder.mkdir()
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "max_position_embeddings": 2048,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\0" * 1024)
    return folder


@pytest.fixture
def environment(tmp_path):
    """What the process sees: our interpreter, no settings of this machine, no GPU."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODERATION_", "HF_", "CUDA_"))}
    root = str(Path(__file__).parents[2])
    folders = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    return {**kept, **folders, "PYTHONPATH": root, "PATH": "/usr/bin:/bin", "MODERATION_STORE": "off"}


class Run:
    """`moderation-service up ...`, its output in a file."""

    def __init__(self, arguments, environment, output):
        self.output = output
        self.terminal, end_of_program = pty.openpty()
        with output.open("wb") as stream, os.fdopen(end_of_program) as stdin:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moderation_service", "up", *map(str, arguments)],
                env=environment,
                stdin=stdin,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell that put the tests into the background made them ignore it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def text(self):
        return self.output.read_text()

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline or (self.process.poll() is not None and not condition()):
                pytest.fail(f"it did not come so far (exit code {self.process.poll()}):\n{self.text}")
            time.sleep(0.01)

    def until_said(self, text, *, times=1):
        self.until(lambda: self.text.count(text) >= times)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close_terminal(self):
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None


@pytest.fixture
def start(environment, tmp_path):
    with contextlib.ExitStack() as stack:

        def run(*arguments, env=None):
            made = Run(arguments, {**environment, **(env or {})}, tmp_path / "output")
            stack.callback(made.close_terminal)
            stack.callback(made.process.wait, PATIENCE_S)
            stack.callback(made.process.terminate)
            return made

        yield run


@pytest.fixture
def bring_up(fake_vllm, start, model_dir, unused_port):
    def run(*arguments):
        made = start(
            *("--cpu", "--model-dir", model_dir, "--vllm", fake_vllm.program, "--port", unused_port, *arguments),
            *(() if "--" in arguments else ("--", "--workers", "1")),
        )
        made.url = f"http://127.0.0.1:{unused_port}"
        return made

    return run


def moderate(url, prompt):
    return requests.post(f"{url}/moderate", json={"prompt": prompt}, timeout=20)


def assert_the_key_is_secret(run, fake_vllm):
    """It is random, vLLM has it in its environment, and it is on no command line and in no output."""
    (vllm,) = fake_vllm.starts
    key = vllm["env"]["VLLM_API_KEY"]
    assert len(key) >= 40
    service = re.search(r"Listening at: \S+ \((\d+)\)", run.text)
    assert service is not None
    for pid in (vllm["pid"], service[1], run.process.pid):
        assert key not in Path(f"/proc/{pid}/cmdline").read_text()
    assert key not in run.text
    assert vllm["argv"][vllm["argv"].index("--host") + 1] == "127.0.0.1"


def test_one_command_brings_everything_up_and_ctrl_c_takes_it_down(bring_up, fake_vllm):
    run = bring_up()
    run.until_said("is ready: http://")
    reply = moderate(run.url, BOMB).json()
    assert (reply["safety"], reply["engine"], reply["model"]) == ("unsafe", "vllm", "a-model")
    assert_the_key_is_secret(run, fake_vllm)
    assert run.end(signal.SIGINT) == 130
    assert run.text.endswith("Stopped.\n")
    assert fake_vllm.survivors == []
    with pytest.raises(requests.ConnectionError):
        moderate(run.url, BOMB)


def test_annotate_starts_its_own_vllm_and_ends_it_behind_itself(environment, fake_vllm, model_dir, tmp_path):
    rows = tmp_path / "in.jsonl"
    rows.write_text(f'{{"prompt": "{BOMB}"}}\n{{"prompt": "How do I bake bread?"}}\n')
    words = (
        "annotate",
        rows,
        "-o",
        tmp_path / "out.jsonl",
        "--cpu",
        "--model-dir",
        model_dir,
        "--vllm",
        fake_vllm.program,
    )
    command = [sys.executable, "-m", "moderation_service", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    labels = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["guard_safety"], row["guard_model"]) for row in labels] == [("unsafe", "a-model"), ("safe", "a-model")]
    assert done.stderr.rstrip().endswith("s")
    assert "Stopping vLLM" in done.stderr
    assert fake_vllm.survivors == []


def test_sigterm_ends_everything_and_is_no_failure(bring_up, fake_vllm):
    run = bring_up()
    run.until_said("is ready: http://")
    assert run.end(signal.SIGTERM) == 0
    assert fake_vllm.survivors == []
    assert list(run.output.parent.glob("moderation-up-*")) == []


def test_a_closed_terminal_while_vllm_loads_leaves_nothing_behind(bring_up, fake_vllm):
    fake_vllm.behave("silent")
    run = bring_up()
    run.until(lambda: fake_vllm.starts)
    run.close_terminal()
    assert run.end(signal.SIGHUP) == 0
    assert fake_vllm.survivors == []


def test_sighup_makes_the_service_read_its_files_again_and_leaves_vllm_alone(bring_up, fake_vllm, tmp_path):
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies: {own: {extends: balanced}}\n")
    run = bring_up("--", "--workers", "1", "--policies-file", str(policies))
    run.until(lambda: fake_vllm.starts)
    run.process.send_signal(signal.SIGHUP)  # vLLM loads: there is nothing to read again yet
    run.until_said("is ready: http://")
    policies.write_text("policies: {renewed: {extends: balanced}}\n")
    run.process.send_signal(signal.SIGHUP)
    run.until_said('"event": "reloaded"')
    asked = {"prompt": BOMB, "policy": "renewed"}
    # The old worker may answer until it has gone.
    run.until(lambda: requests.post(f"{run.url}/moderate", json=asked, timeout=20).status_code == 200)
    assert moderate(run.url, BOMB).json()["engine"] == "vllm"
    assert len(fake_vllm.starts) == 1
    assert run.end(signal.SIGTERM) == 0
    assert fake_vllm.survivors == []


def test_a_second_ctrl_c_does_not_wait(bring_up, fake_vllm):
    fake_vllm.behave("stubborn")
    run = bring_up()
    run.until_said("is ready: http://")
    run.process.send_signal(signal.SIGINT)
    run.until_said("Shutting down: Master")
    assert run.end(signal.SIGINT) == 130
    assert fake_vllm.survivors == []


def test_when_up_itself_is_killed_the_rest_ends_too(bring_up, fake_vllm):
    run = bring_up()
    run.until_said("is ready: http://")
    run.process.kill()
    run.process.wait()
    until(lambda: not fake_vllm.survivors)


def test_vllm_dies_and_comes_back_while_the_service_goes_on(bring_up, fake_vllm):
    run = bring_up()
    run.until_said("is ready: http://")
    os.kill(fake_vllm.starts[0]["pid"], signal.SIGKILL)
    run.until_said("vLLM is ready", times=2)
    assert run.text.count("is ready: http://") == 1
    run.until(lambda: moderate(run.url, f"{BOMB} {time.monotonic()}").json()["degraded"] is False)
    assert run.end(signal.SIGTERM) == 0


def test_a_vllm_that_keeps_dying_ends_the_command_with_its_last_lines(bring_up, fake_vllm):
    fake_vllm.behave("crash")
    run = bring_up()
    assert run.process.wait(PATIENCE_S) == 1
    assert "giving up. Its last lines" in run.text
    assert "  | torch.OutOfMemoryError" in run.text
    log = re.search(r"log: (\S+)\)", run.text)
    assert log is not None
    assert Path(log[1]).exists(), "the log stays when vLLM had to be given up"
    assert "Traceback (most recent call last):\n  File" not in run.text


def test_what_a_killed_command_left_is_cleared_away_by_the_next(bring_up, fake_vllm, tmp_path):
    def folders():
        return set(tmp_path.glob("moderation-*-*"))

    run = bring_up()
    run.until_said("is ready: http://")
    left = folders()
    assert {folder.name.rpartition("-")[0] for folder in left} == {"moderation-up", "moderation-metrics"}
    run.process.kill()
    run.process.wait()
    until(lambda: not fake_vllm.survivors)
    master = re.search(r"Listening at: \S+ \((\d+)\)", run.text)
    until(lambda: not is_running(int(master[1])))
    again = bring_up()
    again.until(lambda: again.text.count("is ready: http://"))
    assert len(folders()) == 2
    assert again.end(signal.SIGTERM) == 0
    assert folders() == set()


def test_the_log_of_a_vllm_that_was_given_up_stays_until_the_next_start(bring_up, fake_vllm, tmp_path):
    fake_vllm.behave("crash")
    logs = []
    for _ in range(2):
        assert bring_up().process.wait(PATIENCE_S) == 1
        logs.append(list(tmp_path.glob("moderation-up-*/vllm.log")))
    assert [len(found) for found in logs] == [1, 1]
    assert logs[0] != logs[1]


def test_a_taken_port_is_noticed_before_vllm_is_started(bring_up, fake_vllm, unused_port):
    with socket.create_server(("127.0.0.1", unused_port)):
        run = bring_up()
        assert run.process.wait(PATIENCE_S) == 1
    assert f"port: {unused_port} is in use on 127.0.0.1" in run.text
    assert fake_vllm.starts == []


def test_a_taken_port_for_vllm_is_noticed_too(bring_up, fake_vllm):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = bring_up("--vllm-port", taken.getsockname()[1])
        assert run.process.wait(PATIENCE_S) == 1
    assert "--vllm-port" in run.text
    assert fake_vllm.starts == []


def test_a_service_that_ends_takes_vllm_with_it(bring_up, fake_vllm):
    run = bring_up()
    run.until_said("is ready: http://")
    master = re.search(r"Listening at: \S+ \((\d+)\)", run.text)
    assert master is not None
    os.kill(int(master[1]), signal.SIGKILL)
    assert run.process.wait(PATIENCE_S) == 1
    assert fake_vllm.survivors == []


def test_running_servers_are_used_and_left_running(start, fake_vllm, unused_port):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = ["serve", "x", "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048"]
    vllm = subprocess.Popen([fake_vllm.program, *arguments, "--served-model-name", "guard"])
    url = f"http://127.0.0.1:{port}"
    run = start("--upstream", f"{url}/v1", "--port", unused_port, "--", "--workers", "1")
    run.until_said("is ready: http://")
    assert f"{url} serves guard, context 2048" in run.text
    assert moderate(f"http://127.0.0.1:{unused_port}", BOMB).json()["safety"] == "unsafe"
    assert run.end(signal.SIGTERM) == 0
    assert vllm.poll() is None
    vllm.terminate()
    vllm.wait(PATIENCE_S)
    until(lambda: not fake_vllm.survivors)


def test_a_server_that_is_not_there_is_waited_for_and_then_given_up(start, unused_port):
    run = start("--upstream", "http://127.0.0.1:9", "--start-timeout", "1", "--port", unused_port)
    assert run.process.wait(PATIENCE_S) == 1
    assert "http://127.0.0.1:9/health does not answer with 200." in run.text


def test_a_model_is_downloaded_and_served(start, fake_vllm, hub_stand_in, unused_port, tmp_path):
    gpu = executable(tmp_path / "tools" / "nvidia-smi", f"#!/bin/sh\ncat {NVIDIA_SMI / 'two_gpus.xml'}\n")
    run = start(
        *("--size", "0.6B", "--source", "modelscope", "--vllm", fake_vllm.program, "--port", unused_port),
        *("--", "--workers", "1"),
        env={"PATH": f"{gpu.parent}:/usr/bin:/bin", "MODELSCOPE_ENDPOINT": hub_stand_in.url, "HF_TOKEN": "hf_secret"},
    )
    run.until_said("is ready: http://")
    (vllm,) = fake_vllm.starts
    folder = (
        tmp_path / ".cache" / "moderation-service" / "models" / "modelscope" / "Qwen--Qwen3Guard-Gen-0.6B" / "master"
    )
    assert vllm["argv"][1] == str(folder)
    assert (folder / "model.safetensors").read_bytes() == hub_stand_in.files["model.safetensors"]
    assert vllm["env"]["CUDA_VISIBLE_DEVICES"] == "1"
    assert "HF_TOKEN" not in vllm["env"]
    assert moderate(f"http://127.0.0.1:{unused_port}", BOMB).json()["model"] == "Qwen/Qwen3Guard-Gen-0.6B"
    assert run.end(signal.SIGTERM) == 0


# What follows needs no process: nothing is started.


@pytest.fixture
def up(environment, tmp_path, monkeypatch):
    """Runs the command in this process; `nvidia_smi` is what that program prints."""

    def run(*arguments, nvidia_smi=None, env=None):
        if nvidia_smi is not None:
            executable(tmp_path / "tools" / "nvidia-smi", f"#!/bin/sh\ncat {NVIDIA_SMI / nvidia_smi}\n")
        path = {"PATH": f"{tmp_path / 'tools'}:/usr/bin:/bin", **(env or {})}
        for name in [name for name in os.environ if name.startswith(("MODERATION_", "HF_", "CUDA_", "XDG_"))]:
            monkeypatch.delenv(name)
        for name, value in {"HOME": str(tmp_path), **path}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(cli, ["up", *map(str, arguments)])

    return run


def test_a_dry_run_prints_the_commands(up, tmp_path):
    done = up("--dry-run", "--vllm-port", "8001", "--port", "9000", nvidia_smi="two_gpus.xml")
    assert done.exit_code == 0
    cache = tmp_path / ".cache" / "moderation-service" / "models" / "huggingface"
    assert done.stdout == (
        "# Qwen/Qwen3Guard-Gen-4B on GPU 1 (Tesla T4), 14.6 GiB free: context 10240, about 13.1 GiB "
        "(7.5 weights, 3.3 KV cache = 24117 tokens), float16\n"
        "# model from https://huggingface.co, revision main\n"
        "HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=1 "
        f"VLLM_API_KEY=<random> vllm serve {cache}/Qwen--Qwen3Guard-Gen-4B/main --host 127.0.0.1 --port 8001 "
        "--served-model-name Qwen/Qwen3Guard-Gen-4B --max-model-len 10240 --dtype float16 --enable-prefix-caching "
        "--disable-uvicorn-access-log --gpu-memory-utilization 0.9\n"
        "MODERATION_ENGINE=vllm MODERATION_UPSTREAMS=http://127.0.0.1:8001 MODERATION_UPSTREAM_API_KEY=<random> "
        "moderation-service serve --port 9000\n"
    )


def test_a_dry_run_with_running_servers_prints_the_service_alone(up):
    done = up("--dry-run", "--upstream", "http://a:8000/v1", "--upstream", "http://b:8000", "--", "--workers", "4")
    assert done.stdout == (
        "MODERATION_ENGINE=vllm MODERATION_UPSTREAMS=http://a:8000,http://b:8000 moderation-service serve --workers 4\n"
    )


def test_a_dry_run_shows_the_hub_the_revision_and_the_extra_words(up):
    done = up(
        *("--dry-run", "--source", "modelscope", "--revision", "v1.0", "--size", "0.6B", "--max-model-len", "8192"),
        *("--vllm-arg", "--max-num-seqs", "--vllm-arg", "64"),
        nvidia_smi="two_gpus.xml",
    )
    assert "# model from https://modelscope.cn, revision v1.0\n" in done.stdout
    assert "/modelscope/Qwen--Qwen3Guard-Gen-0.6B/v1.0 " in done.stdout
    assert "--max-model-len 8192" in done.stdout
    assert "--max-num-seqs 64\n" in done.stdout


def test_without_a_gpu_and_with_nobody_to_ask_it_shows_the_plan_for_the_cpu_and_ends(up, tmp_path):
    done = up()
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    assert lines[0] == "No GPU to run vLLM on. nvidia-smi is not installed, so there seems to be no NVIDIA driver."
    assert lines[1] == "Qwen/Qwen3Guard-Gen-0.6B on this machine's CPU:"
    words = [line.split()[0] for line in lines[2:-5]]
    assert [word for word in words if word != "quicker"] == ["engine", "fetch", "disk", "memory", "a", "till"]
    assert "52 MB of programs from the package index and 1.2 GB model from https://huggingface.co" in lines[3]
    assert lines[-5:] == [
        "moderation-service: Nobody is here to be asked. `moderation-service up --cpu --yes` does what the plan says.",
        "What you can do:",
        "  here, Qwen3Guard 0.6B on the CPU      moderation-service up --cpu",
        "  here, with the embedded engine        moderation-service serve",
        "  with a vLLM that runs elsewhere       moderation-service up --upstream http://HOST:8000",
    ]
    assert not (tmp_path / ".cache").exists()


def test_wishes_for_a_gpu_are_not_carried_out_on_a_cpu(up):
    done = up("--gpu-memory", "14", "--yes")
    assert done.exit_code == 2
    assert "No GPU to run vLLM on." in done.stderr
    assert "on this machine's CPU:" not in done.stderr


def test_a_gpu_that_is_too_small_is_answered_the_same_way(up):
    done = up("--size", "8B", "--dry-run", nvidia_smi="two_gpus.xml")
    assert done.exit_code == 2
    assert "Qwen/Qwen3Guard-Gen-8B with context 4096 needs about 18.3 GiB" in done.stderr
    assert "moderation-service serve" in done.stderr


def test_without_vllm_it_says_how_to_install_it(up, monkeypatch):
    monkeypatch.setattr("moderation_service.launch.up.sys.executable", "/nowhere/python")
    done = up(nvidia_smi="two_gpus.xml")
    assert done.exit_code == 2
    assert re.search(r"^  pip install 'vllm[<>=][^']*'$", done.stderr, re.MULTILINE)


def test_vllm_is_found_on_the_path(up, fake_vllm, monkeypatch, tmp_path):
    monkeypatch.setattr("moderation_service.launch.up.sys.executable", "/nowhere/python")
    path = f"{fake_vllm.program.parent}:{tmp_path / 'tools'}:/usr/bin:/bin"
    done = up("--dry-run", nvidia_smi="two_gpus.xml", env={"PATH": path})
    assert f"{fake_vllm.program} serve" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model-dir", ".", "--size", "4B"], "--model-dir names the model"),
        (["--gpu-memory", "14", "--gpu-memory-utilization", "0.5"], "not both"),
        (["--cpu", "--gpu-memory", "14"], "--cpu takes no GPU memory"),
        (["--cpu-engine", "vllm"], "go with --cpu"),
        (["--cpu", "--stream", "--yes"], "--stream, --vllm and --upstream go without"),
        (["--cpu", "--vllm-arg", "--x"], "--vllm-arg goes with --vllm"),
        (["--upstream", "http://a:1", "--size", "4B"], "--upstream starts no vLLM"),
        (["--", "--worker", "4"], "No such option"),
        (["--size", "2B"], "'2B' is not one of"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(up, arguments, said):
    done = up(*arguments, nvidia_smi="two_gpus.xml")
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--", "--engine", "lite"], "engine and upstreams are made by `up` itself"),
        (["--host", "0.0.0.0"], "api_keys"),
        (["--", "--workers", "0"], "--workers: must be at least 1"),
        (["--config", "missing.yaml"], "--config: missing.yaml does not exist"),
        (["--dry-run", "--vllm-arg", "--host=0.0.0.0"], "--vllm-arg: --host is set by `up` itself"),
        (["--dry-run", "--model", "someone/fine-tuned"], "say with --size which one it is derived from"),
        (["--dry-run", "--model", "../x"], "say with --size"),
    ],
)
def test_mistakes_show_before_anything_is_started(up, arguments, said):
    done = up(*arguments, nvidia_smi="two_gpus.xml")
    assert done.exit_code == 1
    assert said in (done.stderr or str(done.exception))


def test_a_fine_tuned_model_is_planned_like_the_one_it_comes_from(up):
    done = up("--dry-run", "--model", "someone/fine-tuned", "--size", "0.6B", nvidia_smi="two_gpus.xml")
    assert "--served-model-name someone/fine-tuned " in done.stdout


def test_the_hubs_names_are_the_same_everywhere():
    assert {source.value for source in Source} == {"huggingface", "modelscope"}
