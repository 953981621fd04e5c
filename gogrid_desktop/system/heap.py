"""Memory that was freed goes back to the system: by default glibc keeps it, and the more threads, the more of it.

Source: mallopt(3). Where the C library has no such call nothing is done.
"""

from __future__ import annotations

import ctypes

#: From malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 64 * 2**10


def give_back_what_is_free() -> bool:
    """For this process, from now on: one heap for all threads, of whose end little is kept; whether it was heeded."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, _KEPT_BYTES), (_MMAP_THRESHOLD, _KEPT_BYTES))
    heeded = [mallopt(name, value) == 1 for name, value in wanted]
    return all(heeded)
