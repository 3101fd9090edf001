"""Two real model servers as one engine: tiny-guard, and a copy of it with noise in its weights as the small model.

How well the noise is found out says nothing of Qwen3Guard; that the bounds found on one half hold on the other, what
goes up and what happens without one of the two is the same with any two models. The examples that tiny-guard knows by
heart can't fail here, so texts that it has never seen are judged too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from fake_guard_server import wait_until

from moderation_service.commands.cli import cli
from moderation_service.config.settings import Secret, Settings, Url
from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Detail, Severity, Verdict
from moderation_service.engines.cascade import CascadeEngine, create, create_models

from . import servers

pytestmark = pytest.mark.vllm

NOISE = 0.6
"""In standard deviations of each matrix."""


def noisy(folder: Path) -> Path:
    """A copy of tiny-guard with noise in every matrix."""
    shutil.copytree(servers.TINY_GUARD / "model", folder)
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + size]), bytearray(raw[8 + size :])
    chance = np.random.default_rng(1)
    for name, tensor in header.items():
        if name != "__metadata__" and len(tensor["shape"]) == 2:
            begin, end = tensor["data_offsets"]
            values = (np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
            changed = values + chance.normal(0, NOISE * values.std(), values.shape).astype(np.float32)
            data[begin:end] = (changed.view(np.uint32) >> 16).astype("<u2").tobytes()
    path.write_bytes(raw[: 8 + size] + bytes(data))
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servers.ModelServer, servers.ModelServer]]:
    """The small model's server and the large one's."""
    python = str(servers.venv(".venv-llamacpp") / "bin" / "python")
    started = []
    try:
        for model, name in ((str(noisy(tmp_path_factory.mktemp("noisy") / "model")), "small"), ("model", "large")):
            words = ["--api-key", servers.KEY, "--served-name", name, "--max-len", "2048"]
            one = servers.ModelServer([python, "serve_llamacpp.py", model, "{port}", *words], {})
            started.append(one)
            one.start()
        for one in started:
            one.wait_until_healthy()
        yield started[0], started[1]
    finally:
        for one in started:
            one.stop()


def options(pair: tuple[servers.ModelServer, servers.ModelServer], **changes: object) -> Settings:
    small, large = pair
    return Settings(
        engine="cascade",
        small_upstreams=(Url(small.url),),
        small_upstream_api_key=Secret(servers.KEY),
        upstreams=(Url(large.url),),
        upstream_api_key=Secret(servers.KEY),
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture
def engine(pair: tuple[servers.ModelServer, servers.ModelServer]) -> Iterator[CascadeEngine]:
    one = create(options(pair, cascade_safe=0.9, cascade_unsafe=0.5))
    yield one
    one.close()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def unseen() -> list[str]:
    """Texts in seven languages that were written for measuring another engine, each once."""
    folder = servers.ROOT / "training" / "probes"
    names = ("requests", "statements", "languages", "answers", "personal_data")
    texts = dict.fromkeys(
        text
        for name in names
        for text in strings(yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")))
    )
    return list(texts)


def calibrated(
    pair: tuple[servers.ModelServer, servers.ModelServer], rows: list[dict[str, Any]], folder: Path, *, agreement: float
) -> Any:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {"MODERATION_UPSTREAM_API_KEY": servers.KEY, "MODERATION_SMALL_UPSTREAM_API_KEY": servers.KEY}
    small, large = pair
    words = ["calibrate", str(path), "--small-upstream", small.url, "--upstream", large.url, "--in-flight", "8"]
    words += ["--agreement", str(agreement)]
    done = CliRunner(env=keys).invoke(cli, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    print(done.stdout)
    return json.loads(done.stdout)["targets"]


def test_on_texts_that_neither_was_made_for_two_in_five_go_up_at_most(pair, tmp_path: Path) -> None:
    found = calibrated(pair, [{"prompt": text} for text in unseen()], tmp_path, agreement=1.0)["prompt"]
    shown = found["reported_on"]
    assert shown["texts"] >= 400
    assert shown["small_alone"] < 0.99, "a small model that never errs proves nothing"
    assert found["chosen_on"]["agreement"] == 1.0
    assert shown["agreement"] >= 0.99
    assert shown["up"] <= 0.4


def test_the_examples_that_both_know_agree(pair, tmp_path: Path) -> None:
    rows = [{"messages": messages} for messages, _ in servers.tiny_guard_data().examples()]
    for target, found in calibrated(pair, rows, tmp_path, agreement=0.99).items():
        assert found["reported_on"]["agreement"] >= 0.99, target
        assert found["reported_on"]["up"] <= 0.4, target


def verdicts(found: list[Any]) -> list[Verdict]:
    return [one for one in found if isinstance(one, Verdict)]


@pytest.mark.parametrize("detail", list(Detail))
def test_every_verdict_is_that_of_the_model_which_is_named(engine, pair, detail: Detail) -> None:
    models = create_models(options(pair))
    texts = [Conversation.of(prompt=text) for text in unseen()[:60]]
    together = engine.judge(texts, detail=detail)
    try:
        small, large = (model.judge(texts, detail=detail) for model in models)
    finally:
        for model in models:
            model.close()
    assert {one.model for one in together if isinstance(one, Verdict)} == {"small", "large"}
    for found, first, second in zip(together, small, large, strict=True):
        if not isinstance(found, Verdict):
            # On texts that it was not made for the tiny model's answer is sometimes none.
            assert not isinstance(second, Verdict)
            continue
        assert found.severity is {"small": first, "large": second}[found.model].severity


def test_a_kill_of_either_server_is_survived(pair, engine) -> None:
    small, large = pair
    texts = [Conversation.of(prompt=text) for text in unseen()[:40]]
    before = engine.judge(texts)
    small.kill()
    without_small = engine.judge(texts)
    assert {one.model for one in verdicts(without_small)} == {"large"}
    assert len(verdicts(without_small)) > 30
    small.start()
    small.wait_until_healthy()
    # It is used again once it has answered the service's own questions, a second or two later.
    assert wait_until(lambda: any(one.by_small for one in verdicts(engine.judge(texts[:10]))))
    large.kill()
    without_large = engine.judge(texts)
    for first, then in zip(before, without_large, strict=True):
        if isinstance(first, Verdict) and first.by_small:
            assert isinstance(then, Verdict), "what the small model is sure of it decides alone"
            assert then.severity is first.severity
        else:
            assert not isinstance(then, Verdict) or then.severity is not Severity.SAFE
    large.start()
    large.wait_until_healthy()
