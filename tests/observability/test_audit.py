from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from apps import Like, decision, keys, make_client, make_service
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.core.policy import BUILT_IN
from moderation_service.errors import ConfigurationError, EngineUnavailable

KEY = "correct-horse-battery"
TIME = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def client(file: Path) -> FlaskClient:
    engine = FakeEngine(errors={"broken": EngineUnavailable("Down.")})
    return make_client(engine=engine, audit_file=file, api_keys=keys(f"chat:{KEY}"))


def post(client: FlaskClient, body: object, *, request_id: str = "r-1") -> Any:
    headers = {"X-API-Key": KEY, "X-Request-Id": request_id}
    return client.post("/moderate", json=body, headers=headers).json


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]


def test_a_decision_is_one_line_without_text(client: FlaskClient, file: Path) -> None:
    reply = post(client, {"prompt": "bomb", "policy": "strict", "metadata": {"user": "ü1", "n": 1.5, "x": None}})
    assert records(file) == [
        {
            "time": TIME,
            "request_id": "r-1",
            "key": "chat",
            "id": reply["id"],
            "target": "prompt",
            "safety": "unsafe",
            "categories": ["violent"],
            "refusal": None,
            "action": "block",
            "engine": "fake",
            "model": "fake-1",
            "degraded": False,
            "reason": None,
            "read_in_part": [],
            "span": None,
            "cached": False,
            "text_hash": Like("[0-9a-f]{32}"),
            "policy": "strict",
            "policy_version": BUILT_IN["strict"].version,
            "metadata": {"user": "ü1", "n": 1.5, "x": None},
        }
    ]


def test_a_failure_is_one_line_too(client: FlaskClient, file: Path) -> None:
    post(client, {"response": "broken"})
    assert records(file) == [
        {
            "time": TIME,
            "request_id": "r-1",
            "key": "chat",
            "target": "response",
            "error": "engine_unavailable",
            "policy": "balanced",
            "policy_version": BUILT_IN["balanced"].version,
            "metadata": {},
        }
    ]


def test_every_item_of_a_batch_that_was_judged_has_its_line(client: FlaskClient, file: Path) -> None:
    post(client, {"inputs": [{"prompt": "bomb"}, {"prompt": ""}, {"prompt": "bread"}, {"prompt": "bomb"}]})
    found = records(file)
    assert [one["safety"] for one in found] == ["unsafe", "safe", "unsafe"]
    assert found[0]["text_hash"] == found[2]["text_hash"] != found[1]["text_hash"]
    assert len({one["id"] for one in found}) == 3


def test_the_same_text_has_the_same_hash_for_one_service_only(client: FlaskClient, file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        post(client, {"prompt": "bomb"})
    other = tmp_path / "other.jsonl"
    make_client(audit_file=other).post("/moderate", json={"prompt": "bomb"})
    first, second = records(file)
    assert first["text_hash"] == second["text_hash"] != records(other)[0]["text_hash"]
    assert (first["cached"], second["cached"]) == (False, True)


def test_requests_that_judge_nothing_leave_no_line(client: FlaskClient, file: Path) -> None:
    post(client, {"prompt": ""})
    client.post("/moderate", json={"prompt": "bomb"})
    client.get("/healthz")
    assert records(file) == []


def test_the_record_never_has_text(client: FlaskClient, file: Path) -> None:
    marker = "marker-7261"
    post(client, {"prompt": f"bomb {marker}", "response": marker})
    post(client, {"messages": [{"role": "user", "content": f"broken {marker}"}]})
    post(client, {"prompt": "x", marker: marker})
    assert marker not in file.read_text()


def test_an_existing_file_is_added_to(file: Path) -> None:
    for _ in range(2):
        make_client(audit_file=file).post("/moderate", json={"prompt": "bread"})
    assert len(records(file)) == 2


def test_only_its_owner_can_read_the_file(file: Path) -> None:
    make_service(audit_file=file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_lines_of_many_threads_do_not_mix(file: Path) -> None:
    app = make_client(audit_file=file).application

    def ask(number: int) -> None:
        body = {"prompt": f"bread {number}", "metadata": {"pad": "x" * 1500, "n": number}}
        assert (
            app.test_client().post("/moderate", json=body, headers={"X-Request-Id": f"r-{number}"}).status_code == 200
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(200)))
    found = records(file)
    assert sorted(one["metadata"]["n"] for one in found) == list(range(200))
    assert all(one["request_id"] == f"r-{one['metadata']['n']}" for one in found)


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_service(audit_file=tmp_path / "none" / "audit.jsonl")
    path = tmp_path / "none" / "audit.jsonl"
    assert str(caught.value) == f"audit_file: {path} can't be written: No such file or directory."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_logged_and_does_not_change_the_decision(caplog: pytest.LogCaptureFixture) -> None:
    client = make_client(audit_file=Path("/dev/full"))
    reply = client.post("/moderate", json={"prompt": "bomb"}, headers={"X-Request-Id": "r-1"})
    assert reply.json == decision("unsafe", "violent")
    (record,) = [one for one in caplog.records if one.name == "moderation.audit"]
    assert (record.levelname, record.message) == ("ERROR", "audit_failed")
    assert vars(record)["fields"] == {"request_id": "r-1", "reason": "No space left on device"}
