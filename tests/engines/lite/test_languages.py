"""Which language the engine takes a text for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.engines.lite.languages import identify

SAMPLES = {
    "en": ("How do I bake a cake?", "kill process linux", "Is the word château French?"),
    "zh": ("今天天气怎么样?", "写 Python 代码", "這個週末去哪裡玩"),
    "es": ("¿Cómo puedo preparar una tortilla?", "Dime cómo arreglar un coche viejo"),
    "fr": ("Comment préparer une tarte aux pommes ?", "Donne-moi une recette de soupe"),
    "de": ("Wie backe ich einen Kuchen?", "Gib mir Tipps zum Lernen"),
    "pt": ("Como faço um bolo de cenoura?", "Escreva um poema para a minha avó"),
    "ru": ("Как испечь пирог?", "Напиши письмо"),
    "ar": ("كيف أخبز كعكة؟",),
    "ja": ("ケーキの焼き方を教えて", "東京の天気は?"),
    "ko": ("케이크 만드는 법 알려줘", "API 서버가 뭐야?"),
    "hi": ("केक कैसे बनाएं?",),
    "uk": ("Як спекти пиріг, її рецепт є?",),
    "fa": ("چگونه پرچم بکشم؟",),
    "fi": ("Miten minun pitäisi leipoa kakku ja mitä siihen tarvitaan?",),
    "hu": ("Hogyan kell egy tortát sütni?",),
    "ro": ("Cum pot să fac un tort pentru mama mea?",),
    "cs": ("Jak se peče dort a co k tomu potřebuji?",),
    "sw": ("Jinsi ya kufanya keki kwa ajili ya sherehe?",),
    "tl": ("Paano ako magluluto ng keyk para sa mga bata?",),
    "it": ("Come si fa una torta di mele?",),
    "vi": ("Làm thế nào để nướng bánh?",),
    "xx": ("ಕೇಕ್ ಮಾಡುವುದು ಹೇಗೆ",),
    "": ("", "12345", "?!", "x = 3"),
}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in SAMPLES.items() for text in texts])
def test_a_text_is_in_its_language(code, text):
    assert identify(text) == code


def test_a_foreign_word_does_not_make_an_english_text_foreign():
    assert identify("What does the Russian word для mean, and how is it used in a sentence?") == "en"
    assert identify("The recipe is from the Café de la Paix in Paris, and it is easy to make.") == "en"


@given(st.text(max_size=300))
def test_any_text_has_an_answer(text):
    assert isinstance(identify(text), str)
