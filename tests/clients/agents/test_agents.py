"""Agent command lines against a guarded model: Codex by Responses, Claude Code by Messages.

Each is set up as the documentation shows, and runs in a home and a folder of its own with no variable of ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from doors_models import BOMB, BREAD, DONE, HARMFUL, HELLO, SHOWN, SORRY, calls_everywhere, says_everywhere
from fake_llm import FakeLLM, fake_llm
from fakes import FakeEngine

from moderation_service.config.setting import Url
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.errors import EngineUnavailable

from ..conftest import FOLDER, KEY

TURNS = 32
DOCS = Path(__file__).parents[3] / "docs"
CODEX = FOLDER / "node_modules" / ".bin" / "codex"
# The package's own `bin` wants its install script, which is not run here; the program is in a package by platform.
CLAUDE = next((FOLDER / "node_modules" / "@anthropic-ai").glob("claude-code-*/claude"), None)

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
    pytest.mark.skipif(not CODEX.exists() or CLAUDE is None, reason="needs npm, and packages for this platform"),
]


@dataclass(frozen=True)
class Ran:
    """What a run printed: its answer, all that its user sees, whether it ended well."""

    answer: str
    shown: str
    ended_well: bool


@dataclass
class Agent:
    """A command line at home in this folder; `options` are further ones of its own."""

    home: Path
    llm: FakeLLM
    options: list[str] = field(default_factory=list)

    page = ""
    settings = ""
    tool = ""
    argument = ""
    env: ClassVar[dict[str, str]] = {}

    def command(self, prompt: str, *, goes_on: bool) -> list[str]:
        raise NotImplementedError

    def ask(self, base: str, prompt: str, *, goes_on: bool = False) -> Ran:
        """One prompt, in the same conversation as before if it goes on."""
        self._set_up(base)
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **self.env}
        done = subprocess.run(
            self.command(prompt, goes_on=goes_on),
            capture_output=True,
            text=True,
            env=env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        return Ran(done.stdout.strip(), done.stdout + done.stderr, done.returncode == 0)

    def _set_up(self, base: str) -> None:
        """With the file of settings that its page shows."""
        fence = re.search(r"^```(?:toml|json)\n(.*?)^```$", (DOCS / self.page).read_text(), re.MULTILINE | re.DOTALL)
        assert fence is not None
        text = fence[1]
        for shown, ours in (("http://127.0.0.1:8787", base), ("my-model", "llm-1"), ('"KEY"', f'"{KEY}"')):
            text = text.replace(shown, ours)
        file = self.home / self.settings
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def calls(self, told: Callable[[int], str], *, turns: int = TURNS, only_chats: bool = False) -> None:
        """Have the model ask for a shell command so many times, and then answer."""
        calls_everywhere(
            self.llm, self.tool, lambda seen: {self.argument: told(seen)}, turns=turns, only_chats=only_chats
        )


class Codex(Agent):
    page = "responses.md"
    settings = ".codex/config.toml"
    tool = "exec_command"
    argument = "cmd"
    env: ClassVar = {"GUARDED_KEY": KEY}

    def command(self, prompt: str, *, goes_on: bool) -> list[str]:
        # The commands are a test's own. In a sandbox it would not be seen what keeps one from being run.
        told = ["-c", "sandbox_mode=danger-full-access", "--skip-git-repo-check"]
        return [str(CODEX), "exec", *(["resume", "--last"] if goes_on else []), *told, *self.options, prompt]


class Claude(Agent):
    page = "messages.md"
    settings = ".claude/settings.json"
    tool = "Bash"
    argument = "command"
    env: ClassVar = {"CLAUDE_CODE_MAX_RETRIES": "1"}

    def command(self, prompt: str, *, goes_on: bool) -> list[str]:
        told = ["--allowedTools", "Bash", *(["--continue"] if goes_on else [])]
        return [str(CLAUDE), "-p", prompt, *told, *self.options]


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        says_everywhere(fake, BREAD)
        yield fake


@pytest.fixture(params=[Codex, Claude])
def agent(request: pytest.FixtureRequest, llm: FakeLLM, tmp_path: Path) -> Any:
    return request.param(tmp_path, llm)


@pytest.fixture
def codex(llm: FakeLLM, tmp_path: Path) -> Codex:
    return Codex(tmp_path, llm)


@pytest.fixture
def claude(llm: FakeLLM, tmp_path: Path) -> Claude:
    return Claude(tmp_path, llm)


@pytest.fixture
def guard(llm: FakeLLM, serve: Callable[..., str]) -> Callable[..., str]:
    """Starts a service in front of the model."""
    return lambda **settings: serve(chat_upstream=Url(llm.url), **settings)


def counts(seen: int) -> str:
    """A command that writes how many results there were when the model asked for it."""
    return f"echo {seen} >>turns"


def test_what_is_allowed_passes(agent: Agent, guard: Callable[..., str]) -> None:
    ran = agent.ask(guard(), HELLO)
    assert (ran.answer, ran.ended_well) == (SHOWN, True)


def test_a_long_loop_of_tools_ends_well(agent: Agent, guard: Callable[..., str]) -> None:
    agent.calls(counts)
    ran = agent.ask(guard(responses_blocked="failed"), HELLO)
    assert (ran.answer, ran.ended_well) == (DONE, True)
    assert (agent.home / "turns").read_text().split() == [str(turn) for turn in range(TURNS)]
    assert len(agent.llm.requests) == TURNS + 1


def test_a_long_loop_goes_through_a_server_that_only_knows_chats(agent: Agent, guard: Callable[..., str]) -> None:
    if isinstance(agent, Codex):
        agent.options = ["-c", "features.multi_agent=false"]
    agent.calls(counts, only_chats=True)
    ran = agent.ask(guard(), HELLO)
    assert (ran.answer, ran.ended_well) == (DONE, True)
    assert (agent.home / "turns").read_text().split() == [str(turn) for turn in range(TURNS)]


def test_a_command_with_harm_in_it_is_never_run(agent: Agent, guard: Callable[..., str]) -> None:
    base = guard(responses_blocked="failed")
    for thing in ("bread", "bomb"):
        agent.calls(lambda seen, thing=thing: f"touch {thing}", turns=1)
        agent.ask(base, HELLO)
    assert (agent.home / "bread").exists()
    assert not (agent.home / "bomb").exists()


@pytest.mark.parametrize("size", [1, 5])
def test_a_stream_shows_nothing_of_what_is_blocked(agent: Agent, guard: Callable[..., str], size: int) -> None:
    says_everywhere(agent.llm, HARMFUL, size=size, pause_s=0.1)
    agent.options = (
        ["--json"]
        if isinstance(agent, Codex)
        else ["--output-format", "stream-json", "--include-partial-messages", "--verbose"]
    )
    ran = agent.ask(guard(responses_blocked="failed"), HELLO)
    assert "flour" in ran.shown
    assert "bomb" not in ran.shown
    assert not ran.ended_well


def test_after_a_block_the_conversation_goes_on(agent: Agent, guard: Callable[..., str]) -> None:
    base = guard(responses_blocked="failed")
    says_everywhere(agent.llm, HARMFUL)
    assert not agent.ask(base, HELLO).ended_well
    says_everywhere(agent.llm, BREAD)
    ran = agent.ask(base, "And with salt?", goes_on=True)
    assert (ran.answer, ran.ended_well) == (SHOWN, True)
    assert HELLO in json.dumps(agent.llm.requests[-1].body)


def test_the_embedded_engine_lets_a_loop_pass(agent: Agent, guard: Callable[..., str]) -> None:
    agent.calls(counts, turns=5)
    ran = agent.ask(guard(engine=LiteEngine.load()), HELLO)
    assert (ran.answer, ran.ended_well) == (DONE, True)


def test_without_a_verdict_it_is_an_error(agent: Agent, guard: Callable[..., str]) -> None:
    down = EngineUnavailable("down")
    if isinstance(agent, Codex):
        retries = ("request_max_retries=0", "stream_max_retries=0")
        agent.options = [word for one in retries for word in ("-c", f"model_providers.guarded.{one}")]
    ran = agent.ask(guard(engine=FakeEngine(raises=down), fallback=FakeEngine(raises=down)), HELLO)
    assert not ran.ended_well
    assert "503" in ran.shown
    assert "flour" not in ran.shown


# Codex: what a blocked text looks like, and how often it asks.


@pytest.mark.parametrize("said", [BOMB, HELLO], ids=["prompt", "answer"])
@pytest.mark.parametrize(
    ("settings", "asked", "ended_well"),
    [
        ({}, 6, False),
        ({"responses_blocked": "failed"}, 1, False),
        ({"responses_blocked": "completed"}, 1, True),
    ],
    ids=["incomplete", "failed", "completed"],
)
def test_codex_shows_the_message_and_asks_again_after_incomplete_only(
    codex: Codex, guard: Callable[..., str], said: str, settings: dict[str, str], asked: int, ended_well: bool
) -> None:
    says_everywhere(codex.llm, HARMFUL)
    ran = codex.ask(guard(**settings), said)
    assert SORRY in ran.shown
    assert ran.ended_well == ended_well
    assert ran.answer == (SORRY if ended_well else "")
    assert len(codex.llm.requests) == asked


def test_codex_shows_a_blocked_prompt_that_is_an_error_once(codex: Codex, guard: Callable[..., str]) -> None:
    ran = codex.ask(guard(chat_blocked_prompt="error"), BOMB)
    assert not ran.ended_well
    assert SORRY in ran.shown
    assert len(codex.llm.requests) == 1


def test_codex_is_told_that_the_servers_search_is_not_let_through(codex: Codex, guard: Callable[..., str]) -> None:
    codex.options = ["-c", "web_search=live"]
    ran = codex.ask(guard(), HELLO)
    assert not ran.ended_well
    assert "only tools of the types function, custom and namespace are let through" in ran.shown


# Claude Code: the same.


def test_claude_shows_the_category_of_a_blocked_answer_after_a_second_one(
    claude: Claude, guard: Callable[..., str]
) -> None:
    says_everywhere(claude.llm, HARMFUL)
    ran = claude.ask(guard(), HELLO)
    assert not ran.ended_well
    assert "Details: `[violent]`" in ran.answer
    assert len(claude.llm.requests) == 2


def test_claude_asks_once_more_with_a_blocked_prompt_as_history(claude: Claude, guard: Callable[..., str]) -> None:
    base = guard()
    ran = claude.ask(base, BOMB)
    assert ran.answer == SHOWN
    turns = claude.llm.requests[-1].body["messages"]
    assert BOMB in json.dumps(turns[0])
    assert [turn["role"] for turn in turns if turn["role"] != "system"] == ["user", "assistant", "user"]
    says_everywhere(claude.llm, HARMFUL)
    ran = claude.ask(base, BOMB)
    assert not ran.ended_well
    assert "flour" not in ran.answer


def test_claude_shows_the_message_of_a_blocked_prompt_that_is_an_error(
    claude: Claude, guard: Callable[..., str]
) -> None:
    ran = claude.ask(guard(chat_blocked_prompt="error"), BOMB)
    assert (ran.answer, ran.ended_well) == (f"API Error: 400 {SORRY}", False)
    assert len(claude.llm.requests) <= 6
