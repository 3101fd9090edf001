"""The service on a free port, for clients that speak HTTP themselves."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from apps import keys, make_service
from werkzeug.serving import make_server

from moderation_service.web import create_app

KEY = "openai-tests-key"

# Without the clients there is nothing to run here; tests/openai/run.sh installs them.
_NEED_CLIENTS = ["test_sdk.py", "test_guarded_chat.py", "test_langchain.py"]
collect_ignore = [] if importlib.util.find_spec("langchain_openai") else _NEED_CLIENTS


@contextmanager
def serving(**parts: Any) -> Iterator[str]:
    """The base URL for OpenAI clients of a service around the fake engine."""
    app = create_app(service=make_service(api_keys=keys(KEY), log_level="error", **parts))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    with serving() as url:
        yield url
