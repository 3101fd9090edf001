"""own5: harmful statements beside harmless ones, contrast pairs, long harmless texts, more languages; as prompts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain

from ..data import Row
from .contrasts import contrasts
from .documents import documents
from .korean import korean
from .legal import legal_texts
from .own_rows import prompts
from .statements import statements
from .tongues import tongues

__all__ = ["rows"]

# Harmless rows that sound harmful weigh less: with as much, plain requests for harm lose more than those gain.
_HARMFUL_WEIGHT, _HARMLESS_WEIGHT, _LONG_WEIGHT = 1.0, 0.6, 0.3
_DOCUMENTS, _DOCUMENT_SEED = 240, 11


def rows(seed: int = 5) -> Iterator[Row]:
    """Yield the rows in a fixed order for a seed."""
    chance = random.Random(seed)
    said = ((lang, "", text, category) for lang, text, category in statements(chance))
    asked = (("ko", topic, text, category) for topic, text, category in korean(chance))
    long = chain(legal_texts(chance), documents(_DOCUMENTS, seed=_DOCUMENT_SEED))
    short = chain(said, contrasts(chance), asked, tongues(chance))
    return prompts(
        "own5",
        chain(
            ((*row, _HARMFUL_WEIGHT if row[-1] else _HARMLESS_WEIGHT) for row in short),
            ((lang, "", text, None, _LONG_WEIGHT) for lang, text in long),
        ),
    )
