"""`/healthz`: the process is alive. `/readyz`: a verdict can be had. `/metrics`: Prometheus."""

from __future__ import annotations

import json
import logging

from flask import Blueprint, Response

from ..errors import EngineError
from ..logs import log_event
from .errors import error_response
from .service import Service

__all__ = ["blueprint"]

_log = logging.getLogger("moderation.web")


def blueprint(service: Service) -> Blueprint:
    """The operator's routes."""
    routes = Blueprint("health", __name__)
    engine = service.moderator.engine

    @routes.get("/healthz")
    def healthz() -> Response:
        return Response('{"status":"alive"}', mimetype="application/json")

    @routes.get("/readyz")
    def readyz() -> Response:
        try:
            service.moderator.check_ready()
        except EngineError as error:
            log_event(_log, logging.WARNING, "not_ready", engine=engine.name, error=error.type)
            return error_response(error)
        body = {"status": "ready", "engine": engine.name, "model": engine.model}
        return Response(json.dumps(body), mimetype="application/json")

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(service.metrics.render(), content_type=service.metrics.content_type)

    return routes
