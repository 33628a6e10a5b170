"""Runs `strict` in a child process, so that no file can crash, hang or exhaust this one."""

import json
import os
import signal
import subprocess
import sys

from lunar_offline.data.strict import Request
from lunar_offline.errors import LunarOfflineError, RefusedError

BASE_SECONDS = 5  # starting takes about 0.3
BASE_MEMORY = 128 << 20  # beyond what starting takes; three small episodes need 14 MiB
COPIES = 4  # of an episode's rows, while they are checked and written
MOST_COPIED = 1 << 30
BYTES_PER_SECOND = 10 << 20
EPISODES_PER_SECOND = 200
PATIENCE = 5  # times the CPU seconds, on a busy machine
# HDF5 and Arrow may crash once more while they tidy up, after the answer.
START = "import os; from lunar_offline.data.strict import main; main(); os._exit(0)"


def limited(request: Request, size: int) -> Request:
    """Return a request with the CPU seconds and the bytes of memory that its data may take.

    Args:
        request: what is to be read.
        size: of its files in bytes; HDF5's is mapped, which counts as memory.
    """
    seconds = BASE_SECONDS + size // BYTES_PER_SECOND + request.episodes // EPISODES_PER_SECOND
    # one episode may be most of the rows
    memory = BASE_MEMORY + size + min(COPIES * request.rows_bytes, MOST_COPIED)
    return request._replace(seconds=seconds, memory=memory)


def convert(request: Request) -> None:
    """Have a dataset's data read, checked and written to `request.out`.

    Raises:
        RefusedError: the data are not what they must be, or reading them broke the reader.
        OSError: the cache could not be written.
    """
    returncode, text = _answer(request)
    if returncode == -signal.SIGXCPU:
        raise RefusedError(f"takes more than {request.seconds} s to read")
    if returncode or not text:
        ended = f"signal {-returncode}" if returncode < 0 else "an error"
        raise RefusedError(f"broke the process that read it ({ended})")
    answer = json.loads(text)
    if "refused" in answer:
        raise RefusedError(answer["refused"])
    if "failed" in answer:
        raise LunarOfflineError(f"{request.out}: {answer['failed']}")


def _answer(request: Request) -> tuple[int, str]:
    """Return the exit status of the process that reads, and what it said."""
    patience = PATIENCE * request.seconds
    with subprocess.Popen(
        [sys.executable, "-P", "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        start_new_session=True,  # Ctrl-C is this process's to answer
        text=True,
    ) as child:
        try:
            text, _ = child.communicate(json.dumps(request._asdict()), timeout=patience)
        except subprocess.TimeoutExpired:
            raise RefusedError(f"takes more than {patience} s to read") from None
        finally:
            child.kill()
    return child.returncode, text


def _environment() -> dict[str, str]:
    """Return what the child needs to start, and no token or key."""
    kept = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HDF5_PLUGIN_PATH": "/nonexistent",  # no filter is loaded from anywhere
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # each of Arrow's threads, and its allocator, reserves much of the address space: where that
        # is used up, a thread more ends the process
        "ARROW_IO_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
