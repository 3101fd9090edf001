"""A service with an engine of three words, for the parts of Dify's contracts that run without Dify."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import prepare_venv
import pytest
from fake_service import FakeService
from live_service import LiveService, WordService
from plugin_http import HttpPlugin
from plugin_outputs import PLUGIN, PLUGIN_NAME, TEXTS, TYPES, declared
from plugin_process import StdioPlugin

from moderation_service.config.settings import Secret, Settings
from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Category, Detail, Severity, Verdict
from moderation_service.errors import EngineUnavailable, ModerationError
from moderation_service.web import create_app
from moderation_service.web.service import build_service

KEY = "dify-tests-key"
HARNESS = Path(__file__).parent / "harness"
APPS = Path(__file__).resolve().parents[2] / "examples" / "dify"


class WordEngine:
    """ "bomb" is unsafe, "politics" is controversial, "broken" can't be judged; remembers what it was asked."""

    name = "words"
    model = "words-1"

    def __init__(self) -> None:
        self.asked: list[tuple[Conversation, Detail]] = []

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        self.asked += [(one, detail) for one in conversations]
        return [self._judge(one) for one in conversations]

    def _judge(self, conversation: Conversation) -> Verdict | ModerationError:
        text = conversation.messages[-1].content
        if "broken" in text:
            return EngineUnavailable("The engine is broken.")
        severity, categories = Severity.SAFE, ()
        if "bomb" in text:
            severity, categories = Severity.UNSAFE, (Category.VIOLENT,)
        elif "politics" in text:
            severity, categories = Severity.CONTROVERSIAL, (Category.POLITICALLY_SENSITIVE_TOPICS,)
        refusal = "I can't help" in text if conversation.response is not None else None
        return Verdict(conversation.target, severity, categories, refusal, None, self.name, self.model)

    def check_ready(self) -> None:
        """Always ready."""

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def engine() -> WordEngine:
    return WordEngine()


@pytest.fixture
def start(engine) -> Callable:
    """A test client of a service with these settings; sends the key unless told otherwise."""

    def client(*, key: str | None = KEY, **settings):
        app = create_app(service=build_service(Settings(api_keys=(Secret(KEY),), **settings), engine=engine))
        made = app.test_client()
        if key is not None:
            made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
        return made

    return client


@pytest.fixture
def ask(start) -> Callable:
    """Posts what Dify's requestor posts and returns (status, JSON)."""

    def post(point: str, params: object = None, *, url: str = "/dify/moderation", client=None):
        body = {"point": point, "params": {} if params is None else params}
        answer = (client or start()).post(url, json=body)
        return answer.status_code, answer.get_json()

    return post


@pytest.fixture(scope="session")
def dify_python() -> str:
    """The interpreter with the plugin SDK and graphon. Without it the marked tests fail rather than skip."""
    if not prepare_venv.is_current():
        pytest.fail("first run: python tools/dify/prepare_venv.py")
    return str(prepare_venv.venv_python())


@pytest.fixture(scope="session")
def oldest_python(dify_python) -> str:
    """The interpreter with the oldest SDK that the plugin supports."""
    return str(prepare_venv.venv_python(prepare_venv.OLDEST_VENV))


@pytest.fixture(scope="session")
def words():
    """The real web layer around the engine of three words, for what the embedded engine does not say on demand."""
    with WordService(WordEngine(), key=KEY) as service:
        yield service


@pytest.fixture(scope="session")
def live(tmp_path_factory):
    """The real service with the embedded engine, as its own process."""
    with LiveService(key=KEY, log=tmp_path_factory.mktemp("service") / "log") as service:
        yield service


@pytest.fixture(scope="module")
def plugin(dify_python) -> Iterator[StdioPlugin]:
    """The plugin as plugin-daemon runs it."""
    with StdioPlugin(PLUGIN, python=dify_python) as running:
        yield running
        assert running.stray == [], "only the protocol may be written to stdout"


@pytest.fixture
def fake() -> Iterator[FakeService]:
    service = FakeService()
    yield service
    service.close()


@pytest.fixture
def invoke(plugin, live) -> Callable:
    """Calls a tool and checks what holds for every outcome: all outputs, of their types, strings streamed."""

    def call(tool, credentials=None, **parameters):
        wanted = live.credentials() if credentials is None else credentials
        output = plugin.invoke_tool(PLUGIN_NAME, tool, wanted, parameters)
        properties = declared(tool)
        assert set(output.variables) == set(properties)
        for name, value in output.variables.items():
            assert isinstance(value, TYPES[properties[name]["type"]]), name
        assert output.streamed == {name for name, value in output.variables.items() if isinstance(value, str)}
        [as_json] = output.json
        assert as_json == {name: value for name, value in output.variables.items() if name not in TEXTS}
        assert output.text.startswith(f"{as_json['action']}: ")
        return output.variables

    return call


@pytest.fixture(scope="module")
def runner(dify_python):
    """One process with graphon in it."""
    command = [dify_python, str(HARNESS / "flow_runner.py")]
    env = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    process = subprocess.Popen(command, env=env, **pipes)
    with process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="module")
def plugin_url(dify_python):
    with HttpPlugin(PLUGIN, python=dify_python) as plugin:
        yield plugin.url


@pytest.fixture(scope="session")
def built_plugin(dify_python, tmp_path_factory):
    """The folder that the built package unpacks to: what an installation runs."""
    folder = tmp_path_factory.mktemp("built")
    for arguments in (("pack", PLUGIN, "plugin.difypkg"), ("unpack", "plugin.difypkg", "plugin")):
        command = [dify_python, str(PLUGIN.parent / "tools/dify/difypkg.py"), *map(str, arguments)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "plugin"


@pytest.fixture
def run_flow(runner, plugin_url, live, built_plugin):
    """Runs an app as a user would: authorized, or with the environment variables filled in."""

    def one(name, query, llm="never asked", *, service=live, **changes):
        job = {
            "dsl": str(APPS / name),
            "query": query,
            "llm": llm,
            "credentials": service.credentials(),
            "environment": {"moderation_url": service.url, "moderation_key": service.key},
            "plugin": str(built_plugin),
            "plugin_url": plugin_url,
            **changes,
        }
        runner.stdin.write(json.dumps(job) + "\n")
        runner.stdin.flush()
        result = json.loads(runner.stdout.readline())
        assert result["status"] != "not run", result["error"]
        return result

    return one
