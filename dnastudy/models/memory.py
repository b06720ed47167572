"""Keep freed memory in the process, where large arrays come and go all the time."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
_NEVER = 2**31 - 1
_LARGEST = 2**30, 2**25  # bytes; older glibc takes no more than the second


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to hand out again what was freed, up to 1 GiB a piece, instead of returning it to the system.

    By default each large array is mapped anew, and the system fills its pages with zeros as they are touched:
    up to two fifths of the time of a training step on a CPU. The process then stays as large as it once was.

    Returns
    -------
    Whether the C library took it: glibc does, older ones up to 32 MiB a piece, others have nothing to set.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None or not mallopt(_TRIM_THRESHOLD, _NEVER):
        return False
    return any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST)
