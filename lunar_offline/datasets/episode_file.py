"""The HDF5 file of a dataset, built in memory episode by episode."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.action_range import stored_actions
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.transitions import FIELDS, Episode


class EpisodeFile:
    """The main_data.hdf5 of a dataset, in memory, with the same bytes as Minari's API writes.

    Minari writes all episodes to disk at once, and HDF5 crashes the process if a write fails. A
    file in memory avoids such failures, and allows episodes to be added one by one.

    Args:
        episodes: are added first.
        env: the env, whose own range the stored actions have; None stores them as they are.

    Attributes:
        episodes: the episodes added so far.
    """

    def __init__(self, episodes: Iterable[Episode] = (), env: EnvInfo | None = None) -> None:
        import h5py

        self._env = env
        self.episodes: list[Episode] = []
        self._file = h5py.File.in_memory()
        for episode in episodes:
            self.add(episode)

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        group = self._file.create_group(f"episode_{len(self.episodes)}")
        group.attrs["id"] = len(self.episodes)
        if episode.seed is not None:
            group.attrs["seed"] = episode.seed
        group.attrs["total_steps"] = len(episode)
        for name in FIELDS:
            values = getattr(episode, name)
            if name == "actions" and self._env is not None:
                values = stored_actions(self._env.action_space, values)
            growing = (None, *values.shape[1:])
            group.create_dataset(name, data=values, chunks=True, maxshape=growing)
        self.episodes.append(episode)

    def content(self) -> bytes:
        """Return the bytes of the file; afterwards no episode can be added."""
        import h5py

        low: Any = h5py  # its low-level modules have no type hints
        h5a, h5g, h5s, h5t = low.h5a, low.h5g, low.h5s, low.h5t
        with self._file:
            self._file.flush()
            image = self._file.id.get_file_image()
        reopened = h5py.File.in_memory(image)  # for equal bytes: Minari closes the file here too
        del image  # of many episodes, it has gigabytes
        with reopened as file:
            one = h5s.create_simple(())
            for index, episode in enumerate(self.episodes):
                group = h5g.open(file.id, b"episode_%d" % index)
                for name, value in _reward_statistics(episode).items():
                    h5a.create(group, name, h5t.IEEE_F64LE, one).write(value)
            file.flush()
            return file.id.get_file_image()


def _reward_statistics(episode: Episode) -> dict[bytes, NDArray[np.float64]]:
    """Return the attributes that Minari's DataCollector stores but its buffers API does not."""
    rewards = episode.rewards
    return {
        b"rewards_sum": np.asarray(rewards.sum()),
        b"rewards_mean": np.asarray(rewards.mean()),
        b"rewards_std": np.asarray(rewards.std()),
        b"rewards_max": np.asarray(rewards.max()),
        b"rewards_min": np.asarray(rewards.min()),
    }
