"""Collect and publish a dataset: behaviour policy, episodes, metadata."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lunar_offline.data.collect import collect
from lunar_offline.data.ids import check_free, dataset_path
from lunar_offline.data.journal import open_journal
from lunar_offline.data.manifest import read_manifest
from lunar_offline.data.publish import DatasetInfo, publish
from lunar_offline.data.reader import read_dataset
from lunar_offline.errors import UsageError
from lunar_offline.experiment.behavior import BehaviorPolicy, behavior_policy, reference_mean
from lunar_offline.experiment.card import card, statistics
from lunar_offline.experiment.evaluate import outcome
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.provenance import provenance, versions
from lunar_offline.seeding import check_seed
from lunar_offline.transitions import Episode


@dataclass(frozen=True)
class Collected:
    """A published dataset in numbers: returns are undiscounted, `crash_rate` a share.

    `was_there` says that the same recipe had been published before.
    """

    dataset_id: str
    path: Path
    episodes: int
    steps: int
    mean_return: float
    sd_return: float
    crash_rate: float
    was_there: bool = False


def collect_dataset(
    dataset_id: str,
    *,
    policy: str = "expert",
    discrete: bool | None = None,
    episodes: int = 800,
    seed: int = 0,
    workers: int = 1,
    observer: Observer | None = None,
) -> Collected:
    """Fly `episodes` episodes and publish them as `dataset_id`.

    Every episode is journalled as it lands, so the same call goes on after any crash, and gives the
    same bytes. A dataset that stands already with the same recipe is left as it is.

    Args:
        dataset_id: a free Minari id.
        policy: see `behavior_policy`; its actions are sampled.
        discrete: action space; None takes the policy's own, discrete for a tier.
        episodes: at least one.
        seed: of env resets and action noise.
        workers: processes that fly; the dataset's bytes do not depend on how many.
        observer: hears of the progress.

    Raises:
        UsageError: the id is malformed, no such policy, or no episode asked for.
        RefusedError: the id is taken by another recipe, another process records it, or the policy's
            file is damaged.
    """
    observer = observer or Silent()
    if episodes < 1:
        raise UsageError(f"--episodes {episodes}: at least one")
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one")
    check_seed(seed)
    torch.set_num_threads(1)
    behavior = behavior_policy(policy, discrete=discrete)
    recipe = {
        "env_id": behavior.env.env_id,
        "env_kwargs": dict(behavior.env.kwargs),
        "policy": behavior.name,
        "policy_sha256": behavior.sha256,
        "seed": seed,
    }
    if _is_there(dataset_id, recipe | {"episodes": episodes}):
        return _describe(dataset_id, read_dataset(dataset_id).episodes(), there=True)
    with open_journal(dataset_id, recipe) as journal:
        missing = [index for index in range(episodes) if index not in journal]
        observer.phase("collecting", episodes, episodes - len(missing))
        flown = collect(
            behavior.env,
            behavior.act,
            seed=seed,
            episodes=missing,
            workers=workers,
            prepare=partial(torch.set_num_threads, 1),
        )
        for index, episode in zip(missing, flown, strict=True):
            journal.append(index, episode)
            observer.advance(1, episode_return=episode.episode_return)
        recorded = journal.episodes(episodes)
        observer.phase("publishing", 1, 0)
        collected = _describe(dataset_id, recorded)
        info = _info(collected, behavior, recipe | {"episodes": episodes}, recorded)
        publish(dataset_id, recorded, behavior.env, info)
        journal.discard()
        observer.advance(1)
    return collected


def _is_there(dataset_id: str, recipe: dict[str, Any]) -> bool:
    """Say whether this very dataset stands already; raise RefusedError where another one does."""
    if not dataset_path(dataset_id).exists():
        return False
    manifest = read_manifest(dataset_path(dataset_id))
    if manifest is None or manifest.get("recipe") != recipe:
        check_free(dataset_id)
    return True


def _describe(dataset_id: str, episodes: Sequence[Episode], *, there: bool = False) -> Collected:
    returns = np.array([episode.episode_return for episode in episodes])
    return Collected(
        dataset_id=dataset_id,
        path=dataset_path(dataset_id),
        episodes=len(episodes),
        steps=sum(len(episode) for episode in episodes),
        mean_return=float(returns.mean()),
        sd_return=float(returns.std()),
        crash_rate=sum(outcome(episode) == "crashed" for episode in episodes) / len(episodes),
        was_there=there,
    )


def _info(
    collected: Collected,
    behavior: BehaviorPolicy,
    recipe: dict[str, Any],
    episodes: Sequence[Episode],
) -> DatasetInfo:
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
    measured = statistics(episodes)
    return DatasetInfo(
        algorithm_name=behavior.algorithm,
        description=description,
        requirements=[f"gymnasium[box2d]=={pinned['gymnasium']}", f"box2d=={pinned['box2d']}"],
        ref_min_score=reference_mean("random", discrete=discrete),
        ref_max_score=reference_mean("expert", discrete=discrete),
        recipe=recipe,
        provenance=provenance(),
        statistics=measured,
        card=card(collected.dataset_id, description, recipe, measured),
    )
