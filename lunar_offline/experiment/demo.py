"""The main job in small: collect, train, evaluate, film."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError
from lunar_offline.experiment.collection import Collected, collect_dataset
from lunar_offline.experiment.film import film_run
from lunar_offline.experiment.launch import finish, resolve, start
from lunar_offline.experiment.progress import Observer

DATASET = "lunar-demo-v0"
EPISODES = 150
OPTIONS: dict[str, Any] = {
    "dataset": DATASET,
    "rho": 0.6,
    "pretrain_updates": 5_000,
    "warmup_steps": 500,
    # ten episodes are too few for the preset's many updates on them
    "online_episodes": 10,
    "utd_ratio": 0.25,
    "online_penalty_weight": 1.0,
    "validate_every": 5,
    "validation_episodes": 30,
    "evaluation_episodes": 100,
    # and for the preset's entropy, of which the data alone ask more
    "agent": {"entropy_fraction": 0.3},
}


@dataclass(frozen=True)
class Demo:
    """What the demo made: a dataset, a run, its evaluation, a film."""

    collected: Collected
    run: Path
    summary: dict[str, Any]
    film: Path
    seconds: float


def run_demo(out: Path, observer: Observer) -> Demo:
    """Collect expert episodes, train CQL-SAC on them, evaluate and film it, all inside `out`.

    Raises:
        RefusedError: `out` exists already.
    """
    if out.exists():
        raise RefusedError(f"{out} exists already; remove it, or choose another --out")
    began = time.perf_counter()
    # the demo's dataset stays in its own folder, not among the user's
    os.environ["MINARI_DATASETS_PATH"] = str((out / "datasets").absolute())
    collected = collect_dataset(DATASET, episodes=EPISODES, observer=observer)
    config = resolve(discrete=None, file={}, options=OPTIONS)
    training = start(config, out / "run", observer)
    training.train()
    summary = finish(training.run, observer)
    assert summary is not None  # evaluation_episodes is above 0
    observer.phase("filming", 1, 0)
    film, _ = film_run(training.run.path, "median")
    observer.advance(1)
    return Demo(collected, training.run.path, summary, film, time.perf_counter() - began)
