import os
import platform
import subprocess
import sys
from pathlib import Path

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


def cpu_flags() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return []


def says_quick_with_small(environment: dict[str, str]) -> bool:
    code = "import numpy; from moderation_service.engines.lite.blas import is_quick_with_small as asked; print(asked())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return {"True\n": True, "False\n": False}[done.stdout]


@pytest.mark.skipif(not thread_counts(), reason="numpy's BLAS library is none of those that can be asked")
def test_a_loaded_engine_uses_one_thread_whatever_the_environment_says():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("] [")[1].strip() == "1]"


@pytest.mark.skipif(not thread_counts(), reason="numpy's BLAS library is none of those that can be asked")
@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="the kernels are named after processors of x86"
)
def test_kernels_without_avx_512_take_no_other_way_for_small_products():
    assert not says_quick_with_small({**os.environ, "OPENBLAS_CORETYPE": "Haswell"})


@pytest.mark.skipif("avx512f" not in cpu_flags(), reason="this processor has no AVX-512")
@pytest.mark.skipif(not thread_counts(), reason="numpy's BLAS library is none of those that can be asked")
def test_kernels_for_avx_512_are_known_by_their_name():
    assert says_quick_with_small({name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"})
