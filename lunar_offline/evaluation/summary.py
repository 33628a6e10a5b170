"""The measures of held-out episodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.storage.strict_json import JSONValue
from lunar_offline.transitions import Episode

WINDOW = 100


@dataclass(frozen=True)
class Evaluation:
    """The measures of a policy on held-out episodes.

    Example:
        >>> import lunar_offline as lo
        >>> result = lo.evaluate("random", episodes=5)
        >>> len(result.returns), result.measure("crash_rate") is None
        (5, False)

    Attributes:
        episodes: number of episodes.
        mean: mean of the undiscounted returns.
        iqm: interquartile mean of the returns.
        sd: sample standard deviation of the returns.
        min: lowest return.
        min_window_100: worst 100-episode mean: the lowest mean return of 100 consecutive episodes;
            None for fewer episodes.
        outcomes: number of episodes by outcome.
        frames: mean env steps per episode.
        measures: further measures of the env by name, such as `crash_rate`; see
            `EnvInfo.measures`.
        returns: of each episode.
        seeds: env seed of each episode.
    """

    episodes: int
    mean: float
    iqm: float
    sd: float
    min: float
    min_window_100: float | None
    outcomes: Mapping[str, int]
    frames: float
    measures: Mapping[str, float | Mapping[str, float]]
    returns: Sequence[float]
    seeds: Sequence[int | None]

    def measure(self, name: str) -> float | None:
        """Return a measure by its name in evaluation.json; None if the env does not have it."""
        value = self.to_dict().get(name)
        return float(value) if isinstance(value, int | float) else None

    def to_dict(self) -> dict[str, JSONValue]:
        """Return plain JSON values, as evaluation.json holds them; an unknown one is left out."""
        found: dict[str, JSONValue] = {**vars(self)}
        del found["measures"], found["returns"], found["seeds"]
        if self.min_window_100 is None:
            del found["min_window_100"]
        returns, seeds = list(self.returns), list(self.seeds)
        return {**found, **self.measures, "returns": returns, "seeds": seeds}


def window_means(returns: NDArray[np.float64], window: int = WINDOW) -> NDArray[np.float64]:
    """Return the mean of every `window` consecutive returns, [n - window + 1], or [0] for few."""
    if len(returns) < window:
        return np.empty(0)
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    return (sums[window:] - sums[:-window]) / window


def summarize(episodes: Sequence[Episode], env: EnvInfo) -> Evaluation:
    """Return the measures of at least one episode of an env."""
    statistics = EpisodeStatistics.of_episodes(episodes, env)
    returns = [e.episode_return for e in episodes]
    windows = window_means(np.array(returns))
    return Evaluation(
        episodes=statistics.episodes,
        mean=statistics.returns.mean,
        iqm=statistics.returns.iqm,
        sd=statistics.returns.sd,
        min=statistics.returns.min,
        min_window_100=float(windows.min()) if len(windows) else None,
        outcomes=statistics.outcomes,
        frames=statistics.lengths.mean,
        measures=env.measures(episodes),
        returns=returns,
        seeds=[e.seed for e in episodes],
    )
