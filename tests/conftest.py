"""Every test has its own Minari root and one torch thread."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lunar_offline.data.collect import collect
from lunar_offline.envs import lander
from lunar_offline.experiment.behavior import random_act
from lunar_offline.experiment.collection import collect_dataset
from lunar_offline.transitions import Episode


@pytest.fixture(autouse=True)
def _own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    for variable in ("MINARI_REMOTE", "HF_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _global_generators_untouched() -> Iterator[None]:
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    yield
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.fixture(scope="session")
def random_episodes() -> dict[bool, list[Episode]]:
    """Five real episodes of the random policy per action space, keyed by `discrete`."""
    return {
        discrete: list(
            collect(
                lander(discrete=discrete),
                random_act(lander(discrete=discrete)),
                seed=3,
                episodes=range(5),
            )
        )
        for discrete in (True, False)
    }


@pytest.fixture
def random_dataset() -> str:
    """A published dataset of 12 discrete random episodes."""
    collect_dataset("lunar-random-v0", policy="random", discrete=True, episodes=12)
    return "lunar-random-v0"
