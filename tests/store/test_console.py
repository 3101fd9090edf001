"""The console on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from console import Visitor
from recorded import recorded_service
from sqlalchemy import select

from moderation_service.core.person import Role
from moderation_service.store.schema import apps, lists


def test_of_several_who_make_the_same_at_once_one_has_made_it_and_the_others_are_told(tmp_path: Path, url: str) -> None:
    with recorded_service(tmp_path, url=url, console="on") as made:
        visitors = [Visitor(made.client.application.test_client(), made.database).sign_in(Role.ADMIN) for _ in range(4)]
        with ThreadPoolExecutor(len(visitors)) as pool:
            of_lists = list(pool.map(lambda one: one.post("/lists/make", name="hot").status_code, visitors))
            of_apps = list(pool.map(lambda one: one.post("/apps/new", name="shop").status_code, visitors))
        assert sorted(of_lists) == [303, 400, 400, 400]
        assert sorted(of_apps) == [200, 400, 400, 400]
        with made.database.read() as connection:
            assert connection.execute(select(lists.c.name)).scalars().all() == ["hot"]
            assert connection.execute(select(apps.c.name)).scalars().all() == ["shop"]
