"""Sweeps: grids of training runs, every combination of some options with every seed.

A sweep is a folder of run directories. Finished runs are kept and unfinished runs continue, so the
same command continues an interrupted sweep.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from lunar_offline.datasets.folder import open_folder
from lunar_offline.envs.registry import unregistered_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluate import check_folder
from lunar_offline.options import typed_values
from lunar_offline.progress import Observer, Silent
from lunar_offline.storage.strict_json import parse_json
from lunar_offline.storage.strict_toml import merge, nested
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import resume, start, train_and_finish
from lunar_offline.training.trackers.registry import check_installed

EVALUATION_EPISODES = 1_000
TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        config: the complete config of the run.
        path: the run directory, which may not exist yet.
        trackers: see `start` and `resume`.
    """

    config: TrainConfig = field(hash=False)  # it holds dictionaries
    path: Path
    trackers: tuple[str, ...] | None = None

    @property
    def finished(self) -> bool:
        """Whether the run has been trained and evaluated."""
        return (self.path / "evaluation.json").is_file()

    def done(self) -> float:
        """Return the share of the run's updates or online episodes that is done, 0 .. 1."""
        if self.finished:
            return 1.0
        try:
            with (self.path / "metrics.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                lines = file.read().splitlines()
        except OSError:
            return 0.0
        config = self.config
        if not config.uses_env:
            return min(1.0, _last_count(lines, "interval", "update_step") / config.updates)
        # interval records have no episode number; the last episode record has
        episodes = 1 + _last_count(lines, "episode", "episode", missing=-1)
        return min(1.0, episodes / max(1, config.online_episodes))


def _last_count(lines: Sequence[bytes], kind: str, name: str, missing: int = 0) -> int:
    """Return a counter of the last record of a kind, or `missing` without one."""
    for text in reversed(lines):
        try:
            record = parse_json(text)
        except ValueError:  # a line that is incomplete at its start or end
            continue
        if isinstance(record, dict) and record.get("kind") == kind:
            value = record.get(name)
            return value if type(value) is int else missing
    return missing


class Executor(Protocol):
    """The interface of executors, which run the jobs of a sweep."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str] | None]:
        """Run all jobs and yield (job, error) when each ends; the error is empty without a failure.

        The iterator yields None from time to time, so that the caller can report progress. Closing
        it stops the jobs that still run.
        """
        ...


def plan(
    root: Path,
    axes: Mapping[str, Sequence[Any]],
    seeds: int,
    *,
    file: Mapping[str, Any],
    discrete: bool | None = None,
    trackers: tuple[str, ...] | None = None,
) -> list[Job]:
    """Resolve the configs of all runs of a sweep, before any run starts.

    A point with rho 0 drops the dataset, but keeps its action space. The name of a run directory
    holds the run's values of all axes with more than one value, and its seed.

    Args:
        root: the sweep's folder.
        axes: values to try by config key, with dots for tables (`agent.discount`).
        seeds: number of seeds for each point: 0 .. seeds - 1.
        file: values for all runs, in the form of a config file.
        discrete: whether the user requested discrete actions; None if not specified.
        trackers: see `Job`.

    Returns:
        One job per point and seed.

    Raises:
        UsageError: the sweep has no run, `seed` is an axis, options contradict each other, or
            the extra of a tracker is missing.
        RefusedError: a run directory holds a run with another config, or a dataset is refused.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least one")
    if "seed" in axes:
        raise UsageError("seed is not an axis of a sweep: --seeds N runs 0 .. N-1 at each point")
    if not all(axes.values()):
        raise UsageError("an option of the sweep has no value")
    check_installed(trackers or ())
    check_folder(root)
    jobs = []
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        options = merge({"evaluation_episodes": EVALUATION_EPISODES}, file)
        for key, value in point.items():
            options = merge(options, nested(key, value))
        options = typed_values(TrainConfig, options, "config")
        space = discrete
        if options.get("rho", TrainConfig.rho) == 0.0 and options.get("dataset"):
            env = unregistered_env(point.get("env"), options.get("env_kwargs"))
            folder = open_folder(options.pop("dataset"), env)
            space, options["env"] = folder.env.discrete, folder.env.env_id
            options["env_kwargs"] = {**folder.env.settings, **options.get("env_kwargs", {})}
        named = [f"{k.split('.')[-1]}={v}" for k, v in point.items() if len(axes[k]) > 1]
        named_env = {"env": point["env"]} if "env" in point else {}
        config = resolve(discrete=space, file=options, options={"seed": 0, **named_env})
        for seed in range(seeds):
            name = ",".join([*named, f"seed={seed}"]).replace("/", "-").replace(" ", "")
            jobs.append(Job(replace(config, seed=seed), root / name, trackers))
    for job in jobs:
        if job.path.exists() and RunFolder.open(job.path).config() != job.config:
            raise RefusedError(f"{job.path} holds a run with another config; choose another --out")
    return jobs


def sweep(
    jobs: Sequence[Job], executor: Executor, observer: Observer | None = None
) -> dict[str, str]:
    """Run the unfinished jobs. A failed run does not stop the others.

    Args:
        jobs: the runs of the sweep.
        executor: runs the jobs.
        observer: receives the progress.

    Returns:
        The error of each failed run, by the name of its run directory.
    """
    observer = observer or Silent()
    observer.phase("runs", len(jobs), sum(job.finished for job in jobs))
    failed: dict[str, str] = {}
    shown = float(sum(job.finished for job in jobs))
    for ended in executor.run([job for job in jobs if not job.finished]):
        if ended is not None and ended[1]:
            failed[ended[0].path.name] = ended[1]
        now = math.fsum(job.done() for job in jobs)
        observer.advance(now - shown, failed=len(failed))
        shown = now
    return failed


def run_job(job: Job) -> None:
    """Train and evaluate one run, from its start or from its last checkpoint.

    Raises:
        LunarOfflineError: see `start`, `resume` and `finish`.
    """
    if job.path.exists():
        training = resume(job.path, trackers=job.trackers)
    else:
        training = start(job.config, job.path, trackers=job.trackers)
    train_and_finish(training)
