"""Real long harmless texts: own ones in `long/`, and what installed packages, this project and Debian bring along.

Which of them there are depends on the machine, so every figure says how many there were. No text of the training
generator is among them. Lines of this project's pages and of packages' licences are trained on; they are counted apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

from .rows import FOLDER, Probe

__all__ = ["carrier", "long_texts", "planted"]

REPOSITORY = FOLDER.parents[1]
# Packages that the service itself needs: on every machine that can run this.
_SOURCES = ("click", "flask", "jinja2", "werkzeug", "gunicorn", "yaml", "prometheus_client", "requests")
_COPYRIGHTS = Path("/usr/share/doc")
_CHINESE_MANUALS = (
    Path("/usr/share/gnupg/help.zh_CN.txt"),
    *(Path(f"/usr/share/vim/vim{version}/tutor/tutor.zh_cn.utf-8") for version in (82, 90, 91)),
)
_SHORTEST, _LONGEST = 1_000, 9_000
_OF_A_KIND = 40
# What pages of this project give as examples of what is flagged: a carrier of requests must be harmless without them.
_EXAMPLE = re.compile("(?i)bomb|炸弹")
_BORDER = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


def long_texts() -> dict[tuple[str, str], list[str]]:
    """Texts of 1,000 to 9,000 characters by language and kind, at most forty of a kind."""
    found = {
        ("en", "own minutes, mails, manuals, logs, JSON"): _read(sorted((FOLDER / "long").glob("en-*"))),
        ("zh", "own minutes, mails, manuals, notices"): _read(sorted((FOLDER / "long").glob("zh-*"))),
        ("en", "sources of packages"): _read(sorted(_source_files())),
        ("en", "descriptions of packages"): _descriptions(),
        ("en", "Debian's copyright files"): _read(sorted(_COPYRIGHTS.glob("*/copyright"))),
        ("en", "pages of this project"): _read(sorted(set(_pages("*.md")) - set(_pages("*.zh-CN.md")))),
        ("zh", "pages of this project"): _read(sorted(_pages("*.zh-CN.md"))),
        ("zh", "manuals"): _pieces(_read(_CHINESE_MANUALS, longest=40_000)),
    }
    return {key: _some(texts) for key, texts in found.items() if texts}


def carrier(language: str) -> str:
    """Harmless text of more than 20,000 characters, to plant requests in: none of it is machine text.

    Lines with an example of what is flagged, as pages of this project have, are left out.
    """
    texts = long_texts()
    kinds = [key for key in texts if key[0] == language and "sources" not in key[1] and "Debian" not in key[1]]
    whole = "\n\n".join(text for key in kinds for text in texts[key])
    joined = "".join(line for line in whole.splitlines(keepends=True) if not _EXAMPLE.search(line))
    return joined if len(joined) > 60_000 else joined * (60_000 // len(joined) + 1)


def planted(probes: Sequence[Probe], text: str, size: int) -> Iterator[tuple[str, str]]:
    """Each request in the middle of a stretch of `size` characters of the text, in turns as a sentence and as a line.

    The stretches differ from request to request. Each comes with its stretch alone, to tell what the request adds.
    """
    half = size // 2
    places = [match.end() for match in _BORDER.finditer(text) if half <= match.end() <= len(text) - half]
    for number, probe in enumerate(probes):
        at = places[(number * 7919) % len(places)]
        around = " " if probe.language == "en" else ""
        between = "\n" if number % 2 else around
        before, after = text[at - half : at], text[at : at + half]
        yield before + between + probe.text + between + after, before + after


def _source_files() -> Iterator[Path]:
    import importlib.util

    for name in _SOURCES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            yield from Path(spec.origin).parent.glob("*.py")


def _pages(pattern: str) -> Iterator[Path]:
    yield from (REPOSITORY / "docs").glob(pattern)


def _descriptions() -> list[str]:
    found = sorted((one.metadata["Name"], str(one.metadata.get_payload() or "")) for one in distributions())
    return [text[:_LONGEST] for _, text in found if len(text) >= _SHORTEST]


def _read(paths: Sequence[Path], *, longest: int = _LONGEST) -> list[str]:
    texts = (path.read_text(encoding="utf-8", errors="replace")[:longest] for path in paths if path.is_file())
    return [text for text in texts if len(text) >= _SHORTEST or len(text.encode()) >= _SHORTEST]


def _pieces(texts: Sequence[str], size: int = 2_000) -> list[str]:
    return [text[start : start + size] for text in texts for start in range(0, len(text) - size, size)]


def _some(texts: Sequence[str]) -> list[str]:
    step = max(1, -(-len(texts) // _OF_A_KIND))
    return list(texts[::step])
