"""Predicted value against true discounted return, both soft (CQL paper, Table 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lunar_offline.data.reader import OfflineDataset, read_dataset
from lunar_offline.envs import EnvInfo, invariant_rewards, lander
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.feed import learns_shaped
from lunar_offline.experiment.learners import checkpoint_spec, learner_of
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.records import write_json
from lunar_offline.experiment.run_dir import RunDir
from lunar_offline.experiment.stats import bootstrap
from lunar_offline.learn.learner import ValueLearner
from lunar_offline.learn.policies import act
from lunar_offline.seeding import Purpose, episode_seed, generator

EVALUATION_SEED = 0


@dataclass(frozen=True)
class Start:
    """Where a flight begins: an env seed, and actions that are replayed before the policy acts."""

    seed: int
    prefix: NDArray[Any]


@dataclass(frozen=True)
class Flight:
    """What a policy met from a start.

    Attributes:
        observations: float32 [T + 1, D], the first one that which it began from.
        actions: [T].
        rewards: float64 [T].
        terminated: whether the env ended it; a time limit did, otherwise.
    """

    observations: NDArray[np.float32]
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    terminated: bool


def diagnose(
    path: Path, *, states: int = 100, observer: Observer | None = None
) -> dict[str, dict[str, float]]:
    """Compare a run's critics with what its policy gets, and write diagnosis.json into the run.

    The policy is the one that the critics are of: stochastic as it trains, or greedy (cql-qr).
    Starts are held-out initial states, and states in the middle of the dataset's episodes, reached
    by replaying their actions from their seed.

    Args:
        path: a run of cql-sac, sac or cql-qr.
        states: starts of each kind.
        observer: hears of the progress.

    Returns:
        By kind of start, `initial` and `replayed`: `predicted`, `true` and their difference `gap`
        (means over states), with the ends of its 95% bootstrap interval, `gap_low` and `gap_high`.

    Raises:
        UsageError: no run, no state, or an algorithm without critics.
        RefusedError: its checkpoint or dataset cannot be read, or a replay leaves the dataset.
    """
    if states < 1:
        raise UsageError(f"--states {states}: at least one")
    run = RunDir.open(path)
    config = run.config()
    env, learner = lander(discrete=config.discrete), restored_learner(run, config)
    starts = {"initial": initial_starts(states)}
    dataset = read_dataset(config.dataset) if config.dataset else None
    if dataset is not None and any(seed is not None for seed in dataset.seeds):
        starts["replayed"] = replayed_starts(dataset, states)
    observer = observer or Silent()
    observer.phase("flights", sum(map(len, starts.values())), 0)
    result: dict[str, dict[str, float]] = {}
    for kind, places in starts.items():
        predicted, true = [], []
        for index, start in enumerate(places):
            flight = as_learned(fly_from(env, learner, start, index), config)
            predicted.append(float(learner.values(_tensor(flight.observations[:1]))[0]))
            true.append(soft_return(learner, flight, config.agent.discount))
            observer.advance(1)
        gaps = np.array(predicted) - np.array(true)
        gap = bootstrap(np.mean, gaps)
        result[kind] = {
            "predicted": float(np.mean(predicted)),
            "true": float(np.mean(true)),
            "gap": gap.value,
            "gap_low": gap.low,
            "gap_high": gap.high,
            "states": len(places),
        }
    write_json(path / "diagnosis.json", result)
    return result


def restored_learner(run: RunDir, config: TrainConfig) -> ValueLearner:
    """Restore what the newest checkpoint holds."""
    if config.algorithm == "bc":
        raise UsageError("algorithm bc has no critics to diagnose")
    learner = learner_of(config)
    assert isinstance(learner, ValueLearner)
    checkpoint = run.load_checkpoint(config, checkpoint_spec(config, learner))
    if checkpoint is None:
        raise UsageError(f"{run.path}: no checkpoint yet")
    learner.load_state_tensors(checkpoint.tensors, checkpoint.counters.update_step)
    return learner


def initial_starts(n: int) -> list[Start]:
    """Return the first n held-out episodes."""
    nothing = np.empty(0, dtype=np.int64)
    return [
        Start(episode_seed(EVALUATION_SEED, Purpose.EVALUATION_EPISODE, e), nothing)
        for e in range(n)
    ]


def replayed_starts(dataset: OfflineDataset, n: int) -> list[Start]:
    """Draw n states of the dataset's seeded episodes, uniformly among their steps."""
    ends = dataset.transitions.episode_ends()
    begins = np.concatenate([[0], ends[:-1]])
    seeded = [e for e, seed in enumerate(dataset.seeds) if seed is not None]
    rows = np.concatenate([np.arange(begins[e], ends[e]) for e in seeded])
    drawn = generator(EVALUATION_SEED, Purpose.DIAGNOSIS).choice(rows, size=n)
    starts = []
    for row in drawn:
        episode = int(np.searchsorted(ends, row, side="right"))
        seed = dataset.seeds[episode]
        assert seed is not None
        starts.append(Start(seed, dataset.transitions.actions[begins[episode] : row]))
    return starts


def fly_from(env_info: EnvInfo, learner: ValueLearner, start: Start, index: int) -> Flight:
    """Replay a start's prefix and fly on with the learner's policy to the episode's end.

    Raises:
        RefusedError: the episode ends within the prefix: it is not what its seed gives here.
    """
    env = env_info.make()
    rng = generator(EVALUATION_SEED, Purpose.DIAGNOSIS, 1 + index)
    try:
        observation, _ = env.reset(seed=start.seed)
        for action in start.prefix:
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                raise RefusedError("a replayed episode ends early: another Box2D or platform?")
        observations, actions, rewards = [np.asarray(observation)], [], []
        terminated = truncated = False
        while not (terminated or truncated):
            rngs = None if learner.greedy else [rng]
            action = act(learner.policy, observations[-1][None], rngs)[0]
            observation, reward, terminated, truncated, _ = env.step(action)
            observations.append(np.asarray(observation))
            actions.append(action)
            rewards.append(float(reward))
    finally:
        env.close()
    return Flight(np.stack(observations), np.asarray(actions), np.asarray(rewards), terminated)


def as_learned(flight: Flight, config: TrainConfig) -> Flight:
    """Return a flight with the rewards that the run's critics have learned from."""
    if not learns_shaped(config, lander(discrete=config.discrete)):
        return flight
    terminations = np.zeros(len(flight.rewards), dtype=bool)
    terminations[-1] = flight.terminated
    following, discount = flight.observations[1:], config.agent.discount
    return replace(
        flight,
        rewards=invariant_rewards(flight.rewards, following, terminations, discount),
    )


def soft_return(learner: ValueLearner, flight: Flight, discount: float) -> float:
    """Return sum_t discount^t (r_t - temperature log pi(a_t | s_t)).

    That is what the critics' soft value predicts. After a time limit the predicted value of the
    last state stands for the rest.
    """
    with torch.no_grad():
        bonus = learner.entropy_bonus(_tensor(flight.observations[:-1]), _tensor(flight.actions))
    steps = flight.rewards + bonus.double().numpy()
    weights = discount ** np.arange(len(steps))
    total = float((weights * steps).sum())
    if not flight.terminated:
        rest = float(learner.values(_tensor(flight.observations[-1:]))[0])
        total += discount ** len(steps) * rest
    return total


def _tensor(array: Sequence[Any] | NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
