"""The vLLM plugin's registration, without vLLM: what it registers, and when it warns. tests/vllm has the rest."""

from __future__ import annotations

import logging
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

PLUGIN = Path(__file__).parents[2] / "vllm_plugins" / "qwen3guard_stream"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was registered with a stand-in for vLLM."""
    found: list[tuple[str, str]] = []

    class Registry:
        @staticmethod
        def register_model(architecture: str, model: str) -> None:
            found.append((architecture, model))

    fake = ModuleType("vllm")
    fake.ModelRegistry = Registry  # type: ignore[attr-defined]
    fake.__version__ = "0.32.0+cpu"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.delitem(sys.modules, "moderation_vllm_stream", raising=False)
    return found


def register() -> None:
    from moderation_vllm_stream import register as plugin

    plugin()


def test_the_architecture_is_registered_by_name_so_that_torch_is_not_imported(
    registered: list[tuple[str, str]],
) -> None:
    register()
    assert registered == [("Qwen3ForGuardModel", "moderation_vllm_stream.model:Qwen3ForGuardModel")]
    assert "torch" not in sys.modules


@pytest.mark.parametrize(
    ("version", "warns"),
    [("0.28.0", False), ("0.32.1rc1", False), ("0.27.9", True), ("0.33.0", True), ("1.0", True), ("dev", True)],
)
def test_versions_outside_of_the_tested_ones_are_warned_of(
    registered: list[tuple[str, str]], caplog: pytest.LogCaptureFixture, version: str, warns: bool
) -> None:
    sys.modules["vllm"].__version__ = version  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING):
        register()
    assert [one for one in caplog.records if version in one.getMessage()] == caplog.records
    assert bool(caplog.records) is warns


def test_vllm_finds_the_plugin_by_its_entry_point() -> None:
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["vllm.general_plugins"] == {"qwen3guard_stream": "moderation_vllm_stream:register"}
    assert "dependencies" not in project, "pip would put the CUDA build of vLLM beside the CPU one"
