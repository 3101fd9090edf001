"""`requests` on top of our connections: what is called rarely is written with `requests`, over the same sockets."""

from __future__ import annotations

from collections.abc import Mapping

import requests
from requests.adapters import BaseAdapter

from .connections import ConnectionPool

__all__ = ["PooledAdapter"]

# The token list of a text of 1 MB is about 10 MB; nothing else is near that.
_MAX_BODY_BYTES = 64 * 1024 * 1024


class PooledAdapter(BaseAdapter):
    """Sends the requests of a `requests.Session` over a `ConnectionPool`.

    `timeout` is the time for the whole exchange, in seconds. Raises BrokenConnection, a `requests` exception.
    Bodies are bytes, replies are read completely and are not decompressed.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__()
        self._pool = pool

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """The reply to a prepared request. Certificates are always checked; proxies are not used."""
        if not isinstance(timeout, (int, float)):
            raise TypeError("a number of seconds is needed as timeout")
        status, headers, body = self._pool.exchange(
            _serialised(request), timeout_s=timeout, max_body_bytes=_MAX_BODY_BYTES
        )
        response = requests.Response()
        response.status_code = status
        response.headers.update({name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()})
        response.url = request.url or ""
        response.request = request
        response._content = body
        return response

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def _serialised(request: requests.PreparedRequest) -> bytes:
    host = (request.url or "").partition("://")[2].partition("/")[0]
    lines = [f"{request.method} {request.path_url} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    body = request.body or b""
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if isinstance(body, bytes) else body.encode())
