"""Statistics of episodes: returns, lengths, outcomes and actions."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.statistics import interquartile_mean
from lunar_offline.transitions import Episode

ACTION_BINS = 10


@dataclass(frozen=True)
class Distribution:
    """The distribution of a set of values.

    `sd` is the sample standard deviation, which is 0 for one value. `iqm` is the interquartile
    mean.
    """

    min: float
    quartile_low: float
    median: float
    quartile_high: float
    max: float
    mean: float
    sd: float
    iqm: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """Return the distribution of values [n]; n must be at least 1."""
        quartiles = np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])
        return cls(
            *map(float, quartiles),
            mean=float(values.mean()),
            sd=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
            iqm=interquartile_mean(values),
        )


@dataclass(frozen=True)
class EpisodeStatistics:
    """Counts and distributions of complete episodes.

    Attributes:
        episodes: number of episodes.
        steps: env steps of all episodes.
        returns: distribution of the undiscounted returns.
        lengths: distribution of the env steps per episode.
        outcomes: number of episodes by outcome, for each outcome of the env.
        actions: number of steps for each discrete action; or, for each action dimension, number of
            steps in each tenth of [-1, 1].
    """

    episodes: int
    steps: int
    returns: Distribution
    lengths: Distribution
    outcomes: dict[str, int]
    actions: list[int] | list[list[int]]

    @classmethod
    def of_episodes(cls, episodes: Sequence[Episode], env: EnvInfo) -> Self:
        """Return the statistics of episodes; there must be at least one."""
        return cls.of_arrays(
            env,
            returns=np.array([episode.episode_return for episode in episodes]),
            lengths=np.array([len(episode) for episode in episodes]),
            outcomes=[env.outcome(episode) for episode in episodes],
            actions=np.concatenate([episode.actions for episode in episodes]),
        )

    @classmethod
    def of_arrays(
        cls,
        env: EnvInfo,
        *,
        returns: NDArray[np.float64],
        lengths: NDArray[Any],
        outcomes: Sequence[str],
        actions: NDArray[Any],
    ) -> Self:
        """Return the statistics of E episodes with N steps in total.

        Args:
            env: the env that they were recorded in.
            returns: [E].
            lengths: [E], with the sum N.
            outcomes: [E].
            actions: int [N], or float [N, A].
        """
        counts: Any
        if env.discrete:
            counts = np.bincount(actions, minlength=env.action_size).tolist()
        else:
            counts = [np.histogram(a, ACTION_BINS, (-1.0, 1.0))[0].tolist() for a in actions.T]
        return cls(
            episodes=len(returns),
            steps=len(actions),
            returns=Distribution.of(returns),
            lengths=Distribution.of(lengths),
            outcomes={name: outcomes.count(name) for name in env.outcomes},
            actions=counts,
        )

    @property
    def crash_rate(self) -> float | None:
        """Fraction of episodes that crashed; None for an env without crashes."""
        crashed = self.outcomes.get("crashed")
        return None if crashed is None else crashed / self.episodes

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)
