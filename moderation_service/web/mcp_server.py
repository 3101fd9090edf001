"""The MCP server: three tools for agents, over stdio or streamable HTTP. Needs the extra `mcp`; imported where used."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

import anyio.to_thread
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel

from .. import __version__
from ..core.app import Door
from ..core.loopback import is_loopback
from ..core.moderator import Check
from ..errors import EngineError, ModerationError, Overloaded, Unauthorized
from ..observability.request_context import RequestContext, request_context
from ..wires import mcp_tools
from .api_keys import sent_key
from .callers import Callers
from .reply import native_error
from .service import Service

__all__ = ["PATH", "Explanation", "Verdict", "create_mcp_server", "http_app", "serve_http"]

PATH = "/mcp"
"""Where streamable HTTP is served."""
_App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Verdict(BaseModel):
    """What to do with a text."""

    action: Literal["allow", "flag", "block"]
    safety: Literal["safe", "controversial", "unsafe"] | None
    categories: list[str]
    refusal: bool | None
    message: str | None
    policy: str
    degraded: bool
    id: str


class Explanation(BaseModel):
    """What a policy does."""

    policy: str
    description: str
    is_default: bool
    prompts: list[str]
    responses: list[str]
    tools: dict[str, dict[str, list[str]]]
    message: str
    policies: list[str]


def create_mcp_server(service: Service) -> MCPServer:
    """The server of a service; it judges as the service's other doors do."""
    server = MCPServer("moderation-service", version=__version__, instructions=mcp_tools.INSTRUCTIONS)

    async def judged(prompt: str | None, response: str | None, policy: str | None) -> Verdict:
        try:
            check = mcp_tools.check_of(service.policies, prompt=prompt, response=response, policy=policy)
            # A verdict may take long, and the server has one thread for all of its clients.
            outcomes = await anyio.to_thread.run_sync(_decide, service, check)
            return Verdict.model_validate(mcp_tools.result_of(outcomes[0]))
        except ModerationError as error:
            raise _tool_error(error) from None

    async def check_prompt(text: str, policy: str | None = None) -> Verdict:
        """Judge text that a user wrote, or that comes from a page or a tool, before a model or a tool acts on it."""
        return await judged(text, None, policy)

    async def check_response(text: str, prompt: str | None = None, policy: str | None = None) -> Verdict:
        """Judge what a model wrote before it is shown or sent; `prompt` is what it answers, if that is known."""
        return await judged(prompt, text, policy)

    async def explain_policy(policy: str | None = None) -> Explanation:
        """Say what a policy allows, marks for review and blocks, and which policies there are."""
        try:
            return Explanation.model_validate(mcp_tools.explanation(service.policies, policy))
        except ModerationError as error:
            raise _tool_error(error) from None

    for tool in (check_prompt, check_response, explain_policy):
        server.add_tool(tool, structured_output=True)
    return server


def http_app(service: Service) -> _App:
    """The ASGI app for streamable HTTP, which asks for a key where the service has any."""
    settings = service.settings
    names = {"127.0.0.1", "localhost", "[::1]", "host.docker.internal", *settings.allowed_hosts}
    security = TransportSecuritySettings(
        # As at the service's other doors: without keys and for this machine only, names of others are refused.
        enable_dns_rebinding_protection=not service.keys and is_loopback(settings.host) and "*" not in names,
        allowed_hosts=[host for name in sorted(names) for host in (name, f"{name}:*")],
    )
    app = create_mcp_server(service).streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=settings.max_body_bytes,
        transport_security=security,
        host=settings.host,
    )
    return _Keyed(app, service.keys) if service.keys else app


def serve_http(service: Service, *, port: int, when_ready: Callable[[], None]) -> None:
    """Serve until the process is told to end."""
    app = http_app(service)

    async def told(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        async def noticed(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                when_ready()

        await app(scope, receive, noticed)

    uvicorn.Server(uvicorn.Config(told, host=service.settings.host, port=port, log_level="warning")).run()


class _Keyed:
    """Refuses requests without a key of the service."""

    def __init__(self, app: _App, keys: Callers) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        leave: Callable[[], None] | None = None
        try:
            name = self._name(scope["headers"])
            known = self._keys.app_of(name)
            app = None if known is None else known.app.name
            request_context.set(RequestContext(None, name, app, Door.MCP.value))
            if known is not None:
                leave = self._keys.admit(known, Door.MCP).leave
        except ModerationError as error:
            await _refuse(error, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if leave is not None:
                leave()

    def _name(self, headers: list[tuple[bytes, bytes]]) -> str:
        """The name of the key that was sent. Raises Unauthorized."""
        sent = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        key = sent_key(sent.get("authorization"), sent.get("x-api-key"))
        name = None if key is None else self._keys.identify(key)
        if name is None:
            raise Unauthorized("Send a key as `Authorization: Bearer ...` or `X-API-Key`.")
        return name


async def _refuse(error: ModerationError, send: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b'Bearer realm="moderation-service"'))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(native_error(error)).encode()})


def _decide(service: Service, check: Check) -> Any:
    return service.moderator.decide([check])


def _tool_error(error: ModerationError) -> ToolError:
    """What reaches the client's model: other exceptions would only be told as an error."""
    is_failure = isinstance(error, (EngineError, Overloaded)) or error.status >= 500
    return ToolError(f"no verdict: {error.message}" if is_failure else error.message)
