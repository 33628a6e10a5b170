"""A feedback controller of 12 gains on the held-out episodes of the discrete lander.

    python benchmarks/controller.py

It has no network and learns nothing: the gains were tuned once, by the cross-entropy method over
about 14,400 episodes. Writes results/controller.json.
"""

import argparse
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairing import write

from lunar_offline.envs.registry import find_env
from lunar_offline.evaluation.held_out_seeds import held_out_episodes
from lunar_offline.evaluation.summary import summarize

K = (0.528, 0.836, 0.468, 0.646, 0.9, 0.061, 0.602, 1.155, 0.524, 0.056, 0.849, 0.004)
TUNING_EPISODES = 14_400


def controller(observations: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the action of each observation: [8] -> [] or [B, 8] -> [B].

    The horizontal position and speed give a target angle; the height gives a target speed of the
    descent. A side engine corrects the angle, or the main engine the speed: the larger error wins.
    """
    x, y, vx, vy, angle, omega, left, right = observations.T.astype(np.float64)
    target = np.clip(K[0] * x + K[1] * vx, -K[2], K[2])
    turn = np.where(left + right > 0, 0.0, (target - angle) * K[3] - omega * K[4])
    height = np.maximum(y - 0.1 * K[7] * np.abs(x), 0.0)
    lift = (-(K[5] + K[6] * np.sqrt(height)) - vy) * K[8]
    side = np.where(turn > K[9], 1, np.where(turn < -K[9], 3, 0))
    main_engine = (lift > np.abs(turn) * K[10]) & (lift > K[11])
    return np.where(left + right == 2, 0, np.where(main_engine, 2, side)).astype(np.int64)


def act(
    observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    """Return the controller's actions; it draws no random numbers."""
    return controller(observations)


def measure(episodes: int) -> dict[str, Any]:
    """Return the measures of held-out episodes, without the returns of each."""
    env = find_env(discrete=True)
    workers = os.cpu_count() or 1
    found = summarize(held_out_episodes(env, act, episodes, workers=workers), env)
    measures = {n: v for n, v in found.items() if n not in ("returns", "seeds", "regret_parts")}
    rounded = {n: round(v, 6) if isinstance(v, float) else v for n, v in measures.items()}
    error = round(found["sd"] / math.sqrt(episodes), 6)
    return rounded | {"standard_error": error, "tuning_episodes": TUNING_EPISODES}


def main() -> None:
    """Evaluate the controller and write its measures."""
    parser = argparse.ArgumentParser(description="Evaluate a feedback controller of 12 gains.")
    parser.add_argument("--episodes", type=int, default=1000)
    write("controller", measure(parser.parse_args().episodes))


if __name__ == "__main__":
    main()
