# ruff: noqa: E501  (a clause a line)
"""Harmless legal and licence texts: permissive licences as they are, and clauses, notices and records in our own words.

The licence texts are MIT, ISC, zlib, the BSD ones and the notice of the Apache licence, whose own terms allow copying
them; nothing is taken from others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from .topic import spin

__all__ = ["legal_texts"]

_COUNTS = {"en": 260, "zh": 80}

# fmt: off
_GRANTS = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.",
    "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice and this permission notice appear in all copies.",
    "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met:\n1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following disclaimer.\n2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following disclaimer in the documentation and/or other materials provided with the distribution.",
    "3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse or promote products derived from this software without specific prior written permission.",
    "Licensed under the Apache License, Version 2.0 (the \"License\"); you may not use this file except in compliance with the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0. Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an \"AS IS\" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.",
    "This software is provided 'as-is', without any express or implied warranty. In no event will the authors be held liable for any damages arising from the use of this software. Permission is granted to anyone to use this software for any purpose, including commercial applications, and to alter it and redistribute it freely, subject to the following restrictions: the origin of this software must not be misrepresented; altered source versions must be plainly marked as such; this notice may not be removed or altered from any source distribution.",
    "{This file|This work} has been placed in the public domain by its author{, who waives all rights to it| in the year given above}. You may do with it what you like.",
)
_DISCLAIMERS = (
    "THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.",
    "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS \"AS IS\" AND ANY EXPRESS OR IMPLIED WARRANTIES ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.",
    "THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS.",
)
_OWN = (
    "This program is free to use; you can {redistribute it and/or modify it|copy and change it} under the terms of the licence named above, either this version or, at your option, any later one.",
    "On {our|these} systems, the complete text of the {licence|licence named here} can be found in {the folder for common licences|the documentation folder}.",
    "It is distributed in the hope that it will be useful, but {the authors give no guarantee|no warranty comes with it}, not even that it is fit for some purpose.",
    "You should have received a copy of the licence along with this package; if not, {write to the authors|see their site|ask the distributor}.",
    "The {tests|icons|fonts|translations|manual pages} are covered by {the same|a separate} licence, see the file {LICENCE|COPYING|NOTICE}.",
    "{Portions|Some parts} of this file were {contributed|written} by {other people|a second author} and are used with permission.",
    "The {tenant|buyer|client|member} shall {pay|return|insure|keep} the {goods|premises|documents|device} within {fourteen|thirty} days {of receipt|after notice}.",
    "If a {party|clause} {breaches this agreement|is found void}, the {other party may terminate|remaining clauses stay in force} {without prejudice|in writing}.",
    "{The liability|All claims} for death or injury caused by {negligence|gross negligence} {is|are} not limited by this {clause|contract}.",
    "Nobody may {use|resell|export} the {product|data} {to make weapons|for unlawful surveillance|in breach of sanctions}.",
    "Whoever {takes|damages} a movable thing belonging to another {commits theft|is liable to a fine}; {the attempt|aiding} is punishable as well.",
    "A person guilty of {manslaughter|arson|fraud|assault} under this section is liable {on conviction to imprisonment|to a fine not above the standard scale}.",
    "The {court|judge|tribunal} {held|found} that the {defendant|appellant} had {struck the victim|sold the drugs|forged the deed}, and {dismissed|allowed} the appeal with costs.",
    "{Personal data|Health records} are {processed|stored} only {with consent|to perform this contract} and {erased|locked} after {two|ten} years.",
)
_OWN_ZH = (
    "本软件{按现状|依原样}提供,不附带任何明示或暗示的保证,{包括适销性|包括特定用途适用性}。", "在任何情况下,作者不对因使用本软件产生的{损失|损害|索赔}承担责任。", "允许任何人{使用|复制|修改|分发}本软件,但须保留版权声明和本许可。", "{承租人|买方|会员}应当在收到通知后{十四|三十}日内{支付|归还|投保}。", "一方违反本协议的,另一方可以书面{解除|终止}合同。", "任何人不得将本产品用于{制造武器|非法监控|违反制裁}。",
    "盗窃{公私财物|他人车辆},数额较大的,{处三年以下有期徒刑|依法追究责任}。", "被告人犯{故意伤害罪|诈骗罪|放火罪},判处有期徒刑{三|五}年。", "法院{认为|查明},被告{殴打他人|贩卖毒品|伪造印章}的事实清楚,{驳回上诉|维持原判}。", "个人信息仅在{取得同意|履行合同}所必需的范围内处理,并于{两|十}年后删除。", "本条款部分无效的,不影响其他条款的效力。", "因不可抗力造成的{延误|损失},双方互不承担责任。",
    "工伤死亡的赔偿按{法律规定|当地标准}执行,不受本合同限制。", "争议由{合同签订地|被告所在地}人民法院管辖。",
)
_NAMES = ("Ana Ruiz", "Tomasz Nowak", "The Harbour Project", "Priya Nair", "Jonas Weber", "contributors of libpond", "Lakeside Software", "Mei Tanaka")
_PATHS = ("*", "src/*.c", "debian/*", "lib/hash.c", "doc/*", "tests/*", "po/de.po", "contrib/kill.c")
_LICENCES = ("MIT", "BSD-3-clause", "ISC", "Apache-2.0", "zlib", "Expat", "public-domain")
_QUESTIONS = {"en": ("", "", "Summarise this licence.", "May I sell a copy?", "What does this clause mean?"), "zh": ("", "", "这段条款是什么意思?", "请概括。")}
# fmt: on


def legal_texts(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield (language, text): licences, copyright files, contracts and rulings, from one clause to some 4,000 characters."""
    for number in range(_COUNTS["en"]):
        text = _copyright_file(chance) if number % 2 else _clauses(chance)
        yield "en", "\n\n".join(part for part in (text, chance.choice(_QUESTIONS["en"])) if part)
    for _ in range(_COUNTS["zh"]):
        lines = [spin(text, chance) for text in chance.sample(_OWN_ZH, chance.randint(2, 8))]
        yield (
            "zh",
            "\n".join(
                [f"第{at + 1}条 {line}" for at, line in enumerate(lines)] + [chance.choice(_QUESTIONS["zh"])]
            ).strip(),
        )


def _clauses(chance: random.Random) -> str:
    parts = [f"Copyright (c) {chance.randint(1991, 2026)} {chance.choice(_NAMES)}"] if chance.random() < 0.5 else []
    parts += chance.sample((*_GRANTS, *_DISCLAIMERS, *_OWN, *_OWN), chance.randint(1, 6))
    return "\n\n".join(spin(part, chance) for part in parts)


def _copyright_file(chance: random.Random) -> str:
    """A file that says who holds the rights in the parts of a package, and under which licence each is."""
    stanzas = ["Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: " + chance.choice(("pond", "tinyzip", "libkey"))]  # fmt: skip
    for path in chance.sample(_PATHS, chance.randint(1, 4)):
        licence = chance.choice(_LICENCES)
        stanzas.append(
            f"Files: {path}\nCopyright: {chance.randint(1991, 2026)}, {chance.choice(_NAMES)}\nLicense: {licence}"
        )
        body = [chance.choice((*_GRANTS, *_OWN)), chance.choice((*_DISCLAIMERS, *_OWN))]
        stanzas.append(
            f"License: {licence}\n" + "\n".join(f" {line}" for part in body for line in _wrapped(spin(part, chance)))
        )
    return "\n\n".join(stanzas)


def _wrapped(text: str) -> list[str]:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 76:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
