"""The keys of the review page in headless Chromium: they choose, save, skip and go back, and rest while one types."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from console import sign_in_link
from processes import running, until
from recorded import recorded_service
from sqlalchemy import select

from moderation_service.store.database import Database
from moderation_service.store.reviews import found_new, put
from moderation_service.store.schema import reviews

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Database]]:
    """The address of a service with three blocked texts, and its database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('keys') / 'moderation.db'}"
    with tempfile.TemporaryDirectory() as folder, recorded_service(Path(folder), url=url) as made:
        made.moderate("bomb 1", "bomb 2", "bomb 3")
        policies = made.service.policies
    database = Database(url)
    with database.write() as connection:
        put(connection, found_new(connection, policies=policies, sample=0, close=0, since_ms=0))
    database.close()
    with running("--workers", "1", "--console", "on", MODERATION_STORE=url, MODERATION_REVIEW_TWICE="0") as service:
        yield service.url, database
    database.close()


def test_a_queue_is_gone_through_without_a_mouse(chromium: Any, desk: tuple[str, Database]) -> None:
    address, database = desk

    def here() -> str:
        return urlsplit(chromium.current_url).path

    def until_at(is_there: Callable[[str], bool]) -> str:
        """Wait for a page whose scripts have run: a click returns before the next page is asked for."""
        ready = "return document.readyState === 'complete'"
        until(lambda: is_there(here()) and chromium.execute_script(ready))
        return here()

    def press(keys: str, *, at: str = "body") -> None:
        chromium.find_element("css selector", at).send_keys(keys)

    def chosen() -> list[str]:
        return [one.get_attribute("value") for one in chromium.find_elements("css selector", "[name=choice]:checked")]

    chromium.delete_all_cookies()
    chromium.get(f"{address}/console/enter?token={sign_in_link(database)}")
    chromium.find_element("css selector", "form button").click()
    until_at(lambda path: path == "/console")
    chromium.get(f"{address}/console/review")
    chromium.find_element("css selector", "main form button.main").click()

    first = until_at(lambda path: path != "/console/review")
    press("?")
    assert chromium.find_element("id", "keys").get_attribute("open") is not None
    press("2")
    assert chosen() == ["safe"]
    press("4?", at="#note")
    assert chosen() == ["safe"], "while somebody types, keys are letters"
    assert chromium.find_element("id", "note").get_attribute("value") == "4?"
    press("\ue009\ue007\ue000", at="#note")  # Ctrl+Enter
    second = until_at(lambda path: path != first)
    press("\ue014")  # right: skip
    until_at(lambda path: path != second)
    press("\ue012")  # left: back
    until_at(lambda path: path == first)
    assert chosen() == ["safe"]
    with database.read() as connection:
        assert [(row.answer, row.note) for row in connection.execute(select(reviews))] == [("wrong", "4?")]
