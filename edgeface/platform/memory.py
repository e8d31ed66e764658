"""Keeps the memory of a process small that runs for a year."""

import ctypes
from contextlib import suppress

from edgeface.platform import environment

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from malloc.h
LARGEST, SLACK = 32 * 2**20, 12 * 10**6
"""Bytes of the largest block that comes from the heap (the greatest value allowed), and that may lie free at the heap's end."""


def set_up() -> None:
    """Set up threads, heap and OpenCV for a small process, before numpy is imported.

    Libraries use one thread each: every further one would have its own buffers. Small and large blocks come from one heap, so
    each search for faces takes the memory of the last one. OpenCV decodes no larger image than ``vision.images`` allows.
    """
    environment.advise(OPENBLAS_NUM_THREADS="1", OPENCV_FOR_THREADS_NUM="1", OPENCV_IO_MAX_IMAGE_PIXELS="64000000")
    with suppress(OSError, AttributeError):  # with another libc than GNU's
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, SLACK)


class HeapTrimmer:
    """Returns free memory to the system once after searches for faces, as soon as a frame needs none."""

    def __init__(self) -> None:
        self._used = False

    def update(self, searched: bool) -> None:
        if self._used and not searched:
            trim_heap()
        self._used = searched


def trim_heap() -> None:
    """Return memory to the system that the allocator keeps free: some 10 MB after searches for faces."""
    with suppress(OSError, AttributeError):  # with another libc than GNU's
        ctypes.CDLL(None).malloc_trim(0)
