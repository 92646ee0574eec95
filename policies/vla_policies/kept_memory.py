"""Memory that a step gives back is kept for the next one: for training on a CPU.

A step asks for the same gigabyte of activations and gradients as the step before. The C library gives large blocks back
to the system at once, and the system hands out pages by clearing them, one fault each: a tenth of a step. Kept, they
cost that once. A process holds what its largest step took, until it ends.
"""

from __future__ import annotations

import ctypes
import platform

MOST_MAPPED = -4
"""`M_MMAP_MAX`, the first of `mallopt`'s names of glibc's malloc.h that matter here: blocks apart from the heap."""
TRIM_ABOVE = -1
"""`M_TRIM_THRESHOLD`: free bytes at the heap's end from which on they are given back; -1 for never."""


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, from now on; whether it can: glibc does, others are left as they are."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Blocks that threads other than the first ask for lie in heaps of their own, or apart where those are too small.
    return bool(mallopt(MOST_MAPPED, 0)) and bool(mallopt(TRIM_ABOVE, -1))
