"""Verify a dataset: compare its files with its manifest, and its episodes with the env."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lunar_offline.datasets.dataset import read_folder
from lunar_offline.datasets.folder import DatasetFolder
from lunar_offline.datasets.manifest import check_files
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.rollout import EpisodeRecorder
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.process_pool import in_order, share
from lunar_offline.progress import Observer, Silent
from lunar_offline.storage.provenance import platform_name
from lunar_offline.transitions import Episode

EPISODES_PER_WORKER = 25  # per additional process
AHEAD = 4  # episodes sent to another process at a time


@dataclass(frozen=True)
class Verified:
    """The result of a verification.

    Attributes:
        dataset_id: the dataset.
        files: number of files that match the manifest.
        replayed: number of episodes that the env reproduced bit for bit.
    """

    dataset_id: str
    files: int
    replayed: int


def verify_dataset(
    folder: DatasetFolder,
    *,
    replay: int | None = 0,
    workers: int = 1,
    observer: Observer | None = None,
) -> Verified:
    """Check the sha256 of every file, validate the data, and replay episodes in the env.

    A replay resets the env with the episode's seed, takes its actions, and compares observations,
    rewards and end flags bit for bit. Equal bits are promised on the platform in the manifest.

    Args:
        folder: see `open_folder`.
        replay: number of episodes to replay, from the first; None replays all.
        workers: number of processes that replay.
        observer: receives the progress; None reports nothing.

    Raises:
        UsageError: the dataset has fewer episodes.
        RefusedError: a file or an episode differs, or there is no manifest.
    """
    manifest = folder.required_manifest("to verify it by")
    check_files(folder.path, manifest, data=False)
    dataset = read_folder(folder)  # checks the data
    n = len(dataset) if replay is None else replay
    if not 0 <= n <= len(dataset):
        raise UsageError(f"--replay {replay}: {folder.id} has {len(dataset)} episodes")
    if n:
        observer = observer or Silent()
        observer.phase("replaying", n, 0)
        workers = min(workers, 1 + n // EPISODES_PER_WORKER)
        replays = partial(_replays, dataset.env)
        episodes = enumerate(dataset.episodes()[:n])
        for difference in in_order(share(replays, episodes, workers=workers, ahead=AHEAD)):
            if difference:
                raise RefusedError(f"{folder.id}: {difference}{_other_platform(manifest)}")
            observer.advance(1)
    return Verified(folder.id, len(manifest["files"]), n)


def _other_platform(manifest: Mapping[str, Any]) -> str:
    recorded: Any = manifest
    for key in ("provenance", "machine", "platform"):
        recorded = recorded.get(key) if isinstance(recorded, dict) else None
    here = platform_name()
    return "" if recorded in (None, here) else f" (recorded on {recorded}, replayed on {here})"


def _replays(env: EnvInfo, episodes: Iterator[tuple[int, Episode]]) -> Iterator[tuple[int, str]]:
    """Yield the first difference of each numbered episode, or an empty string."""
    recorder = EpisodeRecorder(env.make())
    try:
        for index, episode in episodes:
            yield index, _difference(recorder, index, episode)
    finally:
        recorder.env.close()


def _difference(recorder: EpisodeRecorder, index: int, recorded: Episode) -> str:
    if recorded.seed is None:
        return f"episode {index} has no seed to replay from"
    recorder.replay(recorded.seed, recorded.actions)
    steps = len(recorder.rewards)
    replayed = recorder.episode()
    for step in range(steps):
        if not np.array_equal(replayed.observations[step], recorded.observations[step]):
            return f"episode {index} differs in its observation {step}"
        if np.float32(replayed.rewards[step]) != np.float32(recorded.rewards[step]):
            return f"episode {index} differs in its reward {step}"
        flags = [(e.terminations[step], e.truncations[step]) for e in (replayed, recorded)]
        if flags[0] != flags[1]:
            return f"episode {index} ends differently at step {step}"
    if not np.array_equal(replayed.observations[-1], recorded.observations[-1]):
        return f"episode {index} differs in its last observation"
    return ""
