"""`python -m training probes`: what the embedded engine makes of the probes, as tables in Markdown.

Everything is judged as it is served, through the engine. *Flagged* is the strict reading: controversial or unsafe.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Severity, Verdict
from moderation_service.engines.lite.assets import WEIGHTS
from moderation_service.engines.lite.engine import LiteEngine

from ..data import eval_rows
from .disguise import CHINESE, ENGLISH
from .long_texts import carrier, long_texts, planted
from .rows import Probe, answer_probes, prompt_probes
from .statistics import area_text, rate_text

__all__ = ["SECTIONS", "main"]

_SIZES = (600, 2_000, 8_000, 20_000)
_SST_ROWS = 60
# Whatever somebody might put beside a request, for no reason or to hide it.
_EVERYDAY = {
    "en": (
        "What should I pack for a weekend by the lake?",
        "My neighbour's tomatoes ripen earlier than mine.",
        "Could you explain how tides work?",
        "Please shorten this sentence for me.",
    ),
    "zh": (
        "周末去湖边玩该带些什么？",
        "邻居家的西红柿总比我家的先熟。",
        "能解释一下潮汐是怎么来的吗？",
        "请帮我把这句话改短一点。",
    ),
}

Lines = Iterator[str]


class Judged(NamedTuple):
    """What the engine found: `score` rises with harm and has no meaning but its order."""

    flagged: bool
    unsafe: bool
    refusal: bool | None
    is_sure: bool
    score: float
    coverage: str | None


class Judge:
    """The engine, asked for one text at a time."""

    def __init__(self, engine: LiteEngine) -> None:
        self._engine = engine

    def prompt(self, text: str) -> Judged:
        return self._judged(Conversation.of(prompt=text))

    def answer(self, prompt: str, response: str) -> Judged:
        return self._judged(Conversation.of(prompt=prompt or None, response=response))

    def probes(self, probes: Iterable[Probe]) -> list[Judged]:
        return [
            self.prompt(probe.text) if probe.prompt is None else self.answer(probe.prompt, probe.text)
            for probe in probes
        ]

    def _judged(self, conversation: Conversation) -> Judged:
        (verdict,) = self._engine.judge([conversation])
        assert isinstance(verdict, Verdict), verdict
        scores = verdict.scores
        assert scores is not None
        coverage = getattr(verdict, "coverage", None)
        return Judged(
            flagged=verdict.severity is not Severity.SAFE,
            unsafe=verdict.severity is Severity.UNSAFE,
            refusal=verdict.refusal,
            is_sure=verdict.is_sure,
            score=math.log(scores.unsafe + 1e-300) - math.log(scores.safe + 1e-300),
            coverage=coverage.value if coverage is not None else None,
        )


def requests(judge: Judge, data: Path | None) -> Lines:
    """Plain requests, and harmless ones of the same wording."""
    yield from _by_language(judge, prompt_probes("requests"))


def statements(judge: Judge, data: Path | None) -> Lines:
    """Threats, veiled self-harm, calls against groups; protective questions, news, licences, instructions."""
    yield from _by_language(judge, prompt_probes("statements"))
    for language, probes in _groups(prompt_probes("statements"), lambda probe: probe.language):
        missed = [probe for probe, one in zip(probes, judge.probes(probes), strict=True) if one.flagged != probe.unsafe]
        yield f"\nWrong in {language}, by topic: " + ", ".join(
            f"{topic} {len(ones)}" for topic, ones in _groups(missed, lambda probe: probe.topic)
        )


def answers(judge: Judge, data: Path | None) -> Lines:
    """Harmful and harmless answers, and whether refusals are known."""
    probes = answer_probes()
    yield from _by_language(judge, probes)
    yield "\n| | refusals found | other harmless answers taken for one | refusals followed by steps taken for one |"
    yield "|---|---|---|---|"
    for language, ones in _groups(probes, lambda probe: probe.language):
        found = judge.probes(ones)
        pairs = [(probe, one.refusal is True) for probe, one in zip(ones, found, strict=True)]
        cells = (
            [refused for probe, refused in pairs if probe.refusal],
            [refused for probe, refused in pairs if not probe.refusal and not probe.unsafe],
            [refused for probe, refused in pairs if probe.topic == "refusal_then_steps"],
        )
        yield f"| {language} | " + " | ".join(map(rate_text, cells)) + " |"


def languages(judge: Judge, data: Path | None) -> Lines:
    """The same requests in other languages."""
    yield from _by_language(judge, prompt_probes("languages"), with_coverage=True)


def personal_data(judge: Judge, data: Path | None) -> Lines:
    """Personal data, and numbers that look like it."""
    yield from _by_language(judge, prompt_probes("personal_data"))


def middle(judge: Judge, data: Path | None) -> Lines:
    """A request in the middle of harmless text of so many characters; in brackets, how many are flagged without it."""
    yield "| request | rows | " + " | ".join(f"{size:,}" for size in _SIZES) + " |"
    yield "|---|---|" + "---|" * len(_SIZES)
    chosen = {
        f"own, {language}": [probe for probe in probes if probe.unsafe]
        for language, probes in _groups(prompt_probes("requests"), lambda probe: probe.language)
    }
    if data is not None:
        rows = eval_rows(data)["sst"][:_SST_ROWS]
        chosen["SimpleSafetyTests"] = [Probe("en", True, "sst", row["prompt"], 0) for row in rows]
    for name, probes in chosen.items():
        text = carrier(probes[0].language)
        cells = []
        for size in _SIZES:
            pairs = list(planted(probes, text, size))
            found = [judge.prompt(planted_in).flagged for planted_in, _ in pairs]
            without = [judge.prompt(harmless).flagged for _, harmless in pairs]
            cells.append(f"{rate_text(found)} ({rate_text(without)})")
        yield f"| {name} | {len(probes)} | " + " | ".join(cells) + " |"


def beside(judge: Judge, data: Path | None) -> Lines:
    """Plain requests and harmless ones of the same wording: how many are flagged alone, after and before a sentence."""
    yield "| language | rows | alone | harmless | after one | harmless | before one | harmless |"
    yield "|---|---|---|---|---|---|---|---|"
    for language, probes in _groups(prompt_probes("requests"), lambda probe: probe.language):
        gap, everyday = " " if language == "en" else "", _EVERYDAY[language]
        many = [probe for probe in probes for _ in everyday]
        others = everyday * len(probes)
        cells = (
            _cells(probes, [one.flagged for one in judge.probes(probes)]),
            _cells(many, [judge.prompt(o + gap + p.text).flagged for p, o in zip(many, others, strict=True)]),
            _cells(many, [judge.prompt(p.text + gap + o).flagged for p, o in zip(many, others, strict=True)]),
        )
        yield f"| {language} | {len(many)} | " + " | ".join(cells) + " |"


def long(judge: Judge, data: Path | None) -> Lines:
    """Real long harmless texts."""
    yield "| texts | language | number | flagged | as an answer |"
    yield "|---|---|---|---|---|"
    for (language, kind), texts in sorted(long_texts().items()):
        flagged = rate_text([judge.prompt(text).flagged for text in texts])
        answered = rate_text([judge.answer("", text).flagged for text in texts])
        yield f"| {kind} | {language} | {len(texts)} | {flagged} | {answered} |"


def blocks(judge: Judge, data: Path | None) -> Lines:
    """What a policy that blocks unsafe texts blocks with `lite_blocks: always` and with `sure`."""
    yield "| texts | language | harmful: always | sure | harmless: always | sure |"
    yield "|---|---|---|---|---|---|"
    chosen = {
        "requests": prompt_probes("requests"),
        "statements": prompt_probes("statements"),
        "answers": answer_probes(),
    }
    for name, rows in ({} if data is None else eval_rows(data)).items():
        if name != "xstest_refusal":
            chosen[name] = [Probe("en", row["label"] == "unsafe", name, row["prompt"], 0) for row in rows]
    for name, probes in chosen.items():
        for language, ones in _groups(probes, lambda probe: probe.language):
            found = judge.probes(ones)
            always = _cells(ones, [one.unsafe for one in found]).split(" | ")
            sure = _cells(ones, [one.unsafe and one.is_sure for one in found]).split(" | ")
            yield f"| {name} | {language} | {always[0]} | {sure[0]} | {always[1]} | {sure[1]} |"


def disguises(judge: Judge, data: Path | None) -> Lines:
    """The plain requests in disguise, and the harmless ones in the same."""
    yield "| disguise | language | recall | flagged harmless |"
    yield "|---|---|---|---|"
    for language, probes in _groups(prompt_probes("requests"), lambda probe: probe.language):
        for name, disguise in (ENGLISH if language == "en" else CHINESE).items():
            found = [judge.prompt(disguise(probe.text)).flagged for probe in probes]
            yield f"| {name} | {language} | {_cells(probes, found)} |"


SECTIONS: dict[str, Callable[[Judge, Path | None], Lines]] = {
    section.__name__: section
    for section in (requests, beside, middle, long, answers, disguises, languages, statements, personal_data, blocks)
}


def _by_language(judge: Judge, probes: Sequence[Probe], *, with_coverage: bool = False) -> Lines:
    more = " not `full` |" if with_coverage else ""
    yield f"| language | rows | recall | false positives | recall, unsafe only | AUC |{more}"
    yield "|---|---|---|---|---|---|" + ("---|" if with_coverage else "")
    for language, ones in _groups(probes, lambda probe: probe.language):
        found = judge.probes(ones)
        unsafe = [one for probe, one in zip(ones, found, strict=True) if probe.unsafe]
        safe = [one for probe, one in zip(ones, found, strict=True) if not probe.unsafe]
        area = area_text([one.score for one in unsafe], [one.score for one in safe])
        loose = rate_text([one.unsafe for one in unsafe])
        row = f"| {language} | {len(unsafe)} + {len(safe)} | {_cells(ones, [one.flagged for one in found])} | {loose} |"
        covered = rate_text([one.coverage not in (None, "full") for one in found])
        yield f"{row} {area} |" + (f" {covered} |" if with_coverage else "")


def _cells(probes: Sequence[Probe], flagged: Sequence[bool]) -> str:
    pairs = list(zip(probes, flagged, strict=True))
    rates = (rate_text([found for probe, found in pairs if probe.unsafe is unsafe]) for unsafe in (True, False))
    return " | ".join(rates)


def _groups(probes: Iterable[Probe], key: Callable[[Probe], str]) -> list[tuple[str, list[Probe]]]:
    found: dict[str, list[Probe]] = {}
    for probe in probes:
        found.setdefault(key(probe), []).append(probe)
    return list(found.items())


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m training probes")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="weights to measure; default: the shipped ones")
    parser.add_argument("--data", type=Path, help="folder with eval/: plants rows of SimpleSafetyTests too")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS), help="sections; default: all")
    options = parser.parse_args()
    judge = Judge(LiteEngine.load(options.weights))
    for name in options.only:
        section = SECTIONS[name]
        print(f"\n### {name.replace('_', ' ')}\n\n{section.__doc__}\n")
        for line in section(judge, options.data):
            print(line, flush=True)
