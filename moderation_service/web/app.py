"""The app factory."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Flask

from ..config.settings import Settings
from . import (
    addresses,
    anthropic,
    appeals,
    dify,
    ext_authz,
    gateways,
    health,
    lakera,
    litellm,
    moderate,
    open_webui,
    openai,
    other_models,
    pages,
    relayed,
    rewards,
    withholding,
)
from .console import register_console
from .guarded import GuardedDoor
from .hosts import AllowedHosts
from .lifecycle import DirectRoute, register_lifecycle
from .readiness import Readiness
from .service import Service, build_service
from .tracing import TracingLayer
from .triage import Triage

__all__ = ["create_app"]


def create_app(
    settings: Settings | None = None, *, service: Service | None = None, before_reload: Settings | None = None
) -> Flask:
    """The WSGI app of a service; `service` replaces the one made from the settings.

    `before_reload`: the settings of the service that this one takes over from, for the console to show.
    """
    settings = (service.settings if service else settings) or Settings()
    service = service or build_service(settings)
    app = Flask("moderation_service.web", static_folder="static" if settings.pages else None)
    # "/static//page.js" is no address of ours; werkzeug would answer it with a redirect, as an HTML page.
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions["moderation"] = service
    guarded = GuardedDoor.of(service)
    direct = _direct_routes(service, guarded)
    tidy = addresses.register_addresses(app)
    hosts = AllowedHosts(settings, service.keys)
    readiness = health.readiness_of(service)
    register_lifecycle(
        app,
        service,
        hosts=hosts,
        direct=direct,
        error_shapes={
            **gateways.ERROR_SHAPES,
            **anthropic.ERROR_SHAPES,
            **addresses.ERROR_SHAPES,
            **openai.ERROR_SHAPES,
        },
        known_errors=litellm.KNOWN_ERRORS,
    )
    app.extensions["moderation.triage"] = Triage(
        service, hosts=hosts, direct=direct, addresses=app.url_map, tidy=tidy, readiness=readiness
    )
    if service.tracing is not None:
        app.wsgi_app = TracingLayer(app.wsgi_app, service.tracing)  # type: ignore[method-assign]
    for routes in _blueprints(service, guarded, readiness):
        app.register_blueprint(routes)
    register_console(app, service, readiness, before_reload)
    return app


def _direct_routes(service: Service, guarded: GuardedDoor | None) -> dict[str, DirectRoute]:
    """The routes of the hot path, which the WSGI layer calls itself."""
    return {
        **moderate.direct_routes(service),
        **relayed.direct_routes(service),
        **openai.direct_routes(service, guarded),
        **anthropic.direct_routes(service, guarded),
        **other_models.direct_routes(service, guarded),
        **litellm.direct_routes(service),
        **lakera.direct_routes(service),
        **gateways.direct_routes(service),
        **rewards.direct_routes(service),
    }


def _blueprints(service: Service, guarded: GuardedDoor | None, readiness: Readiness) -> Iterator[Blueprint]:
    """All other routes but the console's."""
    yield moderate.blueprint(service)
    yield appeals.blueprint(service)
    yield openai.blueprint(service, guarded)
    yield other_models.blueprint(service, guarded)
    yield dify.blueprint(service)
    yield open_webui.blueprint(service)
    yield gateways.blueprint(service)
    yield withholding.portkey_blueprint(service)
    yield withholding.alibaba_blueprint(service)
    yield ext_authz.blueprint(service)
    yield health.blueprint(service, readiness)
    yield pages.blueprint(service)
