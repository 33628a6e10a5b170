"""Commands that are killed, stopped by a signal or out of disk, over and over.

    python tests/crash_loops.py kill_collections 20    # in an empty folder

`rounds` runs this script, so that it is a process of its own that has imported everything and has
no thread: every command is a fork of it, which costs nothing to start and is the real code. It
prints JSON, a line a round. Tests ask for few rounds, benchmarks/kills.py for many.
"""

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# ruff: noqa: F401  (what commands import when they run)
import gymnasium.envs.box2d.lunar_lander
import h5py
import minari
import tensorboard.compat.proto.event_pb2
import tensorboard.summary.writer.record_writer
from crash_collections import (
    fill_disk_of_collection,
    kill_collections,
    kill_exports,
    kill_publications,
    second_writers,
    signal_collection,
)
from crash_commands import DATASETS
from crash_trainings import fill_disk_of_training, kill_trainings, signal_training
from lunar_offline_cli import console


def rounds(folder: Path, loop: str, *arguments: object) -> Iterator[Any]:
    """Run a loop in a folder of its own and yield what each of its rounds reports.

    Raises:
        AssertionError: something was not as it must be.
    """
    script, errors = [sys.executable, __file__, loop, *map(str, arguments)], folder / "errors"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            script, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        assert process.stdout
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, errors.read_text()


LOOPS: dict[str, Callable[..., None]] = {
    "kill_collections": lambda kills, *first: kill_collections(int(kills), *map(int, first)),
    "kill_publications": kill_publications,
    "kill_exports": kill_exports,
    "fill_disk_of_collection": fill_disk_of_collection,
    "signal_collection": signal_collection,
    "second_writers": second_writers,
    "kill_trainings": lambda kills, *first: kill_trainings(int(kills), *map(int, first)),
    "fill_disk_of_training": fill_disk_of_training,
    "signal_training": signal_training,
}

if __name__ == "__main__":
    os.environ["MINARI_DATASETS_PATH"] = str(DATASETS.absolute())
    # a shell's background job ignores Ctrl-C, and so would what it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()
    LOOPS[sys.argv[1]](*sys.argv[2:])
