# ruff: noqa: E402  (the thread settings must come before numpy)
"""The embedded engine beside two word-list packages, on the visible evaluation sets, in one run.

    pip install better-profanity==0.7.0 alt-profanity-check==1.9.1
    python benchmarks/compare_wordlists.py --data DIR

DIR has an `eval` folder; docs/lite-model-card.md says what is in it. A package that is not installed is left out.
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

Judge = Callable[[str], bool]


def judges() -> dict[str, Judge]:
    """Name -> does it flag a text?"""
    from moderation_service.engines.lite.model import LiteModel

    model = LiteModel.load()
    found: dict[str, Judge] = {
        "lite, strict": lambda text: model.judge_prompt(text).severity != "safe",
        "lite, loose": lambda text: model.judge_prompt(text).severity == "unsafe",
    }
    if find_spec("better_profanity"):
        from better_profanity import profanity

        profanity.load_censor_words()
        found["better-profanity"] = profanity.contains_profanity
    if find_spec("profanity_check"):
        from profanity_check import predict

        found["alt-profanity-check"] = lambda text: bool(predict([text])[0])
    return found


def rates(truth: list[bool], found: list[bool]) -> str:
    pairs = list(zip(truth, found, strict=True))
    hits, false, missed = pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False))
    f1 = 2 * hits / (2 * hits + false + missed) if hits else 0.0
    fpr = f"{100 * false / truth.count(False):.1f}" if truth.count(False) else "-"
    return f"{100 * f1:.1f} | {100 * hits / (hits + missed):.1f} | {fpr}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with an eval folder in it")
    folder = parser.parse_args().data / "eval"
    print("| set | judge | F1 | recall | FPR | CPU ms per text |\n|---|---|---|---|---|---|")
    known = judges()
    for name in ("openaimod", "xstest", "sst"):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        truth = [row["label"] == "unsafe" for row in rows]
        for judge, flags in known.items():
            began = time.process_time()
            found = [flags(row["prompt"]) for row in rows]
            spent_ms = (time.process_time() - began) * 1000 / len(rows)
            print(f"| {name} | {judge} | {rates(truth, found)} | {spent_ms:.1f} |")


if __name__ == "__main__":
    main()
