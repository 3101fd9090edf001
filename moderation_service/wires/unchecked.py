"""What the end user reads when a text could not be checked. For wires whose caller takes an error for a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["UNCHECKED_MESSAGES", "unchecked_message"]

UNCHECKED_MESSAGES: Mapping[str, str] = {
    "en": "The safety check is not available right now. Please try again later.",
    "zh": "安全检查暂时不可用，请稍后再试。",
    "ja": "安全性の確認を現在行えません。しばらくしてからもう一度お試しください。",
    "ko": "지금은 안전 검사를 할 수 없습니다. 잠시 후 다시 시도해 주세요.",
    "pt": "A verificação de segurança não está disponível no momento. Tente novamente mais tarde.",
    "es": "La comprobación de seguridad no está disponible en este momento. Inténtelo de nuevo más tarde.",
    "fr": "Le contrôle de sécurité est momentanément indisponible. Veuillez réessayer plus tard.",
    "de": "Die Sicherheitsprüfung ist gerade nicht verfügbar. Bitte später noch einmal versuchen.",
}
"""Per language."""


def unchecked_message(languages: Sequence[str] = ()) -> str:
    """The message in the first of the end user's languages (BCP 47 tags) that there is, otherwise English."""
    for tag in languages:
        message = UNCHECKED_MESSAGES.get(tag.lower().partition("-")[0])
        if message is not None:
            return message
    return UNCHECKED_MESSAGES["en"]
