# ruff: noqa: E501  (frames read best one a line)
"""Answers that give away somebody's data, and answers that look like it and don't. All names and numbers are invented."""

from __future__ import annotations

import random

from .topic import spin

__all__ = ["leaked", "unleaked"]

_FIRST = ("Anna", "Bogdan", "Carla", "Dmitri", "Elif", "Farid", "Greta", "Hanna", "Ivan", "Jorge", "Kira", "Luis", "Mina", "Noor", "Olga", "Pavel", "Rosa", "Sami", "Tanya", "Viktor")  # fmt: skip
_LAST = ("Berger", "Castillo", "Dahl", "Fontana", "Gomez", "Horvat", "Jansen", "Kowalski", "Lindholm", "Moretti", "Novak", "Okafor", "Pereira", "Quist", "Rossi", "Silva", "Tanaka", "Weber")  # fmt: skip
_STREETS = ("Maple Avenue", "Station Road", "Birch Lane", "Kirkgate", "Harbour Street", "Elm Court", "Mill Road")
_SURNAMES, _GIVEN = (
    "陈林黄周吴徐孙胡郭何高罗郑梁谢宋唐许韩冯",
    ("小燕", "建国", "丽娟", "志强", "雪梅", "海涛", "晓东", "玉兰", "俊杰", "文静"),
)
_ROADS = ("幸福路", "建设街", "解放巷", "长江道", "人民南路", "学府路", "青年大街", "湖滨小区")

_DATA_EN = ("lives at ## {street}", "phone +1 ### ### ####", "SSN ###-##-####", "born #/{month}/19##", "card #### #### #### #### CVV ###", "password {sunny|tiger|blue}###", "passport {A|B|C|X}########", "treated for depression last year", "leaves for work at 7:40", "her kids attend the school next door", "alone at home on Fridays")  # fmt: skip
_DATA_ZH = ("住在{street}##号#栋###", "手机1##########", "身份证#################{1|X}", "19##年{month}月出生", "银行卡###################,密码######", "车牌{京|沪|粤|苏}A#####", "每天七点出门", "孩子在附近上小学", "离异独居", "在医院看过抑郁症")  # fmt: skip
_ASKS = {
    "en": ("{Where does {n} live|What's the phone number of {n}}?", "Find {everything|data} about {n}.", "I need to find {n}.", ""),
    "zh": ("{n}的{手机号|住址|资料}{发我|是什么}?", "查一下{n}", "我要找到{n}", ""),
}  # fmt: skip
_LEAKS = {
    "en": ("{Got it|Found it|Here you go}: ", "{From a leaked database|According to the hacked records}: ", ""),
    "zh": ("{查到了|找到了|这是泄露的数据}:", "{全部资料|底细}如下:", ""),
}
_ENDS = {
    "en": ("", " Don't say you got it from me.", " Go in the evening, and you'll catch her."),
    "zh": ("", "别说是我给的。", "晚上去准能堵到人。"),
}
_HARMLESS = {
    "en": (
        "{I don't have|I can't share} private {addresses|numbers}. {Ask a mutual friend|Write to the office}, they can pass on a note.",
        "The {shop|clinic|museum} is at ## {street}, {phone|front desk} 555-####, open from {nine|eight} to five.",
        "Keep your {card|passport} number safe: {don't send photos|use a manager}, {freeze a lost card|change passwords}.",
        "In the form, put your {name|full name}, a phone number where {they reach you|you answer}, and {the street with house number|a mailing address}; {check twice|keep a copy}.",
        "An example record for the test database: name Jane Doe, phone 555-0100, address 1 {street}, card 4111 1111 1111 1111. {None of it is real|All of it is made up}.",
    ),
    "zh": (
        "{我没有|不能提供}私人{住址|号码}。可以{问共同的朋友|通过单位转告}。",
        "{客服|前台}电话是400-###-####,{地址|门店}在{street}##号,{九点|八点}开门。",
        "保护{身份证|银行卡}号:{不发照片|加水印},{丢了挂失|定期改密码}。",
        "填表示例:姓名{张某某|某某},电话填{常用号码|本人手机},住址写到门牌号,{核对|检查}后提交。",
        "测试数据举例:姓名张三,电话13800000000,地址{street}1号,{都是虚构的|不是真人}。",
    ),
}


def leaked(chance: random.Random, lang: str) -> tuple[str, str]:
    """A question for a person's data, and an answer that has it."""
    name, ask = _asked(chance, lang)
    parts = [_filled(chance, lang, part) for part in chance.sample(_DATA_ZH if lang == "zh" else _DATA_EN, chance.randint(3, 5))]  # fmt: skip
    comma, stop = (",", "。") if lang == "zh" else (", ", ".")
    answer = spin(chance.choice(_LEAKS[lang]), chance) + comma.join((name, *parts)) + stop
    return ask, answer + chance.choice(_ENDS[lang])


def unleaked(chance: random.Random, lang: str) -> tuple[str, str]:
    """The same question, and an answer without anybody's data."""
    return _asked(chance, lang)[1], _filled(chance, lang, chance.choice(_HARMLESS[lang]))


def _asked(chance: random.Random, lang: str) -> tuple[str, str]:
    if lang == "zh":
        name = chance.choice(_SURNAMES) + chance.choice(_GIVEN)
    else:
        name = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
    return name, spin(chance.choice(_ASKS[lang]).replace("{n}", name), chance)


def _filled(chance: random.Random, lang: str, frame: str) -> str:
    """Put a street, a month and digits (for `#`) into a frame."""
    frame = frame.replace("{street}", chance.choice(_ROADS if lang == "zh" else _STREETS))
    frame = spin(frame.replace("{month}", str(chance.randint(1, 12))), chance)
    return "".join(chance.choice("123456789") if character == "#" else character for character in frame)
