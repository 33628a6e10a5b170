"""One side of a pair: reads a number of calls from stdin, answers the seconds that they took."""

import os
import sys
import time
from collections.abc import Callable


def serve(make: Callable[[str], Callable[[], object]]) -> None:
    """Serve `make(work)` on the cores that the environment names."""
    os.sched_setaffinity(0, {int(core) for core in os.environ["BENCH_CORES"].split(",")})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    call = make(sys.argv[1])
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            call()
        print(time.perf_counter() - start, file=answers, flush=True)
