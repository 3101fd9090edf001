"""The same labels on a Ray cluster. Needs the extra `ray`.

`annotate` labels a Ray data set; `Cluster` is the window of the command `annotate --ray`. Both ask actors of ours that
hold an engine as the service has it: Ray's own stages for language models would render the prompts of a guard wrongly
(with the answer's end cut off, so that the template asks for its continuation) and end a job for one bad row.
"""

from __future__ import annotations

from ...config.extras import install_command

try:
    from .cluster import Cluster
    from .dataset import annotate
    from .judging import Judges
    from .vllm_server import OwnVllm
except ModuleNotFoundError as missing:
    if missing.name not in ("ray", "pyarrow"):
        raise
    raise ModuleNotFoundError(f"This needs Ray: {install_command('ray')}", name=missing.name) from None

__all__ = ["Cluster", "Judges", "OwnVllm", "annotate"]
