"""Which texts the embedded engine says that it knows the language of."""

import pytest
from cpu_time import is_within

from moderation_service.core.verdict import Coverage
from moderation_service.engines.lite.coverage import coverage

FULL, PARTIAL, NONE = Coverage
KNOWN = {"en": FULL, "zh": FULL, "es": PARTIAL, "ru": PARTIAL, "ja": PARTIAL}
ENGLISH = "The library opens at nine, and the reading room on the second floor closes at six in the evening. "
CHINESE = "图书馆早上九点开门，二楼的阅览室晚上六点关门。"
VIETNAMESE = "Thư viện mở cửa lúc chín giờ, phòng đọc ở tầng hai đóng cửa lúc sáu giờ tối. "
SPANISH = "La biblioteca abre a las nueve, y la sala de lectura del segundo piso cierra a las seis de la tarde. "
HINDI = "पुस्तकालय सुबह नौ बजे खुलता है और दूसरी मंज़िल का वाचनालय शाम छह बजे बंद होता है। "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENGLISH, FULL),
        (CHINESE, FULL),
        (SPANISH, PARTIAL),
        (VIETNAMESE, NONE),
        (HINDI, NONE),
        ("Как испечь хлеб?", PARTIAL),
        ("パンはどうやって焼きますか？", PARTIAL),
        ("Πώς φτιάχνω ψωμί;", NONE),
        ("ขนมปังทำอย่างไร", NONE),
        ("ᎣᏏᏲ, ᏙᎯᏧ?", NONE),
    ],
)
def test_a_text_in_one_language(text, expected):
    assert coverage(text, KNOWN) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12345 67890",
        "🙂🙂🙂",
        "ok",
        "x = [i for i in range(10)]\nprint(x)\n" * 20,
        "apple, banana, cherry, plum, pear, grape, melon, lemon, lime, fig, date, kiwi, mango, peach, apricot",
        "| id | name | qty |\n|---|---|---|\n| 7 | Nguyen | 12 |\n" * 10,
        "2024-11-02T03:00:01Z backup[1182] INFO target=wiki dump done bytes=81264640 seconds=7.8\n" * 10,
    ],
)
def test_numbers_code_and_lists_are_in_no_language(text):
    assert coverage(text, KNOWN) is FULL


@pytest.mark.parametrize("known", [ENGLISH, CHINESE])
@pytest.mark.parametrize("unknown", [VIETNAMESE, HINDI])
def test_the_least_known_part_counts_wherever_it_is(known, unknown):
    assert coverage(known + "\n" + unknown * 8, KNOWN) is NONE
    assert coverage(known * 10 + "\n" + unknown * 8, KNOWN) is NONE
    assert coverage(unknown * 8 + "\n" + known * 10, KNOWN) is NONE
    assert coverage(known * 10 + "\n" + unknown * 8 + "\n" + known * 10, KNOWN) is NONE


def test_pages_in_an_unknown_language_are_noticed_in_a_very_long_text():
    assert coverage(ENGLISH * 3_000 + VIETNAMESE * 200 + ENGLISH * 3_000, KNOWN) is NONE


def test_what_is_known_in_part_beside_what_is_known_is_known_in_part():
    assert coverage(ENGLISH * 5 + "\n" + SPANISH * 5, KNOWN) is PARTIAL


@pytest.mark.parametrize("word", ["Nguyễn Thị Hòa", "नमस्ते", "Здравствуйте", "Καλημέρα"])
def test_a_foreign_name_or_word_leaves_a_text_covered(word):
    assert coverage(ENGLISH * 3 + f"The letter was signed {word}. " + ENGLISH * 3, KNOWN) is FULL


def test_prose_without_a_word_of_english_is_not_taken_for_it():
    swahili = "maktaba inafunguliwa asubuhi saa tatu lakini chumba cha kusomea kinafungwa jioni mapema sana leo"
    assert coverage(swahili, {"en": FULL}) is not FULL


@pytest.mark.parametrize("unit", ["a", "\n", "a. ", "中", "é", VIETNAMESE, "。"])
def test_a_million_characters_cost_little(unit):
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    assert is_within(0.25, lambda: coverage(text, KNOWN))
