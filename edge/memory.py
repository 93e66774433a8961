"""Keeps the memory of a process that lives for a year from creeping up."""

import ctypes

# From glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# The largest that every glibc takes: beyond it a block has pages of its own, fresh ones each time.
_OWN_PAGES_BYTES = 32 << 20
# A heap that is given back in one frame is asked for again in the next.
_KEEP_BYTES = 256 << 20


def use_one_heap() -> bool:
    """Have the C library take all memory from one heap, and keep what was freed for the next frame.

    By default every thread gets a heap of its own, and each ends with as many frames in it as were
    ever in flight there. Pages of its own for every picture are the other way to keep memory flat,
    at twice the cost of a frame (docs/benchmarks.md). For the whole process, so only ``fer-edge
    run`` and the benchmarks call it, before they load anything large.

    Returns:
        Whether the C library took it; others than glibc have no such setting and need none.
    """
    settings = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES),
        (_M_TRIM_THRESHOLD, _KEEP_BYTES),
    )
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    taken = [mallopt(*setting) for setting in settings]
    return all(taken)
