"""`annotate --ray` where there is no Ray; with one, see tests/ray."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from processes import run_command


@pytest.mark.skipif(find_spec("ray") is not None, reason="there is one here")
def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text('{"prompt": "bread"}\n')
    ended = run_command("annotate", str(given), "-o", str(tmp_path / "out.jsonl"), "--engine", "lite", "--ray")
    assert ended.returncode == 1
    assert b"This needs Ray: pip install '" in ended.stderr
    # By the requirements that the installed package tells of, or by the extra's name in the clone.
    assert b"'ray[data]" in ended.stderr or b"'.[ray]'" in ended.stderr


def test_a_file_behind_ray_is_not_taken_for_an_address(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text('{"prompt": "bread"}\n')
    ended = run_command("annotate", str(given), "-o", str(tmp_path / "out.jsonl"), "--ray", str(given))
    assert ended.returncode == 2
    assert b"write --ray behind the files" in ended.stderr
