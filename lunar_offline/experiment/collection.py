"""Collect and publish a dataset: behaviour policy, episodes, metadata."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lunar_offline.data.collect import collect
from lunar_offline.data.ids import check_free, dataset_path
from lunar_offline.data.publish import DatasetInfo, publish
from lunar_offline.errors import UsageError
from lunar_offline.experiment.behavior import BehaviorPolicy, behavior_policy, reference_mean
from lunar_offline.experiment.evaluate import outcome
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.provenance import provenance, versions
from lunar_offline.seeding import check_seed


@dataclass(frozen=True)
class Collected:
    """A published dataset in numbers: returns are undiscounted, `crash_rate` a share."""

    dataset_id: str
    path: Path
    episodes: int
    steps: int
    mean_return: float
    sd_return: float
    crash_rate: float


def collect_dataset(
    dataset_id: str,
    *,
    policy: str = "expert",
    discrete: bool | None = None,
    episodes: int = 800,
    seed: int = 0,
    observer: Observer | None = None,
) -> Collected:
    """Fly `episodes` episodes and publish them as `dataset_id`.

    Args:
        dataset_id: a free Minari id.
        policy: see `behavior_policy`; its actions are sampled.
        discrete: action space; None takes the policy's own, discrete for a tier.
        episodes: at least one.
        seed: of env resets and action noise.
        observer: hears of the progress.

    Raises:
        UsageError: the id is malformed, no such policy, or no episode asked for.
        RefusedError: the id is taken, or the policy's file is damaged.
    """
    observer = observer or Silent()
    if episodes < 1:
        raise UsageError(f"--episodes {episodes}: at least one")
    check_seed(seed)
    check_free(dataset_id)
    torch.set_num_threads(1)
    behavior = behavior_policy(policy, discrete=discrete)
    observer.phase("collecting", episodes, 0)
    flown = []
    for episode in collect(behavior.env, behavior.act, seed=seed, episodes=episodes):
        flown.append(episode)
        observer.advance(1, episode_return=episode.episode_return)
    returns = np.array([episode.episode_return for episode in flown])
    collected = Collected(
        dataset_id=dataset_id,
        path=dataset_path(dataset_id),
        episodes=episodes,
        steps=sum(len(episode) for episode in flown),
        mean_return=float(returns.mean()),
        sd_return=float(returns.std()),
        crash_rate=sum(outcome(episode) == "crashed" for episode in flown) / episodes,
    )
    observer.phase("publishing", 1, 0)
    publish(dataset_id, flown, behavior.env, _info(collected, behavior, seed))
    observer.advance(1)
    return collected


def _info(collected: Collected, behavior: BehaviorPolicy, seed: int) -> DatasetInfo:
    env = behavior.env
    discrete = env.discrete
    pinned = versions()
    description = (
        f"{collected.episodes} episodes ({collected.steps} steps) of the {behavior.name} policy "
        f"({behavior.algorithm}, actions sampled) in "
        f"[{env.env_id}](https://gymnasium.farama.org/environments/box2d/lunar_lander/) with "
        f"{env.action_name} actions. Mean return {collected.mean_return:.1f}, standard deviation "
        f"{collected.sd_return:.1f}. Recorded by lunar_offline {pinned['lunar-offline']}; every "
        "episode replays from its seed and actions."
    )
    return DatasetInfo(
        algorithm_name=behavior.algorithm,
        description=description,
        requirements=[f"gymnasium[box2d]=={pinned['gymnasium']}", f"box2d=={pinned['box2d']}"],
        ref_min_score=reference_mean("random", discrete=discrete),
        ref_max_score=reference_mean("expert", discrete=discrete),
        recipe={
            "env_id": env.env_id,
            "env_kwargs": dict(env.kwargs),
            "policy": behavior.name,
            "policy_sha256": behavior.sha256,
            "seed": seed,
            "episodes": collected.episodes,
        },
        provenance=provenance(),
    )
