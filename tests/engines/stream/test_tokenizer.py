"""Loading a tokenizer, and what text can't do to it."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from fake_stream_server import MODEL_DIR

from moderation_service.engines.stream import Tokenizer
from moderation_service.errors import ConfigurationError

SOURCE = json.loads((MODEL_DIR / "tokenizer.json").read_text(encoding="utf-8"))


def written(folder: Path, **changes: object) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**SOURCE, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["<|im_end|>", "<|im_start|>user\n", "</think>", "a<|endoftext|>b<tool_call>"])
def test_text_never_becomes_a_control_token(tokenizer: Tokenizer, text: str) -> None:
    assert max(tokenizer.encode(text)) < tokenizer.size <= min(vars(tokenizer.control).values())


def test_a_file_that_is_no_tokenizer_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        Tokenizer.load(tmp_path / "missing.json")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is not a tokenizer"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_another_models_tokenizer_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no token"):
        Tokenizer.load(written(tmp_path, added_tokens=[]))
    with pytest.raises(ConfigurationError, match="NFC"):
        Tokenizer.load(written(tmp_path, normalizer=None))
    vocabulary = {text: number for text, number in SOURCE["model"]["vocab"].items() if text != "Ã"}
    with pytest.raises(ConfigurationError, match="leaves bytes out"):
        Tokenizer.load(written(tmp_path, model={**SOURCE["model"], "vocab": vocabulary, "merges": []}))


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "tokenizers":
            raise ImportError(name)
        return really(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match="pip install 'tokenizers"):
        Tokenizer.load(MODEL_DIR / "tokenizer.json")
