"""Places in a text and in its normal form."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.normal_form import place_before_nfc

TEXTS = st.text(alphabet="ab e\u0301\u0323\u212bк\u0958\u1100\u1161\u11a8가\U0001d15e", max_size=600)


@given(TEXTS, st.data())
def test_a_place_divides_a_text_as_it_divides_the_normal_form(text: str, data: st.DataObject) -> None:
    normal = unicodedata.normalize("NFC", text)
    at = data.draw(st.integers(0, len(normal)))
    place = place_before_nfc(text, at)
    before = unicodedata.normalize("NFC", text[:place])
    # Up to the beginning of the cluster that the character is in.
    assert normal.startswith(before)
    assert len(before) <= at
    assert at == len(normal) or len(unicodedata.normalize("NFC", text[: place + 40])) > at
    assert (place == len(text)) == (at == len(normal)) or not text


def test_a_text_in_normal_form_keeps_its_places() -> None:
    assert [place_before_nfc("caf\u00e9 \U0001f389", at) for at in (0, 4, 6, 99)] == [0, 4, 6, 6]


def test_places_behind_a_long_text_that_is_not_in_normal_form_are_found() -> None:
    text = "cafe\u0301 " * 20_000
    normal = unicodedata.normalize("NFC", text)
    assert normal[50_000:50_005] == "caf\u00e9 "
    assert place_before_nfc(text, 50_000) == 60_000
