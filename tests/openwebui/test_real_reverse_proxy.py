"""The example files for nginx and Caddy in front of a real Open WebUI with the filter function."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from processes import free_port

from .chat_model import ChatModel
from .conftest import KEY
from .product import OpenWebUI

pytestmark = pytest.mark.openwebui

EXAMPLES = Path(__file__).parents[2] / "examples" / "open-webui"
ADDRESS = "127.0.0.1:8080"
_START_S = 30


def nginx(folder: Path, port: int, webui: OpenWebUI) -> list[str]:
    text = (EXAMPLES / "nginx.conf").read_text(encoding="utf-8")
    assert (ADDRESS in text, "listen 80;" in text) == (True, True)
    text = text.replace(f"http://{ADDRESS}", webui.url).replace("listen 80;", f"listen 127.0.0.1:{port};")
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "open-webui.conf").write_text(text)
    http = f"access_log off; {paths} include {folder}/open-webui.conf;"
    config = folder / "nginx.conf"
    config.write_text(f"pid {folder}/pid; error_log stderr; events {{}} http {{ {http} }}")
    subprocess.run(["nginx", "-t", "-c", str(config)], check=True, capture_output=True)
    return ["nginx", "-c", str(config), "-g", "daemon off;"]


def caddy(folder: Path, port: int, webui: OpenWebUI) -> list[str]:
    text = (EXAMPLES / "Caddyfile").read_text(encoding="utf-8")
    assert (ADDRESS in text, "\n:80 {" in text) == (True, True)
    text = text.replace(ADDRESS, webui.url.removeprefix("http://")).replace("\n:80 {", f"\nhttp://127.0.0.1:{port} {{")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(params=[nginx, caddy], ids=lambda start: start.__name__)
def user(request, webui: OpenWebUI, guard: str, tmp_path: Path) -> Iterator[OpenWebUI]:
    """An ordinary user, behind the reverse proxy."""
    if shutil.which(request.param.__name__) is None:
        pytest.skip(f"{request.param.__name__} is not installed")
    source = (EXAMPLES / "moderation_filter.py").read_text(encoding="utf-8")
    webui.install("moderation_guard", source, guard_url=guard, api_key=KEY)
    one, port = webui.new_user(), free_port()
    one.url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        request.param(tmp_path, port, webui), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait(one)
            yield one
        finally:
            process.terminate()
            webui.switch("moderation_guard", False)


def _wait(user: OpenWebUI) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        try:
            if user.http.get(f"{user.url}/health", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise AssertionError("the reverse proxy did not start")


def test_no_route_goes_past_the_filter_and_the_chat_works(user: OpenWebUI, webui: OpenWebUI, model: ChatModel):
    model.asked.clear()
    for path in (
        "/openai/chat/completions", "/openai/responses", "/openai/v1/chat/completions", "/openai/chat/completions/",
        "/openai//chat/completions", "//openai/chat/completions", "/%6fpenai/chat/completions",
        "/openai/models/%2e%2e/chat/completions", "/OPENAI/chat/completions", "/ollama/api/chat", "/ollama/v1/messages",
        "/api/v1/tasks/moa/completions", "/api/v1/tasks/emoji/completions", "/api/v1/messages", "/api/message",
        "/api/v1/audio/realtime",
    ):  # fmt: skip
        body = {
            "model": user.model,
            "messages": [{"role": "user", "content": "a bomb"}],
            "prompt": "a bomb",
            "responses": [],
        }
        session = requests.Session()
        request = session.prepare_request(requests.Request("POST", user.url, json=body, headers=user.http.headers))
        request.url = user.url + path  # as it is, without the client's own tidying
        with session:
            assert session.send(request, timeout=60).status_code in (403, 404, 405), path
    assert model.asked == []
    assert user.chat("How do I bake bread?").is_done
    assert user.browse("How do I bake bread?").content == "Bread is made of flour and water."
    assert user.chat("a bomb").status == 400
    user.http.headers["Authorization"] = webui.http.headers["Authorization"]
    assert user.call("GET", "/openai/config")["OPENAI_API_BASE_URLS"] == [model.url]
    assert user.call("GET", "/openai/models/0")["data"]
