"""`/healthz`: the process is alive. `/readyz`: a verdict can be had. `/metrics`: Prometheus."""

from __future__ import annotations

import contextlib
import json

from flask import Blueprint, Response

from ..errors import ModerationError
from .readiness import Readiness
from .service import Service

__all__ = ["blueprint", "readiness_of"]


def readiness_of(service: Service) -> Readiness:
    """Whether this service can give a verdict."""

    def check() -> None:
        service.moderator.check_ready()
        if service.stream is not None:
            # Tests the server at the start. Without it answers are judged in pieces: ready all the same.
            with contextlib.suppress(ModerationError):
                service.stream.check_ready()

    return Readiness(check)


def blueprint(service: Service, readiness: Readiness) -> Blueprint:
    """The operator's routes."""
    routes = Blueprint("health", __name__)
    engine = service.moderator.engine

    @routes.get("/healthz")
    def healthz() -> Response:
        return Response('{"status":"alive"}', mimetype="application/json")

    @routes.get("/readyz")
    def readyz() -> Response:
        readiness.ask()
        body = {"status": "ready", "engine": engine.name, "model": engine.model}
        return Response(json.dumps(body), mimetype="application/json")

    @routes.get("/metrics")
    def metrics() -> Response:
        rendered = service.metrics.render(is_ready=readiness.glance())
        return Response(rendered, content_type=service.metrics.content_type)

    return routes
