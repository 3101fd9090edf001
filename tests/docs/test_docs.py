"""The documentation is true: commands are executed, examples are read, lists are complete.

A fenced block is left out when the line before it is `<!-- not run: REASON -->`.
"""

from __future__ import annotations

import http.client
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import yaml
from error_types import error_types
from processes import SERVE_LITE, Running, run_command, running, send

from moderation_service.config.policy_file import load_policies
from moderation_service.config.settings import declarations, load_settings
from moderation_service.observability.metrics import METRIC_NAMES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md")])
ADDRESS = "http://127.0.0.1:8787"
VARIES = ("id", "request_uuid", "RequestId", "latency_ms", "cached", "created", "state")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->\n\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    is_run: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One `$ ` line of a block, and the output shown below it."""

    place: str
    words: tuple[str, ...]
    output: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            is_run = _NOT_RUN.search(text[: match.start()]) is None
            yield Block(name_of(page), line, match[1], match[2], is_run)


def commands(*programs: str) -> list[Command]:
    """The commands of all blocks that run one of these programs, with the output shown."""
    found = []
    for block in blocks():
        if block.language not in ("console", "bash", "sh") or not block.is_run:
            continue
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            joined = part.replace("\\\n", "")
            line, _, output = joined.partition("\n")
            words = tuple(shlex.split(line, comments=True))
            if words[0] in programs:
                found.append(Command(str(block), words, output.strip()))
    return found


CURLS = [one for one in commands("curl") if any(word.startswith(ADDRESS) for word in one.words)]
OURS = [one for one in commands("moderation-service", ".venv/bin/moderation-service") if "serve" not in one.words]


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(command=SERVE_LITE) as started:
        yield started


def ask(service: Running, command: Command) -> Any:
    """Do what curl would, and return the reply's JSON."""
    method, url, body, headers = None, "", None, {"Content-Type": "application/x-www-form-urlencoded"}
    words = iter(command.words[1:])
    for word in words:
        if word in ("-H", "--header"):
            name, _, value = next(words).partition(":")
            headers[name] = value.strip()
        elif word in ("-d", "--data", "--data-raw"):
            given = next(words).encode()
            body = given if body is None else body + b"&" + given
        elif word in ("-X", "--request"):
            method = next(words)
        elif word.startswith(ADDRESS):
            url = word.removeprefix(ADDRESS) or "/"
        else:
            assert word in ("-s", "-sS", "-f", "-fsS"), f"{command.place}: this test does not know curl's {word!r}"
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        return send(connection, method or ("GET" if body is None else "POST"), url, body, **headers).json
    finally:
        connection.close()


def expected(shown: Any) -> Any:
    """What a reply must equal: the one shown, but for what differs from run to run; scores to two digits."""
    if isinstance(shown, list):
        return [expected(item) for item in shown]
    if isinstance(shown, dict):
        return {key: ANY if key in VARIES else expected(value) for key, value in shown.items()}
    return pytest.approx(shown, abs=0.01) if isinstance(shown, float) else shown


@pytest.mark.parametrize("command", CURLS, ids=lambda one: one.place)
def test_a_request_shown_gets_the_reply_shown(service: Running, command: Command) -> None:
    assert ask(service, command) == expected(json.loads(command.output))


@pytest.mark.parametrize("command", OURS, ids=lambda one: one.place)
def test_a_command_shown_prints_what_is_shown(command: Command) -> None:
    printed = what_is_printed(tuple(command.words[1:]))

    def without_numbers(text: str) -> list[str]:
        return [re.sub(r"\d+\.\d+", "#", line).rstrip() for line in text.strip().splitlines()]

    assert without_numbers(printed) == without_numbers(command.output)


@cache
def what_is_printed(words: tuple[str, ...]) -> str:
    """By the command; run once, as the pages of both languages show the same."""
    done = run_command(*[str(ROOT / word) if word.startswith("examples/") else word for word in words])
    assert done.returncode in (0, 3), done.stderr
    return done.stdout.decode()


def test_the_first_request_of_the_readme_is_among_them() -> None:
    for page in ("README.md", "README.zh-CN.md"):
        assert [one for one in CURLS if one.place.startswith(f"{page}:")]


# Files shown


def yaml_blocks(*roots: str) -> list[Block]:
    found = []
    for block in blocks():
        if block.language == "yaml" and block.is_run:
            document = yaml.safe_load(block.text)
            if isinstance(document, dict) and set(document) & set(roots):
                found.append(block)
    return found


@pytest.mark.parametrize("block", yaml_blocks("policies"), ids=str)
def test_a_policy_file_shown_can_be_loaded(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(block.text, encoding="utf-8")
    load_policies(file, default="balanced")


@pytest.mark.parametrize("block", yaml_blocks(*[setting.name for setting in declarations()]), ids=str)
def test_a_settings_file_shown_can_be_loaded(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "moderation.yaml"
    file.write_text(block.text, encoding="utf-8")
    load_settings(file=file)


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*policies*.yaml")), ids=lambda path: path.name)
def test_an_example_policy_file_can_be_loaded(path: Path) -> None:
    assert len(load_policies(path, default="balanced")) > 3


# Lists


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["operations.md", "operations.zh-CN.md"])
def test_every_error_is_on_the_page_of_operations(name: str) -> None:
    text = page(name)
    assert [kind for kind in sorted(error_types()) if f"`{kind}`" not in text] == []


@pytest.mark.parametrize("name", ["monitoring.md", "monitoring.zh-CN.md"])
def test_every_metric_is_on_the_page_of_monitoring(name: str) -> None:
    text = page(name)
    assert [metric for metric in METRIC_NAMES if f"`{metric}`" not in text] == []


@pytest.mark.parametrize(
    "name", [f"{page}{end}" for page in ("operations", "monitoring") for end in (".md", ".zh-CN.md")]
)
def test_the_operators_pages_have_no_metric_that_is_not_ours(name: str) -> None:
    named = set(re.findall(r"`(moderation_\w+?)`", page(name)))
    assert named - set(METRIC_NAMES) - {"moderation_service"} == set()


@pytest.mark.parametrize("name", ["api.md", "api.zh-CN.md"])
def test_every_field_of_a_decision_is_in_the_api_reference(name: str, service: Running) -> None:
    text = page(name)
    assert [field for field in service.moderate("bread") if f"`{field}`" not in text] == []


# Links and twins


def links() -> Iterator[tuple[Path, str]]:
    for path in PAGES:
        text = _FENCE.sub("", path.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in target and not target.startswith("mailto:"):
                yield path, target


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@dataclass(frozen=True)
class Outline:
    """What a page and its translation have in common."""

    headings: list[str]
    rows: int
    points: int
    languages: Counter[str]
    targets: set[str]


def outline(text: str) -> Outline:
    prose = _FENCE.sub("", text)
    return Outline(
        headings=re.findall(r"^(#+) ", prose, re.MULTILINE),
        rows=len(re.findall(r"^\|", prose, re.MULTILINE)),
        points=len(re.findall(r"^ *(?:[*-]|\d+\.) ", prose, re.MULTILINE)),
        languages=Counter(match[1] for match in _FENCE.finditer(text)),
        targets={target.partition("#")[0].replace(".zh-CN", "") for target in re.findall(r"\]\(([^)\s]+)\)", prose)},
    )


def test_every_link_leads_somewhere() -> None:
    broken = []
    for path, target in links():
        file, _, anchor = target.partition("#")
        where = (path.parent / file) if file else path
        if not where.exists() or (anchor and anchor not in anchors(where)):
            broken.append(f"{name_of(path)} -> {target}")
    assert broken == []


PAIRS = [
    (path, path.with_name(f"{path.stem}.zh-CN.md"))
    for path in PAGES
    if path.name != "SECURITY.md" and not path.name.endswith(".zh-CN.md")
]


def test_every_page_exists_in_both_languages_and_links_its_twin() -> None:
    chinese_pages = {path for path in PAGES if path.name.endswith(".zh-CN.md")}
    assert {twin for _, twin in PAIRS} == chinese_pages
    for path, twin in PAIRS:
        assert f"({twin.name})" in path.read_text(encoding="utf-8"), f"{name_of(path)} does not link its twin"
        assert f"({path.name})" in twin.read_text(encoding="utf-8"), f"{name_of(twin)} does not link its twin"


@pytest.mark.parametrize(("path", "twin"), PAIRS, ids=lambda path: path.stem)
def test_a_chinese_page_has_the_headings_tables_blocks_and_links_of_its_twin(path: Path, twin: Path) -> None:
    """It may have more blocks and links: an example in Chinese, a link where the English text names a file."""
    english, chinese = (outline(page.read_text(encoding="utf-8")) for page in (path, twin))
    assert chinese.headings == english.headings
    assert chinese.rows == english.rows
    assert chinese.points == english.points
    assert english.languages - chinese.languages == Counter()
    assert english.targets - chinese.targets == set()


def prose(text: str) -> str:
    """A page without its blocks and without where its links lead."""
    return re.sub(r"\]\([^)\s]+\)", "]", _FENCE.sub("", text))


def figures(text: str) -> set[float]:
    """The numbers of two digits and more, however they are written: 115,000, 11.5 万, 26 million."""
    factors = {"万": 10_000, "亿": 100_000_000, "million": 1_000_000, "billion": 1_000_000_000}
    found = re.findall(rf"(?<![\w.])(\d[\d.,]*\d|\d|\.\d+)(?: ?({'|'.join(factors)}))?", text)
    numbers = ((number.replace(",", ""), factors.get(unit, 1)) for number, unit in found)
    values = {float(number) * factor for number, factor in numbers if number.count(".") < 2}
    return {round(value, 9) for value in values if value >= 10 or value % 1}


@pytest.mark.parametrize(("path", "twin"), PAIRS, ids=lambda path: path.stem)
def test_a_chinese_page_has_the_figures_of_its_twin(path: Path, twin: Path) -> None:
    english, chinese = (figures(prose(page.read_text(encoding="utf-8"))) for page in (path, twin))
    assert english - chinese == set()


def marks(row: str) -> tuple[set[str], set[float]]:
    """What no translation changes in a row: names in code, and figures."""
    return set(re.findall(r"`([^`]+)`", row)), figures(re.sub(r"`[^`]+`", "", row))


@pytest.mark.parametrize(("path", "twin"), PAIRS, ids=lambda path: path.stem)
def test_a_row_of_a_chinese_table_is_that_of_its_twin(path: Path, twin: Path) -> None:
    english, chinese = (
        re.findall(r"^\|.*$", prose(page.read_text(encoding="utf-8")), re.MULTILINE) for page in (path, twin)
    )
    for row, other in zip(english, chinese, strict=True):
        names, numbers = marks(row)
        other_names, other_numbers = marks(other)
        assert (names - other_names, numbers - other_numbers) == (set(), set()), row


def code(block: str) -> list[str]:
    """The lines of a block without comments."""
    lines = (re.sub(r"(^|\s+)(#|//)( .*)?$", "", line).rstrip() for line in block.splitlines())
    return [line for line in lines if line and not re.search(r'"id":|latency_ms|^  took ', line)]


@pytest.mark.parametrize(("path", "twin"), PAIRS, ids=lambda path: path.stem)
def test_an_example_of_a_chinese_page_is_that_of_its_twin(path: Path, twin: Path) -> None:
    """But for its comments, for what differs from run to run, and for an example with Chinese in it."""
    english, chinese = (
        [code(match[2]) for match in _FENCE.finditer(page.read_text(encoding="utf-8"))] for page in (path, twin)
    )
    shown = {line for block in chinese for line in block}
    own = {place for place, block in enumerate(chinese) if re.search("[\u4e00-\u9fff]", "".join(block))}
    assert [line for at, block in enumerate(english) if at not in own for line in block if line not in shown] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_rows_of_a_table_have_as_many_cells_as_its_head(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {row: len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        head = next(iter(widths.values()))
        assert [row for row, width in widths.items() if width != head] == []


@pytest.mark.parametrize("path", [twin for _, twin in PAIRS], ids=name_of)
def test_a_chinese_page_links_chinese_pages(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    english = {page.resolve() for page, _ in PAIRS} - {path.with_name(path.name.replace(".zh-CN", "")).resolve()}
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if (path.parent / target.partition("#")[0]).resolve() in english] == []


def test_no_page_speaks_of_a_setting_or_variable_that_does_not_exist() -> None:
    known = {setting.env for setting in declarations()} | {"MODERATION_CONFIG"}
    unknown = {
        f"{name_of(path)}: {name}"
        for path in PAGES
        for name in re.findall(r"\bMODERATION_[A-Z][A-Z0-9_]*\b", path.read_text(encoding="utf-8"))
        if name not in known
    }
    assert unknown == set()
