"""The command `mcp`."""

from __future__ import annotations

from pathlib import Path

import click

from ..config.extras import install_command
from ..errors import ConfigurationError
from .options import CONTEXT, JUDGING, load, setting_options

__all__ = ["mcp_command"]


@click.command("mcp", context_settings=CONTEXT)
@click.option(
    "--transport",
    type=click.Choice(["stdio", "streamable-http"]),
    default="stdio",
    show_default=True,
    help="How clients connect: they start this command, or they ask it over HTTP.",
)
@click.option("--port", default=8788, show_default=True, help="Port of streamable-http; the address is `host`.")
@setting_options(*JUDGING, "host", "allowed_hosts")
def mcp_command(transport: str, port: int, config_file: Path | None, **flags: object) -> None:
    """Let agents ask by the Model Context Protocol: check_prompt, check_response, explain_policy.

    It judges in this process, with the settings of the service. Over HTTP it asks for the service's API keys.
    """
    from ..server.gunicorn_app import prepare_process

    prepare_process()
    from ..web.api_keys import check_exposure
    from ..web.service import build_service

    try:
        from ..web.mcp_server import PATH, create_mcp_server, serve_http
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "moderation_service":
            raise
        raise ConfigurationError(f"mcp: {error.name} is not installed; {install_command('mcp')}") from None
    service = build_service(load(config_file, flags).settings)
    if transport == "stdio":
        create_mcp_server(service).run()
        return
    check_exposure(service.settings, has_keys=bool(service.keys))

    def announce() -> None:
        keys = "API key required" if service.keys else "no API key"
        click.echo(f"moderation-service mcp is ready: http://{service.settings.host}:{port}{PATH} · {keys}", err=True)

    serve_http(service, port=port, when_ready=announce)
