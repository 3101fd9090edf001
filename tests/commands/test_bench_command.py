"""`bench` in front of a model server that behaves like vLLM: real service, real load, short."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fake_guard_server import BOMB, completion, guard, recorded, running
from fake_stream_server import FakeStreamServer, write_model_dir
from processes import run_command
from scored_guard import scored
from webhook_receiver import receiver

pytestmark = pytest.mark.slow

PATIENCE_S = 90


def answering(request):
    """Healthy; a plain question, which asks for no logprobs, gets a verdict too."""
    if request.path == "/v1/chat/completions" and "max_tokens" not in request.body:
        bad = BOMB in request.body["messages"][-1]["content"]
        return completion("Safety: Unsafe\nCategories: Violent" if bad else "Safety: Safe\nCategories: None")
    if request.path in ("/health", "/version"):
        return recorded("get_models")
    return guard(request)


@pytest.fixture
def server():
    with running(answering) as one:
        yield one


def test_it_measures_the_plain_call_and_every_engine_of_the_settings_and_writes_what_can_be_sent_on(server, tmp_path):
    key = "model-server-key"
    with FakeStreamServer() as stream:
        done = run_command(
            *("bench", "-o", str(tmp_path / "out"), "--upstream", server.url, "--seconds", "0.4", "--clients", "1,4"),
            MODERATION_UPSTREAM_API_KEY=key,
            MODERATION_STREAM_UPSTREAM=stream.url,
            MODERATION_STREAM_MODEL_DIR=str(write_model_dir(tmp_path / "model")),
        )
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    found = [(one["way"], one["clients"]) for one in document["points"]]
    assert found == [(way, clients) for way in ("plain", "full", "severity", "stream") for clients in (1, 4)]
    assert all(one["verdicts"] > 0 and one["errors"] == {} for one in document["points"])
    assert {"CPU", "cores", "model", "service", "date"} <= document["facts"].keys()
    written = "".join((tmp_path / "out" / name).read_text() for name in ("bench.json", "bench.md", "bench.svg"))
    for secret in (key, socket.gethostname(), server.url, str(server.port)):
        assert secret not in written
    assert "| severity | 4 |" in written
    asked = [one.body for one in server.requests if one.path == "/v1/chat/completions"]
    assert {tuple(one) for one in asked if "logprobs" not in one} == {("model", "messages", "temperature")}


def test_of_a_cascade_it_says_both_models_and_the_share_that_the_larger_one_judged(tmp_path):
    sure = scored("small")

    def sure_of_some(request):
        if request.path == "/v1/chat/completions":
            message = request.body["messages"][-1]
            if BOMB not in message["content"] and len(message["content"]) % 4 == 0:
                message["content"] += " small=0.5,0.3,0.2"
        return sure(request)

    with running(sure_of_some) as small, running(scored("large")) as large:
        done = run_command(
            *("bench", "-o", str(tmp_path / "out"), "--upstream", large.url, "--seconds", "0.4", "--clients", "2"),
            MODERATION_ENGINE="cascade",
            MODERATION_SMALL_UPSTREAMS=small.url,
            MODERATION_SMALL_UPSTREAM_API_KEY="small-server-key",
        )
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert [one["way"] for one in document["points"]] == ["plain", "full", "severity", "cascade"]
    facts = document["facts"]
    assert (facts["model"], facts["small model"], facts["small model servers"]) == ("large", "small", 1)
    assert re.fullmatch(r"[1-4]\d\.\d% of these questions", facts["sent up by the cascade"])
    assert f"* small model: {facts['small model']}" in (tmp_path / "out" / "bench.md").read_text()
    assert "small-server-key" not in json.dumps(document)


def test_the_embedded_engine_can_be_measured_without_any_server(tmp_path):
    done = run_command("bench", "-o", str(tmp_path), "--engine", "lite", "--seconds", "0.3", "--clients", "2")
    assert done.returncode == 0, done.stderr.decode()
    assert [one["way"] for one in json.loads((tmp_path / "bench.json").read_text())["points"]] == ["lite"]


def test_nobody_is_told_of_the_decisions_that_were_made_up(tmp_path):
    with receiver() as hook:
        done = run_command(
            *("bench", "-o", str(tmp_path / "out"), "--engine", "lite", "--seconds", "0.5", "--clients", "2"),
            MODERATION_STORE=f"sqlite:///{tmp_path}/records.db",
            MODERATION_AUDIT_FILE=str(tmp_path / "audit.jsonl"),
            MODERATION_WEBHOOK_URL=hook.url,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert hook.got.empty()
    (measured,) = json.loads((tmp_path / "out" / "bench.json").read_text())["points"]
    assert measured["verdicts"] > 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out"]


def test_a_model_server_that_is_not_there_is_said_in_one_line(tmp_path, unused_port):
    url = f"http://127.0.0.1:{unused_port}"
    done = run_command("bench", "-o", str(tmp_path), "--upstream", url)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"moderation-service: {url}/v1/models: ConnectionError")
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("clients", ["0", "x", "1,,8", "4096"])
def test_numbers_of_clients_that_make_no_sense_are_wrong_usage(tmp_path, clients):
    done = run_command("bench", "-o", str(tmp_path), "--clients", clients)
    assert done.returncode == 2
    assert "must be numbers from 1 to 1024" in done.stderr.decode()


def test_a_folder_that_cannot_be_made_is_noticed_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "moderation_service", "bench", "-o", tmp_path / "file" / "out", "--engine", "lite"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert "can't be made" in done.stderr
