"""The stand-in hubs, for `download`."""

from __future__ import annotations

from hub_stand_in import hub_stand_in  # noqa: F401
