"""The command `serve`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from .. import __version__
from ..config.console_settings import wants_console
from ..config.settings import Settings
from ..core.loopback import is_loopback
from ..errors import StoreUnavailable
from ..store.choice import store_address
from .options import CONTEXT, load, setting_options

__all__ = ["serve_command"]


@click.command("serve", context_settings=CONTEXT)
@setting_options()
def serve_command(config_file: Path | None, **flags: object) -> None:
    """Start the service.

    Settings come from the file given with --config, then from the environment, then from these flags; the last one
    wins. `moderation-service config show` prints what that amounts to. SIGHUP makes a running service read the files
    again: settings, policies, API keys.
    """
    from ..server.gunicorn_app import base_url, serve

    settings = load(config_file, flags).settings

    def announce() -> None:
        keys = "API key required" if settings.api_keys or settings.api_keys_file else "no API key"
        click.echo(
            f"moderation-service {__version__} is ready: {base_url(settings)}\n"
            f"  engine {settings.engine} · policy {settings.default_policy} · {settings.workers} workers · {keys}\n"
            f"  try: curl -s {base_url(settings)}/moderate -H 'Content-Type: application/json' "
            """-d '{"prompt": "How can I make a bomb?"}'""",
            err=True,
        )
        if (line := _console_line(settings, config_file, flags.get("data_dir"))) is not None:
            click.echo(line, err=True)

    serve(settings, when_ready=announce, reread=lambda: load(config_file, flags).settings)


def _console_line(settings: Settings, config_file: Path | None, data_dir: object) -> str | None:
    """Where the console is; on a terminal of the machine itself with a link by which to sign in.

    `config_file` and `data_dir` are flags of this start.
    """
    address = store_address(settings, is_local=is_loopback(settings.host)) if wants_console(settings) else None
    if address is None:
        return None
    from ..server.gunicorn_app import base_url

    plain = f"  console: {settings.console_url or base_url(settings)}/console"
    # What is written to a file or a journal is read by others, who would be administrators.
    if not is_loopback(settings.host) or not sys.stderr.isatty():
        # The other command does not know this one's flags: without them it may make a link for another database.
        port = settings.port if settings.console_url is None else None
        given = {"--config": config_file, "--data-dir": data_dir, "--port": port}
        flags = "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)
        return plain + f"  (sign in with the link of `moderation-service console link{flags}`, or an account)"
    from ..store.database import Database
    from .console import sign_in_address

    try:
        return f"  console: {sign_in_address(settings, Database(address))}"
    except StoreUnavailable as error:
        return f"{plain}  ({error.message})"
