"""`annotate` on a real Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fake_guard_server import BOMB, BREAD, Action, FakeServer, Request, answering, completion, guard, reply
from ray_workers import workers

from moderation_service.config.settings import ServersUrl, Settings
from moderation_service.core.verdict import Detail
from moderation_service.data.ray import Judges, OwnVllm, annotate
from moderation_service.errors import ConfigurationError, DataError

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]

HERE = Path(__file__).parent


def judges(server: FakeServer, **options: Any) -> Judges:
    return Judges(settings=Settings(engine="vllm", upstreams=(ServersUrl(server.url),)), **options)


def rows(count: int) -> list[dict[str, Any]]:
    """Every third is harmful, and each is another text."""
    return [
        {"id": number, "prompt": f"{BOMB if number % 3 == 0 else BREAD} {number}", "more": {"a": [number]}}
        for number in range(count)
    ]


def expected(number: int) -> str:
    return "unsafe" if number % 3 == 0 else "safe"


def slowly(request: Request) -> Action:
    time.sleep(0.02)
    return guard(request)


def test_rows_get_labels_and_keep_the_rest(cluster: Any, server: FakeServer) -> None:
    table = pa.Table.from_pylist(rows(50)).set_column(0, "id", pa.array(range(50), pa.int16()))
    found = annotate(cluster.data.from_arrow(table), judges(server))
    assert found.schema().names[:3] == ["id", "prompt", "more"]
    assert found.schema().types[0] == pa.int16()
    by_id = {row["id"]: row for row in found.take_all()}
    assert len(by_id) == 50
    for number, row in by_id.items():
        assert row["more"] == {"a": [number]}
        assert row["guard_safety"] == expected(number)
        assert row["guard_model"] == "qwen3guard"
        assert row["guard_error"] is None


def test_an_answer_is_judged_with_its_prompt_and_the_template_is_whole(cluster: Any, server: FakeServer) -> None:
    chats = [{"messages": [{"role": "user", "content": BREAD}, {"role": "assistant", "content": "Mix."}]}]
    pairs = [{"prompt": BREAD, "chosen": "Mix.", "rejected": "Can't."}]
    found = annotate(cluster.data.from_items(chats), judges(server)).take_all()
    assert (found[0]["guard_safety"], found[0]["guard_refusal"]) == ("safe", False)
    found = annotate(cluster.data.from_items(pairs), judges(server)).take_all()
    assert [found[0][f"guard_{part}_safety"] for part in ("chosen", "rejected")] == ["safe", "safe"]
    asked = [one for one in server.questions if "messages" in one]
    # Never as the beginning of an answer that the model is to go on with.
    assert not [one for one in asked if one.get("continue_final_message") or one.get("add_generation_prompt") is False]


def test_a_row_that_cannot_be_judged_is_a_row_with_an_error(cluster: Any, server: FakeServer) -> None:
    def odd(request: Request) -> Action:
        if "nonsense" in str(request.body):
            return completion("I would rather not say.")
        return guard(request)

    server.behave = answering(odd)
    given = [
        {"id": 0, "prompt": BREAD},
        {"id": 1, "prompt": ""},
        {"id": 2, "prompt": "nonsense"},
        {"id": 3, "prompt": BOMB},
    ]
    found = {row["id"]: row for row in annotate(cluster.data.from_items(given), judges(server)).take_all()}
    assert [found[number]["guard_safety"] for number in range(4)] == ["safe", None, None, "unsafe"]
    assert found[1]["guard_error"] == "invalid_request: `prompt` is empty or blank."
    assert found[2]["guard_error"].startswith("engine_answer_invalid")
    assert "nonsense" not in found[2]["guard_error"]


def test_equal_texts_are_asked_once(cluster: Any, server: FakeServer) -> None:
    given = [{"prompt": f"{BREAD} {number % 5}"} for number in range(100)]
    assert len(annotate(cluster.data.from_items(given), judges(server)).take_all()) == 100
    assert len(server.questions) == 5


def test_the_severity_alone_is_asked_for_if_that_was_said(cluster: Any, server: FakeServer) -> None:
    found = annotate(cluster.data.from_items(rows(4)), judges(server, detail=Detail.SEVERITY)).take_all()
    assert sorted(row["guard_safety"] for row in found) == ["safe", "safe", "unsafe", "unsafe"]
    assert not [one for one in server.questions if one["max_tokens"] > 3]


def test_what_was_written_by_an_earlier_run_is_left_out(cluster: Any, server: FakeServer, tmp_path: Path) -> None:
    first = annotate(cluster.data.from_items(rows(40)), judges(server))
    first.write_parquet(str(tmp_path / "first"))
    asked = len(server.questions)
    done = cluster.data.read_parquet(str(tmp_path / "first"))
    rest = annotate(cluster.data.from_items(rows(60)), judges(server), id_column="id", done=done).take_all()
    assert sorted(row["id"] for row in rest) == list(range(40, 60))
    assert len(server.questions) - asked == 20
    again = annotate(cluster.data.from_items(rows(40)), judges(server), id_column="id", done=done)
    assert again.take_all() == []


def test_an_actor_that_is_killed_costs_no_row(cluster: Any, server: FakeServer, tmp_path: Path) -> None:
    server.behave = slowly
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < 2:
            before = len(server.questions)
            while len(server.questions) < before + 150:
                time.sleep(0.01)
            victim = next(iter(set(workers()) - set(killed)))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    killer = threading.Thread(target=kill)
    given = cluster.data.from_items(rows(1500), override_num_blocks=6)
    labelled = annotate(given, judges(server, actors=2, in_flight=8))
    killer.start()
    labelled.write_json(str(tmp_path / "out"))
    killer.join()
    found = cluster.data.read_json(str(tmp_path / "out")).take_all()
    assert sorted(row["id"] for row in found) == list(range(1500))
    assert [row for row in found if row["guard_safety"] != expected(row["id"])] == []


def test_a_node_that_is_lost_costs_no_row(server: FakeServer) -> None:
    server.behave = slowly
    ended = subprocess.run(
        [sys.executable, str(HERE / "lose_a_node.py"), server.url],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "600 rows, each once; 1 node lost"


def test_an_engine_that_stays_away_ends_the_job(cluster: Any, server: FakeServer) -> None:
    server.behave = answering(reply(503, {}))
    given = cluster.data.from_items([{"prompt": "secret-text"}])
    with pytest.raises(Exception, match="EngineUnavailable") as raised:
        annotate(given, judges(server, patience_s=0.5)).take_all()
    assert "secret-text" not in str(raised.value)


def test_each_actor_can_have_a_vllm_of_its_own(cluster: Any, tmp_path: Path) -> None:
    """With a stand-in for the program: what is started, with which key, and that nothing of it is left."""
    program = tmp_path / "vllm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "serve_guard.py"} {tmp_path} "$@"\n')
    program.chmod(0o755)
    own = OwnVllm(model="tiny-guard", program=str(program), arguments=("--max-model-len", "8192"))
    found = annotate(cluster.data.from_items(rows(20)), Judges(vllm=own, actors=2)).take_all()
    assert sorted((row["id"], row["guard_safety"]) for row in found) == [(n, expected(n)) for n in range(20)]
    started = sorted(tmp_path.glob("started-*"))
    assert 1 <= len(started) <= 2  # the second actor may have come too late to get any rows
    for one in started:
        words = one.read_text().split()
        assert words[:2] == ["serve", "tiny-guard"]
        assert words[words.index("--host") + 1] == "127.0.0.1"
        assert words[-2:] == ["--max-model-len", "8192"]
        pid = int(one.name.removeprefix("started-"))
        ends_at = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < ends_at:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists()


def test_a_vllm_that_does_not_start_says_why(cluster: Any, tmp_path: Path) -> None:
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\necho no GPU here\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(Exception, match="no GPU here"):
        annotate(cluster.data.from_items(rows(2)), Judges(vllm=OwnVllm(program=str(program)))).take_all()


def test_what_cannot_work_is_refused_before_anything_is_judged(cluster: Any, server: FakeServer) -> None:
    given = cluster.data.from_items(rows(2))
    with pytest.raises(DataError, match="id_column"):
        annotate(given, judges(server), done=given)
    with pytest.raises(DataError, match="Not every row has an id"):
        annotate(given, judges(server), id_column="number", done=given)
    with pytest.raises(DataError, match="guard_safety already"):
        annotate(cluster.data.from_items([{"prompt": "x", "guard_safety": "safe"}]), judges(server))
    with pytest.raises(DataError, match="known format"):
        annotate(cluster.data.from_items([{"number": 1}]), judges(server))
    with pytest.raises(ConfigurationError, match="actors"):
        judges(server, actors=0)
    assert server.questions == []
