"""What recording costs: steps per second beside the bare env, and beside Minari's DataCollector.

    python benchmarks/recording.py

All run the expert with sampled actions in the discrete lander, alternated, one thread each. Bare:
the same policy and env, 16 episodes side by side, nothing kept. Recorded: `collect`, journal and
publication included. DataCollector: one env, because it wraps only one (needs Minari's own
extra: `pip install 'minari[create]'`). Workers: `collect --workers 2` against 1.
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from pairing import spread, write

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.collection.episodes import collect_episodes
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.seeding import Purpose, generator

EPISODES = 100
PAIRS = 4
# the default, and what shows the rate beside the two seconds that starting a process takes
WORKERS = {800: 4, 2_400: 2}  # episodes -> pairs


def bare() -> int:
    """Run episodes and keep nothing; return the steps."""
    expert = behavior_policy("expert", discrete=True)
    episodes = collect_episodes(expert.env, expert.act, seed=0, episodes=range(EPISODES))
    return sum(len(episode) for episode in episodes)


def recorded(workers: int, episodes: int = EPISODES) -> int:
    """Run episodes, journal and publish them; return the steps."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        made = collect_dataset("x-v0", discrete=True, episodes=episodes, workers=workers)
        return made.statistics.steps


def data_collector() -> int:
    """Run episodes with Minari's DataCollector around one env; return the steps."""
    import minari

    expert = behavior_policy("expert", discrete=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        env, steps = minari.DataCollector(expert.env.make()), 0
        padded = np.zeros((16, 8), dtype=np.float32)
        for episode in range(EPISODES // 4):
            rng = generator(0, Purpose.COLLECTION_ACTION, episode)
            padded[0], _ = env.reset(seed=episode)
            ended = False
            while not ended:
                action = expert.act(padded, [rng])[0]
                padded[0], _, terminated, truncated, _ = env.step(action)
                ended = terminated or truncated
                steps += 1
        env.create_dataset("x-v0", algorithm_name="expert", author="x", description="x")
        env.close()
    return steps


def rates(sides: list[Callable[[], int]], pairs: int = PAIRS) -> list[list[float]]:
    """Alternate the sides and return the steps per second of each."""
    found: list[list[float]] = [[] for _ in sides]
    for pair in range(pairs + 1):
        order = list(range(len(sides)))[:: 1 if pair % 2 else -1]
        for side in order:
            before = time.perf_counter()
            steps = sides[side]()
            found[side].append(steps / (time.perf_counter() - before))
    return [side[1:] for side in found]


def main() -> None:
    """Measure everything and write results/recording.json."""
    torch.set_num_threads(1)
    sides: list[Callable[[], int]] = [bare, partial(recorded, 1)]
    collector = importlib.util.find_spec("jax") is not None
    if collector:
        sides.append(data_collector)
    found = rates(sides)
    workers = {
        episodes: rates([partial(recorded, n, episodes) for n in (1, 2)], pairs)
        for episodes, pairs in WORKERS.items()
    }
    result = {
        "steps_per_s": {
            "bare": round(float(np.median(found[0]))),
            "recorded": round(float(np.median(found[1]))),
        },
        "recorded_to_bare": spread(found[1], found[0]),
        "two_workers_to_one": {n: spread(two, one) for n, (one, two) in workers.items()},
    }
    if collector:
        result["recorded_to_data_collector"] = spread(found[1], found[2])
    write("recording", result)


if __name__ == "__main__":
    main()
