"""What lists cost: microseconds per kilobyte at many entries, and CPU per verdict with and without them, in one run.

    python benchmarks/bench_lists.py --entries 100000

Half of the entries are English-like words, half Chinese ones. The verdicts are of an engine that costs nothing, so that
what is measured is the service's own work.
"""

from __future__ import annotations

import argparse
import random
import string
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter, process_time

from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.list_entry import Entry, entry_of
from moderation_service.core.moderator import Check, Moderator
from moderation_service.core.policy import BUILT_IN
from moderation_service.core.verdict import Detail, Severity, Target, Verdict
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.engines.lists import Lists
from moderation_service.errors import ModerationError

ENGLISH = "The quick brown fox jumps over the lazy dog, and then it runs back to the hills where it came from. " * 10
CHINESE = "我们今天去公园散步，然后回家吃饭看电视，新闻说明天会下雨，大家记得带伞出门上班，注意安全。" * 8
MIXED = "Windows 11 更新后，我的 laptop 电脑 - 打不开了，请问怎么 fix 它？谢谢 Tom，祝好。" * 11
TEXTS = {"English": ENGLISH, "Chinese": CHINESE, "Chinese with English words": MIXED}
REPEATS = 300


class Free:
    """An engine whose verdicts cost nothing."""

    name, model = "free", "free"

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        return [Verdict(one.target, Severity.SAFE, (), None, None, "free", "free") for one in conversations]

    def check_ready(self) -> None:
        """It is."""

    def close(self) -> None:
        """Nothing to let go of."""


def entries(count: int) -> list[Entry]:
    """So many different words."""
    chosen = random.Random(7)
    words = dict.fromkeys(
        "".join(chosen.choices(string.ascii_lowercase, k=chosen.randint(6, 11))) for _ in range(count // 2)
    )
    words |= dict.fromkeys(
        "".join(chr(chosen.randint(0x4E00, 0x6E00)) for _ in range(chosen.randint(2, 5))) for _ in range(count // 2)
    )
    return [entry_of({"text": word}, list_name="own") for word in words]


def microseconds(call: Callable[[], object]) -> float:
    """CPU time of one call, the least of five series."""
    series = []
    for _ in range(5):
        started = process_time()
        for _ in range(REPEATS):
            call()
        series.append((process_time() - started) / REPEATS * 1e6)
    return min(series)


def longest_stall(work: Callable[[], object]) -> float:
    """The longest time, in milliseconds, that another thread stood still while this was done."""
    gaps = [0.0]
    has_ended = threading.Event()

    def count() -> None:
        last = perf_counter()
        while not has_ended.is_set():
            now = perf_counter()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=count)
    thread.start()
    work()
    has_ended.set()
    thread.join()
    return max(gaps) * 1000


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    made = entries(parser.parse_args().entries)
    started = perf_counter()
    lists = Lists({"own": made})
    print(f"{len(made)} entries, compiled in {perf_counter() - started:.2f} s")
    for name, text in TEXTS.items():
        kilobytes = len(text.encode()) / 1024
        print(f"{name}: {microseconds(lambda: lists.find(['own'], Target.PROMPT, text)) / kilobytes:.1f} us per kB")  # noqa: B023
    cache = VerdictCache(size=0, ttl_s=1)
    policy = replace(BUILT_IN["balanced"], lists=("own",))
    for name, text in (("200 bytes", ENGLISH[:200]), ("1 kB", ENGLISH[:1024])):
        costs = {}
        for used, moderator, chosen in (
            ("without", Moderator(engine=Free(), cache=cache), BUILT_IN["balanced"]),
            ("with", Moderator(engine=Free(), cache=cache, lists=lists), policy),
        ):
            check = Check(Conversation.of(prompt=text), chosen)
            costs[used] = microseconds(lambda: moderator.decide([check]))  # noqa: B023
        print(f"a decision on {name}: {costs['without']:.1f} us without lists, {costs['with']:.1f} us with")
    added = entry_of({"text": "quokka"}, list_name="own")
    print(f"an edit: another thread stands still for {longest_stall(lambda: lists.put('own', [*made, added])):.0f} ms")
    print(f"all of it anew: {longest_stall(lambda: Lists({'own': made})):.0f} ms")


if __name__ == "__main__":
    main()
