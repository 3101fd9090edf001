"""What the engine takes of memory, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

_STATUS = Path("/proc/self/status")
_LOADED = f"""
from moderation_service.engines.lite.engine import LiteEngine
LiteEngine.load().check_ready()
print(next(line.split()[1] for line in open("{_STATUS}") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not _STATUS.exists(), reason="/proc tells how much memory a process took")
def test_a_process_with_the_engine_takes_less_than_180_mb_also_while_it_loads():
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 180e6
