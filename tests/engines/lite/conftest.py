import os
from pathlib import Path

import pytest

from moderation_service.engines.lite.model import LiteModel

REPOSITORY = Path(__file__).parents[3]
# Read on import: the suite clears such variables for every test.
DATA = Path(os.environ.get("MODERATION_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def model():
    return LiteModel.load()


@pytest.fixture(scope="session")
def data_folder():
    if not (DATA / "eval").is_dir():
        pytest.skip("no data folder: set MODERATION_DATA to one with train/ and eval/")
    return DATA
