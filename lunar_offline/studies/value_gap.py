"""The value gap: predicted value minus true discounted return, both soft (CQL paper, Table 4)."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lunar_offline.agents.learner import ValueLearner
from lunar_offline.agents.nn.policies import act
from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.rollout import EpisodeRecorder
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.held_out_seeds import EVALUATION_SEED
from lunar_offline.progress import Observer, Silent
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.statistics import bootstrap
from lunar_offline.storage.strict_json import write_json
from lunar_offline.training.batches import discount_of
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.make_learner import checkpoint_spec, learner_of
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.transitions import Episode, Transitions


@dataclass(frozen=True)
class Start:
    """The start of a rollout: an env seed, and actions to replay before the policy acts."""

    seed: int
    prefix: NDArray[Any]


def diagnose(
    run: RunFolder, *, states: int = 100, observer: Observer | None = None
) -> dict[str, dict[str, float]]:
    """Compare the critics' values with the returns of the policy, and write diagnosis.json.

    The policy is the one that the critics evaluate: the stochastic policy of training, or the
    greedy one (cql-qr, iql, td3-bc). Only the algorithms of SAC have an entropy bonus. Rollouts
    start from held-out initial states, and from states in the middle of the dataset's episodes,
    which are reached by replaying an episode's actions from its seed.

    Args:
        run: run of an algorithm with critics; diagnosis.json is written into it.
        states: number of starts of each kind, at least 1.
        observer: receives the progress.

    Returns:
        For each kind of start, `initial` and `replayed`: the means over states of `predicted`,
        `true` and their difference `gap`, the ends of its 95% bootstrap interval, `gap_low` and
        `gap_high`, and the number of `states`.

    Raises:
        UsageError: `states` is below 1, the run has no checkpoint yet, or its algorithm has no
            critics.
        RefusedError: the checkpoint or dataset cannot be read, or a replayed episode ends early.
    """
    if states < 1:
        raise UsageError(f"--states {states}: at least one")
    config = run.config()
    env, learner = config.env_info(), restored_learner(run, config)
    starts = {"initial": initial_starts(states)}
    dataset = read_dataset(config.dataset) if config.dataset else None
    same_env = dataset is not None and dataset.env == env  # else its episodes do not replay
    if dataset is not None and same_env and any(seed is not None for seed in dataset.seeds):
        starts["replayed"] = replayed_starts(dataset, states)
    observer = observer or Silent()
    observer.phase("rollouts", sum(map(len, starts.values())), 0)
    result: dict[str, dict[str, float]] = {}
    for kind, places in starts.items():
        predicted, true = [], []
        for index, start in enumerate(places):
            episode = as_learned(rollout_from(env, learner, start, index), config, env)
            predicted.append(float(learner.values(_tensor(episode.observations[:1]))[0]))
            true.append(soft_return(learner, episode, discount_of(config)))
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
    write_json(run.path / "diagnosis.json", result)
    return result


def restored_learner(run: RunFolder, config: TrainConfig) -> ValueLearner:
    """Restore the learner of the newest checkpoint.

    Raises:
        UsageError: the algorithm has no critics, or the run has no checkpoint yet.
        RefusedError: no checkpoint can be read.
    """
    learner = learner_of(config)
    if not isinstance(learner, ValueLearner):
        raise UsageError(f"algorithm {config.algorithm} has no critics to diagnose")
    checkpoint = run.load_checkpoint(config, checkpoint_spec(config, learner))
    if checkpoint is None:
        raise UsageError(f"{run.path}: no checkpoint yet")
    learner.load_state_tensors(checkpoint.tensors, checkpoint.counters.update_step)
    return learner


def initial_starts(n: int) -> list[Start]:
    """Return the starts of the first n held-out episodes."""
    nothing = np.empty(0, dtype=np.int64)
    return [
        Start(episode_seed(EVALUATION_SEED, Purpose.EVALUATION_EPISODE, e), nothing)
        for e in range(n)
    ]


def replayed_starts(dataset: Dataset, n: int) -> list[Start]:
    """Draw n states of the dataset's seeded episodes, uniformly among their steps."""
    ends = dataset.transitions.episode_ends()
    begins = np.concatenate([[0], ends[:-1]])
    seeds = dataset.seeds
    seeded = [e for e, seed in enumerate(seeds) if seed is not None]
    rows = np.concatenate([np.arange(begins[e], ends[e]) for e in seeded])
    drawn = generator(EVALUATION_SEED, Purpose.DIAGNOSIS).choice(rows, size=n)
    starts = []
    for row in drawn:
        episode = int(np.searchsorted(ends, row, side="right"))
        seed = seeds[episode]
        assert seed is not None
        starts.append(Start(seed, dataset.transitions.actions[begins[episode] : row]))
    return starts


def rollout_from(env: EnvInfo, learner: ValueLearner, start: Start, index: int) -> Episode:
    """Replay the prefix of a start and run the learner's policy to the end of the episode.

    Args:
        env: the env to run in.
        learner: the learner whose policy acts.
        start: see `Start`.
        index: index of the start; the counter of the action noise.

    Returns:
        The episode after the prefix.

    Raises:
        RefusedError: the episode ends within the prefix, so the env does not reproduce it.
    """
    recorder = EpisodeRecorder(env.make())
    rng = generator(EVALUATION_SEED, Purpose.DIAGNOSIS, 1 + index)
    try:
        if recorder.replay(start.seed, start.prefix) is not None:
            raise RefusedError("a replayed episode ends early: Box2D or the platform may differ")
        episode = None
        while episode is None:
            rngs = None if learner.greedy else [rng]
            episode = recorder.step(act(learner.policy, recorder.observations[-1][None], rngs)[0])
    finally:
        recorder.env.close()
    n = len(start.prefix)
    return Episode(
        observations=episode.observations[n:],
        actions=episode.actions[n:],
        rewards=episode.rewards[n:],
        terminations=episode.terminations[n:],
        truncations=episode.truncations[n:],
    )


def as_learned(episode: Episode, config: TrainConfig, env: EnvInfo) -> Episode:
    """Return an episode with the rewards from which the run's critics learned."""
    if not config.invariant_shaping:
        return episode
    rows = Transitions.from_episodes([episode])
    rewards = env.learned_rewards(rows, discount_of(config), invariant=True)
    return replace(episode, rewards=rewards.astype(np.float64))


def soft_return(learner: ValueLearner, episode: Episode, discount: float) -> float:
    """Return sum_t discount^t (r_t - temperature log pi(a_t | s_t)).

    The critics' soft value predicts this quantity. After a truncation, the predicted value of the
    last state replaces the remaining terms.
    """
    with torch.no_grad():
        observations = _tensor(episode.observations[:-1])
        bonus = learner.entropy_bonus(observations, _tensor(episode.actions))
    steps = episode.rewards + bonus.double().numpy()
    weights = discount ** np.arange(len(steps))
    total = float((weights * steps).sum())
    if not episode.terminations[-1]:
        rest = float(learner.values(_tensor(episode.observations[-1:]))[0])
        total += discount ** len(steps) * rest
    return total


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
