"""Mounts the console at `/console`, where it is on. Nothing of it is imported elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from ..config.console_settings import wants_console
from ..errors import ConfigurationError
from .hosts import AllowedHosts
from .lifecycle import RequestState
from .readiness import Readiness

if TYPE_CHECKING:
    from ..config.settings import Settings
    from .service import Service

__all__ = ["has_console", "register_console"]


def has_console(service: Service) -> bool:
    """Whether the console is on: it is wanted, and there is a store, without which nobody can sign in.

    Raises ConfigurationError where `console: on` can't be.
    """
    is_wanted = wants_console(service.settings)
    if is_wanted and service.store is None and service.settings.console == "on":
        raise ConfigurationError("console: needs a database; set `store`.")
    return is_wanted and service.store is not None


def register_console(app: Flask, service: Service, readiness: Readiness, before_reload: Settings | None) -> None:
    """Add the console's routes, if it is on. `before_reload`: the settings that these have replaced."""
    if not has_console(service) or service.database is None:
        return
    from ..console.blueprint import blueprint
    from ..console.parts import Parts

    parts = Parts(
        settings=service.settings,
        database=service.database,
        hashes=service.hashes,
        moderator=service.moderator,
        policies_now=lambda: service.all_policies,
        policies_of_file=service.live_policies.of_file,
        check_host=AllowedHosts.of_console(service.settings).check,
        request_id=lambda environ: RequestState.of(environ).request_id,
        check_engine=readiness.ask,
        apps=lambda: service.keys.apps,
        app_requests=service.metrics.app_requests,
        before_reload=before_reload,
        lists=service.lists,
        refresh_lists=None if service.live_lists is None else service.live_lists.refresh,
        answers=service.answers,
        webhooks=service.webhooks,
    )
    app.register_blueprint(blueprint(parts))
