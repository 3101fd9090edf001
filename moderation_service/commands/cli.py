"""The command `moderation-service`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import __version__
from ..config.settings import ENV_PREFIX, Loaded, Secret, Setting, declarations, load_settings
from ..errors import ConfigurationError, ModerationError
from .download import download_command
from .up import up_command

__all__ = ["main"]

EXIT_ALLOWED = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_BLOCKED = 3

_F = TypeVar("_F", bound=Callable[..., Any])
# On every command and not only on the group: a command that was once run without it forgets `-h`.
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_JUDGING = ("engine", "default_policy", "policies_file", "deadline_s")


def main() -> None:
    """Run the command line; a mistake in the configuration ends with one line and exit code 1."""
    # A console in another encoding must not turn a verdict about Chinese text into a crash.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        _cli.main(prog_name="moderation-service", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ConfigurationError, ModerationError) as error:
        click.echo(f"moderation-service: {error}", err=True)
        sys.exit(EXIT_ERROR)


def _setting_options(*names: str) -> Callable[[_F], _F]:
    """Flags for these settings (all of them when none is named), in the order of their declaration."""

    def decorate(function: _F) -> _F:
        # No flag for secrets: every user of the machine can read a command line.
        wanted = [one for one in declarations() if one.kind is not Secret and (not names or one.name in names)]
        for setting in reversed(wanted):
            function = _option(setting)(function)
        return click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            envvar=ENV_PREFIX + "CONFIG",
            help="YAML file with settings.",
        )(function)

    return decorate


def _option(setting: Setting) -> Callable[[_F], _F]:
    help_text = f"{setting.help.replace('`', '')}  [{setting.env}]"
    if setting.kind is bool:
        flags = f"{setting.flag}/--no-{setting.flag[2:]}"
        return click.option(flags, setting.name, default=None, help=help_text)
    metavar = {int: "N", float: "SECONDS" if setting.unit == "seconds" else "X", Path: "FILE"}.get(setting.kind, "TEXT")
    if setting.choices:
        metavar = "|".join(setting.choices)
    return click.option(
        setting.flag, setting.name, default=None, metavar=metavar, help=help_text, multiple=setting.is_list
    )


def _load(config_file: Path | None, flags: Mapping[str, object]) -> Loaded:
    loaded = load_settings(file=config_file, environ=os.environ, flags=flags)
    for warning in loaded.warnings:
        click.echo(f"moderation-service: warning: {warning}", err=True)
    return loaded


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="moderation-service")
def _cli() -> None:
    """Self-hosted moderation for LLM applications, in front of Qwen3Guard."""


@_cli.command(context_settings=_CONTEXT)
@_setting_options()
def serve(config_file: Path | None, **flags: object) -> None:
    """Start the service.

    Settings come from the file given with --config, then from the environment, then from these flags; the last one
    wins. `moderation-service config show` prints what that amounts to. SIGHUP makes a running service read the files
    again: settings, policies, API keys.
    """
    from ..server.gunicorn_app import base_url
    from ..server.gunicorn_app import serve as run_server

    settings = _load(config_file, flags).settings

    def announce() -> None:
        keys = "API key required" if settings.api_keys or settings.api_keys_file else "no API key"
        click.echo(
            f"moderation-service {__version__} is ready: {base_url(settings)}\n"
            f"  engine {settings.engine} · policy {settings.default_policy} · {settings.workers} workers · {keys}\n"
            f"  try: curl -s {base_url(settings)}/moderate -H 'Content-Type: application/json' "
            """-d '{"prompt": "How can I make a bomb?"}'""",
            err=True,
        )

    run_server(settings, when_ready=announce, reread=lambda: _load(config_file, flags).settings)


_cli.add_command(up_command)
_cli.add_command(download_command)


@_cli.command(context_settings=_CONTEXT)
@click.argument("text", required=False)
@click.option("--response", help="A model's answer to TEXT: the answer is judged, TEXT is its question.")
@click.option("--policy", help="The policy to decide by; otherwise the default one.")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as POST /moderate would return it.")
@_setting_options(*_JUDGING)
def check(
    text: str | None, response: str | None, policy: str | None, as_json: bool, config_file: Path | None, **flags: object
) -> None:
    """Judge one TEXT here, without a server; `-` reads it from standard input.

    Exit code: 0 allowed or flagged, 3 blocked, 1 error, 2 wrong usage.
    """
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    from ..web.service import build_service
    from ..wires import native

    if text == "-":
        text = _read_standard_input()
    given = {"prompt": text, "response": response, "policy": policy}
    body = {name: value for name, value in given.items() if value is not None}
    if text is None and response is None:
        raise click.UsageError("Give a TEXT, or --response.")
    service = build_service(_load(config_file, flags).settings)
    asked = native.parse(body, policies=service.policies, limits=service.limits, languages=_console_languages())
    items = [item for item in asked.items if not isinstance(item, ModerationError)]
    outcome = service.moderator.decide(items)[0]
    if isinstance(outcome, ModerationError):
        raise outcome
    rendered = native.render(outcome)
    click.echo(json.dumps(rendered, ensure_ascii=False, indent=2) if as_json else _readable(rendered))
    sys.exit(EXIT_ALLOWED if outcome.allowed else EXIT_BLOCKED)


def _read_standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError("Standard input is not UTF-8 text.") from None


def _console_languages() -> tuple[str, ...]:
    """The user's language from the usual variables (`zh_CN.UTF-8` is `zh-CN`)."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "").partition(".")[0]
        if value and value not in ("C", "POSIX"):
            return (value.replace("_", "-"),)
    return ()


def _readable(decision: Mapping[str, Any]) -> str:
    scores = decision["scores"]
    names = ", ".join(decision["category_names"])
    lines = [
        f"{decision['action'].upper():<6} {decision['safety'] or 'no verdict'}" + (f": {names}" if names else ""),
        f"  judged    the {decision['target']}, by policy {decision['policy']}",
        f"  engine    {decision['engine']} ({decision['model']})" + (", degraded" if decision["degraded"] else ""),
    ]
    if scores is not None:
        lines.append("  scores    " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if decision["refusal"] is not None:
        lines.append(f"  refusal   {'yes' if decision['refusal'] else 'no'}")
    if decision["message"]:
        lines.append(f"  message   {decision['message']}")
    lines.append(f"  took      {decision['latency_ms']:.1f} ms")
    return "\n".join(lines)


@_cli.command("eval", context_settings=_CONTEXT)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@_setting_options(*_JUDGING)
def evaluate(file: Path, as_json: bool, config_file: Path | None, **flags: object) -> None:
    """Run a labelled JSONL FILE (or .jsonl.gz) through the engine and print how well it did.

    Each line has `prompt`, `prompt` and `response`, or `messages`; `label` (safe, controversial, unsafe); and perhaps
    `categories` and `refusal`.
    """
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    from ..engines import create_engine
    from . import evaluation

    rows = evaluation.load_rows(file)
    engine = create_engine(_load(config_file, flags).settings)
    report = evaluation.evaluate(engine, rows)
    as_text = evaluation.render_text(report)
    click.echo(json.dumps(report.to_dict(), ensure_ascii=False, indent=2) if as_json else as_text)


@_cli.group(context_settings=_CONTEXT)
def policies() -> None:
    """Work with policy files."""


@policies.command("check", context_settings=_CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
def policies_check(file: Path) -> None:
    """Read a policy FILE as `serve` would and say what it defines, or what is wrong and where."""
    from ..config.policy_file import load_policies
    from ..core.policy import BUILT_IN

    found = load_policies(file, default="balanced")
    for policy in found:
        origin = "built in" if BUILT_IN.get(policy.name) == policy else "from the file"
        click.echo(f"{policy.name:<20} {origin:<14} {policy.description}")


@_cli.group(context_settings=_CONTEXT)
def config() -> None:
    """Look at the configuration."""


@config.command("show", context_settings=_CONTEXT)
@_setting_options()
def config_show(config_file: Path | None, **flags: object) -> None:
    """Print the effective settings and where each comes from; secrets are masked."""
    loaded = _load(config_file, flags)
    for setting in declarations():
        value = getattr(loaded.settings, setting.name)
        click.echo(f"{setting.name:<20} {_shown(value):<28} {loaded.sources[setting.name].value}")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join("***" if isinstance(item, Secret) else str(item) for item in value) or "-"
    return str(value)
