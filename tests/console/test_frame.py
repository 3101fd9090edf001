"""What stands before every page of the console: who may see it, in which language, under which headers."""

from __future__ import annotations

import ast
import base64
import dataclasses
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from apps import keys, make_client, make_service
from console import Visitor, console_service, visitor
from sqlalchemy.exc import DataError

from moderation_service.config.settings import Settings
from moderation_service.console import blueprint
from moderation_service.console.blueprint import all_pages
from moderation_service.console.security import own_address
from moderation_service.console.texts import chinese, choose_language
from moderation_service.core.person import Role
from moderation_service.errors import ConfigurationError
from moderation_service.store import reviews
from moderation_service.web import create_app

CONSOLE = Path(blueprint.__file__).parent
ROUTES = [
    (route, ("/console" if page.name == "overview" else f"/console/{page.name}") + re.sub(r"<[^>]*>", "1", route.path))
    for page in all_pages()
    for route in page.routes
]

Visitors = Callable[[Role | None], Visitor]


def named(value: object) -> str:
    return f"{value.method}" if hasattr(value, "method") else str(value)


@pytest.fixture(scope="module")
def visitors(tmp_path_factory: pytest.TempPathFactory) -> Visitors:
    """Somebody of this role, the same one each time: for what is refused, and so changes nothing."""
    return cache(lambda role: visitor(tmp_path_factory.mktemp("console"), role))


@pytest.mark.parametrize(("route", "path"), ROUTES, ids=named)
def test_a_stranger_is_sent_to_the_sign_in(visitors: Visitors, route: blueprint.Route, path: str) -> None:
    reply = visitors(None).client.open(path, method=route.method)
    assert reply.status_code == 303
    assert reply.headers["Location"].startswith("/console/sign-in")


@pytest.mark.parametrize(("route", "path"), [one for one in ROUTES if one[0].role is not Role.VIEWER], ids=named)
def test_a_role_below_what_a_page_needs_is_refused(visitors: Visitors, route: blueprint.Route, path: str) -> None:
    somebody = visitors(list(Role)[route.role.rank - 1])
    reply = somebody.client.open(path, method=route.method, data={"csrf": somebody.token})
    assert reply.status_code == 403
    assert "Your role does not allow this." in reply.text


@pytest.mark.parametrize(("route", "path"), [one for one in ROUTES if one[0].method == "POST"], ids=named)
def test_no_form_passes_without_the_sessions_token(visitors: Visitors, route: blueprint.Route, path: str) -> None:
    somebody = visitors(Role.ADMIN)
    for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        assert somebody.client.post(path, data=data).status_code == 403
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert somebody.client.post(path, data={"csrf": somebody.token}, headers=foreign).status_code == 403


def test_only_get_and_post_are_used() -> None:
    """The frame asks forms for their token, and nothing else may change anything."""
    assert {route.method for route, _ in ROUTES} <= {"GET", "POST"}


def test_the_headers_let_a_page_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    reply = visitor(tmp_path).get("")
    assert reply.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("came_from", "back"),
    [
        ("http://localhost/console/lists/shop?q=a%20b", "/console/lists/shop?q=a%20b"),
        ("http://localhost/console/lists/nothing", None),
        ("http://elsewhere.example/console/lists", None),
        ("http://localhost/moderate", None),
        ("http://localhost/console/<b>", None),
        ("http://[", None),
    ],
)
def test_a_mistake_leads_back_to_the_page_that_it_was_made_on(tmp_path: Path, came_from: str, back: str | None) -> None:
    page = visitor(tmp_path).client.get("/console/lists/nothing", headers={"Referer": came_from})
    assert page.status_code == 404
    assert re.findall(r'<a href="([^"]*)">To the page before', page.text) == ([] if back is None else [back])


def test_templates_hold_no_script_and_no_style_of_their_own() -> None:
    for file in (CONSOLE / "templates").glob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style|javascript:|hx-on|\|\s*safe\b", text), (
            file.name
        )


def test_every_text_of_a_page_has_its_chinese() -> None:
    said: set[str] = {page.title for page in all_pages()}
    for file in (CONSOLE / "templates").glob("*.html"):
        said |= {
            ast.literal_eval(one) for one in re.findall(r"""\b_\(("[^"]*"|'[^']*')""", file.read_text(encoding="utf-8"))
        }
    for file in CONSOLE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "text":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    said.add(first.value)
    assert {text for text in said if text not in chinese()} == set()


def test_every_mistake_that_a_page_tells_has_its_chinese() -> None:
    """Those that are made of values are told in English; the frame translates what is said as a whole."""
    told: set[str] = set()
    store = CONSOLE.parent / "store"
    shown = [store / f"{name}.py" for name in ("apps", "escalations", "lists", "people", "policies", "reviews")]
    for file in [*(CONSOLE / "pages").glob("*.py"), *shown]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                first = node.exc.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    told.add(first.value)
    assert len(told) > 10
    assert {text for text in told if text not in chinese()} == set()


def test_a_text_is_the_same_in_chinese_on_every_page() -> None:
    """The files are read into one: of two that translate a text, one would count for both."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in (CONSOLE / "texts").glob("*.yaml"):
        for text, other in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            found[text].add(other)
    assert {text: others for text, others in found.items() if len(others) > 1} == {}


def test_a_chinese_text_has_the_same_places_to_fill_in() -> None:
    def places(text: str) -> list[str]:
        return sorted(re.findall(r"\{(\w+)", text))

    assert [text for text, other in chinese().items() if places(text) != places(other)] == []


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "expected"),
    [
        (None, None, ["zh-CN", "en"], "zh"),
        (None, None, ["fr", "en-GB"], "en"),
        (None, None, [], "en"),
        (None, "en", ["zh-CN"], "en"),
        ("zh", "en", ["en"], "zh"),
        ("<b>", "xx", ["de"], "en"),
    ],
)
def test_the_language_is_what_was_asked_for_or_what_the_browser_likes(
    asked: str | None, remembered: str | None, accepted: list[str], expected: str
) -> None:
    assert choose_language(asked, remembered, accepted) == expected


def test_a_language_once_chosen_is_remembered(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    assert "总览" in somebody.get("", lang="zh").text
    assert '<html lang="zh-CN">' in somebody.get("").text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8787", "127.0.0.1.evil.example"])
def test_the_console_is_not_reached_under_a_foreign_name(tmp_path: Path, host: str) -> None:
    """Also where API keys are set: they keep nobody out of the console."""
    somebody = visitor(tmp_path, api_keys=keys("a-key-0123456"))
    for path in ("/console", "/console/sign-in", "/console/nothing"):
        reply = somebody.client.get(path, headers={"Host": host})
        assert reply.status_code == 403
        assert "terminal" not in reply.text


def test_a_console_with_an_address_of_its_own_answers_to_that_name_only(tmp_path: Path) -> None:
    stranger = visitor(tmp_path, None, host="0.0.0.0", allow_open=True, console_url="https://console.example")
    assert stranger.client.get("/console/sign-in", headers={"Host": "console.example"}).status_code == 200
    assert stranger.client.get("/console/sign-in", headers={"Host": "other.example"}).status_code == 403


def test_api_keys_open_nothing_of_the_console_and_are_not_needed(tmp_path: Path) -> None:
    stranger = visitor(tmp_path, None, api_keys=keys("a-key-0123456"))
    headers = {"Authorization": "Bearer a-key-0123456"}
    assert stranger.client.get("/console", headers=headers).status_code == 303
    assert stranger.client.get("/console/sign-in").status_code == 200
    assert stranger.client.get("/policies").status_code == 401


def test_an_address_that_is_not_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    reply = visitor(tmp_path).get("/nothing/<script>alert(1)</script>")
    assert reply.status_code == 404
    assert reply.mimetype == "text/html"
    assert "<script>alert" not in reply.text


def test_a_database_that_is_away_is_a_page_that_says_so(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    somebody.database.close()
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / "moderation.db").mkdir()
    for reply in (somebody.get(""), somebody.get("/decisions/x"), somebody.post("/sign-out")):
        assert reply.status_code == 503
        assert "Not available now" in reply.text
        assert reply.headers["Retry-After"]


@pytest.mark.parametrize("content", [b"1", b"null", b'{"a": 1}', b'[["done"], {}]', b"[" * 2000, b"\xff"])
def test_a_cookie_that_was_made_up_says_nothing(tmp_path: Path, content: bytes) -> None:
    stranger = visitor(tmp_path, None)
    stranger.client.set_cookie("moderation_notice", base64.urlsafe_b64encode(content).decode(), path="/console")
    assert stranger.get("/sign-in").status_code == 200


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/apps/offenders/99999999999999999999/undo", {}, 404),
        ("/apps/offenders/9223372036854775807/undo", {}, 404),
        ("/apps/new", {"name": "shop", "per_day": "9" * 5000}, 400),
        ("/apps/new", {"name": "shop", "per_day": "9" * 15}, 400),
    ],
)
def test_a_number_that_is_too_large_is_a_mistake(tmp_path: Path, path: str, form: dict[str, str], status: int) -> None:
    assert visitor(tmp_path).post(path, **form).status_code == status


def test_a_table_that_is_nested_too_deeply_is_a_mistake(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    headers = {"X-CSRF-Token": somebody.token, "Content-Type": "application/json"}
    assert somebody.client.post("/console/playground/rows", data=b"[" * 100_000, headers=headers).status_code == 400


def test_what_the_database_can_not_hold_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise DataError("SELECT", {"id": "\0"}, ValueError("a NUL"))  # as PostgreSQL's driver does

    monkeypatch.setattr(reviews, "skip", refuse)
    reply = visitor(tmp_path).post("/review/item/%00/skip")
    assert reply.status_code == 400
    assert "can&#39;t hold what was sent" in reply.text


def test_a_fragment_gets_its_error_as_a_fragment(tmp_path: Path) -> None:
    reply = visitor(tmp_path).client.get("/console/nothing", headers={"HX-Request": "true"})
    assert reply.status_code == 404
    assert "<html" not in reply.text


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "/console/../../evil", "/consoleevil.example",
        "/console\n/x", "javascript:alert(1)", "/console/%2e%2e/x", "/policies", "/console//evil.example", "", None,
    ],
)  # fmt: skip
def test_only_addresses_of_the_console_are_gone_to(target: str | None) -> None:
    assert own_address(target) == "/console"


def test_addresses_of_the_console_are_gone_to() -> None:
    assert own_address("/console/decisions?action=block&q=%2F") == "/console/decisions?action=block&q=%2F"


def test_the_console_is_off_without_a_store_and_an_error_where_it_was_asked_for() -> None:
    assert make_client().get("/console").status_code == 404
    with pytest.raises(ConfigurationError, match="console: needs a database"):
        create_app(service=make_service(console="on"))


def test_the_console_is_off_where_others_can_reach_it_unless_asked_for(tmp_path: Path) -> None:
    def is_there(**settings: object) -> bool:
        service = console_service(tmp_path)
        changed = dataclasses.replace(service, settings=Settings(**settings))  # type: ignore[arg-type]
        return create_app(service=changed).test_client().get("/console").status_code == 303

    assert is_there()
    assert not is_there(console="off")
    assert not is_there(host="0.0.0.0", allow_open=True)
    assert is_there(host="0.0.0.0", allow_open=True, console="on")


def test_the_page_for_trying_points_to_the_console_where_it_is_on(tmp_path: Path) -> None:
    link = '<a href="console" data-text="console">'
    assert link in visitor(tmp_path, None).client.get("/").text
    assert link not in make_client().get("/").text


def test_vendored_scripts_are_those_that_their_table_names() -> None:
    folder = CONSOLE / "static" / "vendor"
    table = dict(re.findall(r"\| `([\w.]+)` \|.*\| `([0-9a-f]{64})` \|", (folder / "README.md").read_text()))
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.min.*")}
    assert table == found


def test_files_are_kept_by_browsers_under_an_address_that_changes_with_them(tmp_path: Path) -> None:
    page = visitor(tmp_path).get("")
    addresses = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.text)
    assert len(addresses) >= 4
    assert all(re.search(r"\?v=[0-9a-f]{12}$", one) for one in addresses)


def test_somebody_with_a_lower_role_sees_only_their_pages_in_the_navigation(tmp_path: Path) -> None:
    def shown(somebody: Visitor) -> int:
        return somebody.get("").text.split("<nav", 1)[1].split("</nav>")[0].count("<a ")

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    viewers = [page for page in all_pages() if page.order is not None and page.role is Role.VIEWER]
    everybody = [page for page in all_pages() if page.order is not None]
    assert shown(visitor(tmp_path / "a", Role.VIEWER)) == len(viewers)
    assert shown(visitor(tmp_path / "b", Role.ADMIN)) == len(everybody)
