"""The measures of held-out episodes that `evaluation.json` holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.transitions import Episode

WINDOW = 100


def window_means(returns: NDArray[np.float64], window: int = WINDOW) -> NDArray[np.float64]:
    """Return the mean of every `window` consecutive returns, [n - window + 1], or [0] for few."""
    if len(returns) < window:
        return np.empty(0)
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    return (sums[window:] - sums[:-window]) / window


def summarize(episodes: Sequence[Episode], env: EnvInfo) -> dict[str, Any]:
    """Return the measures of `evaluation.json` as plain Python numbers, by name.

    `frames` is the mean number of env steps per episode, `min_window_100` the worst 100-episode
    mean: the lowest mean return of 100 consecutive episodes, which fewer episodes do not have.
    Further measures come from the env (`EnvInfo.measures`).
    """
    statistics = EpisodeStatistics.of_episodes(episodes, env)
    returns = [e.episode_return for e in episodes]
    windows = window_means(np.array(returns))
    return {
        "episodes": statistics.episodes,
        "mean": statistics.returns.mean,
        "iqm": statistics.returns.iqm,
        "sd": statistics.returns.sd,
        "min": statistics.returns.min,
        **({"min_window_100": float(windows.min())} if len(windows) else {}),
        "outcomes": statistics.outcomes,
        "frames": statistics.lengths.mean,
        **env.measures(episodes),
        "returns": returns,
        "seeds": [e.seed for e in episodes],
    }
