"""Diagnostics and alarms of real, tiny runs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pendulum import PENDULUM, pendulum_dataset

from lunar_offline.agents.algorithms.cql_sac import CQLSACConfig
from lunar_offline.agents.learner import ValueLearner
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.registry import find_algorithm, make_learner
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.envs.lander import DISCRETE
from lunar_offline.envs.registry import named_env
from lunar_offline.errors import DivergedError, LunarOfflineError, RefusedError, UsageError
from lunar_offline.studies.value_gap import (
    Start,
    as_learned,
    diagnose,
    replayed_starts,
    rollout_from,
    soft_return,
)
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.divergence import check_divergence
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import start
from lunar_offline.transitions import Episode

SAC = find_algorithm("sac")
TINY = {"updates": 20, "batch_size": 32, "rho": 1.0, "agent": {"hidden": [16]}}


def trained(**options: object) -> RunFolder:
    """Train a tiny run and return it."""
    training = start(resolve(discrete=None, file={}, options=TINY | options), Path("run"))
    training.train()
    return RunFolder.open(Path("run"))


def two_steps(observations: np.ndarray, rewards: list[float], *, terminated: bool) -> Episode:
    """Return an episode of two steps, ended by the env or by a time limit."""
    ends = np.array([False, True])
    return Episode(
        observations=observations,
        actions=np.zeros(2, dtype=np.int64),
        rewards=np.array(rewards),
        terminations=ends & terminated,
        truncations=ends & (not terminated),
    )


class Known:
    """A learner whose values and bonus are known."""

    greedy = False

    def values(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.full((len(observations),), 10.0)

    def entropy_bonus(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.full((len(observations),), 0.5)


def test_a_soft_return_by_hand() -> None:
    zeros = np.zeros((3, 8), dtype=np.float32)
    landed, cut = (two_steps(zeros, [1.0, 3.0], terminated=ended) for ended in (True, False))
    known: ValueLearner = Known()  # type: ignore[assignment]
    # (1 + 0.5) + 0.9 (3 + 0.5)
    assert soft_return(known, landed, 0.9) == pytest.approx(4.65)
    # a time limit: + 0.81 * 10
    assert soft_return(known, cut, 0.9) == pytest.approx(12.75)


@pytest.mark.parametrize("terminated", [True, False])
def test_an_episode_is_judged_by_the_rewards_that_were_learned(terminated: bool) -> None:
    # x is 0, 0.3 and 0.6 away: the potential is 0, -30 and -60
    observations = np.zeros((3, 8), dtype=np.float32)
    observations[:, 0] = [0.0, 0.3, 0.6]
    episode = two_steps(observations, [-30.0, -100.0], terminated=terminated)
    plain = TrainConfig(dataset="x-v0", agent=CQLSACConfig(discount=0.9))
    assert as_learned(episode, plain, DISCRETE) is episode
    shaped = dataclasses.replace(plain, invariant_shaping=True)
    learned = as_learned(episode, shaped, DISCRETE)
    # 0.9 (-30) - 0, and a terminal reward as it was or -100 + 0.1 (60)
    assert learned.rewards == pytest.approx([-27.0, -100.0 if terminated else -94.0], rel=1e-5)
    assert learned.rewards.dtype == np.float64
    # an env whose shaping is not known keeps its rewards
    other = as_learned(episode, shaped, named_env(PENDULUM))
    assert other.rewards.tolist() == [-30.0, -100.0]


def test_replayed_starts_are_the_datasets_states(random_dataset: str) -> None:
    dataset = read_dataset(random_dataset)
    learner = make_learner("cql-sac", CQLSACConfig(hidden=(16,)), ActionSpec(True, 4), 8, 0)
    assert isinstance(learner, ValueLearner)
    known = {row.tobytes() for row in dataset.transitions.observations}
    starts = replayed_starts(dataset, 5)
    assert len({len(s.prefix) for s in starts}) > 1
    for index, begin in enumerate(starts):
        episode = rollout_from(DISCRETE, learner, begin, index)
        assert episode.observations[0].tobytes() in known
        assert len(episode.observations) == len(episode.actions) + 1 == len(episode.rewards) + 1
        assert episode.terminations[-1] or episode.truncations[-1]
    with pytest.raises(RefusedError, match="ends early"):
        rollout_from(DISCRETE, learner, Start(starts[0].seed, np.zeros(2_000, dtype=np.int64)), 0)


@pytest.mark.parametrize("algorithm", ["cql-sac", "cql-qr", "iql"])
def test_a_run_is_diagnosed(random_dataset: str, algorithm: str) -> None:
    agent = {"hidden": [16]} | ({"layer_norm": False} if algorithm == "cql-sac" else {})
    run = trained(dataset=random_dataset, algorithm=algorithm, agent=agent)
    result = diagnose(run, states=3)
    assert json.loads(Path("run/diagnosis.json").read_text()) == result
    assert set(result) == {"initial", "replayed"}
    for kind in result.values():
        assert kind["states"] == 3
        assert kind["gap"] == pytest.approx(kind["predicted"] - kind["true"])
        assert kind["gap_low"] <= kind["gap"] <= kind["gap_high"]
        # 20 updates from nothing predict about 0, and an untrained policy crashes
        assert abs(kind["predicted"]) < 20.0
    if algorithm != "cql-sac":  # no entropy bonus
        assert result["initial"]["true"] < -20.0
    else:  # about 80 steps with a bonus of ln 4 outweigh the crash
        assert -20.0 < result["initial"]["true"] < 138.0


@pytest.mark.parametrize("algorithm", ["cql-sac", "sac", "iql", "td3-bc"])
def test_a_run_of_another_env_is_diagnosed(algorithm: str) -> None:
    run = trained(dataset=pendulum_dataset(), env=PENDULUM, algorithm=algorithm)
    result = diagnose(run, states=2)
    assert json.loads(Path("run/diagnosis.json").read_text()) == result
    assert set(result) == {"initial", "replayed"}
    for kind in result.values():
        assert kind["states"] == 2
        assert kind["gap"] == pytest.approx(kind["predicted"] - kind["true"])
        # 20 updates predict about 0; each of 200 steps costs up to 16.3
        assert abs(kind["predicted"]) < 50.0
        assert -3_300.0 < kind["true"] < kind["predicted"]


def test_replayed_starts_of_another_env_are_the_datasets_states() -> None:
    env = named_env(PENDULUM)
    dataset = read_dataset(pendulum_dataset(), env)
    learner = make_learner("cql-sac", CQLSACConfig(hidden=(16,)), ActionSpec(False, 1), 3, 0)
    assert isinstance(learner, ValueLearner)
    known = {row.tobytes() for row in dataset.transitions.observations}
    for index, begin in enumerate(replayed_starts(dataset, 3)):
        assert len(begin.prefix)
        assert rollout_from(env, learner, begin, index).observations[0].tobytes() in known


@pytest.mark.parametrize("env", ["LunarLander-v3", PENDULUM])
def test_cloning_has_nothing_to_diagnose(request: pytest.FixtureRequest, env: str) -> None:
    lander = env != PENDULUM
    dataset = request.getfixturevalue("random_dataset") if lander else pendulum_dataset()
    run = trained(dataset=dataset, env=env, algorithm="bc")
    with pytest.raises(UsageError, match="algorithm bc has no critics to diagnose"):
        diagnose(run)
    with pytest.raises(UsageError, match="--states 0"):
        diagnose(run, states=0)
    assert not Path("run/diagnosis.json").exists()


def test_a_run_without_a_checkpoint_has_nothing_to_diagnose(random_dataset: str) -> None:
    options = TINY | {"dataset": random_dataset}
    training = start(resolve(discrete=None, file={}, options=options), Path("run"))
    with pytest.raises(UsageError, match="run: no checkpoint yet"):
        diagnose(training.run)


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"q_mean": float("nan")}, "q_mean is nan"),
        ({"q_mean": -2e4}, "critics diverged at update 7"),
        ({"temperature": 500.0}, "temperature diverged at update 7"),
    ],
)
def test_alarms(metrics: dict, reason: str) -> None:
    harmless = {"q_mean": -900.0, "temperature": 3.0, "td_loss": 1e4}
    check_divergence(harmless, 7, DISCRETE, SAC)
    with pytest.raises(DivergedError, match=reason):
        check_divergence(metrics, 7, DISCRETE, SAC)


def test_an_alarm_names_options_of_the_algorithm_alone() -> None:
    for name, remedy in (
        ("bc", "lower agent.learning_rate"),
        ("iql", "lower agent.learning_rate"),
        ("sac", "lower agent.learning_rate, or keep agent.layer_norm"),
        ("cql-sac", "lower agent.learning_rate, keep agent.layer_norm, or raise --penalty-weight"),
    ):
        with pytest.raises(DivergedError, match=f"policy_loss is nan; {remedy}$"):
            check_divergence({"policy_loss": float("nan")}, 7, DISCRETE, find_algorithm(name))
    # "temperature" may mean something else in an algorithm without a target entropy
    other = dataclasses.replace(find_algorithm("iql"), metrics={"temperature": "of the air"})
    check_divergence({"temperature": 500.0}, 7, DISCRETE, other)
    with pytest.raises(LunarOfflineError, match="iql returns the metric 'q_mean', which its"):
        check_divergence({"q_mean": 0.0}, 7, DISCRETE, other)


def test_an_env_without_known_returns_has_no_bound_on_values() -> None:
    check_divergence({"q_mean": -2e4}, 7, named_env(PENDULUM), SAC)
    with pytest.raises(DivergedError, match="temperature diverged"):
        check_divergence({"temperature": 500.0}, 7, named_env(PENDULUM), SAC)


def test_a_run_that_diverges_is_stopped_with_a_clear_line(random_dataset: str) -> None:
    agent = {"hidden": [16], "layer_norm": False, "learning_rate": 30.0, "tau": 1.0}
    options = TINY | {"dataset": random_dataset, "updates": 3_000, "agent": agent}
    training = start(resolve(discrete=None, file={}, options=options), Path("run"))
    with pytest.raises(LunarOfflineError, match=r"diverged at update 1000: .*learning_rate"):
        training.train()
