"""Transitions and episodes: plain arrays with names, shapes and dtypes that are checked once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Actions: TypeAlias = NDArray[np.int64 | np.float32]
"""Actions as learners receive them: int64 [N] (discrete) or float32 [N, A] in [-1, 1]."""


def transition_dtype(
    observation_shape: tuple[int, ...], action_shape: tuple[int, ...], action_dtype: DTypeLike
) -> np.dtype[np.void]:
    """Return the dtype of one transition as a record.

    A record holds all fields of a transition contiguously, so that drawing a batch is one gather of
    rows and a complete dataset can be one memory-mapped array.
    """
    return np.dtype(
        [
            ("observations", np.float32, observation_shape),
            ("next_observations", np.float32, observation_shape),
            ("actions", action_dtype, action_shape),
            ("rewards", np.float32),
            ("terminations", np.bool_),
            ("truncations", np.bool_),
        ],
        align=True,
    )


FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")
"""The fields of an episode, by Minari's names."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One complete episode of T steps.

    Attributes:
        observations: float32 [T + 1, ...]; the last one is the final observation.
        actions: [T] int64 (discrete) or [T, A] float32.
        rewards: float64 [T], as the env returned them.
        terminations: bool [T]; true where the env itself ended the episode (a landing, a crash).
        truncations: bool [T]; true where a time limit ended it. An episode ends with either flag,
            or with both.
        seed: the argument of `env.reset`; None if unknown.
    """

    observations: NDArray[np.float32]
    actions: Actions
    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of the rewards."""
        return float(self.rewards.sum())

    def __repr__(self) -> str:
        end = "terminated" if self.terminations[-1] else "truncated"
        return (
            f"Episode(seed={self.seed}, steps={len(self)}, return={self.episode_return:.1f}, {end})"
        )


@dataclass(frozen=True, eq=False)
class Transitions:
    """A struct of arrays over N transitions; every property is a view into `records`.

    Example:
        >>> import lunar_offline as lo
        >>> rows = lo.load_dataset("lunar-random-v0").transitions
        >>> len(rows) == len(rows.rewards), rows.observations.shape[1]
        (True, 8)

    Attributes:
        records: structured [N], with the fields of `transition_dtype`.
    """

    records: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def observations(self) -> NDArray[np.float32]:
        """float32 [N, ...]."""
        return self.records["observations"]

    @property
    def next_observations(self) -> NDArray[np.float32]:
        """float32 [N, ...]; the true next observation, even where an episode was truncated."""
        return self.records["next_observations"]

    @property
    def actions(self) -> Actions:
        """int64 [N] (discrete), or float32 [N, A] in [-1, 1] whatever the env's own range is."""
        return self.records["actions"]

    @property
    def rewards(self) -> NDArray[np.float32]:
        """float32 [N]."""
        return self.records["rewards"]

    @property
    def terminations(self) -> NDArray[np.bool_]:
        """bool [N]; TD targets do not bootstrap where this is true."""
        return self.records["terminations"]

    @property
    def truncations(self) -> NDArray[np.bool_]:
        """bool [N]; TD targets bootstrap through truncations."""
        return self.records["truncations"]

    def episode_ends(self) -> NDArray[np.intp]:
        """Return the index one past the last row of each episode, int [episodes]."""
        return np.flatnonzero(self.terminations | self.truncations) + 1

    def returns(
        self, discount: float, rewards: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        """Return the discounted return from each row to the end of its episode, float64 [N].

        The value is -inf in episodes that a time limit truncated, whose full return is unknown.

        Args:
            discount: per env step.
            rewards: float32 [N], used in place of `self.rewards` if given.
        """
        rewards = self.rewards if rewards is None else rewards
        returns = np.empty(len(self))
        start = 0
        for end in self.episode_ends():
            total = 0.0 if self.terminations[end - 1] else -np.inf
            for row in range(end - 1, start - 1, -1):
                total = float(rewards[row]) + discount * total
                returns[row] = total
            start = end
        return returns

    def first_episodes(self, n: int) -> Self:
        """Return the rows of the first `n` episodes, without a copy.

        Raises:
            ValueError: the transitions have fewer episodes.
        """
        ends = self.episode_ends()
        if not 0 <= n <= len(ends):
            raise ValueError(f"{n} episodes requested, {len(ends)} available")
        return type(self)(self.records[: ends[n - 1] if n else 0])

    @classmethod
    def from_episodes(cls, episodes: Sequence[Episode]) -> Self:
        """Concatenate episodes. Raises ValueError for an empty sequence."""
        if not episodes:
            raise ValueError("no episode")
        first = episodes[0]
        dtype = transition_dtype(
            first.observations.shape[1:], first.actions.shape[1:], first.actions.dtype
        )
        records = np.zeros(sum(len(e) for e in episodes), dtype)
        fill_records(records, episodes)
        return cls(records)


def fill_records(records: NDArray[np.void], episodes: Iterable[Episode]) -> None:
    """Write episodes to the start of `records`: T rows per episode of T + 1 observations."""
    start = 0
    for episode in episodes:
        rows = records[start : start + len(episode)]
        rows["observations"] = episode.observations[:-1]
        rows["next_observations"] = episode.observations[1:]
        rows["actions"] = episode.actions
        rows["rewards"] = episode.rewards
        rows["terminations"] = episode.terminations
        rows["truncations"] = episode.truncations
        start += len(episode)
