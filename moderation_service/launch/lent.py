"""A vLLM with Qwen3Guard for as long as a command needs one: planned, downloaded and watched as `up` does it."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ..config.settings import Secret
from .ending import Ending
from .errors import ServerFailed
from .models import downloader
from .options import Outside, UpOptions
from .service import free_port, work_folder
from .supervisor import Supervisor
from .up import parts_to_start

__all__ = ["LentServer", "lent_vllm"]

_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class LentServer:
    """Where it answers, and the key it asks for."""

    url: str
    api_key: Secret


@contextlib.contextmanager
def lent_vllm(options: UpOptions, outside: Outside, ending: Ending) -> Iterator[LentServer]:
    """Start one, and end it and all that it started when the block is left. Raises LaunchError.

    A server that dies is started again; one that has to be given up ends the block with ServerFailed.
    """
    api_key = Secret(secrets.token_urlsafe(32))
    [part] = parts_to_start(options, outside, [options.vllm_port or free_port()])
    outside.console.say(part.plan.describe())
    if part.hub is not None:
        downloader(options, outside).fetch(part.hub)
    outside.console.say(f"The model is in {part.model}")
    with work_folder() as folder:
        supervisor = Supervisor(
            part.command,
            env=part.command.environment(outside.environ, api_key=api_key),
            log=folder / "vllm.log",
            upstream=part.upstream(api_key),
            console=outside.console,
            start_timeout_s=options.start_timeout_s,
            sleep=outside.sleep,
        )
        ending.children.append(supervisor)
        try:
            supervisor.start()
            with _watched(supervisor):
                yield LentServer(part.command.base_url, api_key)
        finally:
            # From here on a signal can't interrupt, only hurry.
            ending.begin()
            outside.console.say("Stopping vLLM")
            supervisor.stop()


@contextlib.contextmanager
def _watched(supervisor: Supervisor) -> Iterator[None]:
    """Look after it in a thread, while the caller is at work."""
    is_over = threading.Event()
    given_up: list[ServerFailed] = []

    def look() -> None:
        try:
            while not is_over.wait(_TICK_S):
                supervisor.tick()
        except ServerFailed as error:
            given_up.append(error)

    thread = threading.Thread(target=look, name="vllm-watch", daemon=True)
    thread.start()
    try:
        yield
    except Exception as error:
        if given_up:
            raise given_up[0] from error
        raise
    finally:
        is_over.set()
        thread.join()
