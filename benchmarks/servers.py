"""The servers that `bench_moderate.py` compares: `python benchmarks/servers.py baseline|instant|recorded|lite PORT`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from moderation_service.config.settings import Secret, Settings
from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Category, Detail, Scores, Severity, Verdict
from moderation_service.server import gunicorn_app as server

if TYPE_CHECKING:
    from flask import Flask

KEY = "bench-0123456789abcdef"


class InstantEngine:
    """Answers at once, so that what is measured is everything else."""

    name = "instant"
    model = "instant-1"

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict]:
        scores = Scores(0.01, 0.02, 0.97)
        return [
            Verdict(one.target, Severity.UNSAFE, (Category.VIOLENT,), None, scores, self.name, self.model)
            for one in conversations
        ]

    def check_ready(self) -> None:
        pass

    def close(self) -> None:
        pass


def baseline(port: int) -> None:
    """The least a Flask service can do: JSON in, JSON out, gunicorn's own threaded worker; no key, metrics, log."""
    from flask import Flask, Response, request

    app = Flask("baseline")

    @app.post("/moderate")
    def moderate() -> Response:
        prompt = request.get_json()["prompt"]
        return Response(json.dumps({"length": len(prompt)}), mimetype="application/json")

    serve_plainly(app, port)


def serve_plainly(app: Flask, port: int) -> None:
    """Serve an app as gunicorn does by itself, with two processes of 32 threads."""
    from gunicorn.app.base import BaseApplication

    class Plain(BaseApplication):
        def load_config(self) -> None:
            options = {"bind": f"127.0.0.1:{port}", "workers": 2, "threads": 32, "worker_class": "gthread"}
            for name, value in {**options, "keepalive": 30, "preload_app": True}.items():
                self.cfg.set(name, value)

        def load(self) -> Flask:
            return app

    Plain().run()


def instant(port: int, *, store: str = "off") -> None:
    """Our service, everything on but the database of records, with an engine that costs nothing."""
    settings = Settings(port=port, api_keys=(Secret(f"bench:{KEY}"),), store=Secret(store))

    def load(self: Any) -> object:
        from moderation_service.observability.metrics import Metrics
        from moderation_service.web import create_app
        from moderation_service.web.service import build_service, open_service_store

        metrics = Metrics(version="bench")
        records = open_service_store(settings, metrics)
        self._service = build_service(settings, engine=InstantEngine(), metrics=metrics, store=records)
        return create_app(service=self._service)

    server._Server.load = load  # type: ignore[assignment,method-assign]
    server.serve(settings)


def recorded(port: int) -> None:
    """The same with records in SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        instant(port, store=f"sqlite:///{folder}/moderation.db")


def lite(port: int) -> None:
    """Our service as it starts from a bare clone, but for the database of records."""
    server.serve(Settings(port=port, api_keys=(Secret(f"bench:{KEY}"),), store=Secret("off")))


if __name__ == "__main__":
    kinds = {"baseline": baseline, "instant": instant, "recorded": recorded, "lite": lite}
    kinds[sys.argv[1]](int(sys.argv[2]))
