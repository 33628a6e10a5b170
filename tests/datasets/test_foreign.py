"""Datasets that this project did not write: other envs, Arrow, Minari's own collector."""

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from foreign_data import record, write_dataset
from minari.data_collector import EpisodeBuffer
from minari_buffers import minari_buffers

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.readers import sandbox
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.registry import find_env, named_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import datasets_root
from lunar_offline.transitions import Episode

PENDULUM = "Pendulum-v1"


pytestmark = pytest.mark.usefixtures("quiet_minari")


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
def test_another_env(kind: str) -> None:
    buffers = record(PENDULUM, 3, 20)
    write_dataset("pendulum-x-v0", PENDULUM, buffers, kind)
    dataset = read_dataset("pendulum-x-v0")
    assert dataset.env is find_env(PENDULUM)
    assert dataset.seeds == [0, 1, 2]
    episodes = dataset.episodes()
    assert [len(e) for e in episodes] == [20, 20, 20]
    for episode, buffer in zip(episodes, buffers, strict=True):
        assert np.array_equal(episode.observations, np.array(buffer.observations))
        # Pendulum's torque lies in [-2, 2], a learner's actions in [-1, 1]
        assert episode.actions == pytest.approx(np.array(buffer.actions) / 2.0, abs=1e-7)
        assert np.array_equal(episode.rewards, np.array(buffer.rewards))
        assert episode.truncations.tolist() == buffer.truncations
    with pytest.raises(RefusedError, match=r"is 'Pendulum-v1', not CartPole-v1$"):
        read_dataset("pendulum-x-v0", named_env("CartPole-v1"))


def test_an_env_that_the_user_names_once() -> None:
    write_dataset("car-x-v0", "MountainCar-v0", record("MountainCar-v0", 2, 15))
    with pytest.raises(RefusedError, match="'MountainCar-v0' is not registered; name it once"):
        read_dataset("car-x-v0")
    assert len(read_dataset("car-x-v0", named_env("MountainCar-v0"))) == 2
    find_env("MountainCar-v0")
    assert read_dataset("car-x-v0").env.env_id == "MountainCar-v0"


def test_a_discrete_env_with_infinite_observation_bounds() -> None:
    buffers = record("CartPole-v1", 2, 15)
    write_dataset("cartpole-x-v0", "CartPole-v1", buffers)
    dataset = read_dataset("cartpole-x-v0", named_env("CartPole-v1"))
    assert dataset.transitions.actions.tolist() == [a for b in buffers for a in b.actions]


@pytest.mark.parametrize("steps", [7, 999])
def test_an_odd_number_of_records_of_28_bytes(steps: int) -> None:
    env_id = "MountainCarContinuous-v0"
    (buffer,) = record(env_id, 1, steps)
    write_dataset("car-x-v0", env_id, [buffer])
    dataset = read_dataset("car-x-v0", named_env(env_id))
    assert dataset.transitions.records.dtype.itemsize == 28
    assert np.array_equal(dataset.transitions.observations, np.array(buffer.observations)[:-1])
    assert np.array_equal(dataset.episodes()[0].rewards, np.array(buffer.rewards))


def test_a_named_env_takes_what_learners_give() -> None:
    made = named_env(PENDULUM).make()
    assert isinstance(made.action_space, gym.spaces.Box)
    assert made.action_space.high == pytest.approx(1.0)
    made.reset(seed=0)
    observation, *_ = made.step(np.array([0.5], dtype=np.float32))
    plain = gym.make(PENDULUM)
    plain.reset(seed=0)
    assert np.array_equal(observation, plain.step(np.array([1.0], dtype=np.float32))[0])


@pytest.mark.parametrize(
    ("env_id", "reason"),
    [
        ("Nothing-v0", "Nothing"),
        ("FrozenLake-v1", "its observations are not one vector"),
        ("no_such_module:X-v0", "no_such_module"),
        ("", "--env"),
    ],
)
def test_an_env_that_cannot_be_named(env_id: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        named_env(env_id)


@pytest.mark.parametrize("discrete", [True, False, None])
def test_the_default_env_may_be_named_too(discrete: bool | None) -> None:
    env = find_env("LunarLander-v3", discrete=discrete)
    assert env is find_env(discrete=discrete)
    assert env.discrete == (discrete is not False)
    assert "landed" in env.outcomes


@pytest.mark.parametrize("discrete", [True, False])
def test_landers_in_arrow(random_episodes: dict[bool, list[Episode]], discrete: bool) -> None:
    env: EnvInfo = find_env(discrete=discrete)
    buffers = minari_buffers(random_episodes[discrete])
    datasets_root().mkdir(parents=True)
    minari.create_dataset_from_buffers(
        "lunar-arrow-v0", buffers, env=env.spec(), data_format="arrow", description="x"
    )
    dataset = read_dataset("lunar-arrow-v0")
    for ours, theirs in zip(random_episodes[discrete], dataset.episodes(), strict=True):
        assert ours.seed == theirs.seed
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    part = next((datasets_root() / "lunar-arrow-v0" / "data" / "2").glob("*.arrow"))
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(RefusedError, match=r"episode_2|episode 2"):
        read_dataset("lunar-arrow-v0")


def test_what_minari_draws_and_renders_and_joins() -> None:
    """Seeds of 64 bits, as its collector draws them; a spec with a render mode; combine; append."""
    seeds = [2**64 - 2, 2**63]
    recorded = zip(record("LunarLander-v3", 2, 30), seeds, strict=True)
    buffers = [replace(buffer, seed=seed) for buffer, seed in recorded]
    datasets_root().mkdir(parents=True)
    env = gym.make("LunarLander-v3", render_mode="rgb_array")
    first, second = (
        minari.create_dataset_from_buffers(f"{name}-v0", buffers, env=env, description="x")
        for name in ("a", "b")
    )
    env.close()
    assert read_dataset("a-v0").seeds == seeds
    minari.combine_datasets([first, second], "both-v0")
    both = read_dataset("both-v0")
    half = len(both.transitions) // 2
    assert len(both.seeds) == 4
    records = both.transitions.records
    assert np.array_equal(records[:half], records[half:])
    third = record("LunarLander-v3", 1, 30)[0]
    second.update_dataset_from_buffer([replace(third, id=None)])
    assert len(read_dataset("b-v0").seeds) == 3


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
def test_a_long_episode_gets_the_memory_it_needs(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A file of 48 MB, read with a base of 24 MiB: a large dataset is no hostile one."""
    monkeypatch.setattr(sandbox, "BASE_MEMORY", 24 << 20)
    steps, info = 1_000_000, find_env(discrete=True)
    observations = np.random.default_rng(0).random((steps + 1, 8), np.float32)
    zeros, last = np.zeros(steps), np.arange(steps) == steps - 1
    episode = EpisodeBuffer(
        0, 0, None, observations, zeros.astype(int), zeros, last, np.zeros(steps, bool)
    )
    root = Path(datasets_root())
    root.mkdir(parents=True, exist_ok=True)
    minari.create_dataset_from_buffers("long-v0", [episode], env=info.spec(), data_format=kind)
    assert np.array_equal(read_dataset("long-v0").transitions.observations, observations[:-1])
