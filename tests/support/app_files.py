"""Files of apps, and services with them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from apps import client_of, make_service
from flask.testing import FlaskClient

__all__ = ["FORUM", "SHOP", "digest", "headers", "make_apps_client", "write_apps"]

SHOP = "shop-key-0123456789"
FORUM = "forum-key-0123456789"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def write_apps(folder: Path, shop: str = "", *, forum: str = "") -> Path:
    """A file with the apps `shop` and `forum`; `shop` and `forum` are more lines of theirs, in YAML's flow style."""
    path = folder / "apps.yaml"
    path.write_text(
        "apps:\n"
        f"  shop: {{keys: {{a: {{sha256: {digest(SHOP)}}}}}{', ' if shop else ''}{shop}}}\n"
        f"  forum: {{keys: {{a: {{sha256: {digest(FORUM)}}}}}{', ' if forum else ''}{forum}}}\n"
    )
    return path


def make_apps_client(folder: Path, shop: str = "", *, forum: str = "", **settings: Any) -> FlaskClient:
    return client_of(make_service(apps_file=write_apps(folder, shop, forum=forum), **settings))
