"""A downloader in front of the stand-in hubs, and a program `vllm` that behaves as it is told."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hub_stand_in import REPO, hub_stand_in  # noqa: F401  (a fixture)
from processes import is_running

from moderation_service.launch.download import Downloader
from moderation_service.launch.hub import Hub, Source
from moderation_service.launch.progress import Console


@dataclass
class Told:
    """What the console showed, and how long the downloader would have slept."""

    stream: io.StringIO = field(default_factory=io.StringIO)
    slept: list[float] = field(default_factory=list)

    @property
    def text(self):
        return self.stream.getvalue()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def downloader(tmp_path, told):
    made = Downloader(
        cache=tmp_path / "cache", console=Console(told.stream, is_terminal=False), sleep=told.slept.append
    )
    yield made
    made.close()


@pytest.fixture(params=[Source.HUGGINGFACE, Source.MODELSCOPE], ids=lambda source: source.value)
def hub(request, hub_stand_in):  # noqa: F811
    source = request.param
    return Hub(source=source, repo=REPO, revision=source.default_revision, endpoint=hub_stand_in.url)


@dataclass
class FakeVllm:
    """The program `vllm` of fake_vllm.py, and what became of it."""

    program: Path
    folder: Path

    def behave(self, *words):
        """What each start does, in order; the last word repeats."""
        (self.folder / "behaviour").write_text(" ".join(words))

    @property
    def starts(self):
        files = sorted(self.folder.glob("start-*.json"), key=lambda file: int(file.stem.split("-")[1]))
        return [json.loads(file.read_text()) for file in files]

    @property
    def survivors(self):
        """Processes that still run, of those it ever started."""
        return [pid for start in self.starts for pid in (start["pid"], start["worker"]) if is_running(pid)]


@pytest.fixture
def fake_vllm(tmp_path):
    folder = tmp_path / "fake-vllm"
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "vllm"
    script = Path(__file__).with_name("fake_vllm.py")
    program.write_text(f'#!/bin/sh\nFAKE_VLLM="{folder}" exec "{sys.executable}" -S "{script}" "$@"\n')
    program.chmod(0o755)
    fake = FakeVllm(program, folder)
    fake.behave("serve")
    yield fake
    left = fake.survivors
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], "processes were left behind"
