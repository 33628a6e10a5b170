import json

import h5py
import numpy as np
import pytest
from gymnasium import spaces

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.folder import open_folder
from lunar_offline.datasets.readers.conversion import _scaled
from lunar_offline.datasets.verify import verify_dataset
from lunar_offline.envs.action_range import repeatable, stored_actions, to_env_range, to_unit_range
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.envs.registry import find_env

LOW, HIGH = np.array([-0.7, 3.0], dtype=np.float32), np.array([1.9, 3.3], dtype=np.float32)
ODD = spaces.Box(LOW, HIGH)


def test_the_lander_has_the_range_of_learners() -> None:
    for env in (DISCRETE, CONTINUOUS):
        actions = np.stack([env.random_action(np.random.default_rng(0)) for _ in range(3)])
        assert stored_actions(env.action_space, actions) is actions
        assert repeatable(env.action_space, actions) is actions


def test_the_bounds_of_a_range_are_minus_1_and_1() -> None:
    assert stored_actions(ODD, np.array([[-1.0, 1.0]], dtype=np.float32)) == pytest.approx(
        np.array([[-0.7, 3.3]])
    )
    assert to_unit_range(ODD, np.array([[-9.0, 3.15]])) == pytest.approx(
        np.array([[-1.0, 0.0]]), abs=1e-6
    )


def test_a_repeatable_action_is_stored_and_read_with_the_same_bits() -> None:
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (20_000, 2)).astype(np.float32)
    there = to_env_range(ODD, actions)
    assert not np.array_equal(to_unit_range(ODD, there), actions)  # rounding
    kept = repeatable(ODD, actions)
    assert kept == pytest.approx(actions, abs=1e-5)
    assert np.array_equal(to_unit_range(ODD, to_env_range(ODD, kept)), kept)


def test_the_reader_computes_the_same_bits() -> None:
    class Request:
        low, high = LOW.tolist(), HIGH.tolist()

    actions = np.random.default_rng(1).uniform(LOW, HIGH, (1_000, 2)).astype(np.float32)
    read = np.asarray(_scaled(actions, Request()), dtype=np.float32)  # type: ignore[arg-type]
    assert np.array_equal(read, to_unit_range(ODD, actions))


def test_a_dataset_holds_actions_of_the_envs_own_range() -> None:
    collect_dataset("pendulum-v0", policy="random", env=find_env("Pendulum-v1"), episodes=3)
    data = read_dataset("pendulum-v0")
    with h5py.File(data.path / "data" / "main_data.hdf5") as file:
        stored = np.concatenate([file[f"episode_{e}/actions"][:] for e in range(3)])
    space = json.loads(
        json.loads((data.path / "data" / "metadata.json").read_text())["action_space"]
    )
    assert space["high"] == [2.0]
    assert 1.9 < np.abs(stored).max() <= 2.0
    assert np.array_equal(stored / 2.0, data.transitions.actions)
    assert verify_dataset(open_folder("pendulum-v0"), replay=None).replayed == 3
