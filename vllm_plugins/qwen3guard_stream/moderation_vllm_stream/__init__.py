"""vLLM plugin for Qwen3Guard-Stream: adds the architecture `Qwen3ForGuardModel`.

vLLM calls `register` in every process that it starts, whichever model it serves; for other models nothing changes.
"""

from __future__ import annotations

import logging

__all__ = ["TESTED_SERIES", "register"]

TESTED_SERIES = ((0, 28), (0, 32))
"""The oldest and the newest series of vLLM whose rows were compared with the reference implementation."""


def register() -> None:
    """Make the architecture known to vLLM. Warns outside the tested versions: what is used of vLLM is internal."""
    import vllm

    series = _series(vllm.__version__)
    if series is None or not TESTED_SERIES[0] <= series <= TESTED_SERIES[1]:
        oldest, newest = (".".join(map(str, one)) for one in TESTED_SERIES)
        logging.getLogger("vllm.qwen3guard_stream").warning(
            "qwen3guard_stream was tested with vLLM %s to %s and this is %s: compare its rows with the reference "
            "before you trust them (docs/stream.md, Versions)",
            oldest,
            newest,
            vllm.__version__,
        )
    # A name and not the class: importing torch in the front-end process could initialise CUDA there.
    vllm.ModelRegistry.register_model("Qwen3ForGuardModel", "moderation_vllm_stream.model:Qwen3ForGuardModel")


def _series(version: str) -> tuple[int, ...] | None:
    """`0.32.0+cpu` as (0, 32); None for a development build without a number."""
    try:
        return tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return None
