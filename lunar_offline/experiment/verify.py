"""Is a dataset what its manifest says, and what its env gives?"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from lunar_offline.data.ids import check_there
from lunar_offline.data.manifest import MANIFEST, check_files, read_manifest
from lunar_offline.data.reader import read_dataset
from lunar_offline.data.workers import in_order, share
from lunar_offline.envs import EnvInfo
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.transitions import Episode

LOT = 25  # episodes that are worth the start of another process
AHEAD = 4  # episodes that one has at hand


@dataclass(frozen=True)
class Verified:
    """What was checked: files against the manifest, episodes in the env."""

    dataset_id: str
    files: int
    replayed: int


def verify_dataset(
    dataset_id: str,
    *,
    replay: int | None = 0,
    workers: int = 1,
    observer: Observer | None = None,
) -> Verified:
    """Check every file's sha256, read the dataset strictly, and replay episodes in the env.

    A replay resets the env to the episode's seed, takes its actions and compares observations,
    rewards and end flags bit for bit. That is promised on the platform that the manifest names.

    Args:
        dataset_id: a local dataset.
        replay: how many episodes, the first ones; None is all.
        workers: processes that replay.
        observer: hears of the progress.

    Raises:
        UsageError: there is no such dataset, or fewer episodes.
        RefusedError: a file or an episode is not what it must be, or there is no manifest.
    """
    folder = check_there(dataset_id)
    manifest = read_manifest(folder)
    if manifest is None:
        raise RefusedError(f"{folder}: has no {MANIFEST} to be verified by")
    check_files(folder, manifest)
    dataset = read_dataset(dataset_id)
    there = len(dataset.seeds)
    n = there if replay is None else replay
    if not 0 <= n <= there:
        raise UsageError(f"--replay {replay}: {dataset_id} has {there} episodes")
    if n:
        observer = observer or Silent()
        observer.phase("replaying", n, 0)
        replays, workers = partial(_replays, dataset.env), min(workers, 1 + n // LOT)
        episodes = enumerate(dataset.episodes()[:n])
        for difference in in_order(share(replays, episodes, workers=workers, ahead=AHEAD)):
            if difference:
                raise RefusedError(f"{dataset_id}: {difference}{_elsewhere(manifest)}")
            observer.advance(1)
    return Verified(dataset_id, len(manifest["files"]), n)


def _elsewhere(manifest: dict) -> str:
    from lunar_offline.experiment.provenance import machine

    recorded: Any = manifest
    for key in ("provenance", "machine", "platform"):
        recorded = recorded.get(key) if isinstance(recorded, dict) else None
    here = machine()["platform"]
    return "" if recorded in (None, here) else f" (recorded on {recorded}, replayed on {here})"


def _replays(
    env_info: EnvInfo, episodes: Iterator[tuple[int, Episode]]
) -> Iterator[tuple[int, str]]:
    """Yield the first difference of each numbered episode, or nothing."""
    env = env_info.make()
    try:
        for index, episode in episodes:
            yield index, _difference(env, index, episode)
    finally:
        env.close()


def _difference(env: gym.Env, index: int, episode: Episode) -> str:
    if episode.seed is None:
        return f"episode {index} has no seed to replay from"
    observation, _ = env.reset(seed=episode.seed)
    for step in range(len(episode)):
        if not np.array_equal(observation, episode.observations[step]):
            return f"episode {index} differs in its observation {step}"
        observation, reward, terminated, truncated, _ = env.step(episode.actions[step])
        if np.float32(reward) != np.float32(episode.rewards[step]):
            return f"episode {index} differs in its reward {step}"
        if (terminated, truncated) != (episode.terminations[step], episode.truncations[step]):
            return f"episode {index} ends differently at step {step}"
    if not np.array_equal(observation, episode.observations[-1]):
        return f"episode {index} differs in its last observation"
    return ""
