"""No text of a user in any log: markers are put wherever a caller can put something, and looked for."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import Like, Near, keys, make_client
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.core.moderator import Check
from moderation_service.core.verdict import Decision
from moderation_service.errors import EngineAnswerInvalid, EngineUnavailable
from moderation_service.observability.logs import JsonFormatter, configure_logging, log_event

MARKER = "marker-7261"
KEY = "correct-horse-battery"
TIME = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")

Configure = Callable[[str], None]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Sets logging up as the server does, and puts it back."""
    root = logging.getLogger()
    before = (root.level, root.handlers[:], logging._srcfile, logging.logThreads, logging.logProcesses)
    yield configure_logging
    root.level, root.handlers[:] = before[0], before[1]
    logging._srcfile, logging.logThreads, logging.logProcesses = before[2:]
    logging.logMultiprocessing = True
    for name in ("gunicorn.error", "gunicorn.access", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        logger.handlers.clear()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


# One line per request


def test_a_request_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    client = make_client(api_keys=keys(f"chat:{KEY}"))
    headers = {"X-Request-Id": "r-1", "X-API-Key": KEY}
    reply = client.post("/moderate", json={"prompt": "bomb"}, headers=headers).json
    assert reply is not None
    assert lines(capsys) == [
        {
            "time": TIME,
            "level": "info",
            "logger": "moderation.access",
            "event": "request",
            "request_id": "r-1",
            "method": "POST",
            "route": "/moderate",
            "status": 200,
            "ms": Near(0, 60_000),
            "key": "chat",
            "id": reply["id"],
            "target": "prompt",
            "safety": "unsafe",
            "action": "block",
            "policy": "balanced",
            "engine": "fake",
            "degraded": False,
            "cached": False,
        }
    ]


def test_a_batch_is_one_line_with_its_counts(capsys: pytest.CaptureFixture[str]) -> None:
    client = make_client(engine=FakeEngine(errors={"broken": EngineUnavailable("Down.")}), fallback=FakeEngine())
    inputs = [{"prompt": "bomb"}, {"prompt": "broken"}, {"prompt": ""}, {"prompt": "bread"}]
    client.post("/moderate", json={"inputs": inputs})
    (line,) = lines(capsys)
    assert (line["items"], line["degraded"]) == (4, 1)
    assert line["actions"] == {"block": 1, "allow": 2, "error": 1}


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["/moderate", "/healthz", "unmatched"]),
        ("info", ["/moderate", "unmatched"]),
        ("warning", []),
        ("error", []),
    ],
)
def test_the_level_decides_which_requests_are_logged(
    capsys: pytest.CaptureFixture[str], level: str, logged: list[str]
) -> None:
    client = make_client(log_level=level)
    client.post("/moderate", json={"prompt": "bread"})
    client.get("/healthz")
    client.get("/nowhere")
    assert [line["route"] for line in lines(capsys)] == logged


def test_a_probe_that_fails_is_logged(capsys: pytest.CaptureFixture[str], configure: Configure) -> None:
    configure("info")
    make_client(engine=FakeEngine(not_ready=EngineUnavailable("Down."))).get("/readyz")
    events = [(line["event"], line.get("status"), line.get("error")) for line in lines(capsys)]
    assert events == [("request_failed", None, "engine_unavailable"), ("request", 503, None)]


def test_a_closed_log_does_not_fail_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    assert client.post("/moderate", json={"prompt": "bread"}).status_code == 200


# Nothing of what was sent


class Quoting(FakeEngine):
    """An engine whose every exception quotes the text, as libraries like to."""

    def judge(self, conversations: Any, **options: Any) -> Any:
        text = conversations[0].messages[-1].content
        if "bug" in text:
            try:
                raise ValueError(text)
            except ValueError as error:
                raise KeyError(f"while judging {text!r}") from error
        if "nonsense" in text:
            return [EngineAnswerInvalid("The engine answered something that is not a verdict.") for _ in conversations]
        return super().judge(conversations, **options)


BODIES: list[object] = [
    {"prompt": f"bread {MARKER}"},
    {"prompt": f"bomb {MARKER}", "response": f"A bomb {MARKER}"},
    {"prompt": f"bug {MARKER}"},
    {"response": f"nonsense {MARKER}"},
    {"prompt": [{"type": "text", "text": MARKER}, {"type": "image_url", MARKER: MARKER}]},
    {"messages": [{"role": "system", "content": MARKER}, {"role": "user", "content": MARKER, "name": MARKER}]},
    {"messages": [{"role": MARKER, "content": MARKER}]},
    {"messages": [{"role": "user", "content": MARKER, MARKER: MARKER}]},
    {"prompt": "bread", MARKER: MARKER},
    {"prompt": "bread", "policy": MARKER},
    {"prompt": "bread", "detail": MARKER},
    {"prompt": "bread", "metadata": {MARKER: MARKER}},
    {"prompt": "bread", "metadata": {MARKER: [MARKER]}},
    {"inputs": [{"prompt": f"bug {MARKER}"}, {MARKER: MARKER}, MARKER]},
    {"inputs": [{"prompt": f"bomb {MARKER}"}, {MARKER: MARKER}, MARKER], "policy": "strict"},
    [MARKER],
    MARKER,
]
RAW = [
    f'{{"prompt": "{MARKER}"',
    f'{{"{MARKER}": 1, "{MARKER}": 2}}',
    f'{{"prompt": {MARKER}}}',
    f'{{"prompt": "{MARKER}\\ud800"}}',
    f'{{"{MARKER}\\ud800": 1}}',
    f"{MARKER}\x00" * 100,
    f"prompt={MARKER}",
]


def send_markers_everywhere(client: FlaskClient, headers: dict[str, str]) -> None:
    for body in BODIES:
        client.post("/moderate", json=body, headers=headers)
    for raw in RAW:
        for content_type in ("application/json", "text/plain", f"application/{MARKER}"):
            client.post("/moderate", data=raw.encode(), content_type=content_type, headers=headers)
    client.post("/moderate", data=MARKER.encode("utf-16"), content_type="application/json", headers=headers)
    tricky = [
        {"X-Request-Id": f"{MARKER} with spaces"},
        {"User-Agent": MARKER},
        {"Referer": f"http://{MARKER}/"},
        {"Accept-Language": MARKER},
        {"Accept": MARKER},
        {"Cookie": f"a={MARKER}"},
        {"X-Forwarded-For": MARKER},
        {"Content-Encoding": MARKER},
        {"Host": f"{MARKER}.example"},
        {"X-API-Key": MARKER},
        {"Authorization": f"Bearer {MARKER}"},
        {"Authorization": f"Basic {MARKER}"},
    ]
    for more in tricky:
        for path in ("/moderate", "/policies", "/nowhere", "/readyz"):
            client.post(path, json={"prompt": "bread"}, headers={**headers, **more})
            client.get(path, headers={**headers, **more})
    for path in (f"/{MARKER}", f"/moderate?{MARKER}", f"/static/{MARKER}", f"/policies/{MARKER}?q={MARKER}"):
        for method in ("GET", "POST", MARKER.upper()):
            client.open(path, method=method, headers=headers, json={"prompt": MARKER})


@pytest.mark.parametrize("level", ["debug", "info"])
@pytest.mark.parametrize("with_key", [True, False])
def test_no_text_reaches_the_log_or_the_audit_file(
    capsys: pytest.CaptureFixture[str], configure: Configure, tmp_path: Path, level: str, with_key: bool
) -> None:
    configure(level)
    audit = tmp_path / "audit.jsonl"
    client = make_client(
        engine=Quoting(), fallback=Quoting(name="lite"), log_level=level, audit_file=audit, api_keys=keys(KEY)
    )
    send_markers_everywhere(client, {"X-API-Key": KEY} if with_key else {})
    captured = capsys.readouterr()
    text = (captured.out + captured.err).lower()
    assert MARKER not in text
    assert MARKER.encode().hex() not in text
    assert all(json.loads(line)["event"] for line in captured.err.splitlines())
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert bool(records) is with_key
    for record in records:
        # The caller's metadata is the one thing that is copied, because the caller asked for that.
        record.pop("metadata")
        assert MARKER not in json.dumps(record)


def test_the_log_names_an_exception_and_its_frames_but_not_its_message(
    capsys: pytest.CaptureFixture[str], configure: Configure
) -> None:
    configure("info")
    make_client(engine=Quoting()).post("/moderate", json={"prompt": f"bug {MARKER}"}, headers={"X-Request-Id": "r-1"})
    unhandled, failed, request = lines(capsys)
    assert (unhandled["event"], unhandled["request_id"], unhandled["error_type"]) == (
        "unhandled_exception",
        "r-1",
        "KeyError",
    )
    assert unhandled["frames"][-1] == Like(rf"{__file__}:\d+:judge")
    assert (failed["event"], failed["error"], failed["request_id"]) == ("request_failed", "internal_error", "r-1")
    assert (request["event"], request["status"]) == ("request", 500)


def test_gunicorn_is_never_at_debug_because_it_would_quote_paths_and_bodies(
    capsys: pytest.CaptureFixture[str], configure: Configure
) -> None:
    configure("debug")
    library = logging.getLogger("gunicorn.error")
    library.debug("GET /%s", MARKER)
    library.info("Booting worker with pid: %s", 7)
    assert [line["event"] for line in lines(capsys)] == ["Booting worker with pid: 7"]


def test_the_observers_of_the_service_are_given_no_text() -> None:
    """The log line is made of the outcome alone: a check's text cannot get in by a field of its own."""
    assert "conversation" in Check.__slots__
    assert not {"text", "content", "prompt", "response", "messages"} & set(Decision.__slots__)


# The formatter


def formatted(**fields: Any) -> dict[str, Any]:
    record = logging.LogRecord("moderation.test", logging.INFO, __file__, 1, "event", (), None)
    record.fields = fields
    return dict(json.loads(JsonFormatter().format(record)))


def test_an_event_has_its_fields() -> None:
    assert formatted(count=3, name="ü") == {
        "time": TIME,
        "level": "info",
        "logger": "moderation.test",
        "event": "event",
        "count": 3,
        "name": "ü",
    }


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    record = logging.LogRecord("moderation.test", logging.INFO, __file__, 1, "a\nb\r\u2028c", (), None)
    assert len(JsonFormatter().format(record).splitlines()) == 1


def test_events_below_the_level_are_not_made(capsys: pytest.CaptureFixture[str], configure: Configure) -> None:
    configure("warning")
    log_event(logging.getLogger("moderation.test"), logging.INFO, "quiet", count=1)
    log_event(logging.getLogger("moderation.test"), logging.WARNING, "loud", count=1)
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_gunicorns_own_access_log_is_off(capsys: pytest.CaptureFixture[str], configure: Configure) -> None:
    configure("debug")
    logging.getLogger("gunicorn.access").info("GET /%s", MARKER)
    assert lines(capsys) == []
