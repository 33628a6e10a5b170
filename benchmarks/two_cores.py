"""What a second core is worth: python benchmarks/two_cores.py.

One run on each core against one alone, an update with two torch threads against one, and 400
held-out episodes in two processes against one.
"""

import sys
import time

import pairing

from lunar_offline.evaluation.held_out_seeds import held_out_episodes
from lunar_offline.policies.behavior import behavior_policy

PAIRS = 9


def side_by_side(work: str) -> dict[str, float]:
    """Return the time of two runs at once, one per core, over that of one."""
    first, second = (pairing.Worker(sys.executable, "ours.py", work, core) for core in (0, 1))
    calls = max(1, round(20 / first.seconds(20)))
    both, alone = [], []
    for _ in range(PAIRS):
        alone.append(first.seconds(calls))
        first.start(calls)
        second.start(calls)
        both.append(max(first.finish(), second.finish()))
    first.close()
    second.close()
    return pairing.spread(both, alone)


def threads(work: str) -> dict[str, float]:
    """Return how much faster an update is with two threads than with one."""
    one = pairing.Worker(sys.executable, "ours.py", work, 0)
    two = pairing.Worker(sys.executable, "ours.py", work, 0, 1)
    ratios = pairing.paired(two, one, pairs=PAIRS, seconds=1.0)
    one.close()
    two.close()
    return ratios.summary()


def evaluation(episodes: int = 400) -> dict[str, float]:
    """Return how much faster an evaluation is in two processes than in one."""
    expert = behavior_policy("expert", discrete=True, stochastic=False)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for workers, taken in seconds.items():
            start = time.perf_counter()
            held_out_episodes(expert.env, expert.act, episodes, workers=workers)
            taken.append(time.perf_counter() - start)
    return pairing.spread(seconds[1], seconds[2])


def main() -> None:
    """Write benchmarks/results/two-cores.json."""
    works = ("best-discrete", "best-continuous", "cql-continuous")
    result = {
        "side_by_side_over_alone": side_by_side("best-discrete"),
        "two_threads": {work: threads(work) for work in works},
        "two_processes_evaluation": evaluation(),
    }
    pairing.write("two-cores", result)


if __name__ == "__main__":
    main()
