"""`GET /docs` draws the OpenAPI document with files of its own; tests/browser looks at it."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

from apps import keys, make_client

STATIC = files("moderation_service.web").joinpath("static")


def test_it_is_served_without_a_key_and_loads_only_what_is_here() -> None:
    client = make_client(api_keys=keys("correct-horse-battery"))
    reply = client.get("/docs")
    assert (reply.status_code, reply.mimetype) == (200, "text/html")
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', reply.text)
    for path in loaded:
        with client.get(f"/{path.removeprefix('./')}") as file:
            assert file.status_code == 200, path


def test_it_is_off_with_the_other_pages() -> None:
    client = make_client(pages=False)
    assert client.get("/docs").status_code == 404
    assert client.get("/openapi.json").status_code == 200


def test_the_vendored_files_are_those_that_are_named() -> None:
    folder = STATIC / "swagger-ui"
    named = re.findall(r"\| `(.+)` \| `([0-9a-f]{64})` \|", folder.joinpath("README.md").read_text(encoding="utf-8"))
    assert len(named) == 2
    for name, expected in named:
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == expected
