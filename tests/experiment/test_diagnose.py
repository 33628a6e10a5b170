"""Diagnostics and alarms of real, tiny runs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lunar_offline.data.reader import read_dataset
from lunar_offline.envs import DISCRETE
from lunar_offline.errors import DivergedError, LunarOfflineError, RefusedError, UsageError
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.diagnose import (
    Flight,
    Start,
    as_learned,
    diagnose,
    fly_from,
    replayed_starts,
    soft_return,
)
from lunar_offline.experiment.health import check_health
from lunar_offline.experiment.launch import resolve, start
from lunar_offline.learn.algorithms import make_learner
from lunar_offline.learn.learner import AgentConfig, ValueLearner
from lunar_offline.learn.policies import ActionSpec

TINY = {"updates": 20, "batch_size": 32, "rho": 1.0, "agent": {"hidden": [16]}}


class Known:
    """A learner whose values and bonus are known."""

    greedy = False

    def values(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.full((len(observations),), 10.0)

    def entropy_bonus(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.full((len(observations),), 0.5)


def test_a_soft_return_by_hand() -> None:
    def flight(*, terminated: bool) -> Flight:
        zeros = np.zeros((3, 8), dtype=np.float32)
        return Flight(zeros, np.zeros(2, dtype=np.int64), np.array([1.0, 3.0]), terminated)

    known: ValueLearner = Known()  # type: ignore[assignment]
    # (1 + 0.5) + 0.9 (3 + 0.5)
    assert soft_return(known, flight(terminated=True), 0.9) == pytest.approx(4.65)
    # a time limit: + 0.81 * 10
    assert soft_return(known, flight(terminated=False), 0.9) == pytest.approx(12.75)


@pytest.mark.parametrize("terminated", [True, False])
def test_a_flight_is_judged_by_the_rewards_that_were_learned(terminated: bool) -> None:
    # x is 0, 0.3 and 0.6 away: the potential is 0, -30 and -60
    observations = np.zeros((3, 8), dtype=np.float32)
    observations[:, 0] = [0.0, 0.3, 0.6]
    flown = Flight(observations, np.zeros(2, np.int64), np.array([-30.0, -100.0]), terminated)
    plain = TrainConfig(dataset="x-v0", agent=AgentConfig(discount=0.9))
    assert as_learned(flown, plain) is flown
    learned = as_learned(flown, dataclasses.replace(plain, invariant_shaping=True))
    # 0.9 (-30) - 0, and a terminal reward as it was or -100 + 0.1 (60)
    assert learned.rewards == pytest.approx([-27.0, -100.0 if terminated else -94.0], rel=1e-5)


def test_replayed_starts_are_the_datasets_states(random_dataset: str) -> None:
    dataset = read_dataset(random_dataset)
    learner = make_learner("cql-sac", "cql-h", AgentConfig(hidden=(16,)), ActionSpec(True, 4), 8, 0)
    assert isinstance(learner, ValueLearner)
    known = {row.tobytes() for row in dataset.transitions.observations}
    starts = replayed_starts(dataset, 5)
    assert len({len(s.prefix) for s in starts}) > 1
    for index, begin in enumerate(starts):
        flight = fly_from(DISCRETE, learner, begin, index)
        assert flight.observations[0].tobytes() in known
    with pytest.raises(RefusedError, match="ends early"):
        fly_from(DISCRETE, learner, Start(starts[0].seed, np.zeros(2_000, dtype=np.int64)), 0)


@pytest.mark.parametrize("algorithm", ["cql-sac", "cql-qr"])
def test_a_run_is_diagnosed(random_dataset: str, algorithm: str) -> None:
    agent = {"hidden": [16], "layer_norm": False}
    options = TINY | {"dataset": random_dataset, "algorithm": algorithm, "agent": agent}
    start(resolve(discrete=None, file={}, options=options), Path("run")).train()
    result = diagnose(Path("run"), states=3)
    assert json.loads(Path("run/diagnosis.json").read_text()) == result
    assert set(result) == {"initial", "replayed"}
    for kind in result.values():
        assert kind["gap"] == pytest.approx(kind["predicted"] - kind["true"])
        assert kind["gap_low"] <= kind["gap"] <= kind["gap_high"]
        # 20 updates from nothing predict about 0, and an untrained policy crashes
        assert abs(kind["predicted"]) < 20.0
    if algorithm == "cql-qr":
        assert result["initial"]["true"] < -20.0
    else:  # about 80 steps with a bonus of ln 4 outweigh the crash
        assert -20.0 < result["initial"]["true"] < 138.0


def test_cloning_has_nothing_to_diagnose(random_dataset: str) -> None:
    options = TINY | {"dataset": random_dataset, "algorithm": "bc"}
    start(resolve(discrete=None, file={}, options=options), Path("run")).train()
    with pytest.raises(UsageError, match="no critics"):
        diagnose(Path("run"))
    with pytest.raises(UsageError, match="--states 0"):
        diagnose(Path("run"), states=0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"q_mean": float("nan")}, "q_mean is nan"),
        ({"q_mean": -2e4}, "critics diverged at update 7"),
        ({"temperature": 500.0}, "temperature exploded at update 7"),
    ],
)
def test_alarms(line: dict, reason: str) -> None:
    check_health(
        {"update_step": 7, "q_mean": -900.0, "temperature": 3.0, "td_loss": 1e4},
        DISCRETE,
    )
    with pytest.raises(DivergedError, match=reason):
        check_health({"update_step": 7} | line, DISCRETE)


def test_a_run_that_diverges_is_stopped_with_a_clear_line(random_dataset: str) -> None:
    agent = {"hidden": [16], "layer_norm": False, "learning_rate": 30.0, "tau": 1.0}
    options = TINY | {"dataset": random_dataset, "updates": 3_000, "agent": agent}
    training = start(resolve(discrete=None, file={}, options=options), Path("run"))
    with pytest.raises(LunarOfflineError, match=r"diverged at update 1000: .*learning_rate"):
        training.train()
