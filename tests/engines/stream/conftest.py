"""Fixtures: the tokenizer of tiny-guard, and engines in front of a fake server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_stream_server import MODEL_DIR, FakeStreamServer, write_model_dir

from moderation_service.config.settings import Settings, Url
from moderation_service.engines import create_engine
from moderation_service.engines.stream import StreamEngine, Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(MODEL_DIR / "tokenizer.json")


@pytest.fixture
def upstream() -> Iterator[FakeStreamServer]:
    with FakeStreamServer() as server:
        yield server


@pytest.fixture
def engine_for(tmp_path: Path) -> Iterator[Callable[..., StreamEngine]]:
    """Makes engines, and closes them."""
    made: list[StreamEngine] = []

    def make(server: FakeStreamServer, *, config: dict[str, object] | None = None, **settings: object) -> StreamEngine:
        folder = write_model_dir(tmp_path, **(config or {}))
        options = {
            "stream_upstream": Url(server.url),
            "stream_model_dir": folder,
            "stream_timeout_s": 20.0,  # a busy machine may need some of it
            **settings,
        }
        engine = create_engine(Settings(engine="stream", **options))  # type: ignore[arg-type]
        assert isinstance(engine, StreamEngine)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()
