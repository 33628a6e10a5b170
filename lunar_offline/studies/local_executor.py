"""The executor that runs a sweep in processes on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lunar_offline.errors import UsageError
from lunar_offline.studies.sweep import Job

POLL_S = 0.5


class LocalExecutor:
    """Runs each job in a process on this machine, with one thread.

    A process writes its output to RUN.log next to its run directory, and exits when this process
    does.

    Args:
        workers: maximum number of simultaneous processes.

    Raises:
        UsageError: `workers` is below 1.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise UsageError(f"--jobs {workers}: at least one")
        self.workers = workers

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str] | None]:
        """See Executor."""
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
                    yield job, "" if job.finished else _last_line(job, child.returncode)
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
                [sys.executable, "-P", "-m", "lunar_offline.studies.job", job.path],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # only this process receives Ctrl-C
            )
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # the process has ended; its exit code is reported
            given = {"config": job.config.to_dict(), "trackers": job.trackers}
            child.stdin.write(json.dumps(given).encode() + b"\n")
            child.stdin.flush()
        return child


def _log(job: Job) -> Path:
    return job.path.with_name(f"{job.path.name}.log")


def _last_line(job: Job, code: int) -> str:
    lines = _log(job).read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"exit code {code}: {last}"[:300]
