"""Products of few rows are what numpy says, whatever their number."""

from __future__ import annotations

import numpy as np
import pytest

from moderation_service.engines.lite.products import product

CHANCE = np.random.default_rng(5)
WEIGHTS = CHANCE.standard_normal((96, 40)).astype(np.float32)


@pytest.mark.parametrize("count", [*range(18), 255, 256, 257, 259])
def test_a_product_is_that_of_the_matrices_for_any_number_of_rows(count: int) -> None:
    rows = CHANCE.standard_normal((count, 96)).astype(np.float32)
    found = product(rows, WEIGHTS)
    assert (found.shape, found.dtype) == ((count, 40), np.float32)
    np.testing.assert_allclose(found, rows.astype(np.float64) @ WEIGHTS, rtol=1e-4, atol=1e-4)


def test_rows_that_are_a_view_of_a_wider_matrix_are_multiplied_as_well() -> None:
    wide = CHANCE.standard_normal((6, 300)).astype(np.float32)
    for count in (1, 3, 6):
        rows = wide[:count, 100:196]
        np.testing.assert_allclose(product(rows, WEIGHTS), rows @ WEIGHTS, rtol=1e-4, atol=1e-4)
