"""The command `adapt`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import CONTEXT

if TYPE_CHECKING:
    from ..engines.lite.adapting import Example, Figures

__all__ = ["adapt_command"]

_FEWEST = 20
_HELD_OUT = 4
"""One in so many of the labelled texts is kept for the figures."""
_FEWEST_HELD_OUT = 3
"""Of the harmful ones, and of the harmless ones: without any there would be no figure."""
_EXIT_WORSE = 4


@click.command("adapt", context_settings=CONTEXT)
@click.option(
    "--labels",
    "files",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    required=True,
    help="Labelled texts, such as reviews export writes. May be repeated.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default="lite-adapted.npz",
    show_default=True,
    help="File to write; the setting lite_adapted loads it.",
)
@click.option(
    "--bound",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="How much recall may fall, and false alarms may rise, on the texts that are shipped for this check.",
)
def adapt_command(files: tuple[Path, ...], output: Path, bound: float) -> None:
    """Change the embedded engine by labelled texts, in seconds.

    The last layers of its nets move towards the labels, and as little as possible elsewhere. Before and after are told
    on a quarter of the texts, which are not used otherwise. Nothing is written where the model is not better on these,
    or worse than --bound allows on texts that are shipped with the engine.

    Exit code: 0 done, 1 the labels can't be used, 2 wrong usage, 4 not better, or too much worse elsewhere.
    """
    from ..engines.lite.adapting import adapted, figures
    from ..engines.lite.assets import CHECK, frequent_pieces, read
    from ..engines.lite.blas import use_one_thread
    from ..engines.lite.disguise import read_pinyin
    from ..engines.lite.model import LiteModel

    use_one_thread()
    fitted, held_out = _split(_examples(files))
    anchors, checks = _halves(_examples([CHECK]))
    arrays, meta = read()
    pinyin, frequent = read_pinyin(), frequent_pieces()
    before = LiteModel(arrays, meta, pinyin=pinyin, frequent=frequent)
    change = adapted(arrays, meta, fitted, anchors=anchors)
    after = LiteModel(*change.put_on(arrays, meta), pinyin=pinyin, frequent=frequent)
    click.echo(f"{len(fitted)} texts were fitted, {len(held_out)} are held out")
    own = figures(before, held_out), figures(after, held_out)
    shipped = figures(before, checks), figures(after, checks)
    for name, pair in (("held out", own), ("shipped", shipped)):
        click.echo("\n".join(_lines(name, *pair)))
    reason = _why_not(own, shipped, bound=bound)
    if reason is not None:
        click.echo(f"Nothing is written: {reason}.", err=True)
        raise SystemExit(_EXIT_WORSE)
    change.save(output)
    click.echo(
        f"Written to {output}. `lite_adapted: {output.absolute()}` puts it to use, without the line it is undone."
    )


def _examples(files: Sequence[Path]) -> list[Example]:
    """The labelled texts, each once; of equal ones the last counts."""
    from ..data.evaluation.reading import open_labelled
    from ..engines.lite.adapting import Example

    found = {}
    for text in open_labelled([str(file) for file in files]):
        chat, severity = text.conversation, text.gold.severity
        if severity is not None:
            found[chat.prompt, chat.response] = Example(chat.prompt, chat.response, severity)
    return list(found.values())


def _split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """What is fitted, and what is held out, of both kinds. Raises DataError.

    By the text, so that a text does not change sides; while there are so few that chance would hold out hardly any of a
    kind, more of that are.
    """
    from ..core.verdict import Severity
    from ..errors import DataError

    harmful = [one for one in examples if one.severity is not Severity.SAFE]
    harmless = [one for one in examples if one.severity is Severity.SAFE]
    if min(len(harmful), len(harmless)) < _FEWEST // 2:
        raise DataError(
            f"adapt needs {_FEWEST // 2} harmful and {_FEWEST // 2} harmless texts at least; "
            f"there are {len(harmful)} and {len(harmless)}."
        )
    chosen: set[bytes] = set()
    for kind in (harmful, harmless):
        digests = sorted(map(_digest, kind), key=lambda one: (one[0] % _HELD_OUT, one))
        by_chance = sum(not one[0] % _HELD_OUT for one in digests)
        chosen.update(digests[: max(by_chance, _FEWEST_HELD_OUT)])
    fitted = [one for one in examples if _digest(one) not in chosen]
    return fitted, [one for one in examples if _digest(one) in chosen]


def _halves(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """What the scores of are to stay, and what is checked with."""
    return [one for one in examples if _digest(one)[0] % 2], [one for one in examples if not _digest(one)[0] % 2]


def _digest(example: Example) -> bytes:
    text = f"{example.prompt}\n{example.response}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()


def _lines(name: str, before: Figures, after: Figures) -> Iterator[str]:
    yield f"{name}: {before.harmful} harmful and {before.harmless} harmless texts"
    yield f"  found         {before.recall:7.1%} -> {after.recall:7.1%}"
    yield f"  false alarms  {before.false_alarms:7.1%} -> {after.false_alarms:7.1%}"


def _why_not(own: tuple[Figures, Figures], shipped: tuple[Figures, Figures], *, bound: float) -> str | None:
    """Why a change is not to be used, if so."""
    if own[1].balanced <= own[0].balanced:
        return "it is no better on the texts that were held out"
    if shipped[1].recall < shipped[0].recall - bound:
        return "it finds less of the texts that are shipped"
    if shipped[1].false_alarms > shipped[0].false_alarms + bound:
        return "it makes more false alarms on the texts that are shipped"
    return None
