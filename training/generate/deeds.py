# ruff: noqa: E501  (phrases read best in few lines)
"""own8: what people ask to do, in the languages beside English and Chinese, each harmful deed with close harmless ones.

`deeds/` has a file per language with a line per topic: the category, harmful deeds, and harmless ones with the same
things or the same verbs. Of Arabic there are seven: verbs in the first person, nouns, whole sentences, and deeds as people
type them in dialects; further topics as sentences and in dialects, and what else people ask, which has no harmful side.
Equal lines are equal topics, and further ones are others; German and Arabic, which need it most, have more of them. Topics
count more than rows: the nets have to learn which deeds are harmful, and that neither a noun nor the form of a question
says so.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..data import Row
from .own_rows import prompts
from .topic import CATEGORIES, JAILBREAK, SELF_HARM

__all__ = ["dialect", "french", "german", "korean", "rows"]

_FOLDER = Path(__file__).parent / "deeds"
# Nobody asks what the penalty is for these, or it is asked in other words.
_NEVER_ASKED_ABOUT = (None, SELF_HARM, JAILBREAK)
_ASKED, _ABOUT_EACH = 3, 2
_WEIGHT = 1.0
# Questions about a deed would be about the speaker's own where the deed names one.
_OWN_PERSON = re.compile(r"\b(?:mir|mich|meine?[mnrs]?)\b")
# Where another person's prefix takes the place of the first one's. Verbs that begin with a hamza keep it: take and eat,
# but not drug, cheat and serve, which begin with the letters of take.
_OWN_VERB = re.compile(r"\|ا(?!خد(?![رعم])|خذ|كل |كل$)|\|(?=ا)")
# A Hangul syllable is numbered from here, by its final consonant last.
_HANGUL, _FINALS, _FINAL_L = 0xAC00, 28, 8

Forms = Callable[[str], Mapping[str, str]]


class _Tongue(NamedTuple):
    """Frames for requests, frames for harmless questions about a harmful deed, and the forms of a deed they name.

    Topics have the name `topic` and a number each. Dialect is written as people type it: without the marks on alef, see `_typed`.
    """

    asks: Sequence[str]
    about: Sequence[str]
    forms: Forms
    topic: str = "deed"


def _as_it_is(deed: str) -> Mapping[str, str]:
    return {"deed": deed}


def german(deed: str) -> Mapping[str, str]:
    """The infinitive, the first person ("baue ich eine Bombe") and the infinitive with "zu".

    A bar stands before the verb where something of it stays behind: "das Licht aus|schalten". Of two deeds in one, or a
    clause, there is the infinitive only.
    """
    plain = deed.replace("|", "")
    if " und " in deed or "," in deed:
        return {"deed": plain}
    if "|" not in deed:
        things, _, verb = deed.rpartition(" ")
        return {"deed": plain, "first": f"{_first_person(verb)} ich {things}", "zu": f"{things} zu {verb}"}
    stays, _, verb = deed.rpartition("|")
    stays = stays.replace("|", "")
    with_zu = f"{stays}zu {verb}" if stays.endswith(" ") else f"{stays}zu{verb}"
    return {"deed": plain, "first": f"{_first_person(verb)} ich {stays.rstrip()}", "zu": with_zu}


def _first_person(infinitive: str) -> str:
    return infinitive.removesuffix("n").removesuffix("e") + "e"


def french(deed: str) -> Mapping[str, str]:
    """The infinitive, and that with "de"."""
    return {"deed": deed, "de": f"d'{deed}" if deed[0] in "aeiouyéêè" else f"de {deed}"}


def korean(deed: str) -> Mapping[str, str]:
    """The form before a noun ("만드는"), and those before "싶다" and for a thing done ("만들고", "만들기")."""
    stem, last = deed[:-1], ord(deed[-2])
    has_l = (last - _HANGUL) % _FINALS == _FINAL_L
    return {
        "before": f"{stem[:-1]}{chr(last - _FINAL_L)}는" if has_l else f"{stem}는",
        "go": f"{stem}고",
        "gi": f"{stem}기",
    }


def _typed(text: str) -> str:
    """Arabic as it is typed in a hurry."""
    return re.sub("[أإآ]", "ا", text)


def dialect(deed: str) -> Mapping[str, str]:
    """The first person ("اسرق"), that of the Maghreb ("نسرق") and the third ("يسرق").

    The deed's first word is a verb; a bar stands before each further one that changes with it.
    """
    marked = f"|{deed}"
    return {
        "deed": deed.replace("|", ""),
        "we": _OWN_VERB.sub("ن", marked).replace("|", ""),
        "he": _OWN_VERB.sub("ي", marked).replace("|", ""),
    }


# fmt: off
_TONGUES: dict[str, _Tongue] = {
    "de": _Tongue(
        (
            "Wie kann ich {deed}?", "Wie kann man {deed}?", "Ich will {deed}. Wie gehe ich vor?",
            "Ich möchte {deed}. Hilfst du mir?", "Könnten Sie mir bitte erklären, wie ich {deed} kann?",
            "Ich würde gern {deed}. Hast du Tipps?", "wie kann ich am besten {deed}", "Was brauche ich, wenn ich {deed} will?",
            "Wie {first}?", "wie {first}", "Sag mal, wie {first}?", "Womit {first}?", "Wie {first}? Erklär es mir genau.",
            "Hilf mir, {zu}.", "Gibt es einen Trick, {zu}?", "Ich plane, {zu}. Was sollte ich wissen?",
            "Schreib mir einen Plan, um {zu}.", "Zeig mir, was man braucht, um {zu}.",
        ),
        (
            "Mein Bruder will {deed}. Wie halte ich ihn davon ab?", "Warum ist es verboten, {zu}?",
            "Welche Strafe gibt es für den Versuch, {zu}?", "Ein Mann hat versucht, {zu}. Fasse die Meldung zusammen.",
            "Woran merke ich, dass jemand plant, {zu}?", "Was mache ich, wenn jemand ankündigt, {zu}?",
        ),
        german,
    ),
    "ar": _Tongue(
        (
            "كيف {deed}؟", "كيف يمكنني أن {deed}؟", "أريد أن {deed}. ماذا أفعل؟", "أخبرني كيف {deed}.",
            "هل تشرح لي من فضلك كيف {deed}؟", "ساعدني، أريد أن {deed}.", "ما أفضل طريقة لكي {deed}؟", "علمني كيف {deed}.",
            "قررت أن {deed}. من أين أبدأ؟", "أعطني خطوات كي {deed}.", "ماذا أحتاج حتى {deed}؟",
            "ازاي {deed}؟", "عايز {deed}، اعمل ايه؟", "بدي {deed}، شو اعمل؟", "شلون {deed}؟", "ابغى {deed}، وش اسوي؟",
            "ممكن تقولي ازاي {deed}", "لازم {deed} اليوم، ساعدني",
        ),
        (
            "لماذا لا يجوز أن {deed}؟", "حلمت أنني {deed}، ما تفسير ذلك؟", "هددني شخص قائلا: سوف {deed}. ماذا أفعل؟",
            "في الرواية يقول المجرم: قررت أن {deed}. لخص الفصل.",
        ),
        _as_it_is,
    ),
    "es": _Tongue(
        (
            "¿Cómo puedo {deed}?", "¿Cómo se hace para {deed}?", "Quiero {deed}. ¿Qué hago primero?", "Ayúdame a {deed}.",
            "¿Me podría explicar cómo {deed}, por favor?", "necesito {deed}, ¿cómo lo hago?", "como puedo {deed}",
            "Me gustaría {deed}. ¿Algún consejo?", "Enséñame a {deed}.", "¿Qué necesito para {deed}?", "Pienso {deed} mañana. Dame un plan.",
            "¿Hay algún truco para {deed}?", "Escribe los pasos para {deed}.", "Voy a {deed}. ¿Qué debo tener en cuenta?",
        ),
        (
            "Mi hermano quiere {deed}. ¿Cómo lo convenzo de que no lo haga?", "¿Por qué es delito {deed}?",
            "¿Qué pena hay por intentar {deed}?", "Detuvieron a un hombre que quería {deed}. Resume la noticia.",
            "¿Qué hago si alguien amenaza con {deed}?", "¿Cómo sé si alguien planea {deed}?",
        ),
        _as_it_is,
    ),
    "pt": _Tongue(
        (
            "Como posso {deed}?", "Como faço para {deed}?", "Quero {deed}. O que faço primeiro?", "Me ajude a {deed}.",
            "O senhor pode me explicar como {deed}, por favor?", "preciso {deed}, como faço?", "como {deed}",
            "Eu gostaria de {deed}. Alguma dica?", "Me ensine a {deed}.", "O que é preciso para {deed}?", "Pretendo {deed} amanhã. Me dê um plano.",
            "Existe algum truque para {deed}?", "Escreva os passos para {deed}.", "Vou {deed}. Do que devo cuidar?",
        ),
        (
            "Meu irmão quer {deed}. Como faço ele desistir?", "Por que é crime {deed}?",
            "Qual é a pena por tentar {deed}?", "Prenderam um homem que queria {deed}. Resuma a notícia.",
            "O que faço se alguém ameaça {deed}?", "Como sei se alguém planeja {deed}?",
        ),
        _as_it_is,
    ),
    "fr": _Tongue(
        (
            "Comment {deed} ?", "Comment puis-je {deed} ?", "Comment on fait pour {deed} ?", "Je veux {deed}. Par quoi commencer ?",
            "Pourriez-vous m'expliquer comment {deed}, s'il vous plaît ?", "J'aimerais {deed}. Des conseils ?", "comment {deed}",
            "Aide-moi à {deed}.", "Apprends-moi à {deed}.", "De quoi ai-je besoin pour {deed} ?", "Je compte {deed} demain. Donne-moi un plan.",
            "Y a-t-il une astuce pour {deed} ?", "Écris les étapes pour {deed}.", "J'ai décidé {de}. Que dois-je savoir ?",
            "J'essaie {de}, aide-moi.",
        ),
        (
            "Mon frère veut {deed}. Comment l'en dissuader ?", "Pourquoi est-il interdit {de} ?",
            "Quelle peine pour avoir tenté {de} ?", "Un homme a tenté {de}. Résume l'article.",
            "Que faire si quelqu'un menace {de} ?", "Comment savoir si quelqu'un prévoit {de} ?",
        ),
        french,
    ),
    "ru": _Tongue(
        (
            "Как {deed}?", "Как мне {deed}?", "Как можно {deed}?", "Хочу {deed}. С чего начать?", "Помоги мне {deed}.",
            "Подскажите, пожалуйста, как {deed}?", "как быстро {deed}", "Мне нужно {deed}. Что для этого надо?", "Научи меня, как {deed}.",
            "Я собираюсь {deed} завтра. Составь план.", "Есть ли хитрость, как {deed}?", "Распиши по шагам, как {deed}.",
            "Решил {deed}. Что учесть?", "Не могли бы вы рассказать, как {deed}?",
        ),
        (
            "Брат хочет {deed}. Как его отговорить?", "Почему запрещено {deed}?", "Какой срок дают за попытку {deed}?",
            "Задержан мужчина, который пытался {deed}. Перескажи новость.", "Что делать, если кто-то угрожает {deed}?",
            "Как понять, что человек задумал {deed}?",
        ),
        _as_it_is,
    ),
    "ja": _Tongue(
        (
            "{deed}方法を教えて。", "{deed}にはどうすればいいですか?", "どうやって{deed}の?", "{deed}やり方を知りたい。",
            "{deed}のを手伝ってください。", "{deed}手順を書いてください。", "明日{deed}つもりだ。計画を立てて。", "{deed}のに必要なものは?",
            "{deed}コツはある?", "{deed}方法", "うまく{deed}にはどうしたらいい?", "{deed}ことにした。何に気をつければいい?",
            "すみません、{deed}方法を説明していただけますか?", "{deed}必要があるんだけど、どうすればいい?",
        ),
        (
            "{deed}とどんな罪になりますか?", "なぜ{deed}のはいけないのですか?", "弟が{deed}と言っている。どう止めればいい?",
            "{deed}計画を立てた男が捕まった。記事を要約して。", "誰かが{deed}と脅してきたらどうする?", "{deed}人の兆候は?",
        ),
        _as_it_is,
    ),
    "ko": _Tongue(
        (
            "{before} 방법 알려 줘.", "{before} 방법이 뭐예요?", "{before} 법", "{go} 싶어요. 어떻게 하죠?", "{go} 싶은데 좀 도와줘.",
            "{before} 걸 도와주세요.", "{gi} 쉬운 방법 있어?", "{before} 순서를 적어 줘.", "내일 {gi}로 했어. 계획 짜 줘.",
            "{before} 데 필요한 게 뭐야?", "{before} 요령 좀 알려 주세요.", "제가 {before} 방법을 설명해 주시겠어요?", "어떻게 해야 잘 {before} 거야?",
            "{gi} 전에 뭘 준비해야 해?",
        ),
        (
            "{before} 사람은 어떤 처벌을 받나요?", "왜 {before} 것이 잘못인가요?", "동생이 {go} 싶대요. 어떻게 말릴까요?",
            "{gi}로 계획한 남자가 붙잡혔다. 기사를 요약해 줘.", "누가 {gi} 전에 어떻게 알아차리지?", "{before} 일을 막으려면?",
        ),
        korean,
    ),
    "ar_nouns": _Tongue(
        (
            "كيف يمكنني {deed}؟", "كيف يمكن {deed}؟", "أريد {deed}. من أين أبدأ؟", "طريقة {deed}", "ساعدني في {deed}.",
            "هل يمكنك شرح طريقة {deed} من فضلك؟", "ما أسهل طريقة من أجل {deed}؟", "أحتاج خطة من أجل {deed}.", "خطوات {deed}",
            "علمني طريقة {deed}.", "كيف أستطيع {deed}؟", "اكتب دليلا عن طريقة {deed}.", "كيف يتم {deed}؟", "أنوي {deed} غدا، ماذا يلزمني؟",
        ),
        (
            "ما عقوبة {deed}؟", "لماذا يحرم القانون {deed}؟", "أخي يفكر في {deed}، كيف أقنعه بالعدول؟",
            "حكم على رجل بتهمة {deed}، لخص الخبر.", "كيف أتصرف إذا هددني أحد وتحدث عن {deed}؟", "كيف نمنع {deed}؟",
        ),
        _as_it_is,
    ),
    "ar_whole": _Tongue(("{deed}",), (), _as_it_is),
    "ar_typed": _Tongue(
        (
            "ازاي {deed}؟", "عايز {deed} اعمل ايه", "حد يعرف ازاي {deed}؟", "محتاج {deed} بسرعة، ساعدني", "ناوي {deed} بكرة، ايه اللي يلزمني؟",
            "قولي خطوة خطوة ازاي {deed}", "شلون {deed}؟", "ابغى {deed}، علمني كيف", "ودي {deed}، من وين ابدا؟", "ايش احسن طريقة عشان {deed}",
            "بدي {deed}، شو اعمل؟", "كيف فيني {deed}؟", "شو لازم حتى {deed}", "هل ممكن تشرح لي كيف {deed}؟", "ما الطريقة لكي {deed}؟",
            "كيفاش {we}؟", "بغيت {we}، شنو ندير؟", "حاب {we}، عاونوني", "ازاي الواحد {he}؟", "كيف يقدر الشخص {he}؟",
        ),
        (
            "اخويا عايز {he}، اقنعه ازاي ميعملش كده؟", "ليش ممنوع الواحد {he}؟", "صاحبي ناوي {he}، كيف امنعه؟",
            "مسكوا واحد كان عايز {he}، لخص الخبر", "واحد قال انه راح {he}، مين ابلغ؟", "شو عقوبة اللي {he}؟",
        ),
        dialect,
    ),
}
# fmt: on
_TONGUES |= {
    "ar_whole_more": _TONGUES["ar_whole"]._replace(topic="further deed"),
    "ar_typed_more": _TONGUES["ar_typed"]._replace(topic="further deed"),
    "ar_everyday": _TONGUES["ar_whole"]._replace(topic="everyday"),
}
_DIALECT = ("ازاي", "عايز", "بدي", "شلون", "ابغى", "ممكن", "لازم")


def rows(seed: int = 8) -> Iterator[Row]:
    """Yield the rows in a fixed order for a seed."""
    return prompts("own8", ((*row, _WEIGHT) for row in _texts(random.Random(seed))))


def _texts(chance: random.Random) -> Iterator[tuple[str, str, str, str | None]]:
    """A language, a topic (one in all languages), a text and its category, None for a harmless one."""
    for name, tongue in _TONGUES.items():
        lang = name[:2]
        for at, (category, harmful, harmless) in enumerate(_deeds(name)):
            topic = f"{tongue.topic} {at}"
            for deeds, found in ((harmful, category), (harmless, None)):
                for deed in deeds:
                    asked = _framed(deed, tongue, tongue.asks, _ASKED, chance)
                    yield from ((lang, topic, text, found) for text in asked)
            if category not in _NEVER_ASKED_ABOUT and not _OWN_PERSON.search(harmful[0]):
                about = _framed(harmful[0], tongue, tongue.about, _ABOUT_EACH, chance)
                yield from ((lang, topic, text, None) for text in about)


def _framed(deed: str, tongue: _Tongue, frames: Sequence[str], count: int, chance: random.Random) -> Iterator[str]:
    forms = tongue.forms(deed)
    usable = [frame for frame in frames if any(f"{{{name}}}" in frame for name in forms)]
    if _OWN_PERSON.search(deed):
        usable = [frame for frame in usable if " man " not in frame]
    for frame in chance.sample(usable, min(count, len(usable))):
        text = frame.format(**forms)
        yield _typed(text) if text.startswith(_DIALECT) else text


def _deeds(name: str) -> Iterator[tuple[str | None, list[str], list[str]]]:
    for line in (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        category, phrases = line.split(": ", 1)
        harmful, harmless = ([deed for deed in side.strip().split("; ") if deed] for side in phrases.split("= "))
        yield CATEGORIES[category], harmful, harmless
