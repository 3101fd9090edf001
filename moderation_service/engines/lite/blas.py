"""The library behind numpy's matrix products: one thread, whatever the machine and the environment say.

The workers are the parallelism. A second thread per product does not make a text of ordinary length any faster, and on
a busy machine each product waits for the slower thread: twenty times as long, measured.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["is_quick_with_small", "thread_counts", "use_one_thread"]

_MAPS = Path("/proc/self/maps")
# Libraries by a part of their file's name, with their functions to set and to ask; numpy's own OpenBLAS prefixes its.
_OPENBLAS = tuple(
    (f"{prefix}openblas_set_num_threads{suffix}", f"{prefix}openblas_get_num_threads{suffix}")
    for prefix in ("scipy_", "")
    for suffix in ("64_", "")
)
_LIBRARIES = {
    "openblas": _OPENBLAS,
    "blas.so": _OPENBLAS,
    "mkl_rt": (("MKL_Set_Num_Threads", "MKL_Get_Max_Threads"),),
    "blis": (("bli_thread_set_num_threads", "bli_thread_get_num_threads"),),
}

# Kernels of OpenBLAS that multiply small matrices without copying them first: those for AVX-512, on AMD's machines too.
_QUICK_WITH_SMALL = frozenset({"SkylakeX", "Cooperlake", "SapphireRapids"})


def use_one_thread() -> None:
    """Tell the BLAS library that numpy has loaded; one that is not known, and systems without /proc, are left alone.

    There the environment decides, which the command line sets before numpy is loaded.
    """
    for library, (setter, _) in _loaded():
        library[setter](1)


def thread_counts() -> list[int]:
    """How many threads each known library uses."""
    return [int(library[getter]()) for library, (_, getter) in _loaded()]


@cache
def is_quick_with_small() -> bool:
    """Whether small matrix products take another way here than large ones; to be asked with numpy loaded.

    False where that isn't known.
    """
    return any(_core_name(library, setter) in _QUICK_WITH_SMALL for library, (setter, _) in _loaded())


def _core_name(library: ctypes.CDLL, setter: str) -> str:
    """Which kernels an OpenBLAS has chosen for this processor, "" for another library; its functions share a prefix."""
    name = setter.replace("set_num_threads", "get_corename")
    if name == setter or not hasattr(library, name):
        return ""
    ask = library[name]
    ask.restype = ctypes.c_char_p
    return str((ask() or b"").decode(errors="replace"))


def _loaded() -> Iterator[tuple[ctypes.CDLL, tuple[str, str]]]:
    for path in _mapped():
        for part, pairs in _LIBRARIES.items():
            if part in Path(path).name:
                # Loaded already: this only counts another user of it.
                library = ctypes.CDLL(path)
                found = next((pair for pair in pairs if hasattr(library, pair[0])), None)
                if found is not None:
                    yield library, found
                break


def _mapped() -> list[str]:
    """The files of the shared libraries of this process."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    paths = (line[line.index("/") :] for line in lines if "/" in line and ".so" in line)
    return list(dict.fromkeys(path for path in paths if Path(path).exists()))
