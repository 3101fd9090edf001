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

NOTHING = {
    "en": "There is no text to check.",
    "zh": "没有需要检查的文本。",
    "ja": "検査するテキストがありません。",
    "ko": "검사할 텍스트가 없습니다.",
    "pt": "Não há texto para verificar.",
    "es": "No hay texto que comprobar.",
    "fr": "Il n'y a pas de texte à contrôler.",
    "de": "Es gibt keinen Text zu prüfen.",
}
TOO_LONG = {
    "en": "This text is too long for the safety check. Please shorten it.",
    "zh": "文本过长，无法进行安全检查，请缩短后再试。",
    "ja": "テキストが長すぎて安全性を確認できません。短くしてください。",
    "ko": "텍스트가 너무 길어 안전 검사를 할 수 없습니다. 줄여 주세요.",
    "pt": "Este texto é longo demais para a verificação de segurança. Encurte-o, por favor.",
    "es": "Este texto es demasiado largo para la comprobación de seguridad. Acórtelo, por favor.",
    "fr": "Ce texte est trop long pour le contrôle de sécurité. Veuillez le raccourcir.",
    "de": "Dieser Text ist für die Sicherheitsprüfung zu lang. Bitte kürzen.",
}
UNREADABLE = {
    "en": "The safety check can't read this text. Please write it differently.",
    "zh": "安全检查无法读取这段文本，请换一种写法。",
    "ja": "安全性の確認でこのテキストを読み取れません。書き方を変えてください。",
    "ko": "안전 검사가 이 텍스트를 읽을 수 없습니다. 다르게 작성해 주세요.",
    "pt": "A verificação de segurança não consegue ler este texto. Escreva-o de outra forma, por favor.",
    "es": "La comprobación de seguridad no puede leer este texto. Escríbalo de otra forma, por favor.",
    "fr": "Le contrôle de sécurité ne peut pas lire ce texte. Veuillez l'écrire autrement.",
    "de": "Die Sicherheitsprüfung kann diesen Text nicht lesen. Bitte anders schreiben.",
}
SETUP = {
    "en": "The safety check of this app is not set up correctly. Please tell its owner.",
    "zh": "此应用的安全检查配置有误，请联系应用的管理员。",
    "ja": "このアプリの安全性の確認が正しく設定されていません。管理者にお知らせください。",
    "ko": "이 앱의 안전 검사가 올바르게 설정되지 않았습니다. 관리자에게 알려 주세요.",
    "pt": "A verificação de segurança deste aplicativo não está configurada corretamente. Avise o responsável.",
    "es": "La comprobación de seguridad de esta aplicación no está bien configurada. Avise a su responsable.",
    "fr": "Le contrôle de sécurité de cette application est mal configuré. Veuillez prévenir son responsable.",
    "de": "Die Sicherheitsprüfung dieser App ist nicht richtig eingerichtet. Bitte Bescheid geben.",
}
BY_PROBLEM = {"too_long": TOO_LONG, "unreadable": UNREADABLE, "setup": SETUP, "down": UNCHECKED}
"""By the value of a `Problem`."""

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
