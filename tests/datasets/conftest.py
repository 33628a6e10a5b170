"""What tests of datasets share; `foreign_data` beside it writes datasets with Minari alone."""

import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet_minari() -> Iterator[None]:
    """Minari warns of every standard key that is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
