"""Every page of the console in headless Chromium: both languages, desktop and phone, light and dark."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from console import sign_in_link
from looks import LOOKS, Look, faults, show
from processes import SERVE_LITE, running

from moderation_service.console.blueprint import all_pages
from moderation_service.store.database import Database

pytestmark = pytest.mark.browser

# Where pictures of the pages go; `docs/images` has those of some.
PICTURES = Path(os.environ.get("CONSOLE_PICTURES", Path(__file__).parents[2] / ".cache" / "console"))
HOSTILE_TITLE = "owned"


@dataclass(frozen=True)
class Console:
    """A running service, and the addresses of its pages."""

    address: str
    database: Database
    pages: Sequence[str]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    database = Database(f"sqlite:///{folder / 'moderation.db'}")
    more: list[str] = []
    for file in sorted((Path(__file__).parent / "seeds").glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(f"seeds_{file.stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        more += module.seed(database)
    database.close()
    plain = [
        ("/console" if page.name == "overview" else f"/console/{page.name}") + route.path
        for page in all_pages()
        for route in page.routes
        if route.method == "GET" and "<" not in route.path and not route.path.endswith(".csv")
    ]
    store = {"MODERATION_STORE": f"sqlite:///{folder / 'moderation.db'}"}
    with running("--workers", "1", command=SERVE_LITE, **store) as service:
        yield Console(service.url, database, [*plain, *more])
    database.close()


@pytest.fixture
def browser(chromium: Any, console: Console) -> Any:
    """Chromium, with somebody signed in who may everything."""
    chromium.get(f"{console.address}/console")
    if urlsplit(chromium.current_url).path != "/console":
        chromium.get(f"{console.address}/console/enter?token={sign_in_link(console.database)}")
        chromium.find_element("css selector", "form button").click()
        assert urlsplit(chromium.current_url).path == "/console"
    return chromium


def picture(browser: Any, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(PICTURES / f"{name}.png"))


def named(address: str) -> str:
    return address.removeprefix("/console").strip("/").replace("/", "_").replace("?", "_") or "overview"


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_the_pages_for_strangers(chromium: Any, console: Console, look: Look) -> None:
    chromium.delete_all_cookies()
    wrong = {}
    for path in ("/console/sign-in", "/console/enter?token=x"):
        show(chromium, console.address + path, look)
        wrong[path] = faults(chromium, look)
        picture(chromium, f"{named(path)}-{look}")
    assert {path: found for path, found in wrong.items() if found} == {}


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_page(browser: Any, console: Console, look: Look) -> None:
    wrong = {}
    for path in console.pages:
        show(browser, console.address + path, look)
        wrong[path] = [*faults(browser, look)]
        if urlsplit(browser.current_url).path != urlsplit(path).path:
            wrong[path].append(f"it is {browser.current_url}")
        if "Moderation console" not in browser.title and "审核控制台" not in browser.title:
            wrong[path].append(f"its title is {browser.title}")
        if browser.find_elements("css selector", ".planted") or HOSTILE_TITLE in browser.title:
            wrong[path].append("text has become markup")
        picture(browser, f"{named(path)}-{look}")
    assert {path: found for path, found in wrong.items() if found} == {}
