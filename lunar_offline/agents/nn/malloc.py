"""Keeps the memory of freed activations in the process; glibc would return it to the system."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP = 1 << 30


def keep_freed_memory() -> None:
    """Let malloc reuse blocks of up to 1 GiB instead of unmapping them (glibc only).

    By default every activation of an update is mapped, zeroed page by page at page faults, and
    unmapped again, which takes a quarter of the time of a continuous CQL update. The setting
    applies to the current process only; with another C library the function does nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no mallopt
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEEP)
        mallopt(M_MMAP_THRESHOLD, KEEP)
