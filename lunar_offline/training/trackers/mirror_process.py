"""A mirror: python -m lunar_offline.training.trackers.mirror_process NAME RUN.

Follows metrics.jsonl of a run and passes its lines to the adapter NAME, until stdin closes. A line
`finished` on stdin reports that the training ended without an error, and `evaluated` that
evaluation.json has its result.

`trackers/NAME.json` in the run directory holds the tracker's own id of the run and the number of
lines that the tracker has. It is written before the lines are passed on, so that no line is passed
on twice: what a resumed run repeats is skipped, and what the tracker lacks is made up for.
"""

import fcntl
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path

from lunar_offline.errors import RefusedError
from lunar_offline.storage.plain_text import one_line
from lunar_offline.storage.strict_json import parse_json, read_json, write_json
from lunar_offline.storage.strict_toml import read_toml
from lunar_offline.storage.untrusted_files import open_regular
from lunar_offline.training.trackers.protocol import Adapter, TrackedRun
from lunar_offline.training.trackers.registry import ADAPTERS
from lunar_offline.training.trackers.scalars import Point, evaluation_scalars, record_scalars

POLL_S = 0.5
MOST_POINTS = 100  # passed on at a time
LAST_S = 120.0  # after stdin has closed, should nobody end this process


@dataclass(frozen=True)
class State:
    """What a tracker has of a run.

    Attributes:
        run_id: the tracker's own id of the run; empty before the first connection.
        lines: number of lines of metrics.jsonl.
        evaluated: whether it has the evaluation.
    """

    run_id: str = ""
    lines: int = 0
    evaluated: bool = False


def read_state(path: Path) -> State:
    """Read a state; there is none before the first connection.

    Raises:
        RefusedError: the file is damaged.
    """
    if not os.path.lexists(path):
        return State()
    values = read_json(path)
    kinds = {name: type(value) for name, value in asdict(State()).items()}
    if {name: type(value) for name, value in values.items()} != kinds or values["lines"] < 0:
        raise RefusedError(f"{path}: damaged")
    return State(**values)


class Mirror:
    """Passes what is new in a run directory to an adapter.

    Args:
        name: of the adapter.
        folder: the run directory.

    Raises:
        Exception: whatever the tracker raises at a failure; the state then holds what it has.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder.resolve()
        self._path = self._folder / "trackers" / f"{name}.json"
        self._state = read_state(self._path)
        self._offset = self._number = self._update_step = 0
        run = TrackedRun(
            self._folder.name,
            self._folder,
            _flat(read_toml(self._folder / "config.toml")),
            self._state.run_id,
        )
        connect: Callable[[TrackedRun], Adapter]
        connect = import_module(f"lunar_offline.training.trackers.{name}").connect
        self._adapter = connect(run)
        self._save(replace(self._state, run_id=self._adapter.run_id))

    def _save(self, state: State) -> None:
        write_json(self._path, asdict(state))
        self._state = state

    def follow(self) -> None:
        """Pass on the lines that are new."""
        points: list[Point] = []
        for line in self._new_lines():
            record = parse_json(line)
            self._update_step = int(record["update_step"])
            if self._number >= self._state.lines:
                points.append(Point(self._number, self._update_step, record_scalars(record)))
            self._number += 1
        for first in range(0, len(points), MOST_POINTS):
            some = points[first : first + MOST_POINTS]
            self._send(some, replace(self._state, lines=some[-1].number + 1))

    def evaluate(self) -> None:
        """Pass on evaluation.json, once."""
        if not self._state.evaluated:
            scalars = evaluation_scalars(read_json(self._folder / "evaluation.json"))
            point = Point(self._number, self._update_step, scalars)
            self._send([point], replace(self._state, evaluated=True))

    def close(self, *, finished: bool) -> None:
        """See Adapter."""
        self._adapter.close(finished=finished)

    def _send(self, points: list[Point], state: State) -> None:
        before = self._state
        self._save(state)
        try:
            self._adapter.log(points)
        except BaseException:
            self._save(before)
            raise

    def _new_lines(self) -> list[bytes]:
        """Return the lines of metrics.jsonl that are complete since the last call."""
        try:
            descriptor = open_regular(self._folder / "metrics.jsonl")
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, "rb") as file:
            file.seek(self._offset)
            *lines, rest = file.read().split(b"\n")
            self._offset = file.tell() - len(rest)
        return lines


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float | bool):
            found[prefix + key] = value
        else:
            found[prefix + key] = json.dumps(value)
    return found


def main() -> None:
    """Mirror a run until stdin closes; print an error as the last line, and exit with 1."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    if name not in ADAPTERS:
        raise SystemExit(f"{name} is not one of {', '.join(ADAPTERS)}")
    said: set[str] = set()
    ended = threading.Event()
    threading.Thread(target=_listen, args=(said, ended), daemon=True).start()
    try:
        # the log is its lock as well: the mirror of a killed training may still be at work
        lock = os.open(folder / "trackers" / f"{name}.log", os.O_RDONLY | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_EX)
        mirror = Mirror(name, folder)
        while True:
            last = ended.wait(POLL_S)
            mirror.follow()
            if last:
                break
        if "evaluated" in said:
            mirror.evaluate()
        mirror.close(finished="finished" in said)
    except BaseException as error:
        traceback.print_exc()
        print(one_line(error), file=sys.stderr, flush=True)
        os._exit(1)  # what the tracker has at exit may wait for the network
    sys.stdout.flush()


def _listen(said: set[str], ended: threading.Event) -> None:
    for line in sys.stdin:
        said.add(line.strip())
    ended.set()
    timer = threading.Timer(LAST_S, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
