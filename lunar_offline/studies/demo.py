"""A small example of the complete workflow: collect, train, evaluate, film."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.description import Collected
from lunar_offline.errors import RefusedError
from lunar_offline.evaluation.evaluation_file import Evaluations
from lunar_offline.evaluation.video import film, find_subject
from lunar_offline.progress import Observer
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.start_or_resume import start, train_and_finish

DATASET = "lunar-demo-v0"
EPISODES = 150
OPTIONS: dict[str, Any] = {
    "dataset": DATASET,
    "rho": 0.6,
    "pretrain_updates": 5_000,
    "warmup_steps": 500,
    # half the preset's updates per step, to take half the time
    "online_episodes": 30,
    "utd_ratio": 1.0,
    "validate_every": 5,
    "validation_episodes": 30,
    "evaluation_episodes": 100,
}


@dataclass(frozen=True)
class Demo:
    """The results of the demo.

    Attributes:
        collected: the dataset.
        run: the run directory.
        evaluations: of the policies at the end and at the best validation.
        film: the video file.
        seconds: the duration of the demo.
    """

    collected: Collected
    run: Path
    evaluations: Evaluations
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
    # store the demo's dataset in the demo's folder, not among the user's datasets
    os.environ["MINARI_DATASETS_PATH"] = str((out / "datasets").absolute())
    collected = collect_dataset(DATASET, episodes=EPISODES, observer=observer)
    config = resolve(discrete=None, file={}, options=OPTIONS)
    training = start(config, out / "run", observer)
    found = train_and_finish(training, observer)
    assert found is not None  # evaluation_episodes is above 0
    observer.phase("filming", 1, 0)
    filmed, _ = film(find_subject(str(training.run.path)), "median")
    observer.advance(1)
    return Demo(collected, training.run.path, found, filmed, time.perf_counter() - began)
