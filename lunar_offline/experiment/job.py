"""One run of a sweep in a process of its own: python -m lunar_offline.experiment.job RUN.

Its config is the first line of stdin, as JSON. It ends when stdin does, so that it never outlives
the sweep.
"""

import json
import os
import sys
import threading
from pathlib import Path

from lunar_offline.errors import LunarOfflineError
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.sweep import Job, run_job


def main() -> None:
    """Run the job; errors of the user's are one line."""
    config = TrainConfig.from_dict(json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        run_job(Job(config, Path(sys.argv[1])))
    except LunarOfflineError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(143)


if __name__ == "__main__":
    main()
