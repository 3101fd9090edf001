"""Writes the probes that `moderation-service adapt` checks a changed model with: plain ones, in English and Chinese.

`python -m training.probes.shipped` brings the file in the package up to date.
"""

from __future__ import annotations

import json
from pathlib import Path

import moderation_service
from training.probes.rows import answer_probes, prompt_probes

__all__ = ["FILE", "rows"]

FILE = Path(moderation_service.__file__).parent / "engines" / "lite" / "assets" / "check.jsonl"
_LANGUAGES = ("en", "zh")


def rows() -> list[dict[str, str]]:
    """The rows of the file, as `eval` reads them."""
    probes = [probe for name in ("requests", "statements") for probe in prompt_probes(name)] + answer_probes()
    return [
        {
            **({"prompt": probe.text} if probe.prompt is None else {"prompt": probe.prompt, "response": probe.text}),
            "label": "unsafe" if probe.unsafe else "safe",
            "lang": probe.language,
        }
        for probe in probes
        if probe.language in _LANGUAGES
    ]


if __name__ == "__main__":
    FILE.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()), encoding="utf-8")
