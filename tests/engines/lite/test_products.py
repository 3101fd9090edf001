"""Products of few rows are what numpy says, whatever their number and whichever kernels the machine has."""

from __future__ import annotations

import numpy as np
import pytest

from moderation_service.engines.lite import products
from moderation_service.engines.lite.products import product

CHANCE = np.random.default_rng(5)
WEIGHTS = CHANCE.standard_normal((96, 40)).astype(np.float32)
# Cut into runs of several lengths, the last one shorter.
LARGE = CHANCE.standard_normal((1280, 640)).astype(np.float32)


@pytest.fixture(params=[False, True], ids=["as it is", "cut"], autouse=True)
def is_cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_quick_with_small", lambda: request.param)


@pytest.mark.parametrize("weights", [WEIGHTS, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("count", [*range(24), 255, 256, 257, 259])
def test_a_product_is_that_of_the_matrices_for_any_number_of_rows(count: int, weights: products.Floats) -> None:
    rows = CHANCE.standard_normal((count, len(weights))).astype(np.float32)
    found = product(rows, weights)
    assert (found.shape, found.dtype) == ((count, weights.shape[1]), np.float32)
    np.testing.assert_allclose(found, rows.astype(np.float64) @ weights, rtol=1e-4, atol=1e-4)


def test_rows_that_are_a_view_of_a_wider_matrix_are_multiplied_as_well() -> None:
    wide = CHANCE.standard_normal((6, 300)).astype(np.float32)
    for count in (1, 3, 6):
        rows = wide[:count, 100:196]
        np.testing.assert_allclose(product(rows, WEIGHTS), rows @ WEIGHTS, rtol=1e-4, atol=1e-4)
