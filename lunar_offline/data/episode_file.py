"""Episodes as the one HDF5 file of a dataset, made while they land."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.transitions import FIELDS, Episode


class EpisodeFile:
    """The main_data.hdf5 of a dataset, in memory, with the bytes that Minari's API would give it.

    Minari writes to disk, all episodes at once, and HDF5 crashes the whole process when a write
    fails. In memory none does, and the episodes can be added one by one.

    Attributes:
        episodes: so far.
    """

    def __init__(self, episodes: Iterable[Episode] = ()) -> None:
        import h5py

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
            growing = (None, *values.shape[1:])
            group.create_dataset(name, data=values, chunks=True, maxshape=growing)
        self.episodes.append(episode)

    def content(self) -> bytes:
        """Return the file; no episode can be added any more."""
        import h5py

        low: Any = h5py  # whose low-level modules have no types
        h5a, h5g, h5s, h5t = low.h5a, low.h5g, low.h5s, low.h5t
        with self._file:
            self._file.flush()
            image = self._file.id.get_file_image()
        with h5py.File.in_memory(image) as file:  # Minari closes it in between
            one = h5s.create_simple(())
            for index, episode in enumerate(self.episodes):
                group = h5g.open(file.id, b"episode_%d" % index)
                for name, value in _reward_statistics(episode).items():
                    h5a.create(group, name, h5t.IEEE_F64LE, one).write(value)
            file.flush()
            return file.id.get_file_image()


def _reward_statistics(episode: Episode) -> dict[bytes, NDArray[np.float64]]:
    """Return what Minari's DataCollector stores per episode and its buffers API does not."""
    rewards = episode.rewards
    return {
        b"rewards_sum": np.asarray(rewards.sum()),
        b"rewards_mean": np.asarray(rewards.mean()),
        b"rewards_std": np.asarray(rewards.std()),
        b"rewards_max": np.asarray(rewards.max()),
        b"rewards_min": np.asarray(rewards.min()),
    }
