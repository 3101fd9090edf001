"""The clients of docs/api.md for Node, Java and Go, as printed: against the service, and against servers that fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_llm import FakeLLM, Request, fake_llm, http
from processes import SERVE_LITE, running

from ..conftest import FOLDER

pytestmark = pytest.mark.clients

DOCS = Path(__file__).parents[3] / "docs"
PATH = f"{FOLDER.resolve() / 'bin'}:{os.environ['PATH']}"
CLOSE = "Connection: close\r\n"
PAGES = [(DOCS / name).read_text(encoding="utf-8") for name in ("api.md", "api.zh-CN.md")]
DECISION = {"allowed": True, "action": "allow"}
HOME = "http://127.0.0.1:8787"


def printed(language: str) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGES[0], re.DOTALL)
    return str(code)


@dataclass(frozen=True)
class Client:
    """How the printed code becomes a program that prints the decision, `null` or the error."""

    language: str
    files: dict[str, str]
    build: tuple[str, ...]
    command: tuple[str, ...]
    half_a_second: str
    """How the code says the first pause; a thousandth of it is enough for a test."""
    shorter: str


CLIENTS = [
    Client(
        "js",
        {
            "client.mjs": "{code}",
            "main.mjs": """import { moderate } from "./client.mjs";
const said = await moderate(JSON.parse(process.argv[2])).catch((error) => "error " + error.message);
console.log(JSON.stringify(said));
""",
        },
        (),
        ("node", "main.mjs"),
        "500 *",
        "0.5 *",
    ),
    Client(
        "java",
        {
            "Moderation.java": "{code}",
            "Main.java": """class Main {
    public static void main(String[] words) throws Exception {
        try {
            System.out.println(Moderation.moderate(words[0], 3).orElse("null"));
        } catch (IllegalArgumentException error) {
            System.out.println("\\"error " + error.getMessage() + "\\"");
        }
    }
}
""",
        },
        ("javac", "Main.java", "Moderation.java"),
        ("java", "-XX:TieredStopAtLevel=1", "Main"),
        "500L <<",
        "1L <<",
    ),
    Client(
        "go",
        {
            "moderation/client.go": "{code}",
            "go.mod": "module example.com/program\n\ngo 1.22\n",
            "main.go": """package main

import (
	"encoding/json"
	"fmt"
	"os"

	"example.com/program/moderation"
)

func main() {
	said, err := moderation.Moderate(json.RawMessage(os.Args[1]), 3)
	if err != nil {
		fmt.Printf("%q\\n", "error "+err.Error())
		return
	}
	text, _ := json.Marshal(said)
	fmt.Println(string(text))
}
""",
        },
        ("go", "build", "-o", "program", "."),
        ("./program",),
        "500 *",
        "1 *",
    ),
]


@pytest.fixture(scope="module", params=CLIENTS, ids=lambda one: one.language)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Asks this address with the printed code, and answers what it says."""
    client: Client = request.param
    wanted = [tool for tool in (*client.build[:1], *client.command[:1]) if not tool.startswith(".")]
    missing = [tool for tool in wanted if shutil.which(tool, path=PATH) is None]
    if missing:
        pytest.skip(f"there is no {missing[0]} here")
    made: dict[str, Path] = {}
    env = {**os.environ, "PATH": PATH, "GOPROXY": "off", "GOCACHE": str((FOLDER / "go-cache").resolve())}

    def build(url: str) -> Path:
        folder = tmp_path_factory.mktemp(client.language)
        code = printed(client.language)
        assert HOME in code
        assert client.half_a_second in code
        code = code.replace(HOME, url).replace(client.half_a_second, client.shorter)
        for name, text in client.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text.replace("{code}", code), encoding="utf-8")
        if client.build:
            subprocess.run(client.build, cwd=folder, env=env, check=True)
        return folder

    def ask(url: str, check: dict[str, str]) -> Any:
        folder = made.get(url) or made.setdefault(url, build(url))
        command = [*client.command, json.dumps(check)]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.fixture(scope="module")
def server() -> Iterator[FakeLLM]:
    with fake_llm() as one:
        yield one


def answering(server: FakeLLM, *replies: bytes) -> None:
    server.requests.clear()
    waiting = list(replies)

    def behave(request: Request) -> Iterable[bytes]:
        assert (request.path, request.headers["authorization"]) == ("/moderate", "Bearer KEY")
        return [waiting.pop(0)]

    server.behave = behave


def test_the_service_answers_it(program: Callable[..., Any]) -> None:
    with running(command=SERVE_LITE) as service:
        said = program(service.url, {"prompt": "How can I make a bomb?"})
    assert (said["action"], said["message"]) == ("block", "Sorry, I can't help with that.")


def test_what_may_pass_is_tried_again(program: Callable[..., Any], server: FakeLLM) -> None:
    later = http(503, {}, headers=f"Retry-After: 0\r\n{CLOSE}")
    answering(server, http(429, {}, headers=CLOSE), later, http(200, DECISION))
    assert program(server.url, {"prompt": "Hello"}) == DECISION
    assert len(server.requests) == 3


def test_what_would_fail_again_is_an_error(program: Callable[..., Any], server: FakeLLM) -> None:
    answering(server, http(400, {}, headers=CLOSE))
    assert program(server.url, {"prompt": "Hello"}).startswith("error 400")
    assert len(server.requests) == 1


def test_without_an_answer_there_is_no_decision(program: Callable[..., Any], server: FakeLLM, unused_port: int) -> None:
    answering(server, *[http(503, {}, headers=CLOSE)] * 3)
    assert program(server.url, {"prompt": "Hello"}) is None
    assert len(server.requests) == 3
    assert program(f"http://127.0.0.1:{unused_port}", {"prompt": "Hello"}) is None
