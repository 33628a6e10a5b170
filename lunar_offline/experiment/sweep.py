"""A grid of training runs: every point of some axes, with every seed.

A sweep is a folder with a run directory per run. What is finished stays, what was begun goes on, so
the same command continues a sweep that was stopped.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from lunar_offline.data.metadata import read_metadata
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.config import TrainConfig, check_types, merge
from lunar_offline.experiment.launch import check_folder, finish, resolve, resume, start
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.run_dir import RunDir

EVALUATION_EPISODES = 1_000
POLL_S = 0.5


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        config: all of it.
        path: its run directory, there or not.
    """

    config: TrainConfig
    path: Path

    @property
    def finished(self) -> bool:
        """Whether it has been trained and evaluated."""
        return (self.path / "evaluation.json").is_file()

    def done(self) -> float:
        """Return about which share of the run's work is done, 0 .. 1."""
        if self.finished:
            return 1.0
        try:
            with (self.path / "metrics.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                line = json.loads(file.read().splitlines()[-1])
        except (OSError, ValueError, IndexError):
            return 0.0
        config = self.config
        if not config.touches_env:
            return min(1.0, line["update_step"] / config.updates)
        return line.get("episode", 0) / max(1, config.online_episodes)


class Engine(Protocol):
    """Where jobs run. A cluster's engine would have this one method too."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str] | None]:
        """Run all jobs and yield (job, error) as each ends, the error empty where it went well.

        None is yielded now and then in between. Closing the iterator stops what still runs.
        """
        ...


def plan(
    root: Path,
    axes: Mapping[str, Sequence[Any]],
    seeds: int,
    *,
    file: Mapping[str, Any],
    discrete: bool | None = None,
) -> list[Job]:
    """Resolve every run of a sweep before any of them starts.

    A point at rho 0 leaves the dataset out, and keeps its action space. Runs are named by their
    values on the axes that have more than one.

    Args:
        root: the sweep's folder.
        axes: config key, dots for tables (`agent.discount`), -> values to try.
        seeds: 0 .. seeds - 1 for each point.
        file: values for all runs, as a config file has them.
        discrete: the action space asked for.

    Raises:
        UsageError: no run, or a run that cannot be meant.
        RefusedError: a folder there holds a run with another config, or a dataset is refused.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least one")
    if "seed" in axes:
        raise UsageError("seed is no axis of a sweep: --seeds N has 0 .. N-1 at each point")
    if not all(axes.values()):
        raise UsageError("an option of the sweep has no value")
    check_folder(root)
    jobs = []
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        options = merge({"evaluation_episodes": EVALUATION_EPISODES}, file)
        for key, value in point.items():
            options = merge(options, _nested(key, value))
        options = check_types(TrainConfig, options, "config")
        space = discrete
        if options.get("rho", TrainConfig.rho) == 0.0 and options.get("dataset"):
            env = read_metadata(options.pop("dataset")).env
            space = env.discrete
        named = [f"{k.split('.')[-1]}={v}" for k, v in point.items() if len(axes[k]) > 1]
        for seed in range(seeds):
            config = resolve(discrete=space, file=options, options={"seed": seed})
            name = ",".join([*named, f"seed={seed}"]).replace("/", "-").replace(" ", "")
            jobs.append(Job(config, root / name))
    for job in jobs:
        if job.path.exists() and RunDir.open(job.path).config() != job.config:
            raise RefusedError(f"{job.path} holds a run with another config; choose another --out")
    return jobs


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def sweep(jobs: Sequence[Job], engine: Engine, observer: Observer | None = None) -> dict[str, str]:
    """Run what is not finished. A run that fails does not stop the others.

    Returns:
        The error of each run that failed, by its folder's name.
    """
    observer = observer or Silent()
    observer.phase("runs", len(jobs), sum(job.finished for job in jobs))
    failed: dict[str, str] = {}
    shown = float(sum(job.finished for job in jobs))
    for ended in engine.run([job for job in jobs if not job.finished]):
        if ended is not None and ended[1]:
            failed[ended[0].path.name] = ended[1]
        now = math.fsum(job.done() for job in jobs)
        observer.advance(max(0.0, now - shown), failed=len(failed))
        shown = max(shown, now)
    return failed


class LocalPool:
    """Processes on this machine, each with one run at a time and one thread.

    A child writes what it says to RUN.log beside its run directory, and ends when the pool does.

    Args:
        workers: processes at a time.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise UsageError(f"--jobs {workers}: at least one")
        self.workers = workers

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str] | None]:
        """See Engine."""
        waiting, running = list(jobs), dict[Job, subprocess.Popen[bytes]]()
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.pop(0)
                    running[job] = self._start(job)
                time.sleep(POLL_S)
                yield None
                for job in [job for job, child in running.items() if child.poll() is not None]:
                    with running.pop(job) as child:
                        pass  # closes its stdin
                    yield job, "" if job.finished else _last_words(job, child.returncode)
        finally:
            for child in running.values():
                child.terminate()
            for child in running.values():
                with child:
                    pass  # closes its stdin and waits

    def _start(self, job: Job) -> "subprocess.Popen[bytes]":
        job.path.parent.mkdir(parents=True, exist_ok=True)
        with _log(job).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "lunar_offline.experiment.job", job.path],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is the pool's to answer
            )
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # it died; its exit code says so
            child.stdin.write(json.dumps(job.config.to_dict()).encode() + b"\n")
            child.stdin.flush()
        return child


def run_job(job: Job) -> None:
    """Train and evaluate one run, from wherever it stands.

    Raises:
        LunarOfflineError: see `start`, `resume` and `finish`.
    """
    training = resume(job.path) if job.path.exists() else start(job.config, job.path)
    training.train()
    finish(training.run)


def _log(job: Job) -> Path:
    return job.path.with_name(f"{job.path.name}.log")


def _last_words(job: Job, code: int) -> str:
    lines = _log(job).read_text(encoding="utf-8", errors="replace").split("\n")
    said = next((line for line in reversed(lines) if line.strip()), "")
    return f"exit code {code}: {said}"[:300]
