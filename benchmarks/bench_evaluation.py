"""What `eval` and a report cost: `python benchmarks/bench_evaluation.py`.

A report is figures, JSON, HTML and Markdown of 100,000 judged texts with probabilities, in 20 languages. `eval` asks a
stand-in that takes 50 ms for a verdict about 1,680 texts: by the window, and in the way that the command once had,
sixteen texts after the other sixteen with at most eight of them under way. Compare figures of one run only.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence

from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.policy import BUILT_IN
from moderation_service.core.verdict import Category, Detail, Scores, Severity, Target, Verdict
from moderation_service.data.benchmark.html import render_html
from moderation_service.data.benchmark.markdown import render_markdown
from moderation_service.data.benchmark.registry import chosen
from moderation_service.data.benchmark.report import report, set_facts
from moderation_service.data.evaluation.labels import Gold
from moderation_service.data.evaluation.run import LabelledText, measure
from moderation_service.data.evaluation.summary import Judged, summarise
from moderation_service.data.window import WindowOptions
from moderation_service.upstream.fanout import FanOut

ROWS, TEXTS, VERDICT_S = 100_000, 1_680, 0.05
SEVERITIES = tuple(Severity)


def judged_rows(count: int) -> list[Judged]:
    chance = random.Random(1)
    rows = []
    for number in range(count):
        gold = chance.choice((Severity.SAFE, Severity.UNSAFE))
        harm = chance.betavariate(2, 5) if gold is Severity.SAFE else chance.betavariate(5, 2)
        scores = Scores(1 - harm, harm * 0.3, harm * 0.7)
        found = SEVERITIES[min(2, int(harm * 3))]
        categories = (chance.choice(tuple(Category)),)
        labels = Gold(
            str(number),
            Target.PROMPT,
            gold,
            categories if gold is Severity.UNSAFE else (),
            None,
            f"l{number % 20}",
            f"s{number % 300}",
            number % 4000,
        )
        rows.append(Judged(labels, Verdict(Target.PROMPT, found, categories, None, scores, "none", "none-1")))
    return rows


def of_report() -> None:
    rows = judged_rows(ROWS)
    began, cpu = time.perf_counter(), time.process_time()
    figures = summarise(rows, policies=BUILT_IN.values())
    counted = time.perf_counter()
    [benchmark] = chosen(["openaimod"])
    one = {"set": set_facts(benchmark, files=(), is_own=False), "seconds": 1.0, "rows_per_s": 1.0, **figures}
    guard = {"engine": "none", "model": "none-1"}
    document = report({"a": one}, guard=guard, service="1", date="today", gpu_hour_price=1.0)
    sizes = [len(text) for text in (json.dumps(document), render_html(document), render_markdown(document))]
    done = time.perf_counter()
    print(
        f"report of {ROWS:,} texts: {done - began:.2f} s ({time.process_time() - cpu:.2f} s CPU), of them "
        f"{counted - began:.2f} s for the figures; "
        f"JSON {sizes[0] / 1e3:.0f} kB, HTML {sizes[1] / 1e3:.0f} kB, Markdown {sizes[2] / 1e3:.0f} kB"
    )


class Waiting:
    """Takes its time, as a model server does, for each text by itself."""

    name = "waiting"
    model = "waiting-1"

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict]:
        found = []
        for one in conversations:
            threading.Event().wait(VERDICT_S)
            found.append(Verdict(one.target, Severity.SAFE, (), None, None, self.name, self.model))
        return found

    def check_ready(self) -> None:
        pass

    def close(self) -> None:
        pass


def of_eval() -> None:
    texts = [
        LabelledText(Gold(str(number), Target.PROMPT, Severity.SAFE), Conversation.of(prompt=f"text {number}"))
        for number in range(TEXTS)
    ]
    engine = Waiting()
    window = measure(engine, texts, options=WindowOptions(in_flight=256))
    fanout = FanOut(slots=64, per_request=8)
    began = time.perf_counter()
    for start in range(0, TEXTS, 16):
        with fanout.slot():
            fanout.run(lambda text: engine.judge([text.conversation]), texts[start : start + 16])
    batches_s = time.perf_counter() - began
    fanout.close()
    print(
        f"eval of {TEXTS:,} texts at {1000 * VERDICT_S:.0f} ms: {TEXTS / window.seconds:.0f}/s in the window, "
        f"{TEXTS / batches_s:.0f}/s in batches of 16: {batches_s / window.seconds:.1f} times"
    )


if __name__ == "__main__":
    of_report()
    of_eval()
