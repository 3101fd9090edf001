"""Keeps vLLM running: starts it, waits until it really answers, starts it again when it dies, and may give up."""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .command_line import ServerCommand
from .errors import ServerFailed
from .process import ChildProcess, tail
from .progress import Console
from .upstream import Upstream

__all__ = ["Restarts", "Supervisor", "explain"]

_WARM_UP_S = 300.0
"""The first request with logprobs compiles; 20 s were seen on a CPU."""
_HEALTH_EVERY_S = 5.0
_HANGS_AFTER_S = 60.0
"""Unhealthy for so long while the process lives: it hangs, and is ended like one that died."""
_STOP_S = 15.0
"""vLLM stops in 1 to 4 s."""
_TICK_S = 0.1
_SHOWN_LINES = 25

_EXPLANATIONS = (
    (
        r"Free memory on device .* is less than",
        "Another program took GPU memory. Take less with --gpu-memory, or free some; nvidia-smi shows who has it.",
    ),
    (
        r"No available memory for the cache blocks|larger than the available KV cache",
        "Too little memory is left for the KV cache: a smaller --max-model-len, a smaller --size or more --gpu-memory.",
    ),
    (r"CUDA out of memory|OutOfMemoryError", "The GPU's memory ran out: a smaller --size, or less beside it."),
    (
        r"invalid literal for int\(\) with base 10: 'MIG-",
        "This version of vLLM can't be pointed at a MIG slice by its UUID (vllm-project/vllm#41848); use a newer one.",
    ),
    (r"unrecognized arguments", "This version of vLLM does not know one of the flags; 0.10.2 or newer is needed."),
    (r"[Aa]ddress already in use", "Another program has taken the port; choose one with --vllm-port."),
)


class _State(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"


@dataclass(slots=True)
class Restarts:
    """When to start again after a death, and when not any more.

    A server that ran for a while gets another chance at once; one that keeps dying early waits longer each time.
    """

    early_s: float = 60.0
    before_first_success: int = 2
    """Deaths before it ever became ready: most are mistakes that repeat themselves, each of which takes a minute."""
    in_a_row: int = 5
    longest_delay_s: float = 30.0
    _early: int = field(default=0, init=False)
    _succeeded: bool = field(default=False, init=False)

    def succeeded(self) -> None:
        """It became ready."""
        self._succeeded = True

    def after_death(self, ready_for_s: float | None) -> float | None:
        """Seconds to wait before the next start, or None to give up; `ready_for_s` is None if it never was ready."""
        self._early = 1 if ready_for_s is not None and ready_for_s >= self.early_s else self._early + 1
        if self._early >= (self.in_a_row if self._succeeded else self.before_first_success):
            return None
        return min(2.0 ** (self._early - 1), self.longest_delay_s)


class Supervisor:
    """One vLLM server. `start` returns when it answers; `tick` is to be called a few times a second from then on."""

    def __init__(
        self,
        command: ServerCommand,
        *,
        env: Mapping[str, str],
        log: Path,
        upstream: Upstream,
        console: Console,
        start_timeout_s: float,
        name: str = "vLLM",
        restarts: Restarts | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._command = command
        self._name = name
        self._env = env
        self._log = log
        self._upstream = upstream
        self._console = console
        self._start_timeout_s = start_timeout_s
        self._restarts = restarts or Restarts()
        self._clock = clock
        self._sleep = sleep
        self._state = _State.WAITING
        self._process: ChildProcess | None = None
        self._ready_at: float | None = None
        self._again_at = float("-inf")
        self._healthy_at = float("-inf")
        self._asked_at = float("-inf")

    @property
    def is_ready(self) -> bool:
        """Whether it answered, and has not died since."""
        return self._state is _State.READY

    def start(self) -> None:
        """Start vLLM and return when it is warm. Raises ServerFailed, with the end of its log, when it can't be."""
        self.announce()
        while self._state is not _State.READY:
            self.tick()
            self._sleep(_TICK_S)

    def announce(self) -> None:
        """Say that it is about to be started, and where its log is."""
        self._console.say(f"Starting {self._name} on {self._command.base_url} (log: {self._log})")

    def tick(self) -> None:
        """Look after it once. Raises ServerFailed when it has to be given up."""
        now = self._clock()
        if self._state is _State.WAITING:
            if now >= self._again_at:
                self._spawn()
        elif self._process is not None and self._process.poll() is not None:
            self._died(f"{self._name} ended with {_exit(self._process.poll())}")
        elif self._state is _State.STARTING:
            self._check_start(now)
        else:
            self._check_health(now)

    def stop(self) -> None:
        """End it and everything it started."""
        if self._process is not None:
            self._process.stop(grace_s=_STOP_S)

    def hurry(self) -> None:
        """Kill it without waiting; `stop` is under way and does that."""
        if self._process is not None:
            self._process.hurry()

    def _spawn(self) -> None:
        self._process = ChildProcess(
            self._command.argv, env=self._env, log=self._log, clock=self._clock, sleep=self._sleep
        )
        self._state, self._ready_at = _State.STARTING, None

    def _check_start(self, now: float) -> None:
        assert self._process is not None
        waited_s = now - self._process.started_at
        if self._upstream.is_up():
            self._console.progress(f"  {self._name} answers; warming it up")
            try:
                has_logprobs = self._upstream.warm_up(self._command.served_name, timeout_s=_WARM_UP_S)
            except ServerFailed:
                if self._upstream.is_up():
                    raise
                return  # It died of the first request; the next look finds that out.
            self._restarts.succeeded()
            self._state = _State.READY
            self._ready_at = self._healthy_at = self._asked_at = self._clock()
            took_s = self._ready_at - self._process.started_at
            self._console.say(
                f"{self._name} is ready after {took_s:.0f} s" + ("" if has_logprobs else ", without logprobs")
            )
        elif waited_s > self._start_timeout_s:
            self._process.kill()
            raise ServerFailed(
                f"{self._name} was not ready after {self._start_timeout_s:.0f} s; --start-timeout gives it more time."
                + self._log_end()
            )
        else:
            last = tail(self._log, lines=1)
            self._console.progress(f"  waiting for {self._name}: {waited_s:.0f} s  {last[0][-90:] if last else ''}")

    def _check_health(self, now: float) -> None:
        assert self._process is not None
        if now - self._asked_at < _HEALTH_EVERY_S:
            return
        self._asked_at = now
        self._process.trim_log()
        if self._upstream.is_up():
            self._healthy_at = now
        elif now - self._healthy_at > _HANGS_AFTER_S:
            self._died(f"{self._name} has not answered for {now - self._healthy_at:.0f} s")

    def _died(self, what: str) -> None:
        assert self._process is not None
        # Workers that outlive their parent keep the GPU's memory, and the next start would fail for lack of it.
        self._process.kill()
        ready_for_s = None if self._ready_at is None else self._clock() - self._ready_at
        delay_s = self._restarts.after_death(ready_for_s)
        if delay_s is None:
            raise ServerFailed(f"{what}, again and again; giving up." + self._log_end())
        self._state, self._again_at = _State.WAITING, self._clock() + delay_s
        self._console.say(f"{what}; starting it again in {delay_s:.0f} s")

    def _log_end(self) -> str:
        lines = tail(self._log, lines=_SHOWN_LINES)
        reason = explain("\n".join(tail(self._log, lines=500)))
        shown = "".join(f"\n  | {line}" for line in lines)
        return f" Its last lines ({self._log}):{shown}" + (f"\n{reason}" if reason else "")


def explain(log: str) -> str | None:
    """What a known failure in vLLM's log means for the user."""
    return next((text for pattern, text in _EXPLANATIONS if re.search(pattern, log)), None)


def _exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
