"""One command rebuilds the weights: `python -m training build --data DIR --out DIR`."""

import os

# One thread, before numpy is imported: sums in another order would change the last bits of the weights.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

from .build import main  # noqa: E402

main()
