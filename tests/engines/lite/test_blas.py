import os
import subprocess
import sys

import pytest

from moderation_service.engines.lite.blas import thread_counts

CODE = """
import os
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.engines.lite.blas import thread_counts
before = thread_counts()
LiteEngine.load()
print(before, thread_counts())
"""


@pytest.mark.skipif(not thread_counts(), reason="numpy's BLAS library is none of those that can be asked")
def test_a_loaded_engine_uses_one_thread_whatever_the_environment_says():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("] [")[1].strip() == "1]"
