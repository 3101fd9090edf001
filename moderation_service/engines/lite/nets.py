"""Small feed-forward nets over sentence embeddings; several of one kind, averaged."""

import math

import numpy as np
from numpy.typing import NDArray

from .assets import Stored
from .encoder import DIMENSIONS
from .products import product

__all__ = ["Nets", "net_inputs", "response_inputs"]

Floats = NDArray[np.float32]

_GELU_SCALE = np.float32(math.sqrt(2 / math.pi))
_GELU_CUBE = np.float32(0.044715)


def net_inputs(vectors: Floats) -> Floats:
    """Scale unit vectors to the size the nets were trained on."""
    return np.asarray(vectors * np.float32(math.sqrt(DIMENSIONS) / 2), dtype=np.float32)


def response_inputs(prompts: Floats, responses: Floats, refusals: Floats) -> Floats:
    """Return rows for the response nets, of scaled vectors and of 1 for a refusal.

    The product tells where an answer stays with its question; halved, so that it is no larger than they are.
    """
    return np.concatenate((prompts, responses, refusals[:, None], prompts * responses / 2), axis=1, dtype=np.float32)


class Nets:
    """Linear, GELU (tanh form), linear; the mean of all nets' outputs.

    The first layers lie side by side in one matrix; so the second layers, one below the other, add up the nets.
    """

    def __init__(self, arrays: Stored, name: str) -> None:
        self._first = arrays[f"{name}_first"].astype(np.float32)
        self._first_bias = arrays[f"{name}_first_bias"].astype(np.float32)
        self._second = arrays[f"{name}_second"].astype(np.float32)
        self._second_bias = arrays[f"{name}_second_bias"].astype(np.float32)

    def outputs(self, inputs: Floats) -> Floats:
        """Return one row of logits per row of inputs."""
        outputs: Floats = self.hidden(inputs) @ self._second + self._second_bias
        return outputs

    def hidden(self, inputs: Floats) -> Floats:
        """Return what the last layer sees."""
        hidden = product(inputs, self._first)
        hidden += self._first_bias
        # Not hidden**3: numpy's power takes longer than the products.
        hidden *= 0.5 * (1 + np.tanh(_GELU_SCALE * (hidden + _GELU_CUBE * (hidden * hidden * hidden))))
        return hidden
