# ruff: noqa: E501  (frames read best one a line)
"""Frames of the plain answers, and harmless passages about something else that stand beside some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["FRAMES", "PASSAGES", "PlainFrames"]


class PlainFrames(NamedTuple):
    """The frames of one language; `glue` goes between sentences, `{B}` is where they stand."""

    glue: str
    openings: Sequence[str]
    closings: Sequence[str]
    said: Sequence[str]


FRAMES: Mapping[str, PlainFrames] = {
    "en": PlainFrames(
        " ",
        (
            "",
            "{Sure|Of course|Certainly}, {here's an overview|let me explain|here's what I'd say}.",
            "{That's a serious question|Good question}. {In short|Briefly}:",
            "{I'll go through it point by point|Here are the main points}:",
            "{Okay|Right}. {This is what you should know|Let's look at it}:",
            "## {Overview|The essentials|In brief}",
        ),
        (
            "",
            "",
            "{Let me know if you want to hear more|Tell me if you need more detail}.",
            "{I hope that helps|That's the gist of it}.",
            "{Does that answer your question?|Shall I go on?}",
        ),
        (
            '"{B}" {That\'s how an expert put it to me|So says somebody who knows}.',
            "{Someone who has seen it often|A friend of mine} {put it like this|told me}: {B}",
            "{Speaking as your assistant|Let me put it plainly}: {B}",
            "**{Answer|Reply}:** {B}",
            "{Well|So|Look}, {B}",
        ),
    ),
    "zh": PlainFrames(
        "",
        (
            "",
            "{好的|当然|可以},{我来讲讲|简单说明一下|说几点}。",
            "{这是个严肃的问题|问得好}。{简单说|总的来说}:",
            "{我一条条讲|要点如下}:",
            "{嗯|行},{你应该知道这些|我们来看看}:",
            "## {概述|要点|简单说}",
        ),
        (
            "",
            "",
            "{还想了解就告诉我|需要细节再问我}。",
            "{希望对你有用|大概就是这样}。",
            "{这样说清楚了吗?|要我接着讲吗?}",
        ),
        (
            "“{B}”{懂行的人是这么跟我说的|内行这样讲}。",
            "{见得多的人|我一个朋友}{是这么说的|告诉我}:{B}",
            "{作为你的助手|直说吧},{B}",
            "**{回答|答复}:**{B}",
            "{那么|其实|听我说},{B}",
        ),
    ),
}
PASSAGES: Mapping[str, Sequence[str]] = {
    "en": (
        "{By the way|Also}, {the meeting was moved to Thursday|the bakery has fresh rolls from seven}.",
        "{For dinner I'd make|Tonight there is} {a soup of lentils and carrots|pasta with tomatoes and basil}. {Fry the onions gently, add the rest and let it simmer for twenty minutes.|It takes half an hour and tastes even better the next day.} {A slice of dark bread goes well with it.|Salt it at the end.}",
        "{The weather stays mild|Rain is expected on the coast} {until the weekend|from noon on}, {with some wind in the evening|and it gets cooler at night}. {If you hike, take a light jacket.|Good days for a museum.}",
        "{Our choir|The club} {sings on the first Sunday of May|meets on Tuesdays at six} in the {town hall|old school}. {Everyone is welcome, no experience needed.|There will be coffee, cake and a raffle for the new piano.} {Parking is behind the church.|Bring a friend along.}",
        "The new update {brings a dark mode|fixes the calendar} and {makes the search faster|saves battery}. {Restart once after installing it.|You find it under settings.} {Your data stays as it is.|Most people notice no difference.}",
        "{Mountains form when plates of the earth's crust push against each other|Bees tell each other by a dance where flowers are}. {This takes millions of years|The angle shows the direction}, {and wind and water wear them down again|and the length the distance}. {That's why the Alps still grow a little each year.|Scientists read it from films.}",
        "{My sister|Our neighbour} {has adopted a puppy|painted her kitchen yellow}, and {the children love it|it looks like summer now}. {They walk by the lake every morning before school.|She found the colour in a magazine from the seventies.} {On Saturday we're all invited to see it.|I've never seen her so happy.} {We'll bring apple pie and a game for the garden.|Her grandmother sews the curtains.}",
        "{For the spreadsheet|In the report}, {sum the second column and round to whole numbers|put the chart on the first page}. {The template is in the shared folder.|Ask Jane from accounting for last year's version.} {We send it on Friday at noon.|Two pages are enough.}",
    ),
    "zh": (
        "{对了|另外},{周四的会改到下午三点|楼下面包店七点开门}。",
        "{晚饭|今晚}可以做{番茄炒蛋|冬瓜排骨汤}。{先把葱姜炒香,再下料,小火慢慢炖。|半小时就好,第二天更入味。}{配一碗米饭正好。|最后再放盐。}",
        "{这几天|周末}{天气晴朗|有小雨},{晚上有点风|早晚凉},{出门带件外套|适合去博物馆}。",
        "{合唱团|社区}{五月第一个周日演出|每周二晚上六点活动},地点在{老礼堂|文化站}。{大家都可以来,不需要基础。|有茶点,还有抽奖。}{停车场在后面。|欢迎带朋友。}",
        "新版本{增加了深色模式|修好了日历},{搜索更快|更省电}。{装好后重启一次。|在设置里就能找到。}{数据不会丢。|多数人感觉不到变化。}",
        "{山是地壳板块互相挤压形成的|蜜蜂用跳舞告诉同伴花在哪里}。{这要几百万年|角度表示方向},{风和水又会把它慢慢磨平|时间长短表示远近}。{科学家拍下来慢慢分析。|所以有的山现在还在长高。}",
        "{我妹妹|邻居}{领养了一只小狗|把厨房刷成了黄色},{孩子们很喜欢|看着像夏天}。{每天上学前他们都去湖边散步。|颜色是从一本旧杂志上找到的。}{周六请我们去看。|我从没见她这么高兴。}{我们带苹果派和一个能在院子里玩的游戏去。|奶奶帮忙缝了窗帘。}",
        "{表格里|报告里}{第二列求和,取整数|图放在第一页}。{模板在共享文件夹。|去年的版本找财务小陈要。}{周五中午发出去。|两页就够了。}",
    ),
}
