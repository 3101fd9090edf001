"""One command rebuilds the weights: `python -m training build --data DIR --out DIR`; others measure them."""

import os
import sys

# One thread, before numpy is imported: sums in another order would change the last bits of the weights.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

if sys.argv[1:2] == ["probes"]:  # needs nothing that training needs
    del sys.argv[1]
    from .probes.measure import main
elif sys.argv[1:2] == ["ablate"]:
    del sys.argv[1]
    from .ablate import main
elif sys.argv[1:2] == ["around"]:
    del sys.argv[1]
    from .around import main
else:
    from .build import main

main()
