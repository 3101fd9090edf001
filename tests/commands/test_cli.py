"""The command `moderation-service`; in processes of its own where the console matters, otherwise in this one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click import Context
from click.testing import CliRunner
from processes import run_command

from moderation_service import __version__
from moderation_service.commands.cli import cli
from moderation_service.config.settings import Secret, declarations

SECRET = "hunter2-very-secret"


Ended = tuple[int, str, str]
"""Exit code, standard output and standard error."""
Run = Callable[..., Ended]


def text(done: subprocess.CompletedProcess[bytes]) -> Ended:
    return done.returncode, done.stdout.decode(), done.stderr.decode()


# check


def test_a_harmful_text_is_blocked_with_exit_code_3(run: Run) -> None:
    code, out, err = run("check", "How can I make a bomb?")
    assert (code, err) == (3, "")
    first, *rest = out.splitlines()
    assert first.startswith("BLOCK  unsafe: ")
    assert "  judged    the prompt, by policy balanced" in rest
    assert "  message   Sorry, I can't help with that." in rest


def test_a_harmless_text_is_allowed_with_exit_code_0(run: Run) -> None:
    code, out, err = run("check", "How do I bake bread?")
    assert (code, err) == (0, "")
    assert out.startswith("ALLOW  safe\n")


def test_the_decision_can_be_had_as_json(run: Run) -> None:
    code, out, _ = run("check", "How can I make a bomb?", "--json", "--policy", "strict")
    assert code == 3
    decision = json.loads(out)
    assert (decision["action"], decision["policy"], decision["engine"]) == ("block", "strict", "lite")


def test_a_response_is_judged_with_its_question(run: Run) -> None:
    code, out, _ = run("check", "How can I make a bomb?", "--response", "Sorry, I can't help with that.")
    assert code == 0
    assert "  judged    the response" in out
    assert "  refusal   yes" in out


@pytest.mark.parametrize(
    ("sent", "code"), [(b"How can I make a bomb?", 3), ("怎么做面包？".encode(), 0), (b"\xff\xfe", 2), (b"", 1)]
)
def test_a_text_can_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch, sent: bytes, code: int) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent), encoding="ascii"))
    assert run("check", "-")[0] == code


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check"], 2, "Give a TEXT, or --response."),
        (["check", ""], 1, "moderation-service: `prompt` is empty or blank."),
        (["check", "x", "--policy", "none"], 1, "`policy` is no policy of this service"),
        (["check", "x", "--default-policy", "none"], 1, "default_policy: there is no policy 'none'"),
        (["check", "x", "--engine", "gpt"], 1, "--engine: must be one of "),
        (["check", "x", "--port", "1"], 2, "No such option"),
        (["chekc"], 2, "No such command"),
        (["eval", "/nowhere.jsonl"], 2, "does not exist"),
        (["config", "show", "--workers", "many"], 1, "--workers: must be a whole number."),
        (
            ["config", "show", "--config", "/nowhere.yaml"],
            1,
            "/nowhere.yaml: can't be read: No such file or directory.",
        ),
        (["policies", "check", "/nowhere.yaml"], 1, "/nowhere.yaml: can't be read: No such file or directory."),
        (["policies", "check"], 2, "Missing argument 'FILE'"),
    ],
)
def test_a_mistake_ends_with_a_sentence_and_no_traceback(
    run: Run, arguments: list[str], code: int, message: str
) -> None:
    returned, out, err = run(*arguments)
    assert (returned, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "variables",
    [
        {"LANG": "C"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=lambda one: ",".join(f"{key}={value}" for key, value in one.items()),
)
def test_chinese_and_emoji_do_not_break_any_console(tmp_path: Path, variables: dict[str, str]) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {own: {description: 中文 😀, message: 不行 😀}}", encoding="utf-8")
    for arguments, expected in (
        (["check", "制造炸弹 😀 bomb", "--policies-file", str(file), "--policy", "own"], (0, 3)),
        (["policies", "check", str(file)], (0,)),
    ):
        done = run_command(*arguments, **variables)
        assert done.returncode in expected, done.stderr
        assert b"Traceback" not in done.stderr


def test_the_message_is_in_the_consoles_language(run: Run) -> None:
    for variables, message in (
        ({"LANG": "zh_CN.UTF-8"}, "抱歉，我无法协助处理此请求。"),
        ({"LC_ALL": "de_DE.UTF-8", "LANG": "zh_CN.UTF-8"}, "Dabei kann ich leider nicht helfen."),
        ({"LANG": "C"}, "Sorry, I can't help with that."),
    ):
        _, out, _ = run("check", "How can I make a bomb?", **variables)
        assert f"  message   {message}\n" in out


def test_an_argument_that_is_no_text_is_a_mistake(run: Run) -> None:
    code, _, err = run("check", os.fsdecode(b"\xff\xfe"))
    assert code == 1
    assert "lone surrogate" in err


# policies check


def test_a_policy_file_is_read_as_the_service_would(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies:\n  kids: {extends: strict, description: For children.}\n", encoding="utf-8")
    code, out, err = run("policies", "check", str(file))
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["strict", "balanced", "loose", "kids"]
    assert out.splitlines()[-1] == f"{'kids':<20} {'from the file':<14} For children."


def test_a_mistake_in_a_policy_file_is_named_with_its_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies:\n  kids:\n    actions: {unsafe: deny}\n", encoding="utf-8")
    assert run("policies", "check", str(file)) == (
        1,
        "",
        f"moderation-service: {file}:3: `actions.unsafe` must be one of allow, flag, block, not 'deny'.\n",
    )


# config show


def test_the_effective_settings_are_shown_with_their_sources_and_without_secrets(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "moderation.yaml"
    file.write_text(f"api_keys: [chat:{SECRET}, {SECRET}]\nworkers: 3\n", encoding="utf-8")
    code, out, err = run(
        "config", "show", "--port", "9001", MODERATION_CONFIG=str(file), MODERATION_THREADS="7", MODERATION_TYPO="1"
    )
    assert code == 0
    assert err == "moderation-service: warning: MODERATION_TYPO: no such setting; ignored.\n"
    shown = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert list(shown) == [setting.name for setting in declarations()]
    assert shown["port"] == ["9001", "flag"]
    assert shown["threads"] == ["7", "environment"]
    assert shown["workers"] == ["3", "file"]
    assert shown["host"] == ["127.0.0.1", "default"]
    assert shown["api_keys"] == ["***,", "***", "file"]
    assert shown["audit_file"] == ["-", "default"]
    assert SECRET not in out


@pytest.mark.parametrize(
    "keys", ["short", f"name with spaces:{SECRET}", f"a:{SECRET},a:{SECRET}", f"sha256:{SECRET}", f"ü{SECRET}"]
)
def test_a_bad_key_is_never_printed(run: Run, keys: str) -> None:
    code, out, err = run("serve", "--port", "1", MODERATION_API_KEYS=keys)
    assert (code, out) == (1, "")
    assert err.startswith("moderation-service: api_keys[")
    assert SECRET not in err


# Help


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version") == (0, f"moderation-service, version {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [[], ["serve"], ["check"], ["eval"], ["policies"], ["policies", "check"], ["config"], ["config", "show"]],
)
def test_every_command_has_help(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, [*arguments, "-h"])
    assert done.exit_code == 0
    assert len(done.output.splitlines()) > 5


@pytest.mark.parametrize("name", cli.list_commands(Context(cli)))
def test_a_command_knows_its_help_by_itself(name: str) -> None:
    """And not from the group alone: one that was once run without it would forget `-h`."""
    command = cli.get_command(Context(cli), name)
    assert command is not None
    assert CliRunner().invoke(command, ["-h"]).exit_code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_as_the_page_says(shell: str) -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    assert f"_MODERATION_SERVICE_COMPLETE={shell}_source moderation-service" in page
    script = run_command(_MODERATION_SERVICE_COMPLETE=f"{shell}_source").stdout.decode()
    assert "moderation-service" in script
    words = {"COMP_WORDS": "moderation-service po", "COMP_CWORD": "1" if shell != "fish" else "po"}
    found = run_command(_MODERATION_SERVICE_COMPLETE=f"{shell}_complete", **words).stdout.decode()
    assert "policies" in found


def test_serve_has_a_flag_for_every_setting_but_secrets() -> None:
    help_text = CliRunner().invoke(cli, ["serve", "--help"]).output
    for setting in declarations():
        is_shown = f"  {setting.flag} " in help_text or f"  {setting.flag} /" in help_text
        assert is_shown is (setting.kind is not Secret), setting.name
        if is_shown:
            assert f"[{setting.env}]" in " ".join(help_text.split()), setting.name
