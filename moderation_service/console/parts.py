"""What the console works with: handed in by the service that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..config.settings import Settings
from ..core.app import App
from ..core.keyed_hash import KeyedHashes
from ..core.moderator import Moderator
from ..core.policy import Policies
from .seldom import Seldom

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..engines.answers import PreparedAnswers
    from ..engines.lists import Lists
    from ..observability.webhooks import Webhooks
    from ..store.database import Database

__all__ = ["Parts"]

_LOOKED_S = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one service that pages use."""

    settings: Settings
    database: Database
    hashes: KeyedHashes
    """Those of the records, by which a text is found again."""
    moderator: Moderator
    policies_now: Callable[[], Policies]
    """The policies as they are in use now."""
    policies_of_file: Policies
    """Those that are built in or in the policies file: what the database has comes on top."""
    check_host: Callable[[WSGIEnvironment], None]
    """Raises HostNotAllowed where a browser asked under a name that isn't the console's."""
    request_id: Callable[[WSGIEnvironment], str]
    """The id of a request, as the log knows it."""
    check_engine: Callable[[], None]
    """Raises ModerationError where no verdict can be had now; returns at once."""
    apps: Callable[[], Sequence[App]]
    """The apps that are let in now, those of the apps file too."""
    app_requests: Callable[[], Mapping[tuple[str, str], float]]
    """Requests of apps since the service started, by app and result (`moderation_app_requests_total`)."""
    before_reload: Settings | None = None
    """The settings before the last reload; None when there was none."""
    lists: Lists | None = None
    """The lists that texts are compared with."""
    refresh_lists: Callable[[], object] | None = None
    """Has a change of the lists in this process at once. Raises StoreUnavailable."""
    webhooks: Webhooks | None = None
    """Where events are sent to, if anywhere."""
    answers: PreparedAnswers | None = None
    """The prepared answers; None for none."""
    looks_for_reviews: Seldom = field(default_factory=lambda: Seldom(_LOOKED_S))
    """When records are looked through for what is to be reviewed: not every answer of a reviewer is to wait for it."""

    @property
    def policies(self) -> Policies:
        """The policies as they are in use now; the next question may find others."""
        return self.policies_now()
