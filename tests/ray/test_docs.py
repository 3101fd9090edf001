"""The Python of docs/cluster.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_guard_server import BOMB, BREAD, FakeServer

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")


def test_a_data_set_is_labelled_and_gone_on_with(
    cluster: Any, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chats").mkdir()
    rows = [{"id": number, "prompt": BOMB if number == 3 else f"{BREAD} {number}"} for number in range(20)]
    pq.write_table(pa.Table.from_pylist(rows[:12]), "chats/1.parquet")
    first, second = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    # Paths of a driver that runs in a folder of its own; one server stands in for both.
    placed = re.sub(r'"(chats|labelled)', rf'"{tmp_path}/\1', first + "#\n" + second)
    first, second = (
        re.sub(r"http://gpu\d:8000", server.url, placed)
        .replace(f'ServersUrl("{server.url}"), ServersUrl("{server.url}")', f'ServersUrl("{server.url}"),')
        .split("#\n")
    )
    scope: dict[str, Any] = {}
    exec(first, scope)
    pq.write_table(pa.Table.from_pylist(rows[12:]), "chats/2.parquet")
    scope["rows"] = cluster.data.read_parquet(f"{tmp_path}/chats")
    exec(second, scope)
    found = [pq.read_table(folder).to_pylist() for folder in ("labelled", "labelled-2")]
    assert [sorted(row["id"] for row in part) for part in found] == [list(range(12)), list(range(12, 20))]
    assert {row["id"]: row["guard_safety"] for row in found[0]}[3] == "unsafe"
