"""One run of a sweep in a separate process: python -m lunar_offline.studies.job RUN.

The first line of stdin is JSON: its config and its trackers. The process exits when stdin closes,
so that it never outlives the sweep.
"""

import json
import os
import sys
import threading
from pathlib import Path

from lunar_offline.errors import LunarOfflineError
from lunar_offline.studies.sweep import Job, run_job
from lunar_offline.training.config import TrainConfig


def main() -> None:
    """Run the job; print an expected error as one line."""
    given = json.loads(sys.stdin.readline())
    trackers = None if given["trackers"] is None else tuple(given["trackers"])
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        run_job(Job(TrainConfig.from_dict(given["config"]), Path(sys.argv[1]), trackers))
    except LunarOfflineError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(143)


if __name__ == "__main__":
    main()
