"""Drives a Dify plugin folder through the real SDK, the way plugin-daemon's local runtime does.

The plugin runs as `python -m main` with the plugin folder as working directory and INSTALL_METHOD=local. Requests are
JSON lines on its stdin; answers are JSON lines, separated by blank lines, on its stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Inherited variables that would change which code the plugin imports or how the SDK starts.
_UNWANTED_ENV = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "REMOTE_INSTALL_URL", "REMOTE_INSTALL_KEY")


class PluginError(Exception):
    """The plugin answered a request with an error message."""

    def __init__(self, payload: Mapping[str, Any]):
        self.payload = dict(payload)
        self.error_type = str(payload.get("error_type"))
        self.message = str(payload.get("message"))
        super().__init__(f"{self.error_type}: {self.message}")


class PluginDied(RuntimeError):
    """The plugin process ended, or never became ready."""


@dataclass
class ToolOutput:
    """What a workflow sees of one tool call."""

    variables: dict[str, Any] = field(default_factory=dict)
    streamed: set[str] = field(default_factory=set)  # names sent with stream=true: the only ones an Answer can print
    text: str = ""
    json: list[Any] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_messages(cls, messages: list[dict[str, Any]]) -> ToolOutput:
        out = cls(messages=messages)
        for message in messages:
            body = message.get("message") or {}
            if message["type"] == "variable":
                name, value = body["variable_name"], body["variable_value"]
                if body.get("stream"):
                    out.streamed.add(name)
                    out.variables[name] = out.variables.get(name, "") + value  # repeated chunks append
                else:
                    out.variables[name] = value
            elif message["type"] == "text":
                out.text += body["text"]
            elif message["type"] == "json":
                out.json.append(body["json_object"])
        return out


def plugin_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in _UNWANTED_ENV}
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # a __pycache__ left in the folder would be packaged
    env["HEARTBEAT_INTERVAL"] = "1"
    env["NO_PROXY"] = env["no_proxy"] = "*"  # everything here is on this machine
    env.update(extra or {})
    return env


def refuse_pid_1() -> None:
    """The SDK's stdio mode exits as soon as its parent is process 1 (it takes that for an orphan)."""
    if os.getpid() == 1:
        raise PluginDied("this process is pid 1, so the plugin would exit at once; run the container with --init")


class Harness:
    """Session bookkeeping shared by the stdio and the TCP transport."""

    def __init__(self) -> None:
        self._sessions: dict[str, queue.Queue[dict[str, Any] | None]] = {}
        self._send_lock = threading.Lock()
        self.ready = threading.Event()
        self.log: list[dict[str, Any]] = []  # `log` and `error` events
        self.manifest: dict[str, Any] | None = None

    # transports implement these three
    def _send(self, line: bytes) -> None:
        raise NotImplementedError

    def _why_dead(self) -> str:
        return "the plugin ended"

    def close(self) -> None:
        raise NotImplementedError

    def _dispatch(self, message: dict[str, Any]) -> None:
        event = message.get("event")
        if event == "heartbeat":
            self.ready.set()
        elif event == "session":
            waiting = self._sessions.get(message["session_id"])
            if waiting is not None:
                waiting.put(message["data"])
        elif event in ("log", "error"):
            self.log.append(message)

    def _hang_up(self) -> None:
        for waiting in list(self._sessions.values()):
            waiting.put(None)

    def request(self, data: Mapping[str, Any], *, timeout: float = 120, **envelope: Any) -> Iterator[dict[str, Any]]:
        """Send one request, yield the `data` of its stream messages until its end message."""
        session_id = str(uuid.uuid4())
        waiting = self._sessions[session_id] = queue.Queue()
        message = {
            "session_id": session_id,
            "conversation_id": None,
            "message_id": None,
            "app_id": None,
            "endpoint_id": None,
            "context": {},
            "event": "request",
            "data": dict(data),
            **envelope,
        }
        try:
            with self._send_lock:
                self._send(json.dumps(message).encode() + b"\n")
            while True:
                try:
                    answer = waiting.get(timeout=timeout)
                except queue.Empty:
                    raise TimeoutError(f"no answer within {timeout} s") from None
                if answer is None:
                    raise PluginDied(self._why_dead())
                if answer["type"] == "stream":
                    yield answer["data"]
                elif answer["type"] == "end":
                    return
                elif answer["type"] == "error":
                    raise PluginError(answer["data"])
                else:  # "invoke": a call back into Dify, which a plugin without permissions never makes
                    raise PluginError({"error_type": "UnexpectedMessage", "message": json.dumps(answer)[:500]})
        finally:
            self._sessions.pop(session_id, None)

    def invoke_tool(
        self,
        provider: str,
        tool: str,
        credentials: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        timeout: float = 120,
    ) -> ToolOutput:
        """`provider` is the short name (identity.name of the provider yaml)."""
        return ToolOutput.from_messages(
            list(self.request(invoke_data(provider, tool, credentials, parameters), timeout=timeout))
        )

    def validate_credentials(self, provider: str, credentials: Mapping[str, Any], *, timeout: float = 120) -> None:
        """Raises PluginError when the plugin refuses the credentials."""
        answers = list(self.request(validate_data(provider, credentials), timeout=timeout))
        if answers != [{"result": True}]:
            raise PluginError({"error_type": "UnexpectedAnswer", "message": json.dumps(answers)})

    def __enter__(self):
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def invoke_data(
    provider: str, tool: str, credentials: Mapping[str, Any], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "user_id": "user-1",
        "type": "tool",
        "action": "invoke_tool",
        "provider": provider,
        "tool": tool,
        "credentials": dict(credentials),
        "credential_type": "api-key",
        "tool_parameters": dict(parameters),
    }


def validate_data(provider: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "user_id": "user-1",
        "type": "tool",
        "action": "validate_tool_credentials",
        "provider": provider,
        "credentials": dict(credentials),
    }


class StdioPlugin(Harness):
    def __init__(
        self,
        plugin_dir: str | os.PathLike[str],
        *,
        python: str,
        env: Mapping[str, str] | None = None,
        start_timeout: float = 60,
    ) -> None:
        super().__init__()
        refuse_pid_1()
        self.stray: list[
            str
        ] = []  # stdout lines that are not JSON: a print() in the plugin; the daemon logs them as errors
        self.stdout_lines: list[str] = []
        self._stderr: list[bytes] = []
        self.process = subprocess.Popen(
            [python, "-m", "main"],
            cwd=Path(plugin_dir),
            env=plugin_env({"INSTALL_METHOD": "local", **(env or {})}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [
            threading.Thread(target=target, daemon=True) for target in (self._read_stdout, self._read_stderr)
        ]
        for reader in self._readers:
            reader.start()
        deadline = time.monotonic() + start_timeout
        while not self.ready.wait(0.05):
            if self.process.poll() is not None or time.monotonic() > deadline:
                why = self._why_dead() if self.process.poll() is not None else f"no heartbeat within {start_timeout} s"
                self.close()
                raise PluginDied(why)

    @property
    def stderr(self) -> str:
        return b"".join(self._stderr).decode(errors="replace")

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").strip()
            if not line:
                continue
            self.stdout_lines.append(line)
            try:
                message = json.loads(line)
            except ValueError:
                self.stray.append(line)
                continue
            if not isinstance(message, dict):
                self.stray.append(line)
            elif "event" not in message:
                self.manifest = message  # the first line
            else:
                self._dispatch(message)
        self._hang_up()

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        self._stderr.extend(self.process.stderr)

    def _send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except OSError as error:
            raise PluginDied(self._why_dead()) from error

    def _why_dead(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        self._readers[1].join(1)
        return f"the plugin ended with status {self.process.poll()}: {self.stderr[-4000:]}"

    def close(self) -> None:
        # Closing stdin is not enough: at end of file the SDK spins on a core. Kill by handle.
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
