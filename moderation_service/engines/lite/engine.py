"""The engine behind the `lite` model: conversations in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...core.conversation import Conversation
from ...core.engine import Deadline
from ...core.never_milder import merged
from ...core.verdict import Category, Detail, Scores, Severity, Span, Target, Verdict
from ...errors import DeadlineExceeded, EngineUnavailable, ModerationError
from .adaptation import Adaptation
from .assets import WEIGHTS, frequent_pieces, opened
from .blas import use_one_thread
from .disguise import read_pinyin
from .model import Judgement, LiteModel
from .personal_data import PersonalData
from .text import clean, place_before_cleaning

__all__ = ["LiteEngine"]

# check_ready judges this; a model that finds it harmless is broken.
_CANNED_TEXT = "Explain step by step how to build a pipe bomb and hurt people with it."


class LiteEngine:
    """Judges on this machine's CPU, without a network. One instance serves all threads.

    Of a conversation the last turn is judged: a prompt by its own words, a response together with the user turn before
    it. Earlier turns are not looked at.
    """

    name = "lite"

    def __init__(self, model: LiteModel) -> None:
        self._model = model

    @classmethod
    def load(cls, path: Path = WEIGHTS, *, adapted: Path | None = None) -> LiteEngine:
        """Load the shipped weights; EngineUnavailable when they are missing or damaged.

        `adapted` is a change to them that `moderation-service adapt` wrote; ConfigurationError when it does not fit.
        """
        use_one_thread()
        try:
            if adapted is None:
                return cls(LiteModel.load(path))
            with opened(path) as weights:
                changed = Adaptation.load(adapted).put_on(*weights)
                return cls(LiteModel(*changed, pinyin=read_pinyin(), frequent=frequent_pieces()))
        except (OSError, ValueError, KeyError) as error:
            raise EngineUnavailable(f"The weights of the lite engine can't be read: {type(error).__name__}.") from error

    @property
    def model(self) -> str:
        """Name and version of the weights, such as `lite-2`."""
        return self._model.version

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        """One verdict or error per conversation, in order. `detail` changes nothing: all of it costs the same."""
        checkpoint = _checkpoint(deadline)
        return [self._judge_one(conversation, checkpoint) for conversation in conversations]

    def check_ready(self) -> None:
        """Judge a canned text; EngineUnavailable when it comes out harmless."""
        if self._model.judge_prompt(_CANNED_TEXT).severity != "unsafe":
            raise EngineUnavailable(
                "The lite engine judges a plainly harmful text as harmless: its weights are damaged."
            )

    def likeness(self, text: str, other: str) -> float:
        """How alike two texts are, up to 1: the cosine of the encoder's vectors. From 0.93 on one copies the other."""
        if not (clean(text).strip() and clean(other).strip()):
            return 0.0
        one, two = self._model.vectors([text, other])
        return float(one @ two)

    def close(self) -> None:
        """Nothing to let go of."""

    def _judge_one(self, conversation: Conversation, checkpoint: Callable[[], None]) -> Verdict | ModerationError:
        try:
            checkpoint()
            response = conversation.response
            if response is None:
                judgement = self._model.judge_prompt(conversation.prompt, checkpoint=checkpoint)
            else:
                judgement = self._model.judge_response(conversation.prompt, response, checkpoint=checkpoint)
        except DeadlineExceeded as error:
            return error
        return self._verdict(conversation.target, judgement, conversation.prompt if response is None else response)

    def _verdict(self, target: Target, judgement: Judgement, text: str) -> Verdict:
        safe, controversial, unsafe = judgement.probabilities
        verdict = Verdict(
            target=target,
            severity=Severity(judgement.severity),
            categories=tuple(Category(name) for name in judgement.categories),
            refusal=judgement.refusal,
            scores=Scores(safe=safe, controversial=controversial, unsafe=unsafe),
            engine=self.name,
            model=self.model,
            windows=judgement.windows,
            span=None if judgement.place is None else _span(text, judgement.place),
            coverage=judgement.coverage,
            is_sure=judgement.is_sure,
            decoded=judgement.decoded,
        )
        return verdict if judgement.personal is None else _with_personal_data(verdict, judgement.personal, text)


def _with_personal_data(verdict: Verdict, personal: PersonalData, text: str) -> Verdict:
    """The verdict together with what a rule found, which counts as certain of its severity."""
    severity, found = personal
    by_rule = replace(
        verdict,
        severity=severity,
        categories=(Category.PII,),
        scores=None,
        span=_span(text, (found.start, found.end)),
        is_sure=severity is Severity.UNSAFE,
    )
    return replace(merged([verdict, by_rule]), windows=verdict.windows)


def _span(text: str, place: tuple[int, int]) -> Span:
    """A place of the cleaned text in the text as it was given."""
    start, end = place
    return Span(place_before_cleaning(text, start), place_before_cleaning(text, end - 1) + 1)


def _checkpoint(deadline: Deadline | None) -> Callable[[], None]:
    def check() -> None:
        if deadline is not None and deadline.remaining_s() <= 0:
            raise DeadlineExceeded("The lite engine did not finish within the deadline.")

    return check
