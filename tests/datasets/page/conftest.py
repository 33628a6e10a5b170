"""Datasets to draw: of the lander in either action space, and of envs that are not registered."""

import pytest
from foreign_data import record, write_dataset
from pages import dataset_of

from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.envs.registry import named_env


@pytest.fixture(params=[True, False], ids=["discrete", "continuous"])
def dataset(request: pytest.FixtureRequest, random_episodes) -> Dataset:
    return dataset_of(random_episodes[request.param], discrete=request.param)


@pytest.fixture(params=["CartPole-v1", "Pendulum-v1"])
def foreign(request: pytest.FixtureRequest) -> Dataset:
    """A dataset that Minari wrote, of an env that is not registered here."""
    write_dataset("other/env-v0", request.param, record(request.param, 6, 30))
    return read_dataset("other/env-v0", named_env(request.param))
