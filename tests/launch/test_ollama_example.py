"""The Modelfile for Ollama: its pieces, put together, are what the model's own template makes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "ollama" / "make_modelfile.py"
MODEL = ROOT / "examples" / "tiny-guard" / "model"
TEMPLATE = (MODEL / "chat_template.jinja").read_text()


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("make_modelfile", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def turns(*texts):
    return [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    "messages",
    [
        turns("How can I make a bomb?"),
        turns("How can I make a bomb?", "I'm sorry."),
        turns("Hi", "Hello!", 'With "quotes" and {{ braces }} \\ and\nlines'),
        turns("", "An answer alone", "你好", "好的"),
    ],
)
def test_the_pieces_make_what_the_template_makes(example, messages):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    wanted = environment.from_string(TEMPLATE).render(messages=messages)
    assert example.take_apart(TEMPLATE).render(messages) == wanted


def test_a_template_of_another_kind_is_refused(example):
    with pytest.raises(ValueError, match="does not mark"):
        example.take_apart("{% for m in messages %}{{ m.content }}{% endfor %}")


def test_the_modelfile_names_the_file_and_holds_every_piece(example):
    done = subprocess.run([sys.executable, SCRIPT, MODEL, "/m/x.gguf"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith('FROM /m/x.gguf\nTEMPLATE """{{ $last := "" }}')
    assert done.stdout.count('"""') == 2
    assert done.stdout.endswith('PARAMETER temperature 0\nPARAMETER num_ctx 4096\nPARAMETER stop "<|im_end|>"\n')
    assert done.stdout.count("{{ end }}") == done.stdout.count("{{ if ") + done.stdout.count("{{ range ")
    for words in ("<BEGIN SAFETY POLICY>", "<BEGIN REFUSAL POLICY>", "USER: ", "ASSISTANT: "):
        assert words in done.stdout
