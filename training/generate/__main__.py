"""Write the generated rows: `python -m training.generate`. The files in training/own/ are what this prints today."""

from __future__ import annotations

import gzip
import json

from ..data import OWN
from . import answers, deeds, first_person, long_answers, plain_answers, prompts, requests, responses, written

for name, generator in (
    ("own4", prompts.rows),
    ("own4_resp", responses.rows),
    ("own5", requests.rows),
    ("own5_resp", answers.rows),
    ("own6", first_person.rows),
    ("own7_resp", long_answers.rows),
    ("own8", deeds.rows),
    ("own9_resp", plain_answers.rows),
    ("own10", written.prompt_rows),
    ("own10_resp", written.answer_rows),
):
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in generator()]
    with gzip.GzipFile(OWN / f"{name}.jsonl.gz", "wb", mtime=0) as stream:
        stream.write("".join(lines).encode())
    print(name, len(lines))
