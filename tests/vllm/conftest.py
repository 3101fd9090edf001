"""Fixtures: a real model server, and the service in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient

from moderation_service.config.settings import Secret, Settings, Url
from moderation_service.engines import create_engine
from moderation_service.web.app import create_app
from moderation_service.web.service import build_service

from . import servers


@pytest.fixture(scope="session", params=["vllm", "llamacpp"])
def server(request: pytest.FixtureRequest) -> Iterator[servers.ModelServer]:
    """A real server with tiny-guard; each test runs against each kind."""
    with getattr(servers, request.param)().running() as one:
        yield one


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Which server it is."""
    return str(request.node.callspec.params["server"])


@pytest.fixture
def service(server: servers.ModelServer) -> Iterator[Callable[..., FlaskClient]]:
    """Makes services in front of the server, without cache and without a fallback."""
    engines = []

    def make(**changes: object) -> FlaskClient:
        options = {"upstreams": (Url(server.url),), "upstream_api_key": Secret(servers.KEY), **changes}
        settings = Settings(engine="vllm", cache_size=0, **options)  # type: ignore[arg-type]
        engine = create_engine(settings)
        engines.append(engine)
        return create_app(service=build_service(settings, engine=engine)).test_client()

    yield make
    for engine in engines:
        engine.close()
