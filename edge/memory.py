"""Keeps the memory of a process that lives for a year from creeping up."""

import ctypes

# From glibc's <malloc.h>.
_M_MMAP_THRESHOLD = -3
# Below a 320x240 picture in colour, above everything that is made often and small.
_LARGE_BYTES = 192 * 1024


def keep_frames_out_of_heaps() -> bool:
    """Have the C library give every picture its own pages, and give them back when it is freed.

    glibc otherwise learns from the first freed frame to keep such blocks in its heaps, one a
    thread, where the most frames that were ever in flight stay resident. It costs some 8 % of the
    frame rate (docs/benchmarks.md). For the whole process, so only ``fer-edge run`` calls it.

    Returns:
        Whether the C library took it; others than glibc have no such setting and need none.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
    except (AttributeError, OSError):
        return False
