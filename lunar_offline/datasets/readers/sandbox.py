"""Run `conversion` in a child process, so that no file can crash, hang or exhaust this one."""

import json
import os
import signal
import subprocess
import sys

from lunar_offline.datasets.readers.request import Request
from lunar_offline.errors import LunarOfflineError, RefusedError

BASE_SECONDS = 5  # the start takes about 0.3
BASE_MEMORY = 128 << 20  # in addition to that of the start; 10,000 short episodes need 22 MiB
BYTES_PER_EPISODE = 2 << 10  # of its names and addresses; HDF5 needs 0.7 KiB, Arrow 0.4
COPIES = 4  # of an episode's rows in memory, while they are checked and written
MOST_COPIED = 1 << 30
BYTES_PER_SECOND = 10 << 20
EPISODES_PER_SECOND = 200
WALL_FACTOR = 5  # times the CPU seconds, on a busy machine
# os._exit skips the cleanup of HDF5 and Arrow, which may crash after the answer.
START = "import os; from lunar_offline.datasets.readers.conversion import main; main(); os._exit(0)"


def limited(request: Request, sizes: list[int]) -> Request:
    """Return a request with limits on CPU seconds and bytes of memory that fit its data.

    Args:
        request: the request without limits.
        sizes: of its files in bytes.
    """
    size = sum(sizes)
    seconds = BASE_SECONDS + size // BYTES_PER_SECOND + request.episodes // EPISODES_PER_SECOND
    # one episode may hold most of the rows; an Arrow file is read at once, with its infos
    largest = max(sizes) if request.format == "arrow" else 0
    episodes = BYTES_PER_EPISODE * request.episodes
    memory = BASE_MEMORY + largest + episodes + min(COPIES * request.rows_bytes, MOST_COPIED)
    return request._replace(seconds=seconds, memory=memory)


def convert(request: Request) -> None:
    """Read and check a dataset's data in a child process, which writes `request.out`.

    Raises:
        RefusedError: the data are invalid, or the child process crashed or exceeded its limits.
        LunarOfflineError: the cache file could not be written.
    """
    returncode, text = _answer(request)
    if returncode == -signal.SIGXCPU:
        raise RefusedError(f"takes more than {request.seconds} s to read")
    if returncode or not text:
        ended = f"signal {-returncode}" if returncode < 0 else "an error"
        raise RefusedError(f"crashed the process that read it ({ended})")
    answer = json.loads(text)
    if "refused" in answer:
        raise RefusedError(answer["refused"])
    if "failed" in answer:
        raise LunarOfflineError(f"{request.out}: {answer['failed']}")


def _answer(request: Request) -> tuple[int, str]:
    """Return the exit status and the output of the child process."""
    wall_seconds = WALL_FACTOR * request.seconds
    with subprocess.Popen(
        [sys.executable, "-P", "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        start_new_session=True,  # only this process receives Ctrl-C
        text=True,
    ) as child:
        try:
            text, _ = child.communicate(json.dumps(request._asdict()), timeout=wall_seconds)
        except subprocess.TimeoutExpired:
            raise RefusedError(f"takes more than {wall_seconds} s to read") from None
        finally:
            child.kill()
    return child.returncode, text


def _environment() -> dict[str, str]:
    """Return the environment variables that the child needs, without any token or key."""
    kept = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HDF5_PLUGIN_PATH": "/nonexistent",  # HDF5 must not load filter plugins
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # Arrow's allocator and each of its threads reserve much of the limited address space; when
        # that is exhausted, the start of a thread aborts the process
        "ARROW_IO_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
