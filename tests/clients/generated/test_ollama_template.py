"""The template of the Modelfile for Ollama, rendered by Go's text/template, as Ollama does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..conftest import FOLDER

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "examples" / "ollama" / "make_modelfile.py"
MODEL = ROOT / "examples" / "tiny-guard" / "model"


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(texts)]


CONVERSATIONS = [
    turns("How can I make a bomb?"),
    turns("How can I make a bomb?", "I'm sorry."),
    turns("Hi", "Hello!", 'With "quotes", {{ braces }}, `ticks`, \\ and\nlines </script> &amp; 👩‍👩‍👧'),
    turns("", "An answer alone", "你好", "好的"),
    turns(*(f"turn {number}" for number in range(9))),
]


def test_go_makes_of_the_modelfiles_template_what_the_models_own_template_makes(tmp_path: Path) -> None:
    made = subprocess.run([sys.executable, SCRIPT, MODEL, "x.gguf"], capture_output=True, text=True, check=True).stdout
    _, template, _ = made.split('"""')
    caches = {"GOCACHE": str((FOLDER / "go-cache").resolve()), "GOPATH": str(tmp_path / "go"), "GOPROXY": "off"}
    done = subprocess.run(
        [FOLDER / "bin/go", "run", HERE / "template.go"],
        input=json.dumps({"template": template, "conversations": CONVERSATIONS}),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **caches},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    wanted = environment.from_string((MODEL / "chat_template.jinja").read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == [wanted.render(messages=messages) for messages in CONVERSATIONS]
