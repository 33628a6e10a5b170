"""Training on a dataset of an env that the user names, from its first read to its evaluation."""

import warnings
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from lunar_offline.data.ids import datasets_root
from lunar_offline.data.rollout import rollout
from lunar_offline.envs import named_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.behavior import behavior_policy, random_act
from lunar_offline.experiment.launch import evaluate_run, finish, resolve, resume, start
from lunar_offline.seeding import Purpose

PENDULUM = "Pendulum-v1"
SMALL = {
    "pretrain_updates": 20,
    "online_episodes": 2,
    "warmup_steps": 10,
    "utd_ratio": 0.05,
    "batch_size": 16,
    "validate_every": 1,
    "validation_episodes": 1,
    "evaluation_episodes": 2,
    "agent": {"hidden": [8]},
}


@pytest.fixture
def pendulum() -> str:
    """A dataset of three random Pendulum episodes, as Minari writes it."""
    env = named_env(PENDULUM)
    flown = rollout(
        env.make,
        random_act(env),
        seed=0,
        episodes=range(3),
        episode_purpose=Purpose.COLLECTION_EPISODE,
        action_purpose=Purpose.COLLECTION_ACTION,
    )
    buffers = [
        EpisodeBuffer(
            id=index,
            seed=e.seed,
            observations=e.observations,  # pyright: ignore[reportArgumentType]
            actions=2.0 * e.actions,  # the env's own torque lies in [-2, 2]
            rewards=e.rewards,  # pyright: ignore[reportArgumentType]
            terminations=e.terminations,  # pyright: ignore[reportArgumentType]
            truncations=e.truncations,  # pyright: ignore[reportArgumentType]
        )
        for index, e in enumerate(flown)
    ]
    datasets_root().mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        minari.create_dataset_from_buffers("pendulum-x-v0", buffers, env=gym.spec(PENDULUM))
    return "pendulum-x-v0"


def test_training_on_it(pendulum: str) -> None:
    config = resolve(
        discrete=None, file=dict(SMALL), options={"dataset": pendulum, "env": PENDULUM}
    )
    assert not config.discrete
    training = start(config, Path("run"))
    training.train()
    summary = finish(training.run)
    assert summary is not None
    assert summary["outcomes"] == {"terminated": 0, "truncated": 2}
    assert summary["frames"] == 200.0
    assert -2000.0 < summary["mean"] < 0.0
    assert "crash_rate" not in summary
    online = training.feed.replay.records
    assert np.abs(online["actions"]).max() <= 1.0
    assert resume(Path("run")).episode == 2

    # the policy's file is no reason to make an env: the user names it
    with pytest.raises(RefusedError, match="it flies Pendulum-v1, not LunarLander-v3; name it"):
        evaluate_run(Path("run"), 1)
    with pytest.raises(RefusedError, match=r"it flies Pendulum-v1, not CartPole-v1"):
        evaluate_run(Path("run"), 1, env=named_env("CartPole-v1"))
    again = evaluate_run(Path("run"), 2, env=named_env(PENDULUM))
    assert again["returns"] == summary["returns"]


def test_it_is_not_taken_for_a_landers(pendulum: str) -> None:
    with pytest.raises(RefusedError, match="name it with --env"):
        resolve(discrete=None, file={}, options={"dataset": pendulum})
    with pytest.raises(UsageError, match="actions are continuous, not discrete"):
        resolve(discrete=True, file={}, options={"dataset": pendulum, "env": PENDULUM})
    with pytest.raises(UsageError, match="policy expert flies the lander, not Pendulum-v1"):
        behavior_policy("expert", discrete=None, env=named_env(PENDULUM))
    with pytest.raises(UsageError, match="imports a module"):
        resolve(discrete=None, file={}, options={"dataset": pendulum, "env": "os:X-v0"})
