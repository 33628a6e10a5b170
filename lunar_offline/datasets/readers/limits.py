"""The limits of the process that reads a dataset. Used only by `conversion` and the readers."""

import resource
from pathlib import Path

from lunar_offline.datasets.readers.request import Request

RESERVE = 24 << 20  # of memory, for the next objects of a file


def set_limits(request: Request) -> None:
    """Limit the CPU time, memory and file size of this process to those of the request."""
    written = request.rows_bytes + request.episodes * 16 + (1 << 20)
    for what, most in (
        (resource.RLIMIT_CPU, request.seconds),  # SIGXCPU, and a second later SIGKILL
        (resource.RLIMIT_AS, _address_space() + request.memory),
        (resource.RLIMIT_FSIZE, written),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        spare = most + (what == resource.RLIMIT_CPU)
        if hard != resource.RLIM_INFINITY:
            most, spare = min(most, hard), min(spare, hard)
        resource.setrlimit(what, (most, spare))


def check_memory() -> None:
    """Raise MemoryError while there is still memory: HDF5 may crash where it receives none."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and _address_space() + RESERVE > limit:
        raise MemoryError


def _address_space() -> int:
    """Return the bytes of address space of this process; an upper estimate outside Linux."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    except OSError:
        return 1 << 30
    return pages * resource.getpagesize()
