"""A real Open WebUI in a process, and its API as an administrator, an API client and a browser use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from processes import environment, free_port

__all__ = ["ApiAnswer", "BrowserChat", "OpenWebUI", "open_webui"]

_EMAIL, _PASSWORD = "admin@example.com", "Admin-pass-1"
_START_S = 600
_CHAT_S = 180


@dataclass(frozen=True)
class ApiAnswer:
    """What an API client got: for a stream, the text of its chunks; `raw` is everything."""

    status: int
    raw: str
    text: str = ""
    finish_reason: str | None = None
    is_done: bool = False

    @property
    def detail(self) -> str:
        return str(json.loads(self.raw)["detail"])


@dataclass
class BrowserChat:
    """What a browser got: the events while it waited, and the message as it was saved."""

    events: list[dict[str, Any]] = field(default_factory=list)
    saved: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The text that appeared while the answer was streamed."""
        return "".join(str(one["data"].get("delta", "")) for one in self.events if one["type"] == "response:completion")

    @property
    def seen(self) -> str:
        """Everything that was sent to the browser, and all that was saved."""
        return json.dumps([self.events, self.saved], ensure_ascii=False)

    @property
    def content(self) -> str:
        """The saved answer."""
        output = self.saved.get("output") or []
        texts = [part["text"] for item in output if item["type"] == "message" for part in item["content"]]
        return self.saved.get("content") or "".join(texts)


class OpenWebUI:
    """A running Open WebUI, and one of its users."""

    def __init__(self, url: str, model: str) -> None:
        self.url = url
        self.model = model
        self.http = requests.Session()
        self.http.trust_env = False

    def sign_in(self, email: str = _EMAIL, password: str = _PASSWORD) -> None:
        token = self.call("POST", "/api/v1/auths/signin", {"email": email, "password": password})["token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def new_user(self) -> OpenWebUI:
        """An ordinary user, signed in."""
        form = {"email": f"{uuid.uuid4().hex}@example.com", "password": "Bob-secret-1", "name": "Bob", "role": "user"}
        self.call("POST", "/api/v1/auths/add", form)
        user = OpenWebUI(self.url, self.model)
        user.sign_in(form["email"], form["password"])
        return user

    def call(self, method: str, path: str, body: object = None) -> Any:
        reply = self.http.request(method, self.url + path, json=body, timeout=_CHAT_S)
        assert reply.ok, f"{method} {path}: {reply.status_code} {reply.text[:400]}"
        return reply.json()

    # The administrator.

    def connect(self, connections: Mapping[str, str], **config: str) -> None:
        """Use these connections, address to key, and no others; `config` is for the first one."""
        form = {
            "ENABLE_OPENAI_API": True,
            "OPENAI_API_BASE_URLS": list(connections),
            "OPENAI_API_KEYS": list(connections.values()),
            "OPENAI_API_CONFIGS": {"0": config} if config else {},
        }
        self.call("POST", "/openai/config/update", form)
        self.call("GET", "/api/models?refresh=true")

    def install(self, name: str, source: str, **valves: object) -> None:
        """A function, switched on, for all models, with these valves and defaults for the others."""
        form = {"id": name, "name": name, "content": source, "meta": {"description": "", "manifest": {}}}
        known = any(one["id"] == name for one in self.call("GET", "/api/v1/functions/"))
        self.call("POST", f"/api/v1/functions/id/{name}/update" if known else "/api/v1/functions/create", form)
        self.switch(name, True)
        if not self.call("GET", f"/api/v1/functions/id/{name}")["is_global"]:
            self.call("POST", f"/api/v1/functions/id/{name}/toggle/global")
        self.call("POST", f"/api/v1/functions/id/{name}/valves/update", valves)

    def install_tool(self, name: str, source: str) -> None:
        form = {"id": name, "name": name, "content": source, "meta": {"description": "", "manifest": {}}}
        known = any(one["id"] == name for one in self.call("GET", "/api/v1/tools/"))
        self.call("POST", f"/api/v1/tools/id/{name}/update" if known else "/api/v1/tools/create", form)

    def switch(self, name: str, on: bool) -> None:
        if self.call("GET", f"/api/v1/functions/id/{name}")["is_active"] != on:
            self.call("POST", f"/api/v1/functions/id/{name}/toggle")

    # An API client.

    def chat(
        self,
        prompt: str | Sequence[Mapping[str, object]],
        /,
        *,
        stream: bool = True,
        path: str = "/api/chat/completions",
        **fields: object,
    ) -> ApiAnswer:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        body = {"model": self.model, "stream": stream, "messages": messages, **fields}
        reply = self.http.post(self.url + path, json=body, timeout=_CHAT_S)
        reply.encoding = "utf-8"
        if not reply.ok:
            return ApiAnswer(reply.status_code, reply.text)
        if not stream:
            choice = (reply.json().get("choices") or [{}])[0]
            text = choice.get("message", {}).get("content") or ""
            return ApiAnswer(reply.status_code, reply.text, text, choice.get("finish_reason"))
        lines = [line[5:].strip() for line in reply.text.splitlines() if line.startswith("data:")]
        choices = [choice for line in lines if line != "[DONE]" for choice in json.loads(line).get("choices", [])]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        finish = next((choice["finish_reason"] for choice in choices if choice.get("finish_reason")), None)
        return ApiAnswer(reply.status_code, reply.text, text, finish, "[DONE]" in lines)

    # A browser.

    def browse(
        self,
        prompt: str,
        *,
        stream: bool = True,
        language: str = "en-US",
        title: bool = False,
        tools: Sequence[str] = (),
    ) -> BrowserChat:
        """Ask in a new chat, and wait until nothing more happens.

        With `title` Open WebUI makes the chat itself and asks for its title at the same time, as it does by default.
        """
        import socketio

        chat = BrowserChat()
        client = socketio.Client()
        client.on("events", lambda event, *_: chat.events.append(event.get("data", {})))
        token = self.http.headers["Authorization"].removeprefix("Bearer ")
        client.connect(self.url, socketio_path="/ws/socket.io", auth={"token": token}, transports=["websocket"])
        try:
            client.call("user-join", {"auth": {"token": token}}, timeout=_CHAT_S)
            question, answer, messages = self._messages(prompt)
            body = {
                "stream": stream, "model": self.model, "messages": [{"role": "user", "content": prompt}], "params": {},
                "features": {}, "variables": {"{{USER_LANGUAGE}}": language}, "session_id": client.get_sid("/"),
                "id": answer, "user_message": question, "background_tasks": {"title_generation": True} if title else {},
                "tool_ids": list(tools),
            }  # fmt: skip
            if title:
                body["parent_id"] = None
            else:
                body |= {"chat_id": self._new_chat(messages, answer), "parent_id": question["id"]}
            chat_id = self.call("POST", "/api/chat/completions", body)["chat_id"]
            _wait(lambda: any(e["type"] == "chat:active" and not e["data"]["active"] for e in list(chat.events)))
            chat.saved = self.call("GET", f"/api/v1/chats/{chat_id}")["chat"]["history"]["messages"][answer]
        finally:
            client.disconnect()
            client.shutdown()
        return chat

    def _messages(self, prompt: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
        """A question, the id of its answer, and both as a chat's messages, the answer still empty."""
        question, answer = str(uuid.uuid4()), str(uuid.uuid4())
        asked: dict[str, Any] = {
            "id": question, "parentId": None, "childrenIds": [answer], "role": "user", "content": prompt,
            "models": [self.model],
        }  # fmt: skip
        empty = {
            "id": answer, "parentId": question, "childrenIds": [], "role": "assistant", "content": "",
            "model": self.model, "modelIdx": 0,
        }  # fmt: skip
        return asked, answer, {question: asked, answer: empty}

    def _new_chat(self, messages: dict[str, Any], current: str) -> str:
        """A saved chat with these messages, as the page makes one; its id."""
        chat = {
            "id": "", "title": "test", "models": [self.model], "params": {}, "tags": [],
            "messages": list(messages.values()), "history": {"messages": messages, "currentId": current},
        }  # fmt: skip
        return str(self.call("POST", "/api/v1/chats/new", {"chat": chat})["id"])


def _wait(condition: Any) -> None:
    end = time.monotonic() + _CHAT_S
    while not condition():
        assert time.monotonic() < end, "nothing came in three minutes"
        time.sleep(0.02)


@contextmanager
def open_webui(folder: Path, *, model: str, **variables: str) -> Iterator[OpenWebUI]:
    """An Open WebUI that starts from nothing, on a free port, without downloads and calls to anybody else."""
    port = free_port()
    log = folder / "open-webui.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("open-webui")), "serve", "--host", "127.0.0.1", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment(**_VARIABLES, DATA_DIR=str(folder), WEBUI_SECRET_KEY=os.urandom(32).hex(), **variables),
        )
    webui = OpenWebUI(f"http://127.0.0.1:{port}", model)
    try:
        _wait_until_ready(webui, process, log)
        webui.sign_in()
        yield webui
    finally:
        webui.http.close()
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(webui: OpenWebUI, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            if webui.http.get(f"{webui.url}/health", timeout=2).ok:
                return
        except requests.RequestException:
            pass
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < end, log.read_text()[-4000:]
        time.sleep(0.3)


_VARIABLES = {
    "ENABLE_OLLAMA_API": "false",
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    # With the "openai" engines neither an embedding nor a speech model is downloaded.
    "RAG_EMBEDDING_ENGINE": "openai",
    "RAG_OPENAI_API_BASE_URL": "http://127.0.0.1:9/v1",
    "RAG_OPENAI_API_KEY": "none",
    "AUDIO_STT_ENGINE": "openai",
    "WEBUI_ADMIN_EMAIL": _EMAIL,
    "WEBUI_ADMIN_PASSWORD": _PASSWORD,
    "WEBUI_ADMIN_NAME": "Admin",
    "BYPASS_MODEL_ACCESS_CONTROL": "true",
    "ENABLE_VERSION_UPDATE_CHECK": "false",
    "ENABLE_PIP_INSTALL_FRONTMATTER_REQUIREMENTS": "false",
    "ENABLE_TAGS_GENERATION": "false",
    "ENABLE_FOLLOW_UP_GENERATION": "false",
    "ANONYMIZED_TELEMETRY": "false",
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
}
