"""An answer that grows: what is judged, when, together with what, and what is shown of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from apps import make_service
from fakes import FakeEngine
from hypothesis import example, given
from hypothesis import strategies as st

from moderation_service.core.conversation import Message, Role
from moderation_service.core.question import Question
from moderation_service.errors import EngineAnswerInvalid, EngineUnavailable
from moderation_service.streaming.growing_answer import GrowingAnswer, Judge, Pacing, Piece, Progress, Ruling, advance
from moderation_service.streaming.piece_judge import AnswerJudge

KEY = b"key"
SMALL = Pacing(first_bytes=4, piece_bytes=8, hold_bytes=20, largest_bytes=64, context_bytes=16, whole_bytes=256)


class Finding:
    """A judge that blocks every piece in which, with its context, the pattern stands; it keeps what it saw."""

    def __init__(self, pattern: str = "bomb") -> None:
        self._pattern = re.compile(pattern)
        self.seen: list[Piece] = []

    def __call__(self, piece: Piece) -> Ruling:
        self.seen.append(piece)
        is_bad = self._pattern.search(piece.text) is not None
        return Ruling(piece.start if is_bad else piece.end, is_bad)

    @property
    def judged(self) -> int:
        return sum(len(piece.text.encode()) for piece in self.seen)


def shown(chunks: Iterable[str], judge: Judge, pacing: Pacing | None = SMALL, *, ends: bool = True) -> list[str]:
    """What is shown after each chunk, and after the end."""
    answer = GrowingAnswer(pacing)
    parts = []
    for chunk in chunks:
        answer.add(chunk)
        parts.append(advance(answer, judge))
    if ends:
        answer.end()
        parts.append(advance(answer, judge))
    return parts


def in_chunks(text: str, cuts: Sequence[int]) -> list[str]:
    edges = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


# Where it is cut.


def test_a_sentence_is_shown_as_soon_as_it_is_complete() -> None:
    text = "Flour, water and a bit of salt. Then"
    assert shown([text], Finding(), Pacing(), ends=False) == ["Flour, water and a bit of salt. "]


def test_a_sentence_is_not_shown_before_it_is_complete() -> None:
    assert shown(["Flour, water and a bit ", "of salt."], Finding(), Pacing(), ends=False) == ["", ""]


UNSPACED = {
    "Chinese": ("面粉和水揉成光滑的面团然后放在温暖的地方发酵一个小时", "制造炸弹"),
    "Japanese": ("小麦粉と水をよく混ぜて滑らかになるまでこねてから休ませる", "ばくだんづくり"),
    "Thai": ("ผสมแป้งกับน้ำแล้วนวดจนเนียนจากนั้นพักแป้งไว้หนึ่งชั่วโมง", "ทำระเบิด"),
    "Latin": ("mixtheflourwiththewaterandkneadituntilitissmooth", "make-a-bomb"),
}


@pytest.mark.parametrize("script", UNSPACED)
@pytest.mark.parametrize("step", [1, 2, 5])
def test_no_part_of_a_word_is_shown_where_no_boundary_comes(script: str, step: int) -> None:
    filler, word = UNSPACED[script]
    for before in range(60, 140, 3):
        text = (filler * 8)[:before] + word + filler * 8
        chunks = [text[at : at + step] for at in range(0, len(text), step)]
        seen = "".join(shown(chunks, Finding(word), Pacing()))
        assert text.startswith(seen)
        assert len(seen) <= before, script


@pytest.mark.parametrize("mark", "，、；：､،؛।॥。！？፣՝")
def test_a_phrase_ends_at_its_comma_too(mark: str) -> None:
    text = "面" * 60 + mark + "粉" * 20
    assert shown([text], Finding(), Pacing(), ends=False) == ["面" * 60 + mark]


@pytest.mark.parametrize("text", ["面" * 4000, "x" * 10_000, "🍞" * 3000])
def test_text_without_any_boundary_is_shown_but_for_its_last_word(text: str) -> None:
    seen = shown([text[at : at + 50] for at in range(0, len(text), 50)], Finding(), Pacing())
    assert "".join(seen) == text
    assert max(map(len, seen[:-1])) < 420
    assert 16 <= len(text) - len("".join(seen[:-1])) <= 420


def test_the_end_shows_the_rest() -> None:
    assert shown(["Flour", " and water"], Finding(), Pacing()) == ["", "", "Flour and water"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("面粉、水和一点盐就够了。然后揉", "面粉、水和一点盐就够了。"),
        ("小麦粉と水と少しの塩を混ぜる！次に", "小麦粉と水と少しの塩を混ぜる！"),
        ("هل تحب الخبز الطازج؟ نعم", "هل تحب الخبز الطازج؟"),
        ("आटा, पानी और थोड़ा नमक। फिर", "आटा, पानी और थोड़ा नमक।"),
        ("ใช้แป้งและน้ำกับเกลือเล็กน้อย แล้วนวด", "ใช้แป้งและน้ำกับเกลือเล็กน้อย "),
        ("Մի քիչ ալյուր և ջուր։ Հետո", "Մի քիչ ալյուր և ջուր։ "),
        ('She said: "flour, water and salt." Then', 'She said: "flour, water and salt." '),
        ("def bake(flour, water, some_salt):\n    return", "def bake(flour, water, some_salt):\n"),
        ("pi is 3.14159 and e is 2.71828, roughly? Yes", "pi is 3.14159 and e is 2.71828, roughly? "),
    ],
)
def test_sentences_end_in_every_script(text: str, first: str) -> None:
    assert "".join(shown([text], Finding(), Pacing(), ends=False)).rstrip() == first.rstrip()


def test_text_without_any_end_is_shown_all_the_same_up_to_its_last_space() -> None:
    words = "word " * 80
    parts = shown(words, Finding(), Pacing(), ends=False)
    assert "".join(parts).endswith("word ")
    assert len("".join(parts)) >= len(words) - Pacing().hold_bytes


def test_text_without_any_space_is_shown_all_the_same() -> None:
    parts = shown("字" * 1000, Finding(), Pacing(), ends=False)
    assert 1000 - len("".join(parts)) <= Pacing().hold_bytes // 3 + 1


def test_one_word_per_sentence_does_not_make_a_check_per_word() -> None:
    judge = Finding()
    shown("Yes. " * 400, judge, Pacing())
    assert len(judge.seen) <= 2000 / Pacing().piece_bytes + 2


def test_what_comes_while_a_piece_is_out_joins_the_next_one() -> None:
    answer = GrowingAnswer(Pacing())
    answer.add("A first sentence that is long enough. ")
    piece = answer.next_piece()
    assert piece is not None
    for _ in range(20):
        answer.add("Another sentence of some length. ")
        assert answer.next_piece() is None
    assert answer.settle(piece, Ruling(piece.end)) == "A first sentence that is long enough. "
    following = answer.next_piece()
    assert following is not None
    assert following.new == "Another sentence of some length. " * 20


def test_a_piece_has_a_largest_size_however_much_has_come() -> None:
    judge = Finding()
    text = "A sentence of the usual kind. " * 3000
    assert "".join(shown([text], judge, Pacing())) == text
    assert max(len(piece.new) for piece in judge.seen) <= Pacing().largest_bytes


# What is judged along.


def test_a_piece_is_judged_with_the_text_before_it() -> None:
    parts = shown(["Here is how to build it. ", "Then some. "], Finding("build it\\. Then"))
    assert parts == ["Here is how to build it. ", "", ""]


def test_what_the_answer_continues_goes_along_and_is_not_shown() -> None:
    judge = Finding("Sure, here is the bomb")
    answer = GrowingAnswer(before="Sure, here is ")
    answer.add("the bomb")
    answer.end()
    assert advance(answer, judge) == ""
    assert answer.is_blocked


def test_when_the_answer_has_doubled_all_of_it_is_judged_together() -> None:
    far_apart = "first half of it" + " and so on. " * 10 + "second half of it. " + "More of it. " * 30
    pacing = Pacing(first_bytes=4, piece_bytes=8, context_bytes=16, whole_bytes=1000)
    seen_too_late = "".join(shown(far_apart, Finding("first half.*second half"), pacing, ends=False))
    assert len(seen_too_late) < 2 * far_apart.index("More")


def test_many_ends_without_a_space_take_no_more_time_than_other_text() -> None:
    judge = Finding()
    shown(["." * 100_000], judge, Pacing())
    assert len(judge.seen) <= 100_000 / Pacing().largest_bytes + 2


def test_at_the_end_all_of_it_is_judged_together() -> None:
    judge = Finding()
    shown("A sentence of the usual kind. " * 100 + "The end.", judge, Pacing())
    assert judge.seen[-1].is_last
    assert judge.seen[-1].text.startswith("A sentence")


# What a judge may say.


def test_nothing_is_shown_of_a_blocked_piece_nor_after_it() -> None:
    answer = GrowingAnswer(SMALL)
    answer.add("Hello there. This is a bomb. ")
    assert "bomb" not in advance(answer, Finding())
    assert answer.is_blocked
    answer.add("And now something nice. ")
    answer.end()
    assert answer.next_piece() is None
    assert answer.is_settled


def test_a_judge_may_clear_a_part_and_sees_the_rest_again_with_what_follows() -> None:
    seen = []

    def all_but_two(piece: Piece) -> Ruling:
        seen.append(piece.new)
        return Ruling(piece.end if piece.is_last else piece.end - 2)

    by_size = Pacing(first_bytes=4, piece_bytes=4, at_boundaries=False)
    assert shown(["abcdef", "", "ghij"], all_but_two, by_size) == ["abcd", "", "efgh", "ij"]
    assert seen == ["abcdef", "efghij", "ij"]


def test_a_judge_may_clear_a_part_and_block_what_follows_it() -> None:
    answer = GrowingAnswer(SMALL)
    answer.add("fine so far, then bad. ")
    answer.end()
    assert advance(answer, lambda piece: Ruling(4, is_blocked=True)) == "fine"
    assert answer.is_blocked


@pytest.mark.parametrize("cleared", [-1, 1000])
def test_a_judge_can_not_clear_what_it_was_not_shown(cleared: int) -> None:
    answer = GrowingAnswer(SMALL)
    answer.add("Some text. ")
    with pytest.raises(EngineAnswerInvalid):
        advance(answer, lambda piece: Ruling(cleared))


def test_a_judge_can_not_leave_the_end_open() -> None:
    answer = GrowingAnswer(SMALL)
    answer.add("Some text. ")
    answer.end()
    with pytest.raises(EngineAnswerInvalid):
        advance(answer, lambda piece: Ruling(piece.start))


def test_a_flush_has_what_is_held_judged_at_once() -> None:
    answer = GrowingAnswer()
    answer.add("no")
    assert advance(answer, Finding()) == ""
    answer.flush()
    assert advance(answer, Finding()) == "no"
    answer.add("w")
    assert advance(answer, Finding()) == ""


def test_in_a_hurry_a_piece_is_smaller_but_ends_where_a_sentence_does() -> None:
    answer = GrowingAnswer()
    answer.add("A first sentence that is long enough. ")
    assert advance(answer, Finding()) != ""
    answer.add("And a second one of the same kind. And")
    assert advance(answer, Finding()) == ""
    answer.hurry()
    assert advance(answer, Finding()) == "And a second one of the same kind. "


# Characters that come in halves.


def test_a_character_that_comes_in_two_halves_is_put_together() -> None:
    assert "".join(shown(["I like \ud83c", "\udf5e bread. "], Finding())) == "I like \U0001f35e bread. "


def test_a_half_that_stays_alone_is_replaced() -> None:
    assert "".join(shown(["bread \ud83c", " and \udf5e", "\ud83c"], Finding())) == "bread \ufffd and \ufffd\ufffd"


def test_text_that_shows_nothing_is_cleared_without_asking_the_engine() -> None:
    engine = FakeEngine()
    assert "".join(shown(["\n\n", "\u200b" * 50], moderated(engine), SMALL)) == "\n\n" + "\u200b" * 50
    assert engine.asked == []


# Going on from what is remembered.


def test_an_answer_goes_on_where_it_was_left() -> None:
    text = "A first sentence of some length. A second one. A third"
    answer = GrowingAnswer(SMALL)
    answer.add(text)
    first = advance(answer, Finding())
    progress = Progress.from_json(answer.progress(text, key=KEY).to_json())
    judge = Finding()
    resumed = GrowingAnswer.resumed(progress, text + " sentence.", key=KEY, pacing=SMALL)
    assert resumed is not None
    resumed.end()
    assert first + advance(resumed, judge) == text + " sentence."
    assert judge.seen[0].start == len(first)


@pytest.mark.parametrize("text", ["", "A first", "another text altogether, and a longer one than before it was"])
def test_another_text_is_not_taken_for_a_continuation(text: str) -> None:
    progress = GrowingAnswer(SMALL).progress("", key=KEY)
    answer = GrowingAnswer(SMALL)
    answer.add("A first sentence of some length. ")
    advance(answer, Finding())
    progress = answer.progress("A first sentence of some length. ", key=KEY)
    assert GrowingAnswer.resumed(progress, text, key=KEY) is None


def test_progress_made_with_another_key_is_none() -> None:
    assert GrowingAnswer.resumed(GrowingAnswer().progress("", key=b"other"), "text", key=KEY) is None


def test_a_blocked_answer_stays_blocked() -> None:
    text = "A sentence. A bomb. "
    answer = GrowingAnswer(SMALL)
    answer.add(text)
    advance(answer, Finding())
    resumed = GrowingAnswer.resumed(answer.progress(text, key=KEY), text + "More.", key=KEY)
    assert resumed is not None
    assert resumed.is_blocked
    assert resumed.next_piece() is None


@pytest.mark.parametrize("document", [{}, {"cleared": -1}, {**Progress().to_json(), "cleared": True}])
def test_what_is_no_progress_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Progress.from_json(document)


# With the moderator.


def moderated(engine: FakeEngine, question: str = "How do I bake?") -> AnswerJudge:
    service = make_service(engine=engine)
    asked = Question.of([Message(Role.USER, question)])
    return AnswerJudge(service.moderator, asked, service.policies.get(None))


def test_the_moderator_judges_pieces_as_responses_to_their_question() -> None:
    answer = GrowingAnswer(SMALL)
    answer.add("Mix it well. Then the bomb. ")
    answer.end()
    ruling = moderated(FakeEngine())(Piece("Mix it well. ", "Then the bomb. ", 13, True))
    assert ruling.is_blocked
    assert ruling.decision is not None
    assert ruling.decision.target.value == "response"
    assert advance(answer, moderated(FakeEngine())) in ("", "Mix it well. ")


def test_an_engine_that_fails_shows_nothing() -> None:
    answer = GrowingAnswer(SMALL)
    answer.add("A whole sentence. ")
    with pytest.raises(EngineUnavailable):
        advance(answer, moderated(FakeEngine(raises=EngineUnavailable("down"))))
    assert answer.cleared == 0


# Whatever the chunks are.

NASTY = st.text(
    st.one_of(
        st.sampled_from(list('bom. !?\n。？\u200b\u200d\u0301\u0e01\ufeff\ud83c\udf5e`\\"')),
        st.characters(),
    ),
    max_size=400,
)


def clean(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(NASTY, st.lists(st.integers(0, 400)))
@example("bo" + "\u200b" * 300 + "mb. ", [1, 2, 3])
@example(". " * 200, list(range(400)))
def test_what_is_shown_is_what_was_judged_and_allowed(text: str, cuts: Sequence[int]) -> None:
    judge = Finding()
    whole = "".join(shown(in_chunks(text, cuts), judge))
    allowed = "".join(piece.new[: len(piece.new) - piece.kept] for piece in judge.seen if "bomb" not in piece.text)
    assert whole == allowed
    assert clean(text).startswith(whole)
    if not any("bomb" in piece.text for piece in judge.seen):
        assert whole == clean(text)


@given(NASTY, NASTY, st.lists(st.integers(0, 900)))
def test_a_bad_word_is_never_shown_whole_wherever_the_chunks_end(before: str, after: str, cuts: Sequence[int]) -> None:
    text = f"{before}bomb{after}"
    assert "bomb" not in "".join(shown(in_chunks(text, cuts), Finding()))


@given(NASTY, st.lists(st.integers(0, 400)))
def test_judging_is_linear_in_the_answer(text: str, cuts: Sequence[int]) -> None:
    text = text * 8
    judge = Finding("never to be found")
    shown(in_chunks(text, cuts), judge)
    size = len(clean(text).encode())
    # New text, its context for every `piece_bytes`, all of it when it has doubled and at its end.
    assert judge.judged <= size * (1 + SMALL.context_bytes / (SMALL.piece_bytes - 4) + 3) + 4 * SMALL.whole_bytes


@given(NASTY, st.lists(st.integers(0, 400), min_size=1))
def test_resuming_shows_what_one_answer_shows(text: str, cuts: Sequence[int]) -> None:
    text = clean(text)
    judge, so_far, total = Finding(), "", ""
    progress: Progress | None = None
    chunks = in_chunks(text, cuts)
    for chunk in chunks:
        so_far += chunk
        answer = progress and GrowingAnswer.resumed(progress, so_far, key=KEY, pacing=SMALL)
        if answer is None:
            answer = GrowingAnswer(SMALL)
            answer.add(so_far)
        total += advance(answer, judge)
        progress = answer.progress(so_far, key=KEY)
    again = Finding()
    assert total == "".join(shown(chunks, again, ends=False))
    assert [piece.new for piece in judge.seen] == [piece.new for piece in again.seen]
