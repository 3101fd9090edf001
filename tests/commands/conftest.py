"""The command line in this process, and the stand-in hubs for `download`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hub_stand_in import hub_stand_in  # noqa: F401

from moderation_service.commands.cli import main

Ended = tuple[int, str, str]
"""Exit code, standard output and standard error."""
Run = Callable[..., Ended]

# What the command sets itself, and what of the outside would change what it says.
OUTSIDE = (
    "LC_ALL", "LC_MESSAGES", "LANG", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_TOKEN",
    "HF_ENDPOINT", "XDG_CACHE_HOME",
)  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process, with these arguments and environment variables."""
    for name in OUTSIDE:
        # Set first, so that what the command sets itself is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def run(*arguments: object, **variables: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["moderation-service", *map(str, arguments)])
        code: object = 0
        with monkeypatch.context() as environ:
            for name, value in variables.items():
                environ.setenv(name, value)
            try:
                main()
            except SystemExit as end:
                code = end.code
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return code, captured.out, captured.err

    return run
