"""What keeps a process that runs for a year small."""

import ctypes
from contextlib import suppress

from edgeface.platform import environment

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of ``mallopt``, in malloc.h."""
LARGEST, SLACK = 32 * 2**20, 12 * 10**6
"""Bytes: blocks up to here come from the heap (the largest value there is); what may lie free at its end."""


def set_up() -> None:
    """One thread for each library that would take a processor's worth of them, with its buffers; before numpy is imported.

    One heap for small and large blocks: what a search takes then lies where the last one's lay. And OpenCV by itself, as for a
    USB camera, decodes no larger image than ``imaging`` would let it.
    """
    environment.advise(OPENBLAS_NUM_THREADS="1", OPENCV_FOR_THREADS_NUM="1", OPENCV_IO_MAX_IMAGE_PIXELS="64000000")
    with suppress(OSError, AttributeError):  # of another libc than GNU's
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, SLACK)


class HeapTrimmer:
    """Returns what searches for faces have left free, once, as soon as a frame needs none."""

    def __init__(self) -> None:
        self._used = False

    def update(self, searched: bool) -> None:
        """Whether the latest frame was searched."""
        if self._used and not searched:
            trim_heap()
        self._used = searched


def trim_heap() -> None:
    """Return to the system what libraries have freed and the allocator keeps: some 10 MB after searches for faces."""
    with suppress(OSError, AttributeError):  # of another libc than GNU's
        ctypes.CDLL(None).malloc_trim(0)
