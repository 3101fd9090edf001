"""The policies as the database has them at this moment, which the processes of the service follow within seconds."""

from __future__ import annotations

from ..config.policy_text import stored_policies
from ..core.policy import Policies
from ..errors import ConfigurationError
from ..store.policies import texts_of
from .page import Visit

__all__ = ["policies_now"]


def policies_now(visit: Visit) -> Policies:
    """Those of the file and the database; those in use, where what the database has can't be read."""
    of_file = visit.parts.policies_of_file
    with visit.parts.database.read() as connection:
        texts = texts_of(connection)
    try:
        return of_file.and_stored(stored_policies(texts, of_file))
    except ConfigurationError:
        return visit.parts.policies
