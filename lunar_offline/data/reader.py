"""Minari HDF5 -> Transitions. Never builds an env and never runs what a dataset names."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.ids import check_there
from lunar_offline.data.manifest import MANIFEST, file_sha256, read_manifest
from lunar_offline.envs import EnvInfo, match_spec
from lunar_offline.errors import RefusedError
from lunar_offline.transitions import Episode, Transitions, fill_records, transition_dtype

MAX_METADATA_BYTES = 4 << 20


@dataclass(frozen=True, eq=False)
class OfflineDataset:
    """A dataset in memory.

    Attributes:
        dataset_id: its Minari id.
        env: the env that it was recorded in.
        transitions: all rows, episode by episode in the order of their index.
        seeds: env seed of each episode, None where the dataset has none.
        metadata: its parsed metadata.json.
        sha256: of main_data.hdf5.
    """

    dataset_id: str
    env: EnvInfo
    transitions: Transitions
    seeds: list[int | None]
    metadata: dict[str, Any]
    sha256: str

    def episodes(self) -> list[Episode]:
        """Return the episodes; rewards are float32 by now."""
        rows, start, episodes = self.transitions, 0, []
        for end, seed in zip(rows.episode_ends(), self.seeds, strict=True):
            last = rows.next_observations[end - 1 : end]
            episodes.append(
                Episode(
                    np.concatenate([rows.observations[start:end], last]),
                    rows.actions[start:end],
                    rows.rewards[start:end].astype(np.float64),
                    rows.terminations[start:end],
                    rows.truncations[start:end],
                    seed,
                )
            )
            start = end
        return episodes

    def episode_returns(self) -> NDArray[np.float64]:
        """Return the undiscounted return of each episode: [episodes]."""
        starts = np.concatenate([[0], self.transitions.episode_ends()[:-1]])
        return np.add.reduceat(self.transitions.rewards.astype(np.float64), starts)


def read_dataset(dataset_id: str) -> OfflineDataset:
    """Read a local Minari dataset of LunarLander-v3.

    Raises:
        UsageError: the id is malformed, or no such dataset is there.
        RefusedError: its env, spaces, shapes, dtypes, values or episode ends are not what a
            LunarLander-v3 dataset must hold.
    """
    data = check_there(dataset_id) / "data"
    metadata, env = read_metadata(data)
    path = data / "main_data.hdf5"
    if not path.is_file():
        raise RefusedError(f"{path}: missing; only HDF5 datasets are read")
    try:
        with h5py.File(path, "r") as file:
            transitions, seeds = _read_episodes(path, file, metadata, env)
        sha256 = file_sha256(path)
    except OSError as error:
        raise RefusedError(f"{path}: {_one_line(error)}") from None
    manifest = read_manifest(data.parent)
    if manifest and manifest["files"].get("data/main_data.hdf5", {}).get("sha256") != sha256:
        raise RefusedError(f"{path}: does not match its sha256 in {MANIFEST}")
    return OfflineDataset(dataset_id, env, transitions, seeds, metadata, sha256)


def read_metadata(data: Path) -> tuple[dict[str, Any], EnvInfo]:
    """Read metadata.json as plain JSON and compare env and spaces with our own.

    Args:
        data: the `data` folder of a dataset.

    Raises:
        RefusedError: see `read_dataset`.
    """
    path = data / "metadata.json"
    try:
        if path.stat().st_size > MAX_METADATA_BYTES:
            raise RefusedError(f"{path}: too large")
        metadata = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(metadata, dict):
            raise RefusedError(f"{path}: not a JSON object")
        spec = json.loads(metadata.get("env_spec") or "{}")
        env = match_spec(spec if isinstance(spec, dict) else {})
        for key, space in (
            ("observation_space", env.observation_space),
            ("action_space", env.action_space),
        ):
            if json.loads(metadata.get(key) or "null") != _space_as_json(space):
                raise RefusedError(f"{path}: the {key} is not that of {env.env_id}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RefusedError(f"{path}: {_one_line(error)}") from None
    return metadata, env


def _space_as_json(space: Any) -> Any:
    from minari.serialization import serialize_space  # slow import, needed only here

    return json.loads(str(serialize_space(space)))


def _one_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__


def _read_episodes(
    path: Path, file: h5py.File, metadata: dict[str, Any], env: EnvInfo
) -> tuple[Transitions, list[int | None]]:
    n = len(file)
    if n == 0 or metadata.get("total_episodes") != n:
        raise RefusedError(
            f"{path}: holds {n} episodes, metadata.json says {metadata.get('total_episodes')}"
        )
    episodes = []
    for index in range(n):
        group = file.get(f"episode_{index}")
        if not isinstance(group, h5py.Group):
            raise RefusedError(f"{path}: episode_{index} is missing")
        try:
            episodes.append(_read_episode(group, env))
        except (KeyError, ValueError, TypeError) as error:
            raise RefusedError(f"{path}: episode_{index}: {_one_line(error)}") from None
    steps = sum(len(episode) for episode in episodes)
    if metadata.get("total_steps") != steps:
        raise RefusedError(
            f"{path}: holds {steps} steps, metadata.json says {metadata.get('total_steps')}"
        )
    space = env.action_space
    records = np.zeros(
        steps, transition_dtype((env.observation_size,), space.shape or (), space.dtype)
    )
    fill_records(records, episodes)
    return Transitions(records), [episode.seed for episode in episodes]


def _read_episode(group: h5py.Group, env: EnvInfo) -> Episode:
    """Read one episode and check it. Raises ValueError, KeyError or TypeError."""

    def field(name: str, kind: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        data = group[name]
        if not isinstance(data, h5py.Dataset) or data.dtype.kind != kind:
            raise ValueError(f"{name} is missing or of another type")
        fits = len(data.shape) == len(shape) and all(
            want is None or want == got for want, got in zip(shape, data.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"{name} has shape {data.shape}")
        return data[()]

    rewards = field("rewards", "f", (None,)).astype(np.float64)
    t = len(rewards)
    if t == 0:
        raise ValueError("no step")
    observations = field("observations", "f", (t + 1, env.observation_size)).astype(np.float32)
    if env.discrete:
        actions = field("actions", "i", (t,)).astype(np.int64)
        in_range = (actions >= 0) & (actions < env.action_size)
    else:
        actions = field("actions", "f", (t, env.action_size)).astype(np.float32)
        in_range = np.abs(actions) <= 1.0
    terminations = field("terminations", "b", (t,)).astype(np.bool_)
    truncations = field("truncations", "b", (t,)).astype(np.bool_)
    if not in_range.all():
        raise ValueError("an action is out of range")
    if not (np.isfinite(observations).all() and np.isfinite(rewards).all()):
        raise ValueError("a value is not finite")
    ends = terminations | truncations
    if ends[:-1].any() or not ends[-1]:
        raise ValueError("its end flags are not at its last step alone")
    seed = group.attrs.get("seed")
    return Episode(
        observations,
        actions,
        rewards,
        terminations,
        truncations,
        int(seed) if isinstance(seed, int | np.integer) else None,
    )
