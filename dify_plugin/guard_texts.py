"""What the end user reads when there is nothing better to show, and the guess which language that should be in."""

import re

BLOCKED = {
    "en": "Sorry, I can't help with that.",
    "zh": "抱歉，我无法协助处理此请求。",
    "ja": "申し訳ありませんが、そのご要望にはお応えできません。",
    "ko": "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "pt": "Desculpe, não posso ajudar com isso.",
    "es": "Lo siento, no puedo ayudar con eso.",
    "fr": "Désolé, je ne peux pas vous aider avec cela.",
    "de": "Dabei kann ich leider nicht helfen.",
}
UNCHECKED = {
    "en": "The safety check is not available right now. Please try again later.",
    "zh": "安全检查暂时不可用，请稍后再试。",
    "ja": "安全性の確認を現在行えません。しばらくしてからもう一度お試しください。",
    "ko": "지금은 안전 검사를 할 수 없습니다. 잠시 후 다시 시도해 주세요.",
    "pt": "A verificação de segurança não está disponível no momento. Tente novamente mais tarde.",
    "es": "La comprobación de seguridad no está disponible en este momento. Inténtelo de nuevo más tarde.",
    "fr": "Le contrôle de sécurité est momentanément indisponible. Veuillez réessayer plus tard.",
    "de": "Die Sicherheitsprüfung ist gerade nicht verfügbar. Bitte später noch einmal versuchen.",
}

# Kana before Han: Japanese is written with both.
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")),
)
_SHARE = 0.2
_SAMPLE_CHARS = 2000


def language_of(text: str) -> str:
    """`ja`, `ko` or `zh` for a text written in it, else empty: Latin letters do not tell a language."""
    sample = [char for char in text[:_SAMPLE_CHARS] if char.isalpha()]
    for language, script in _SCRIPTS:
        if sample and sum(1 for char in sample if script.match(char)) >= _SHARE * len(sample):
            return language
    return ""


def in_language(texts: dict[str, str], language: str) -> str:
    """The text for `zh`, `zh-CN`, ...; English for a language that is not there."""
    return texts.get(language.lower().partition("-")[0], texts["en"])
