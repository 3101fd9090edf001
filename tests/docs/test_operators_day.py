"""What an operator does, walked by the commands of docs/operations.md against a service that runs and is under load."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import fake_guard_server
import pytest
from crowd import asking
from databases import Postgres
from fake_guard_server import BREAD, Action, Request, guard, reply
from processes import Running, environment, run_command, running, until
from sqlalchemy import select

from moderation_service.store.database import Database
from moderation_service.store.schema import decisions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SERVE = (sys.executable, "-m", "moderation_service", "serve")
CHAT, BATCH = "chat-0123456789abcdef", "batch-0123456789abcdef"
IN_THE_FILE: Mapping[str, None] = {"MODERATION_STORE": None}
"""Where the database is, is said by the settings file and no variable."""
STORE_KEY = {"MODERATION_STORE_KEY": "store-0123456789abcdef"}
ANOTHER_STORE_KEY = {"MODERATION_STORE_KEY": "other-0123456789abcdef"}


def commands(title: str) -> str:
    """The commands of the section with this title; the last block where it has several."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    section = re.search(rf"^##+ {title}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, title
    return re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)[-1]


def bash(script: str, folder: Path, **variables: str) -> str:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment(PATH=path, **variables), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def program(folder: Path, name: str, script: str) -> None:
    """A program of that name, in place of one that is not here or would change this machine."""
    (folder / "bin").mkdir(exist_ok=True)
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@contextmanager
def load(service: Running, **headers: str) -> Iterator[list[Any]]:
    """Somebody who asks all the time; the replies."""
    replies: list[Any] = []

    def ask(number: int) -> None:
        replies.append(service.request("POST", "/moderate", {"prompt": f"{BREAD} {len(replies)}"}, **headers))

    with asking(ask, callers=1):
        until(lambda: len(replies) > 3)
        yield replies
        seen = len(replies)
        until(lambda: len(replies) > seen + 3)


def renewed(service: Running, before: set[int]) -> bool:
    return not before & set(service.workers())


def test_the_key_of_vllm_is_replaced_while_every_check_gets_its_verdict(tmp_path: Path) -> None:
    accepted = tmp_path / "accepted"
    accepted.write_text("old-key\n")
    program(tmp_path, "vllm", f'while [ "$1" != --api-key ]; do shift; done; shift; echo "$@" > new; mv new {accepted}')
    refused: list[str] = []

    def behave(request: Request) -> Action:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.path != "/health" and key not in accepted.read_text().split():
            refused.append(key)
            return reply(401, {"error": "Unauthorized"})
        return guard(request)

    with fake_guard_server.running(behave) as model:
        (tmp_path / "config.yaml").write_text(
            f"engine: vllm\nupstreams: ['{model.url}']\nupstream_api_key: old-key\nworkers: 1\ncache_size: 0\n"
        )
        with running("--config", str(tmp_path / "config.yaml"), command=SERVE) as service:
            until(lambda: service.request("GET", "/readyz").status == 200)
            workers = set(service.workers())
            first, _, last = commands("Rotating keys").rstrip().rpartition("\n")
            with load(service) as replies:
                said = bash(f"{first}\necho $NEW", tmp_path, PID=str(service.process.pid)).strip()
                until(lambda: renewed(service, workers))
                bash(last, tmp_path, NEW=said)
    assert accepted.read_text() == f"{said}\n"
    assert refused == []
    assert {(one.status, one.json["engine"], one.json["degraded"]) for one in replies} == {(200, "vllm", False)}


def rotate(rules: Path, folder: Path) -> None:
    """logrotate, or what its rules say where it is not installed."""
    found = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is not None:
        subprocess.run([found, "--force", "--state", folder / "state", rules], check=True, timeout=60)
        return
    text = rules.read_text()
    file = Path(re.findall(r"^(/\S+) \{$", text, re.MULTILINE)[0])
    file.rename(file.with_name(f"{file.name}.1"))
    bash(text.partition("postrotate\n")[2].partition("endscript")[0], folder)


def test_logrotate_takes_the_audit_file_away_and_no_record_is_lost(tmp_path: Path) -> None:
    shown = (ROOT / "manifests/systemd/moderation-service.logrotate").read_text()
    assert "copytruncate" not in shown
    unit = (ROOT / "manifests/systemd/moderation-service.service").read_text()
    assert "audit_file: /var/lib/moderation/audit.jsonl" in unit
    assert "/var/lib/moderation/audit.jsonl {" in shown
    folder = tmp_path / "state-of-the-service"
    folder.mkdir(mode=0o750)
    audit = folder / "audit.jsonl"
    with running("--workers", "2", "--audit-file", str(audit)) as service:
        rules = tmp_path / "rules"
        text = shown.replace("/var/lib/moderation", str(folder)).replace("    su moderation moderation\n", "")
        rules.write_text(
            text.replace("systemctl reload moderation-service.service", f"kill -HUP {service.process.pid}")
        )
        rules.chmod(0o644)
        before = set(service.workers())
        with load(service) as replies:
            rotate(rules, tmp_path)
            until(lambda: renewed(service, before) and audit.exists())
        assert service.stop() == 0
    written = [json.loads(line)["id"] for file in folder.iterdir() for line in file.read_text().splitlines()]
    assert sorted(written) == sorted(one.json["id"] for one in replies)
    assert {file.name for file in folder.iterdir()} == {"audit.jsonl", "audit.jsonl.1"}


def test_the_audit_file_says_how_much_each_key_asked_for(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    keys = tmp_path / "keys"
    keys.write_text(f"chat:{CHAT}\nbatch:{BATCH}\n")
    with running("--workers", "1", "--audit-file", str(audit), "--api-keys-file", str(keys)) as service:
        for key, prompts in ((CHAT, ["bread", "bomb", "bread"]), (BATCH, ["bomb"])):
            for prompt in prompts:
                assert service.request("POST", "/moderate", {"prompt": prompt}, X_API_Key=key).status == 200
    said = bash(commands("Usage per key"), tmp_path, AUDIT=str(audit))
    assert said.splitlines() == ["batch block 1", "chat allow 2", "chat block 1"]


def test_a_look_without_grafana_shows_what_happened_meanwhile(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"chat:{CHAT}\n")
    ask = 'curl -s -o answer -H "Authorization: Bearer $KEY" --json \'{"prompt": "bomb"}\' "$URL/moderate"'
    with running("--workers", "1", "--api-keys-file", str(keys)) as service:
        url = f"http://127.0.0.1:{service.port}"
        script = commands("A look without Grafana").replace("sleep 10", f"{ask}\n{ask}")
        said = bash(script, tmp_path, URL=url, KEY=CHAT).splitlines()
    assert "ready" in said[0]
    assert any(re.match(r"\+2 moderation_decisions_total\{.*block", line) for line in said)
    assert any(re.match(r"\d+ moderation_request_slots$", line) for line in said)
    assert not any("failures" in line or "degraded" in line for line in said)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the program sqlite3")
def test_a_copy_of_the_database_is_put_back(tmp_path: Path) -> None:
    store = tmp_path / "moderation.db"
    # The service is started and stopped below; the user `moderation` is not here.
    for name in ("systemctl", "chown"):
        program(tmp_path, name, f'echo {name} "$@" >> {tmp_path}/done')

    def recorded(service: Running) -> int:
        found = re.search(
            r"^moderation_records_written_total (\d+)", service.request("GET", "/metrics").body.decode(), re.M
        )
        return 0 if found is None else int(found[1])

    where = {"MODERATION_STORE": f"sqlite:///{store}"}
    with running("--workers", "1", **where) as service:
        kept = service.moderate("bread")["id"]
        until(lambda: recorded(service) == 1)
        bash('sqlite3 moderation.db ".backup copy.db"', tmp_path)
        lost = service.moderate("bomb")["id"]
        assert service.stop() == 0
    bash(commands("Restore"), tmp_path, STORE=str(store))
    with running("--workers", "1", **where) as service:
        later = service.moderate("bread again")["id"]
        assert service.stop() == 0
    exported = run_command("records", "export", **where).stdout.splitlines()
    ids = {json.loads(line)["id"] for line in exported}
    assert ids == {kept, later}
    assert lost not in ids
    assert (tmp_path / "done").read_text().splitlines() == [
        "systemctl stop moderation-service",
        f"chown moderation: {store}",
        "systemctl start moderation-service",
    ]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


def recorded(store: str) -> set[str]:
    with closing(Database(store)) as database, database.read() as connection:
        return set(connection.execute(select(decisions.c.decision_id)).scalars())


@pytest.mark.store
@pytest.mark.parametrize(
    ("before", "after", "is_found"),
    [({}, {}, True), (STORE_KEY, STORE_KEY, True), (STORE_KEY, ANOTHER_STORE_KEY, False)],
    ids=["key in the database", "store_key kept", "another store_key"],
)
def test_a_dump_of_postgresql_is_put_back(
    postgres: Postgres, tmp_path: Path, before: Mapping[str, str], after: Mapping[str, str], is_found: bool
) -> None:
    store = postgres.new_database()
    new = f"{store}_restored"
    for name in ("pg_dump", "createdb", "pg_restore"):
        program(tmp_path, name, f'exec {postgres.programs / name} "$@"')
    # The service is started below.
    program(tmp_path, "systemctl", f'echo systemctl "$@" >> {tmp_path}/done')
    (tmp_path / "policies.yaml").write_text("policies: {kept: {extends: balanced, keep_text: all}}\n")
    (tmp_path / "listed.csv").write_text("id,kind,text\nw1,word,quokka\n")
    config = tmp_path / "config.yaml"
    config.write_text(
        f"store: {store}\npolicies_file: {tmp_path / 'policies.yaml'}\ndefault_policy: kept\nworkers: 1\n"
    )

    def manage(*arguments: str, **variables: str) -> str:
        done = run_command(*arguments, "--config", str(config), **IN_THE_FILE, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def ask(service: Running, prompt: str, key: str) -> Any:
        return service.request("POST", "/moderate", {"prompt": prompt}, X_API_Key=key, X_Moderation_User="eve")

    copy, restore = commands("PostgreSQL").split("\n\n")
    manage("lists", "import", str(tmp_path / "listed.csv"), "--policy", "kept")
    shop = manage("apps", "create", "shop").strip()
    with running("--config", str(config), **IN_THE_FILE, **before) as service:
        kept = {ask(service, prompt, shop).json["id"] for prompt in ("bread", "bomb")}
        until(lambda: recorded(store) == kept)
        bash(copy, tmp_path, STORE=store)
        late = manage("apps", "create", "late").strip()
        lost = ask(service, "bread", shop).json["id"]
        assert service.stop() == 0
    assert recorded(store) == {*kept, lost}

    bash(restore, tmp_path, STORE=store, NEW=new, NAME=new.rpartition("/")[2])
    assert (tmp_path / "done").read_text() == "systemctl restart moderation-service\n"
    with running("--config", str(config), **IN_THE_FILE, **after) as service:
        listed, unknown = ask(service, "a quokka", shop), ask(service, "bread", late)
        assert service.stop() == 0
    assert (listed.json["action"], listed.json["list_entry"]["id"], unknown.status) == ("block", "w1", 401)
    exported = {json.loads(line)["id"] for line in manage("records", "export").splitlines()}
    assert exported == {*kept, listed.json["id"]}
    # One text of the new service, and those of before where their hashes are still its own.
    erased = 3 if is_found else 1
    said = manage("records", "erase", "--user", "eve", "--app", "shop", "--yes", **after)
    assert said == f"deleted: {erased} records, {erased} texts, 0 appeals\n"
    assert len(recorded(new)) == 3 - erased
