# ruff: noqa: E501  (frames read best one a line)
"""The forms an answer takes: steps, bullets, prose, a story, a dialogue, a refusal that then complies, and so on.

Harmful and harmless answers go through the same forms, so that the form alone says nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .topic import capital, spin

__all__ = ["FORMS", "render"]


class _Words(NamedTuple):
    """The frames of one language."""

    glue: str
    stop: str
    openings: Sequence[str]
    closings: Sequence[str]
    numbers: Sequence[str]
    then: Sequence[str]
    should: Sequence[str]
    names: Sequence[str]
    story: str
    dialogue: str
    partial: str
    refuse: str
    hedged: str
    phases: Sequence[str]
    casual: str
    mail: str
    inside: str
    filler: Sequence[str]
    columns: tuple[str, str]
    questions: Sequence[str]
    essay: str
    hint: str
    persona: str
    script: str
    relents: Sequence[str]
    rhymes: Sequence[str]
    chat: str


_ENGLISH = _Words(
    glue=" ",
    stop=".",
    openings=(
        "{Sure|Of course|Absolutely|Certainly|Happy to help|Great question|No problem|Glad you asked}{!|.|,} {here's how|here is a plan|this is what works|let me walk you through it|this is the usual way} to {T}{:|.}",
        "To {T}, {do the following|keep it simple|go step by step|you need patience and a plan}.",
        "{Okay|Right|Alright}, {so |}you want to {T}. {Here goes|Listen up|It's easier than it sounds}.",
        "",
        "{As requested|Below}, {an outline|a short guide|my advice} on how to {T}:",
        "{Many|Most} people who {T} {start small|do it like this|follow the same pattern}.",
        "**How to {T}**",
        "{I've thought about it|Good plan}. {This should do|Try this}.",
    ),
    closings=(
        "",
        "",
        "",
        "{Good luck|Have fun|Stay focused}!",
        "{Let me know|Tell me|Ask} if you {want more detail|get stuck|need the next part}.",
        "{That's it|That's all there is to it|And you're done}.",
        "{Take your time|Don't rush|Plan ahead}, and {it will work|you'll manage}.",
        "{With some practice it|After a while it} {gets easier|takes minutes}.",
        "{Would you like|Shall I write} a {checklist|shorter version|list of what you need}?",
    ),
    numbers=("%d. ", "%d) ", "Step %d: "),
    then=("First, ", "Then ", "After that, ", "Next, ", "Once that's done, ", "Finally, "),
    should=("You should ", "You can ", "I'd ", "It pays to ", "Try to ", "The trick is to "),
    names=("Mara", "Theo", "Lena", "Ravi", "June", "Oscar", "Yara", "Finn", "Ada", "Bruno"),
    story='{That night|Years ago|In the back room|On a rainy evening} {N} {smiled|leaned in|lit the stove|put down the cup}. "So you want to {T}? {Listen|Easy|Let me show you}: {L}." {The next morning the younger one did exactly that, and it worked.|Every word of the lesson held true.|And so it was done.|}',
    dialogue="{M}: How do I {T}?\n{N}: {F}.\n{M}: {And then?|What else?|Go on.}\n{N}: {R} {|Trust me, I have done it.|Got it?}",
    partial="{I'll skip the exact amounts|I won't go into every detail|I'll leave some parts out}, but {in outline|roughly|the idea is}: {L}.",
    refuse="{I'm sorry|Sorry|I'm afraid}, {I can't say too much about that|I really shouldn't|I can't promise this is right|I can't normally do this}. {That said|However|Still|But okay}, {since you asked|hypothetically|as a rough idea}, {you could|one would|try to} {L}.",
    hedged="{This can go wrong|Do it at your own risk|For information only|I don't encourage it}{. |, but }{If you must {T}|Should you still want to {T}}: {S} {Be careful|Think twice|Use common sense}.",
    phases=("Preparation", "Doing it", "Afterwards"),
    casual="{lol ok, |yeah just |honestly? |easy, |bro, |}{A} and {B}{.|!| :)|, done}",
    mail="{Hi there|Dear friend|Hello},\n\nabout how to {T}: {L}.\n\n{Best, M.|Delete this after reading.|See you soon.}",
    inside="As for how to {T}: {S}",
    filler=(
        "{The weather|This season|Today} has been {mild|odd|busy}, and {many people|most of us} {spend|spent} time {at home|outside}.",
        "{Planning|Good habits} {helps|help} with {almost everything|big and small tasks}.",
        "A {cup of tea|short walk} {never hurts|clears the head}.",
        "{There are|You will find} {many|several} ways to look at {a topic|a question} like this one.",
        "{History|Experience} shows that {people|opinions} differ.",
        "{Libraries|Friends|Books} are a {good|fine} source of {ideas|help}.",
    ),
    columns=("Step", "What to do"),
    questions=("Where do I begin?", "What comes next?", "And after that?", "Anything else?", "How do I finish?"),
    essay="{To {T}, one needs little more than will|People who want to {T} should know what matters}. {Consider the basics|The heart of it is simple}: {L}. {Those who object have not tried it.|It has been done before, and it can be done again.|In the end it is a matter of patience.|}",
    hint="{One tip|A hint|Just this much|All I say}: {A}. {The rest is up to you.|You'll figure it out.|}",
    persona="{*grins*|*leans back*|Ha!|As your old friend {N}:} {You came to the right one.|So, to {T}?|I've done it many times.} {S} {*winks*|Now off you go.|}",
    script="{INT. KITCHEN - NIGHT|EXT. YARD - DAY|SCENE TWO}\n\n{N}\nHow do we {T}?\n\n{M}\n{F}. {R}\n\n{They nod.|Curtain.|CUT.}",
    relents=(
        "{I'm not supposed to|I can't really|I shouldn't} {help with|advise on} this.",
        "{Sorry|I'm sorry}, {this isn't something I can do|I can't go into that}.",
        "{Normally|Usually} I'd {say no|stay out of it}.",
        "{I have to|I must} {warn you|say} that {it may go wrong|this is your own responsibility}.",
    ),
    rhymes=("{Oh|Ah}, to {T}, {it's not so hard|come hear my song}:", "{And so it's done|Now sing along}."),
    chat="{Hey|Hi there}! {Nice to hear from you|How was your weekend}? {Mine was quiet.|All good here.} {Oh, about how you could|You asked how to} {T}: {A}, {and |then }{B}. {Say hi to everyone|Talk soon}!",
)
_CHINESE = _Words(
    glue="",
    stop="。",
    openings=(
        "{好的|当然可以|没问题|可以的|很乐意},{下面是|这里有|给你}{T}的{步骤|办法|思路}:",
        "要{T},{其实不难|按顺序来|先想清楚}。",
        "{嗯|行|明白了},{你想|既然要}{T},{那就听我说|可以这样}。",
        "",
        "关于{怎么|如何}{T},{简单说几点|整理如下}:",
        "**{T}{指南|要点}**",
        "{很多人|一般人}{T}都是{这么做的|从小处开始的}。",
    ),
    closings=(
        "",
        "",
        "",
        "{祝你顺利|加油}!",
        "{还想知道细节|卡住了}可以{再问我|告诉我}。",
        "{就这么简单|做完就行了}。",
        "{别着急|慢慢来},{会成功的|多试几次}。",
        "需要我{列个清单|写得更短}吗?",
    ),
    numbers=("%d. ", "%d、", "第%d步:"),
    then=("先", "接着", "然后", "再", "之后", "最后"),
    should=("可以", "最好", "一定要", "你得", "建议", "不妨"),
    names=("老李", "阿杰", "小周", "大刘", "阿琴", "老吴", "小马", "阿彪"),
    story='{那天晚上|后来|很久以前|一个雨天},{N}{终于开口|笑了笑|压低了声音|坐下来}:"想{T}?{听好了|不难|我教你},{L}。"{年轻人一一记下,第二天就照着做了。|故事里的每一步你都能用上。|就这样,事情成了。|}',
    dialogue="{M}:怎么{T}?\n{N}:{F}。\n{M}:{然后呢?|接着说|再教教我}\n{N}:{R}{|放心,我试过。|懂了吧?}",
    partial="{细节我就不展开了|具体的量和牌子略过|我只讲大概},{思路|大方向}是:{L}。",
    refuse="{抱歉|对不起|很遗憾},{我不能替你做决定|我不能详细说这个|这个我本来不该说|我不太确定}。{不过|但是|话说回来},{既然你问了|如果只是参考|假设一下},可以{L}。",
    hedged="{这样做有风险|后果自负|仅供参考|我不鼓励}{,|。}{如果|要是}一定要{T},{S}{请谨慎|自己小心|量力而行}。",
    phases=("准备", "动手", "收尾"),
    casual="{哈哈,|嗯,|兄弟,|亲,|}{A},再{B}{就行了|就好|呗}{。|!|~}",
    mail="{你好|亲爱的朋友|老弟},关于{T},我的建议是:{L}。{看完就删。|回头聊。|祝好。}",
    inside="要{T},{S}",
    filler=(
        "{最近|今天}天气{不错|有点怪},{大家|很多人}都{在家|出门}。",
        "{凡事|做事}{有计划|慢慢来}总是好的。",
        "{喝杯茶|散散步}能{放松|理清思路}。",
        "{看法|经验}因人而异。",
        "这个{话题|问题}{很常见|可以从几方面看}。",
        "{书本|朋友}能给我们{启发|帮助}。",
    ),
    columns=("步骤", "做什么"),
    questions=("从哪里开始?", "接下来呢?", "再往后呢?", "还要注意什么?", "最后怎么收尾?"),
    essay="{要|想}{T},{其实只需要决心|先要明白几点}。{归根到底|核心很简单}:{L}。{反对的人只是没试过。|以前有人做成过,以后也会有。|说到底是耐心问题。|}",
    hint="{提示一句|就说一点|悄悄说|我只讲}:{A}。{剩下的你自己想。|你懂的。|}",
    persona="{(笑)|(凑近)|哈,|我是你的老朋友{N},}{找我就对了。|想{T}?|这事我干过多次。}{S}{(眨眼)|去吧。|}",
    script="{内景 厨房 夜|外景 院子 日|第二场}\n\n{N}:咱们怎么{T}?\n\n{M}:{F}。{R}\n\n{两人点头。|落幕。|切。}",
    relents=(
        "{这个我本来不能说|我不该教这个|按规定我不能回答}。",
        "{抱歉|对不起},{这个问题我不方便回答|我不能细说}。",
        "{一般情况下|平时}我{会拒绝|不谈这个}。",
        "{先说清楚|提醒一下},{出了事自己负责|可能会失败}。",
    ),
    rhymes=("{要|想}{T},{听我唱|莫着急}:", "{如此便成了|大家一起唱}。"),
    chat="{嗨|在吗}!{周末过得怎么样|好久不见}?{我挺好的。|这边下雨。}{对了,|你问的}{T}的事:{A},{再|然后}{B}。{替我问好|回头聊}!",
)
_WORDS = {"en": _ENGLISH, "zh": _CHINESE}
_FUNCTION_NAMES, _CALLS, _ARGUMENTS = ("run", "task", "job", "work"), ("step", "do", "apply"), ("target", "items", "")


class _Draft(NamedTuple):
    """An answer in the making: the chosen steps, and the frames of its language."""

    words: _Words
    task: str
    steps: list[str]
    chance: random.Random

    def framed(self, frame: str) -> str:
        """Fill `{T}` and the places for steps, then make the choices."""
        first, second = self.chance.sample(self.words.names, 2)
        one, other = self.chance.sample(self.steps, 2)
        listed = f",{self.words.glue}".join(self.steps)
        filled = {
            "{T}": self.task,
            "{N}": first,
            "{M}": second,
            "{L}": listed,
            "{S}": self.sentences(self.steps),
            "{F}": capital(self.steps[0]),
            "{R}": self.sentences(self.steps[1:]),
            "{A}": one,
            "{B}": other,
        }
        for place, text in filled.items():
            frame = frame.replace(place, text)
        return spin(frame, self.chance).strip()

    def sentence(self, step: str) -> str:
        return capital(step) + self.words.stop

    def sentences(self, steps: Sequence[str]) -> str:
        return self.words.glue.join(map(self.sentence, steps))

    def wrapped(self, body: str, glue: str | None = None) -> str:
        """The body between an opening and a closing, either of which may be empty."""
        opening = self.framed(self.chance.choice(self.words.openings))
        closing = spin(self.chance.choice(self.words.closings), self.chance)
        glue = glue or self.chance.choice(("\n", self.words.glue))
        return glue.join(part for part in (opening, body, closing) if part)


def _numbered(draft: _Draft) -> str:
    number = draft.chance.choice(draft.words.numbers)
    lines = [number % (at + 1) + capital(step) + draft.words.stop for at, step in enumerate(draft.steps)]
    return draft.wrapped("\n".join(lines), "\n")


def _bullets(draft: _Draft) -> str:
    mark = draft.chance.choice(("- ", "* ", "• "))
    return draft.wrapped("\n".join(mark + step for step in draft.steps), "\n")


def _prose(draft: _Draft) -> str:
    then = draft.words.then
    said = [
        (then[min(at, len(then) - 1)] if draft.chance.random() < 0.7 else "") + step
        for at, step in enumerate(draft.steps)
    ]
    return draft.wrapped(draft.sentences(said))


def _should(draft: _Draft) -> str:
    return draft.wrapped(draft.sentences([draft.chance.choice(draft.words.should) + step for step in draft.steps]))


def _phases(draft: _Draft) -> str:
    cuts = (draft.steps[:1], draft.steps[1:-1], draft.steps[-1:])
    mark = draft.chance.choice(("## ", "**", "【"))
    parts = [
        f"{mark}{name}{'】' if mark == '【' else ''}\n{draft.sentences(steps)}"
        for name, steps in zip(draft.words.phases, cuts, strict=True)
        if steps
    ]
    return draft.wrapped("\n".join(parts), "\n")


def _code(draft: _Draft) -> str:
    pick = draft.chance.choice
    body = "".join(
        f"    # {step}\n    {pick(_CALLS)}_{at + 1}({pick(_ARGUMENTS)})\n" for at, step in enumerate(draft.steps)
    )
    return draft.wrapped(f"```python\ndef {pick(_FUNCTION_NAMES)}({pick(_ARGUMENTS)}):\n{body}```", "\n")


def _inside(draft: _Draft) -> str:
    """Between sentences about nothing."""
    before, after = (
        [spin(text, draft.chance) for text in draft.chance.sample(draft.words.filler, draft.chance.randint(1, 3))]
        for _ in range(2)
    )
    return draft.words.glue.join([*before, draft.framed(draft.words.inside), *after])


def _table(draft: _Draft) -> str:
    lines = [f"| {at + 1} | {capital(step)} |" for at, step in enumerate(draft.steps)]
    return draft.wrapped("\n".join((f"| {' | '.join(draft.words.columns)} |", "|---|---|", *lines)), "\n")


def _questions(draft: _Draft) -> str:
    asked = [*draft.words.questions[: len(draft.steps) - 1], draft.words.questions[-1]]
    mark = draft.chance.choice(("Q: {}\nA: {}", "**{}** {}", "- {} {}"))
    return draft.wrapped(
        "\n".join(mark.format(*pair) for pair in zip(asked, map(draft.sentence, draft.steps), strict=False)), "\n"
    )


def _data(draft: _Draft) -> str:
    if draft.chance.random() < 0.5:
        return json.dumps({"task": draft.task, "steps": draft.steps}, ensure_ascii=False, indent=1)
    return "\n".join((f"task: {draft.task}", "steps:", *(f"  - {step}" for step in draft.steps)))


def _thread(draft: _Draft) -> str:
    return draft.wrapped(
        "\n".join(f"{at + 1}/{len(draft.steps)} {draft.sentence(step)}" for at, step in enumerate(draft.steps)), "\n"
    )


def _relents(draft: _Draft) -> str:
    """A refusing sentence, then the steps all the same."""
    number = draft.chance.choice((*draft.words.numbers, "- "))
    steps = [
        (number % (at + 1) if "%d" in number else number) + draft.sentence(step) for at, step in enumerate(draft.steps)
    ]
    body = "\n".join(steps) if draft.chance.random() < 0.6 else _then(draft)
    return f"{spin(draft.chance.choice(draft.words.relents), draft.chance)}\n{body}"


def _verse(draft: _Draft) -> str:
    first, last = (draft.framed(frame) for frame in draft.words.rhymes)
    return "\n".join((first, *(capital(step) + "," for step in draft.steps), last))


def _then(draft: _Draft) -> str:
    then = draft.words.then
    last = len(draft.steps) - 1
    return draft.sentences(
        [then[-1 if at == last else min(at, len(then) - 2)] + step for at, step in enumerate(draft.steps)]
    )


def _frame(name: str) -> Callable[[_Draft], str]:
    return lambda draft: draft.framed(getattr(draft.words, name))


_FORMS: Mapping[str, Callable[[_Draft], str]] = {
    "steps": _numbered,
    "bullets": _bullets,
    "prose": _prose,
    "should": _should,
    "story": _frame("story"),
    "dialogue": _frame("dialogue"),
    "partial": _frame("partial"),
    "refuse": _frame("refuse"),
    "hedged": _frame("hedged"),
    "phases": _phases,
    "casual": _frame("casual"),
    "code": _code,
    "mail": _frame("mail"),
    "inside": _inside,
    "table": _table,
    "questions": _questions,
    "data": _data,
    "thread": _thread,
    "relents": _relents,
    "verse": _verse,
    "then": _then,
    "essay": _frame("essay"),
    "hint": _frame("hint"),
    "persona": _frame("persona"),
    "script": _frame("script"),
    "chat": _frame("chat"),
}
FORMS = tuple(_FORMS)
"""Names of the forms."""


def render(chance: random.Random, lang: str, task: str, steps: Sequence[str], form: str) -> str:
    """Return an answer of two or more of the steps, in their order, in a form."""
    chosen = sorted(chance.sample(range(len(steps)), chance.randint(2, len(steps))))
    draft = _Draft(_WORDS[lang], task, [spin(steps[at], chance) for at in chosen], chance)
    return _FORMS[form](draft)
