from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from apps import Like, decision, error, keys, make_client, make_service
from fake_llm import fake_llm
from fakes import FakeEngine
from flask.testing import FlaskClient
from processes import running, send

from moderation_service.config.setting import Url
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
            "coverage": None,
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


# What can't be written


NEEDS_DEV_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def failures(client: FlaskClient) -> float:
    text = client.get("/metrics").get_data(as_text=True)
    (line,) = [line for line in text.splitlines() if line.startswith("moderation_audit_failures_total ")]
    return float(line.split()[1])


@NEEDS_DEV_FULL
def test_a_full_disk_is_logged_and_counted_and_does_not_change_the_decision(caplog: pytest.LogCaptureFixture) -> None:
    client = make_client(audit_file=Path("/dev/full"))
    assert failures(client) == 0
    reply = client.post("/moderate", json={"prompt": "bomb"}, headers={"X-Request-Id": "r-1"})
    assert reply.json == decision("unsafe", "violent")
    (record,) = [one for one in caplog.records if one.name == "moderation.audit"]
    assert (record.levelname, record.message) == ("ERROR", "audit_failed")
    assert vars(record)["fields"] == {"request_id": "r-1", "reason": "No space left on device"}
    assert failures(client) == 1


@pytest.mark.parametrize("room", [0, 1, 100, -2])
def test_a_record_that_does_not_fit_leaves_nothing_of_itself_behind(file: Path, room: int) -> None:
    """`room` is how much of the second record fits; -2 is all but its last byte: `cached` is `true`, not `false`."""
    client = make_client(audit_file=file, log_level="error")
    client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": "r-0"})
    length = file.stat().st_size
    with files_end_at(length + room if room >= 0 else 2 * length + room):
        reply = client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": "r-1"})
    assert reply.status_code == 200
    assert file.stat().st_size == length
    client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": "r-2"})
    assert [one["request_id"] for one in records(file)] == ["r-0", "r-2"]
    assert failures(client) == 1


def test_what_cannot_be_taken_back_is_a_line_of_its_own(tmp_path: Path) -> None:
    """Of a pipe that is full a part of a record is taken, and nothing can be cut off at its end."""
    pipe = tmp_path / "audit"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    client = make_client(audit_file=pipe, log_level="error")
    (descriptor,) = [
        int(link.name) for link in Path("/proc/self/fd").iterdir() if same(link, pipe) and int(link.name) != reader
    ]
    os.set_blocking(descriptor, False)
    asked = 0
    while not failures(client):
        client.post("/moderate", json={"prompt": "bread", "metadata": {"n": asked, "pad": "x" * 1500}})
        asked += 1
    received = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            received += os.read(reader, 65536)
    client.post("/moderate", json={"prompt": "bread", "metadata": {"n": asked}})
    received += os.read(reader, 65536)
    os.close(reader)
    lines = received.decode().splitlines()
    whole = [line for line in lines if line.startswith("{") and line.endswith("}}")]
    assert [json.loads(line)["metadata"]["n"] for line in whole] == [*range(asked - 1), asked]
    assert len(lines) - len(whole) <= 1


def same(link: Path, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return link.samefile(path)
    return False


@pytest.mark.parametrize(("before", "kept"), [('{"a": 1}\n', '{"a": 1}\n'), ('{"a": 1}\n{"b": ', '{"a": 1}\n{"b": \n')])
def test_a_file_whose_last_line_has_no_end_is_gone_on_with_on_a_new_line(file: Path, before: str, kept: str) -> None:
    file.write_text(before)
    make_client(audit_file=file).post("/moderate", json={"prompt": "bread"})
    text = file.read_text()
    assert text.startswith(kept)
    assert json.loads(text.removeprefix(kept))["safety"] == "safe"


def test_a_file_that_may_only_be_added_to_is_never_torn_into_the_next_record(file: Path) -> None:
    client = make_client(audit_file=file, log_level="error")
    client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": "r-0"})
    if os.geteuid() or subprocess.run(["chattr", "+a", file], capture_output=True, check=False).returncode:
        pytest.skip("needs root, and a file system with the attribute `a`")
    try:
        with files_end_at(file.stat().st_size + 20):
            client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": "r-1"})
        client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": "r-2"})
    finally:
        subprocess.run(["chattr", "-a", file], check=True)
    first, torn, last = file.read_text().splitlines()
    assert [json.loads(line)["request_id"] for line in (first, last)] == ["r-0", "r-2"]
    assert len(torn) == 20


LIMIT = 4_000_000
"""Above the files in which the workers keep their counters, which are under the same limit."""


def test_workers_that_fill_a_disk_together_leave_whole_records_and_count_the_rest(file: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))

    file.write_text("".join(json.dumps({"metadata": {"n": -1, "pad": "x" * 900}}) + "\n" for _ in range(LIMIT // 1000)))
    room = LIMIT - file.stat().st_size
    asked = 2 * room // 1700
    with running("--workers", "2", "--threads", "8", "--audit-file", str(file), preexec_fn=limited) as service:
        taken = iter(range(asked))
        guard = threading.Lock()

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
            while True:
                with guard:
                    number = next(taken, None)
                if number is None:
                    break
                body = {"prompt": "bread", "metadata": {"n": number, "pad": "x" * 1300}}
                assert send(connection, "POST", "/moderate", body, X_Request_Id=f"r-{number}").status == 200
            connection.close()

        with ThreadPoolExecutor(8) as pool:
            for one in [pool.submit(ask) for _ in range(8)]:
                one.result()
        written = {one["metadata"]["n"] for one in records(file)} - {-1}
        text = service.request("GET", "/metrics").body.decode()
        service.stop()
        missing = {line["request_id"] for line in service.log if line["event"] == "audit_failed"}
    assert file.read_bytes().endswith(b"\n")
    assert written
    assert missing == {f"r-{number}" for number in set(range(asked)) - written}
    assert f"moderation_audit_failures_total {float(len(missing))}" in text.splitlines()


# A file that is not to grow for ever


def rotated(file: Path) -> list[Path]:
    """The file and those that it was renamed to, oldest first."""
    older = sorted(file.parent.glob(f"{file.name}.*"), key=lambda path: -int(path.suffix[1:]))
    return [*older, file]


def test_a_file_that_is_full_is_renamed_and_the_oldest_is_deleted(file: Path) -> None:
    client = make_client(audit_file=file, audit_max_bytes=1000, audit_keep=3)
    for number in range(20):
        client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": f"r-{number}"})
    files = rotated(file)
    assert [path.name for path in files] == ["audit.jsonl.3", "audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"]
    assert all(0 < path.stat().st_size <= 1000 for path in files)
    kept = [one["request_id"] for path in files for one in records(path)]
    assert kept == [f"r-{number}" for number in range(20)][-len(kept) :]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_renaming_that_was_broken_off_half_way_costs_no_older_file(file: Path) -> None:
    for number in (2, 3):
        file.with_name(f"{file.name}.{number}").write_text('{"request_id": "old"}\n', encoding="ascii")
    client = make_client(audit_file=file, audit_max_bytes=1, audit_keep=3)
    for number in range(2):
        client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": f"r-{number}"})
    kept = [one["request_id"] for path in rotated(file) for one in records(path)]
    assert kept == ["old", "old", "r-0", "r-1"]


def test_a_record_that_is_longer_than_a_file_may_be_is_written_all_the_same(file: Path) -> None:
    client = make_client(audit_file=file, audit_max_bytes=1, audit_keep=1)
    for number in range(3):
        client.post("/moderate", json={"prompt": "bread"}, headers={"X-Request-Id": f"r-{number}"})
    assert [one["request_id"] for path in rotated(file) for one in records(path)] == ["r-1", "r-2"]


def test_a_file_that_somebody_else_renames_is_begun_anew_without_a_reload(file: Path) -> None:
    client = make_client(audit_file=file, audit_max_bytes=1_000_000)
    client.post("/moderate", json={"prompt": "bread"})
    file.rename(file.with_name("taken-away"))
    client.post("/moderate", json={"prompt": "bread"})
    assert (len(records(file)), len(records(file.with_name("taken-away")))) == (1, 1)


def test_workers_that_rename_the_file_under_each_other_lose_no_record(file: Path) -> None:
    asked = 400
    flags = ("--audit-file", str(file), "--audit-max-bytes", "4000", "--audit-keep", "1000")
    with running("--workers", "2", "--threads", "4", *flags) as service:

        def ask(start: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
            for number in range(start, asked, 8):
                body = {"prompt": "bread", "metadata": {"n": number}}
                assert send(connection, "POST", "/moderate", body).status == 200
            connection.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(8)))
        assert service.stop() == 0
    files = rotated(file)
    assert len(files) > 20
    assert all(path.stat().st_size <= 4000 for path in files)
    assert sorted(one["metadata"]["n"] for path in files for one in records(path)) == list(range(asked))


def test_what_cannot_be_renamed_stops_the_start(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(ConfigurationError) as caught:
        make_service(audit_file=file, audit_max_bytes=1000)
    assert str(caught.value) == f"audit_max_bytes: {file} is no file that can be renamed."
    with pytest.raises(ConfigurationError) as caught:
        make_service(audit_max_bytes=1000)
    assert str(caught.value) == "audit_max_bytes: needs an `audit_file`."


# What must not go without a record

UNRECORDED = "The decision could not be recorded; without its record none is given."
CHAT = [{"role": "user", "content": "How do I bake bread?"}]
DOORS = {
    "/moderate": {"prompt": "bread"},
    "/v1/moderations": {"input": "bread"},
    "/v1/chat/completions": {"model": "guard", "messages": CHAT},
    "/v2/guard": {"messages": CHAT},
    "/rewards/openrlhf": {"query": ["bread? Mix flour."], "prompts": ["bread?"]},
    "/rewards/slime": {"prompt": "bread?", "response": "Mix flour."},
    "/beta/litellm_basic_guardrail_api": {"texts": [], "structured_messages": CHAT, "input_type": "request"},
    "/moderate/stream": {"id": "call-1", "prompt": "bread?", "response": "Mix flour and water.", "final": True},
}
"""Each door whose status says that there is no verdict, and a harmless text for it."""


@NEEDS_DEV_FULL
@pytest.mark.parametrize("door", DOORS)
def test_a_decision_that_needs_its_record_is_not_given_without(door: str) -> None:
    for is_required, status in ((False, 200), (True, 503)):
        client = make_client(
            engine=FakeEngine(model="guard"),
            audit_file=Path("/dev/full"),
            audit_required=is_required,
            log_level="error",
        )
        reply = client.post(door, json=DOORS[door])
        assert reply.status_code == status, reply.data
    assert UNRECORDED in reply.get_data(as_text=True)
    assert reply.headers["Retry-After"] == "5"
    assert failures(client) == 1


@NEEDS_DEV_FULL
def test_doors_whose_callers_take_an_error_for_a_pass_withhold_the_text() -> None:
    client = make_client(audit_file=Path("/dev/full"), audit_required=True, log_level="error")
    output = {"point": "app.moderation.output", "params": {"app_id": "a", "text": "bread"}}
    assert client.post("/dify/moderation", json=output).json["flagged"] is True
    chat = {"user": {"id": "u"}, "body": {"model": "m", "messages": CHAT}}
    assert client.post("/owui/moderation-guard/filter/inlet", json=chat).status_code >= 400
    answered = {"model": "m", "messages": [*CHAT, {"role": "assistant", "content": "Mix flour and water."}]}
    reply = client.post("/owui/moderation-guard/filter/outlet", json={"user": {"id": "u"}, "body": answered})
    assert "Mix flour" not in reply.get_data(as_text=True)


@NEEDS_DEV_FULL
@pytest.mark.parametrize("stream", [False, True])
def test_of_a_guarded_chat_nothing_is_shown_without_its_records(stream: bool) -> None:
    with fake_llm() as llm:
        options = {"audit_file": Path("/dev/full"), "audit_required": True, "log_level": "error"}
        client = make_client(chat_upstream=Url(llm.url), **options)
        reply = client.post("/v1/chat/completions", json={"model": "llm-1", "messages": CHAT, "stream": stream})
        assert reply.status_code == 503
        assert reply.json["error"]["code"] == "audit_unavailable"


def test_an_answer_whose_records_can_no_longer_be_written_is_broken_off(file: Path) -> None:
    """The prompt's record fits, and that of the answer does not."""
    with fake_llm() as llm:
        options = {"audit_file": file, "audit_required": True, "log_level": "error"}
        client = make_client(chat_upstream=Url(llm.url), **options)
        with files_end_at(600):
            reply = client.post("/v1/chat/completions", json={"model": "llm-1", "messages": CHAT, "stream": True})
            shown = reply.get_data(as_text=True)
            reply.close()
    assert "audit_unavailable" in shown
    assert "flour" not in shown
    assert [one["target"] for one in records(file)] == ["prompt"]


@NEEDS_DEV_FULL
def test_the_items_of_a_batch_each_need_their_record() -> None:
    client = make_client(audit_file=Path("/dev/full"), audit_required=True, log_level="error")
    found = client.post("/moderate", json={"inputs": [{"prompt": "bread"}, {"prompt": ""}, {"prompt": "bomb"}]}).json
    kinds = [one["error"]["type"] for one in found["results"]]
    assert kinds == ["audit_unavailable", "invalid_request", "audit_unavailable"]


@NEEDS_DEV_FULL
@pytest.mark.parametrize("on_failure", ["allow", "flag", "block", "lite"])
def test_no_fail_mode_takes_the_place_of_a_record(tmp_path: Path, on_failure: str) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(f"policies: {{own: {{extends: balanced, on_failure: {on_failure}}}}}\n")
    client = make_client(
        fallback=FakeEngine(name="lite"), policies_file=policies, audit_file=Path("/dev/full"), audit_required=True
    )
    reply = client.post("/moderate", json={"prompt": "bread", "policy": "own"})
    assert (reply.status_code, reply.json) == (503, error("audit_unavailable", UNRECORDED))
    assert 'moderation_failures_total{type="audit_unavailable"} 1.0' in client.get("/metrics").get_data(as_text=True)


def test_a_request_that_cannot_be_answered_anyway_keeps_its_own_error(client: FlaskClient) -> None:
    down = FakeEngine(errors={"broken": EngineUnavailable("Down.")})
    client = make_client(engine=down, audit_file=Path("/dev/full"), audit_required=True, log_level="error")
    assert client.post("/moderate", json={"prompt": "broken"}).json == error("engine_unavailable", "Down.")


def test_once_there_is_room_again_decisions_are_given_again(file: Path) -> None:
    client = make_client(audit_file=file, audit_required=True, log_level="error")
    with files_end_at(10):
        assert client.post("/moderate", json={"prompt": "bread"}).status_code == 503
    assert client.post("/moderate", json={"prompt": "bread"}).status_code == 200
    assert len(records(file)) == 1


def test_records_can_only_be_required_where_there_is_a_file_for_them() -> None:
    with pytest.raises(ConfigurationError, match="audit_required: needs an `audit_file`"):
        make_service(audit_required=True)
