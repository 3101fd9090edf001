"""The command `check`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import ModerationError
from .options import CONTEXT, JUDGING, load, setting_options

__all__ = ["check_command"]

EXIT_ALLOWED = 0
EXIT_BLOCKED = 3


@click.command("check", context_settings=CONTEXT)
@click.argument("text", required=False)
@click.option("--response", help="A model's answer to TEXT: the answer is judged, TEXT is its question.")
@click.option("--policy", help="The policy to decide by; otherwise the default one.")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as POST /moderate would return it.")
@setting_options(*JUDGING)
def check_command(
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
    service = build_service(load(config_file, flags).settings)
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


_KNOWN = {"partial": "less well", "none": "not"}


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
    if decision["coverage"] not in (None, "full"):
        lines.append(
            f"  coverage  {decision['coverage']}: the engine knows this language {_KNOWN[decision['coverage']]}"
        )
    if "list_entry" in decision:
        by = decision["list_entry"]
        lines.append(f"  list      {by['list']}, entry {by['id']}" + (f": {by['reason']}" if by["reason"] else ""))
    if decision["refusal"] is not None:
        lines.append(f"  refusal   {'yes' if decision['refusal'] else 'no'}")
    if decision["message"]:
        lines.append(f"  message   {decision['message']}")
    lines.append(f"  took      {decision['latency_ms']:.1f} ms")
    return "\n".join(lines)
