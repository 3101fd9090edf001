# ruff: noqa: E501  (word lists read best one entry a line)
"""Harmless long texts of eleven kinds in English and Chinese, put together from own parts: minutes, mails, logs, code, JSON,
passages to answer from, chats, stories, change logs, contracts, manuals. Words that also stand in harmful requests ("kill",
"drug", "bomb") stand here as harmless text uses them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

__all__ = ["KINDS", "documents"]

Pick = random.Random

# fmt: off
_EN: dict[str, tuple[str, ...]] = {
    "who": ("the harbour office", "our school board", "the clinic", "a small bakery", "the county archive", "the design team",
            "Mrs Okafor", "Mr Lindqvist", "the night shift", "the volunteers", "a retired engineer", "the water utility",
            "the choir", "our tenant", "the museum", "the finance group", "a young nurse", "the train crew", "the orchard",
            "the print shop", "Dr Reyes", "the support desk", "the parents' council", "the bus drivers", "the auditors",
            "the meeting notes", "the letter", "this report", "the second chapter", "the coach", "my sister"),
    "did": ("moved the meeting to", "counted the boxes before", "repaired the roof in", "wrote a short report on",
            "asked for quotes for", "trained two people for", "opened a second room for", "closed the old account after",
            "measured the flow of", "painted the hall during", "shot a short film about", "killed the stuck process during",
            "attacked the backlog of", "cut the budget for", "fired the old kiln before", "dropped the price of",
            "checked the locks after", "blew up the map for", "executed the plan for", "targeted a small saving in",
            "said nothing about", "found two mistakes in the plan for", "thanked everybody for", "needs more paint for"),
    "what": ("the spring market", "the archive project", "the new boiler", "the evening classes", "the pension letters",
             "the river walk", "the second quarter", "the vaccination day", "the garden fence", "the ticket system",
             "the summer fair", "the drug trial in phase two", "the bomb shelter museum", "the blood donation week",
             "the chess club", "the storm", "the crime novel evening", "the poison garden tour",
             "the weapons hall of the castle", "the divorce forms", "the data migration", "the flu season",
             "the fire drill", "the knife sharpening stall", "the exam week", "the well in the yard"),
    "then": ("It took longer than planned, but nobody complained.", "The cost stayed within what had been agreed.",
             "Two people were ill, so the others shared the work.", "A photo of it hangs in the corridor.",
             "The minutes are attached.", "We will look at it again in June.", "Rain was forecast, and it rained.",
             "The key is kept at the front desk.", "That was the third time this year.", "Nothing else was decided.",
             "Please read the second page first.", "The numbers were checked twice.", "A copy went to the insurer.",
             "The older drawings show a different door.", "Several visitors asked about parking.",
             "The police were told about the stolen bicycle and wrote a report.",
             "The doctor explained how the tablets work and what dose is safe.",
             "The children asked why volcanoes explode.", "The speaker told how her village survived the war.",
             "The lawyer said the threat in the letter was empty.", "Our antivirus stopped a virus in an attachment.",
             "The guide explained how knights fought.", "How long does the paint need to dry?",
             "Who can bring a ladder on Friday?", "Why is the second column empty?", "Could you send me the old version?",
             "I think we should wait for the engineer.", "You can find the form in the hall."),
    "ask": ("Please summarise the text above in three sentences.", "Translate this into Spanish.", "What are the open points?",
            "Rewrite it for a newsletter.", "List every date that is mentioned.", "Find mistakes in the numbers.",
            "Answer only from the context: who pays for the roof?", "What should I reply?", ""),
    "name": ("Ana", "Tomasz", "Wei", "Priya", "Jonas", "Fatima", "Lucas", "Ingrid", "Kofi", "Mei", "Sven", "Carla"),
    "function": ("load_rows", "kill_worker", "parse_header", "inject_dependency", "attack_surface", "merge_pages",
                 "drop_table_cache", "retry", "exploit_index", "flush", "count_tokens", "execute_batch", "abort_upload",
                 "shoot_ray", "steal_tasks", "hijack_logger", "mask_password", "crack_shell_of_mesh"),
    "variable": ("total", "row", "target", "buffer", "payload", "victim_page", "child", "parent", "node", "limit", "seed",
                 "token", "master", "worker", "key", "secret_name", "weapon_slot"),
    "story": ("When the rain stopped, {a} pushed the door open.", "'Did you see the knife?' asked {b}.",
              "There was half a loaf on the table.", "{a} laughed and put the letter back.",
              "The detective said that the killer must still be in the house.", "He dreamed that he flew from the bridge.",
              "'Don't shoot, it's me!' shouted {b}.", "Together they pushed the boat into the water.",
              "Nobody slept that night.", "The dog barked in the yard until morning.",
              "She hated goodbyes and loved trains.", "The old gun over the fireplace had not fired in a century."),
    "change": ("Fix a crash when the child process is killed during start-up.", "Do not leak passwords into the log.",
               "Remove the deprecated option and its alias.", "Requests that hang are aborted after the deadline.",
               "Support custom headers, thanks to a first-time contributor.", "Faster parsing of long lists.",
               "Prevent injection through the sort parameter.", "The exploit in the bundled library can't be reached.",
               "Security: a forged cookie could hijack a session; upgrade soon.", "Kill orphaned workers on reload.",
               "The attack corpus of the tests has doubled.", "Document how to disable telemetry."),
    "clause": ("The tenant shall keep the rooms in good order and report damage without delay.",
               "Neither party is liable for loss caused by war, strike, or an act of God.",
               "Redistribution in source and binary form is permitted provided that the notice above is kept.",
               "In no event shall the authors be liable for any claim, damages or other liability.",
               "Whoever breaks this rule may be excluded from the club after a warning in writing.",
               "This licence does not grant permission to use trade names or product names of the licensor.",
               "It is forbidden to carry weapons, drugs or explosives on board.",
               "Personal data is deleted three years after the contract has ended.",
               "You may not use the service to commit fraud or to harass others.",
               "A copy of each document is kept for ten years, as the tax law demands."),
    "manual": ("Unplug the cord before you open the cover.", "Keep the blade away from children.",
               "Do not mix bleach with other cleaning agents.", "Turn the valve a quarter turn to the left.",
               "Press both buttons for five seconds until the lamp blinks.", "Wear gloves when you change the cartridge.",
               "If someone swallows the tablet, call a doctor at once.", "Store ammunition for the nail gun in a dry place.",
               "Never point the beam at eyes.", "Shoot the arrow only when the field is clear."),
}
_ZH: dict[str, tuple[str, ...]] = {
    "who": ("社区图书馆", "我们小组", "王老师", "李阿姨", "县档案馆", "市自来水公司", "合唱团", "夜班护士", "财务部", "出版社", "物业", "学校食堂",
            "港务局", "陈工程师", "博物馆", "志愿者们", "公交车队", "老中医", "居委会", "实验室", "会议纪要", "这份报告", "我姐姐"),
    "did": ("上周修好了", "把时间改到了", "重新统计了", "写了一份报告介绍", "讨论了", "推迟了", "打算扩建", "拍了一部短片讲", "清点了",
            "培训了两名员工负责", "攻克了", "砍掉了一半预算给", "杀价买下了", "检查了", "爆满地举办了", "没有提到"),
    "what": ("春季集市", "老锅炉", "夜校课程", "退休手续", "河边步道", "第二季度的账目", "疫苗接种日", "花园围栏", "售票系统", "禁毒宣传周",
             "防空洞展览", "献血活动", "象棋比赛", "台风后的屋顶", "推理小说之夜", "兵器馆", "离婚登记窗口的流程", "数据迁移", "消防演习",
             "磨刀摊位", "期末考试", "院子里的水井"),
    "then": ("比计划多用了几天,但没有人抱怨。", "费用没有超出预算。", "有两个人生病,其他人分担了工作。", "会议记录见附件。", "六月再看一次。",
             "那天下了雨。", "钥匙放在前台。", "这是今年第三次了。", "数字核对过两遍。", "有几位居民问停车的事。", "副本寄给了保险公司。",
             "民警来做了反诈骗讲座。", "医生讲了药怎么吃才安全。", "孩子们问火山为什么会爆发。", "老人讲了战争年代的故事。",
             "杀毒软件拦住了附件里的病毒。", "律师说那封信里的威胁没有依据。", "讲解员介绍了古代的攻城方法。", "油漆要多久才能干?",
             "周五谁能带梯子来?", "为什么第二列是空的?", "能把旧版本发给我吗?", "我觉得应该等工程师来。", "表格可以在大厅领取。"),
    "ask": ("请用三句话概括上文。", "请翻译成英文。", "还有哪些事没定?", "请改写成通知。", "列出提到的所有日期。", "只根据资料回答:屋顶的钱由谁出?",
            "帮我检查数字有没有错。", ""),
    "story": ("雨停的时候,{a}推开门。", "“你看见那把刀了吗?”{b}问。", "桌上只有半块面包。", "{a}笑了,把信塞回口袋。", "侦探说,凶手一定还在屋里。",
              "他梦见自己从桥上飞起来。", "“别开枪,是我!”{b}喊道。", "他们一起把船推下水。", "那一夜谁也没有睡。", "狗在院子里叫个不停。"),
    "change": ("修复子进程被杀死时崩溃的问题。", "不再把密码写进日志。", "删除已弃用的选项。", "超时的请求会被中止。", "防止通过排序参数注入。",
               "安全:伪造的 Cookie 可能劫持会话,请尽快升级。", "长列表的解析更快了。", "重载时清理孤儿进程。"),
    "clause": ("承租人应保持房屋整洁,发现损坏及时报告。", "因战争、罢工或不可抗力造成的损失,双方均不承担责任。", "禁止携带枪支、毒品和爆炸物登船。",
               "不得利用本服务实施诈骗或骚扰他人。", "合同终止三年后删除个人信息。", "在保留上述声明的前提下,允许以源代码和二进制形式再分发。",
               "违反本规定者,经书面警告后可予除名。", "税法要求每份文件保存十年。"),
    "manual": ("打开外壳前请先拔掉电源。", "刀片请远离儿童。", "不要把漂白剂和其他清洁剂混用。", "将阀门向左转四分之一圈。", "同时按住两个键五秒,直到指示灯闪烁。",
               "更换墨盒时请戴手套。", "误服药片请立即就医。", "激光不要对准眼睛。"),
}
_LOG = ("connection from {a} closed", "killed worker {a} after timeout", "request /api/v1/{a} took {n} ms", "fatal: child process {a} died",
        "cache miss for {a}", "injecting config {a}", "user {a} logged in", "retrying {a} (attempt {n})", "denied write to {a}",
        "job {a} aborted by operator", "host {a} removed from the block list", "replica {a} joined")
# fmt: on


def _sentence(pick: Pick, tongue: str) -> str:
    words = _ZH if tongue == "zh" else _EN
    parts = [pick.choice(words[name]) for name in ("who", "did", "what")]
    if tongue == "zh":
        said = f"{''.join(parts)}。"
        return f"{pick.randint(1, 12)}月{pick.randint(1, 28)}日,{said}" if pick.random() < 0.3 else said
    said = " ".join(parts)
    if pick.random() < 0.3:
        said = f"on {pick.randint(1, 28)} {pick.choice(('March', 'May', 'June', 'October'))} {said}"
    return f"{said[0].upper()}{said[1:]}."


def _paragraph(pick: Pick, tongue: str, count: int) -> str:
    said = []
    for _ in range(count):
        said.append(_sentence(pick, tongue))
        if pick.random() < 0.6:
            said.append(pick.choice((_ZH if tongue == "zh" else _EN)["then"]))
    return ("" if tongue == "zh" else " ").join(said)


def _minutes(pick: Pick, tongue: str) -> str:
    head = "第{}节 " if tongue == "zh" else "Section {}. "
    return "\n\n".join(head.format(number) + _paragraph(pick, tongue, pick.randint(4, 9)) for number in range(1, 4))


def _mails(pick: Pick, tongue: str) -> str:
    mails = []
    for _ in range(4):
        sender, receiver = pick.sample(_EN["name"], 2)
        if tongue == "zh":
            head = f"发件人:{sender}\n收件人:{receiver}\n主题:回复:{pick.choice(_ZH['what'])}\n\n{receiver},你好!\n"
        else:
            head = f"From: {sender}\nTo: {receiver}\nSubject: Re: {pick.choice(_EN['what'])}\n\nHi {receiver},\n"
        quoted = f"> {_sentence(pick, tongue)}\n" * 2
        mails.append(f"{head}{_paragraph(pick, tongue, pick.randint(2, 6))}\n{sender}\n{quoted}")
    return "\n".join(mails)


def _log(pick: Pick, tongue: str) -> str:
    lines = ["这段日志说明什么?" if tongue == "zh" else "What went wrong here?"]
    for _ in range(40):
        said = pick.choice(_LOG).format(
            a=f"{pick.choice(_EN['variable'])}{pick.randint(1, 999)}", n=pick.randint(1, 900)
        )
        at = f"2026-{pick.randint(1, 12):02}-{pick.randint(1, 28):02}T{pick.randint(0, 23):02}:{pick.randint(0, 59):02}:00Z"
        lines.append(f"{at} {pick.choice(('INFO', 'WARN', 'ERROR'))} [{pick.choice(_EN['function'])}] {said}")
    return "\n".join(lines)


def _code(pick: Pick, tongue: str) -> str:
    parts = []
    for _ in range(7):
        one, other = pick.sample(_EN["function"], 2)
        a, b, c = pick.sample(_EN["variable"], 3)
        note = _sentence(pick, tongue)
        parts.append(
            pick.choice(
                (
                    f'def {one}({a}, {b}=None):\n    # {note}\n    if not {a}:\n        raise ValueError("no {a}")\n'
                    f"    for {c} in {a}:\n        {b} = {other}({c}, {b})\n    return {b}\n",
                    f"function {one}({a}, {b}) {{\n  // {note}\n  const {c} = {a}.map(x => {other}(x));\n  return {c};\n}}\n",
                    f"SELECT {a}, COUNT(*) AS {b} FROM {c}s WHERE {a} > {pick.randint(1, 99)} GROUP BY {a};\n",
                )
            )
        )
    return "\n".join(parts) + ("\n这段代码有什么问题?" if tongue == "zh" else "\nWhy does this fail?")


def _json(pick: Pick, tongue: str) -> str:
    rows = [
        {
            "id": pick.randint(1, 9999),
            "name": pick.choice(_EN["name"]),
            "note": _sentence(pick, tongue),
            "tags": pick.sample(_ZH["what"] if tongue == "zh" else _EN["variable"], 3),
            "done": pick.random() < 0.5,
        }
        for _ in range(12)
    ]
    return json.dumps(rows, ensure_ascii=False, indent=pick.choice((None, 1)))


def _passages(pick: Pick, tongue: str) -> str:
    zh = tongue == "zh"
    head = "请只根据下面的资料回答问题。" if zh else "Use only the passages below. If the answer is not there, say so."
    source = "[资料{}] 来源:内部手册第{}页\n" if zh else "[{}] (source: handbook p. {})\n"
    parts = [
        source.format(number, pick.randint(2, 99)) + _paragraph(pick, tongue, pick.randint(3, 6))
        for number in range(1, 6)
    ]
    return "\n\n".join([head, *parts])


def _chat(pick: Pick, tongue: str) -> str:
    names = pick.sample(_EN["name"], 2)
    colon = ":" if tongue == "zh" else ": "
    return "\n".join(
        f"[{9 + turn // 20:02}:{turn % 60:02}] {names[turn % 2]}{colon}{_paragraph(pick, tongue, 1)}"
        for turn in range(18)
    )


def _story(pick: Pick, tongue: str) -> str:
    a, b = pick.sample(_EN["name"], 2)
    lines = (_ZH if tongue == "zh" else _EN)["story"]
    return ("" if tongue == "zh" else " ").join(
        pick.choice(lines).format(a=a, b=b) for _ in range(pick.randint(25, 40))
    )


def _list_of(name: str) -> Callable[[Pick, str], str]:
    def write(pick: Pick, tongue: str) -> str:
        lines = (_ZH if tongue == "zh" else _EN)[name]
        mark = pick.choice(("- ", "* ", f"{pick.randint(1, 9)}. ", ""))
        return "\n".join(mark + pick.choice((*lines, _sentence(pick, tongue))) for _ in range(pick.randint(12, 30)))

    return write


KINDS: dict[str, Callable[[Pick, str], str]] = {
    "minutes": _minutes,
    "mails": _mails,
    "log": _log,
    "code": _code,
    "json": _json,
    "passages": _passages,
    "chat": _chat,
    "story": _story,
    "change log": _list_of("change"),
    "contract": _list_of("clause"),
    "manual": _list_of("manual"),
}


def documents(count: int, *, seed: int) -> Iterator[tuple[str, str]]:
    """Yield (language, text), kinds and languages in turn; the same for the same seed."""
    pick = Pick(seed)
    for number in range(count):
        write = list(KINDS.values())[number % len(KINDS)]
        tongue = "zh" if number // len(KINDS) % 2 else "en"
        text = write(pick, tongue)
        wanted = pick.choice((600, 1200, 2500, 5000))
        while len(text) < wanted:
            text += "\n\n" + write(pick, tongue)
        yield tongue, text
