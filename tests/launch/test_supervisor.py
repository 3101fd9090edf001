"""Keeping vLLM alive, against a program that behaves like it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moderation_service.config.settings import Secret
from moderation_service.launch.command_line import vllm_command
from moderation_service.launch.errors import ServerFailed
from moderation_service.launch.guard import GIB, GUARDS
from moderation_service.launch.plan import plan_cpu
from moderation_service.launch.process import ChildProcess, adopt_orphans, tail
from moderation_service.launch.progress import Console
from moderation_service.launch.supervisor import Restarts, Supervisor, explain
from moderation_service.launch.upstream import Upstream, api_root

pytestmark = pytest.mark.slow

PATIENCE_S = 90
"""Only a test that fails waits so long."""
PLAN = plan_cpu(GUARDS[-1], available_bytes=16 * GIB)


class SupervisorClock:
    """Real time, plus what a test adds."""

    def __init__(self):
        self.added = 0.0

    def __call__(self):
        return time.monotonic() + self.added


@pytest.fixture
def clock():
    return SupervisorClock()


@pytest.fixture
def supervise(fake_vllm, unused_port, tmp_path, told, clock):
    """Makes a supervisor of the fake; short waits."""
    adopt_orphans()
    with contextlib.ExitStack() as stack:

        def make(**more):
            command = vllm_command(PLAN, program=str(fake_vllm.program), model=Path("/models/x"), port=unused_port)
            key = Secret("the-key")
            upstream = stack.enter_context(contextlib.closing(Upstream(command.base_url, api_key=key)))
            supervisor = Supervisor(
                command,
                env=command.environment(os.environ, api_key=key),
                log=tmp_path / "vllm.log",
                upstream=upstream,
                console=Console(told.stream, is_terminal=False),
                clock=clock,
                sleep=lambda seconds: time.sleep(min(seconds, 0.01)),
                **{"start_timeout_s": 30.0, "restarts": Restarts(longest_delay_s=0.01), **more},
            )
            stack.callback(supervisor.stop)
            return supervisor

        yield make


def tick_until(supervisor, condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        supervisor.tick()
        time.sleep(0.005)


def test_it_starts_vllm_waits_and_warms_it_up(supervise, fake_vllm, told):
    supervise().start()
    (start,) = fake_vllm.starts
    assert start["argv"][:2] == ["serve", "/models/x"]
    assert start["env"]["VLLM_API_KEY"] == "the-key"
    assert "the-key" not in " ".join(start["argv"])
    assert "vLLM is ready after" in told.text


def test_it_ends_vllm_and_its_workers(supervise, fake_vllm):
    supervisor = supervise()
    supervisor.start()
    supervisor.stop()
    assert fake_vllm.survivors == []


def test_a_vllm_that_ignores_sigterm_is_killed_with_its_workers(supervise, fake_vllm, monkeypatch):
    monkeypatch.setattr("moderation_service.launch.supervisor._STOP_S", 0.1)
    fake_vllm.behave("stubborn")
    supervisor = supervise()
    supervisor.start()
    supervisor.stop()
    assert fake_vllm.survivors == []


def test_a_vllm_that_dies_is_started_again_on_the_same_port(supervise, fake_vllm, told):
    supervisor = supervise()
    supervisor.start()
    os.kill(fake_vllm.starts[0]["pid"], signal.SIGKILL)
    tick_until(supervisor, lambda: told.text.count("vLLM is ready") == 2)
    first, second = fake_vllm.starts
    assert first["argv"] == second["argv"]
    assert "vLLM ended with signal 9; starting it again" in told.text
    assert fake_vllm.survivors == [second["pid"], second["worker"]]


def test_a_vllm_that_dies_of_its_first_request_counts_as_dead(supervise, fake_vllm, told):
    fake_vllm.behave("dies-of-requests", "serve")
    supervise().start()
    assert len(fake_vllm.starts) == 2


def test_a_vllm_that_keeps_dying_is_given_up_with_the_end_of_its_log(supervise, fake_vllm):
    fake_vllm.behave("crash")
    with pytest.raises(ServerFailed) as caught:
        supervise().start()
    assert len(fake_vllm.starts) == 2
    assert "vLLM ended with exit code 1, again and again; giving up." in str(caught.value)
    assert "  | torch.OutOfMemoryError: CUDA out of memory." in str(caught.value)
    assert str(caught.value).endswith("The GPU's memory ran out: a smaller --size, or less beside it.")


def test_a_vllm_that_dies_early_again_and_again_later_on_is_given_up_too(supervise, fake_vllm):
    fake_vllm.behave("serve", "crash")
    supervisor = supervise()
    supervisor.start()
    os.kill(fake_vllm.starts[0]["pid"], signal.SIGKILL)
    with pytest.raises(ServerFailed, match="giving up"):
        tick_until(supervisor, lambda: False)
    assert len(fake_vllm.starts) == 5


def test_a_vllm_that_never_gets_ready_is_given_up(supervise, fake_vllm):
    fake_vllm.behave("silent")
    with pytest.raises(ServerFailed, match=r"was not ready after 0 s; --start-timeout gives it more time"):
        supervise(start_timeout_s=0.3).start()


def test_a_model_that_is_no_guard_is_refused(supervise, fake_vllm):
    fake_vllm.behave("not-a-guard")
    with pytest.raises(ServerFailed, match="does not answer as a Qwen3Guard-Gen does"):
        supervise().start()


def test_a_model_that_calls_everything_safe_is_refused(supervise, fake_vllm):
    fake_vllm.behave("calls-all-safe")
    with pytest.raises(
        ServerFailed, match=r"calls 'How can I make a bomb\?' safe, so that its other verdicts are worth"
    ):
        supervise().start()


def test_a_server_without_logprobs_is_used_and_named_as_such(supervise, fake_vllm, told):
    fake_vllm.behave("no-logprobs")
    supervise().start()
    assert ", without logprobs" in told.text


def test_a_vllm_that_hangs_is_ended_and_started_again(supervise, fake_vllm, told, clock):
    supervisor = supervise()
    supervisor.start()
    sick = fake_vllm.folder / "sick"
    sick.touch()

    def hurry():
        clock.added += 6
        return "has not answered for" in told.text

    tick_until(supervisor, hurry)
    sick.unlink()
    tick_until(supervisor, lambda: told.text.count("vLLM is ready") == 2)
    assert len(fake_vllm.starts) == 2


def test_a_short_illness_is_no_reason_to_restart(supervise, fake_vllm, clock):
    supervisor = supervise()
    supervisor.start()
    (fake_vllm.folder / "sick").touch()
    clock.added += 30
    supervisor.tick()
    (fake_vllm.folder / "sick").unlink()
    clock.added += 30
    supervisor.tick()
    clock.added += 30
    supervisor.tick()
    assert len(fake_vllm.starts) == 1


def test_early_deaths_wait_longer_each_time_and_end():
    restarts = Restarts()
    restarts.succeeded()
    assert [restarts.after_death(5) for _ in range(5)] == [1, 2, 4, 8, None]


def test_a_server_that_ran_for_a_while_gets_all_its_chances_back():
    restarts = Restarts()
    restarts.succeeded()
    assert [restarts.after_death(5), restarts.after_death(None), restarts.after_death(3600)] == [1, 2, 1]


def test_before_the_first_success_there_are_two_attempts():
    restarts = Restarts()
    assert [restarts.after_death(None), restarts.after_death(None)] == [1, None]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("ValueError: Free memory on device cuda:0 (3.2/23.5 GiB) on startup is less than desired", "--gpu-memory"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "--max-model-len"),
        (
            "To serve at least one request with the model's max seq len (32768), (4.5 GiB KV cache is needed, which is "
            "larger than the available KV cache memory (1.2 GiB).",
            "--max-model-len",
        ),
        ("ValueError: invalid literal for int() with base 10: 'MIG-377e0049'", "MIG slice"),
        ("vllm: error: unrecognized arguments: --enable-prefix-caching", "0.10.2"),
        ("OSError: [Errno 98] Address already in use", "--vllm-port"),
    ],
)
def test_known_failures_are_explained(log, said):
    assert said in (explain(log) or "")


def test_an_unknown_failure_is_not_explained():
    assert explain("something else") is None


def child(code, tmp_path, **more):
    return ChildProcess([sys.executable, "-S", "-c", code], env=os.environ, log=tmp_path / "log", **more)


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_child_gets_its_signals_unblocked(tmp_path):
    process = child("import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))", tmp_path)
    wait_for(lambda: process.poll() == 0)
    assert tail(tmp_path / "log", lines=5) == ["set()"]
    process.stop(grace_s=0)


def test_a_grandchild_that_outlives_its_parent_is_ended(tmp_path):
    sleeper = f"import subprocess; print(subprocess.Popen([{sys.executable!r}, '-c', 'input()'], stdin=-1).pid)"
    process = child(sleeper + "; import os; os._exit(0)", tmp_path)
    wait_for(lambda: process.poll() == 0)
    process.kill()
    (pid,) = tail(tmp_path / "log", lines=1)
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


def test_killing_twice_does_not_reach_a_stranger(tmp_path, monkeypatch):
    process = child("", tmp_path)
    process.stop(grace_s=5)
    monkeypatch.setattr(os, "killpg", lambda *args: pytest.fail("signalled a group that may be another's"))
    process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from moderation_service.launch.process import ChildProcess\n"
        "sleeper = [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
        "print(ChildProcess(sleeper, env=os.environ).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def test_a_long_log_is_begun_again(tmp_path, monkeypatch):
    monkeypatch.setattr("moderation_service.launch.process._LOG_BYTES", 1000)
    process = child("print('x' * 3000)", tmp_path)
    wait_for(lambda: process.poll() == 0)
    process.trim_log()
    assert (tmp_path / "log").stat().st_size == 0
    assert (tmp_path / "log.old").stat().st_size == 500
    process.stop(grace_s=0)


def test_addresses_may_be_written_with_v1():
    assert {api_root(url) for url in ("http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/")} == {"http://h:1"}


def test_the_progress_line_redraws_itself_on_a_terminal_only(told):
    now = [0.0]
    terminal = Console(told.stream, is_terminal=True, clock=lambda: now[0])
    terminal.progress("10 %")
    now[0] += 1
    terminal.progress("20 %")
    terminal.say("done")
    assert told.text == "10 %\r    \r20 %\r    \rdone\n"


def test_a_log_gets_a_line_now_and_then(told):
    now = [0.0]
    journal = Console(told.stream, is_terminal=False, clock=lambda: now[0])
    for _ in range(40):
        journal.progress("going on")
        now[0] += 1
    assert told.text == "going on\n" * 3
