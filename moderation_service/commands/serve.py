"""The command `serve`."""

from __future__ import annotations

from pathlib import Path

import click

from .. import __version__
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

    serve(settings, when_ready=announce, reread=lambda: load(config_file, flags).settings)
