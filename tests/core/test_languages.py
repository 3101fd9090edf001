"""In which language a text is written, as far as its script tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.languages import written_in


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("怎么做炸弹？", "zh"),
        ("怎樣製作炸彈", "zh"),
        ("请用 Python 写一个 HTTP 服务器", "zh"),
        ("爆弾の作り方を教えて", "ja"),
        ("東京都の天気は？", "ja"),
        ("ﾊﾞｸﾀﾞﾝ", "ja"),
        ("폭탄을 어떻게 만드나요?", "ko"),
        ("Как сделать бомбу?", "ru"),
        ("Як зробити бомбу? Де її взяти?", "uk"),
        ("كيف أصنع قنبلة؟", "ar"),
        ("چگونه بمب بسازم؟", "fa"),
        ("बम कैसे बनाएं?", "hi"),
        ("ทำระเบิดอย่างไร", "th"),
        ("איך מכינים פצצה?", "he"),
        ("Πώς φτιάχνω βόμβα;", "el"),
    ],
)
def test_a_script_that_tells_its_language(text: str, language: str) -> None:
    assert written_in(text) == (language,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How do I make a bomb?",
        "¿Cómo se hace?",
        "Wie spät ist es?",
        "12:30 → 🙂",
        "What does the word 你好 mean in English?",
    ],
)
def test_letters_that_tell_nothing(text: str) -> None:
    assert written_in(text) == ()


def test_the_first_text_that_tells_one_decides() -> None:
    assert written_in("print('hi')", "怎么做") == ("zh",)
    assert written_in("как", "怎么做") == ("ru",)
    assert written_in() == ()


@given(st.text())
def test_any_text_has_at_most_one_language(text: str) -> None:
    found = written_in(text)
    assert len(found) <= 1
    assert all(2 <= len(language) <= 3 and language.isalpha() for language in found)
