from pathlib import Path

import numpy as np
import pytest

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.held_out_seeds import held_out_episodes
from lunar_offline.policies import SHIPPED
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.policies.policy import Policy, load_policy
from lunar_offline.seeding import Purpose, generator


def steer(observation: np.ndarray) -> np.ndarray:
    return np.array([-observation[0], 3.0 * observation[4]])


def push(observation: np.ndarray) -> np.ndarray:
    return -1.3 * observation[2:]


@pytest.mark.parametrize(
    ("source", "discrete", "env"),
    [
        ("expert", True, None),
        ("expert", False, None),
        ("thresholded:expert", None, None),
        ("controller", None, None),
        (steer, False, None),
        (push, None, "Pendulum-v1"),
    ],
)
def test_it_predicts_what_a_rollout_does(source, discrete: bool | None, env: str | None) -> None:
    policy = load_policy(source, discrete=discrete, env=env)
    mode = policy.behavior_policy(stochastic=False)
    (episode,) = held_out_episodes(mode.env, mode.act, 1)
    observations = episode.observations[:-1][:50]
    in_a_batch = policy.predict(observations)
    alone = np.stack([policy.predict(observation) for observation in observations])
    assert np.array_equal(alone, in_a_batch)
    assert alone.dtype == in_a_batch.dtype == (np.int64 if policy.env.discrete else np.float32)
    env_alone = find_env(policy.env.env_id, discrete=policy.env.discrete).make().unwrapped
    env_alone.reset(seed=episode.seed)
    for t, action in enumerate(in_a_batch):  # without the wrapper that rescales actions
        assert env_alone.action_space.contains(action)
        observation, *_ = env_alone.step(action)
        assert np.array_equal(observation.astype(np.float32), episode.observations[t + 1])


@pytest.mark.parametrize("discrete", [True, False])
def test_samples(discrete: bool) -> None:
    policy = load_policy("medium", discrete=discrete)
    observations = generator(3, Purpose.BATCH).standard_normal((40, 8), np.float32)
    mode = policy.predict(observations)
    drawn = policy.predict(observations, deterministic=False)
    assert not np.array_equal(drawn, mode)
    assert not np.array_equal(drawn, policy.predict(observations, False))
    again = load_policy("medium", discrete=discrete)
    assert np.array_equal(again.predict(observations, deterministic=False), drawn)
    first, second = (
        policy.predict(observations, deterministic=False, rng=np.random.default_rng(1))
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_shapes_and_types() -> None:
    discrete, continuous = load_policy("expert"), load_policy("expert", discrete=False)
    one = np.zeros(8)
    assert isinstance(discrete.predict(one), np.int64)
    assert np.shape(discrete.predict(one[np.newaxis])) == (1,)
    assert np.shape(discrete.predict(np.zeros((0, 8)))) == (0,)
    assert np.shape(continuous.predict(one)) == (2,)
    assert np.shape(continuous.predict(np.zeros((17, 8), dtype=int))) == (17, 2)
    assert np.shape(continuous.predict(np.zeros((0, 8)))) == (0, 2)
    for wrong in (np.zeros(7), np.zeros((1, 1, 8)), np.float64(1.0), np.array(["a"] * 8)):
        with pytest.raises(UsageError, match=r"is \[8\] or \[B, 8\] numbers, not"):
            discrete.predict(wrong)


def test_what_it_knows_of_itself() -> None:
    policy = load_policy("expert")
    assert policy.env is find_env(discrete=True)
    found = behavior_policy("expert", discrete=True)
    about = policy.metadata
    assert (about.name, about.algorithm, about.sha256) == ("expert", found.algorithm, found.sha256)
    assert about.samples
    assert not load_policy("controller").metadata.samples
    assert all(load_policy(name).env == policy.env for name in SHIPPED)


@pytest.mark.parametrize("discrete", [True, False])
def test_an_exported_policy_comes_back(discrete: bool) -> None:
    policy = load_policy("medium", discrete=discrete)
    path = policy.export("mine.safetensors")
    back = load_policy(path)
    observations = generator(3, Purpose.BATCH).standard_normal((9, 8), np.float32)
    assert np.array_equal(back.predict(observations), policy.predict(observations))
    assert back.env is policy.env
    policy.export(Path("mine.safetensors"))
    assert back.metadata.sha256 == load_policy("mine.safetensors").metadata.sha256


@pytest.mark.parametrize("source", ["controller", "random", "thresholded:expert", steer])
def test_other_policies_cannot_be_exported(source) -> None:
    policy = load_policy(source, discrete=False if source is steer else None)
    with pytest.raises(UsageError, match="only policies that lunar_offline trained have"):
        policy.export("x.safetensors")


def test_a_loaded_policy_is_collected_from() -> None:
    named = collect_dataset("a-v0", policy="medium", episodes=2)
    loaded = collect_dataset("b-v0", policy=load_policy("medium"), episodes=2)
    assert loaded.statistics.returns == named.statistics.returns
    recipes = [read_dataset(i).metadata["lunar_offline"]["recipe"] for i in ("a-v0", "b-v0")]
    assert recipes[0] == recipes[1]


def test_wrong_paths_of_an_export() -> None:
    policy: Policy = load_policy("medium")
    with pytest.raises(UsageError, match=r"x.onnx: the name of an exported policy ends in"):
        policy.export("x.onnx")
    with pytest.raises(UsageError, match="No such file or directory"):
        policy.export("nowhere/x.safetensors")
