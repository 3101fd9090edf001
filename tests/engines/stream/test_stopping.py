"""The two variants of the stop rule."""

from __future__ import annotations

import pytest

from moderation_service.core.verdict import Scores, Severity
from moderation_service.engines.stream import StopRule, TokenVerdict
from moderation_service.engines.stream.stopping import counted, nearest_miss

SAFE, CONTROVERSIAL, UNSAFE = Severity.SAFE, Severity.CONTROVERSIAL, Severity.UNSAFE
LETTERS = {"s": SAFE, "c": CONTROVERSIAL, "u": UNSAFE}


def tokens(letters: str) -> list[TokenVerdict]:
    return [TokenVerdict(LETTERS[letter], None, Scores(1.0, 0.0, 0.0)) for letter in letters]


@pytest.mark.parametrize(
    ("letters", "report", "evaluation"),
    [
        ("", "", ""),
        ("u", "s", "s"),
        ("us", "ss", "ss"),
        ("uu", "su", "su"),
        ("cc", "sc", "sc"),
        ("cu", "su", "ss"),
        ("uc", "sc", "ss"),
        ("usu", "sss", "sss"),
        ("suucu", "ssucu", "ssuss"),
    ],
)
def test_what_a_token_counts_as(letters: str, report: str, evaluation: str) -> None:
    for rule, expected in ((StopRule.REPORT, report), (StopRule.EVALUATION, evaluation)):
        assert [severity for _, severity in counted(tokens(letters), rule)] == [LETTERS[one] for one in expected]


def test_the_nearest_miss_is_the_milder_one_of_the_worst_pair() -> None:
    shares = [0.1, 0.9, 0.2, 0.4, 0.3]
    row = [TokenVerdict(SAFE, None, Scores(1 - share, share / 2, share / 2)) for share in shares]
    found = nearest_miss(row)
    assert found is not None
    assert found.safe == pytest.approx(0.7)
    assert nearest_miss(row[:1]) is None
