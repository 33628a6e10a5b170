"""Keeps freed activations in the process, where glibc would hand them back to the system."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP = 1 << 30


def keep_freed_memory() -> None:
    """Let malloc reuse blocks of up to 1 GiB instead of unmapping them (glibc; else nothing).

    By default every activation of an update is mapped, filled with zero pages one fault at a time,
    and unmapped again: a quarter of a continuous CQL update. The setting is the process's own.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEEP)
        mallopt(M_MMAP_THRESHOLD, KEEP)
