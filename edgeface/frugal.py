"""What keeps a process that runs for a year small."""

import ctypes
import os
from contextlib import suppress


def set_up() -> None:
    """One thread for each library that would take a processor's worth of them, with its buffers; before numpy is imported."""
    for name in ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")


def give_back() -> None:
    """Return to the system what libraries have freed and the allocator keeps: some 10 MB after searches for faces."""
    with suppress(OSError, AttributeError):  # of another libc than GNU's
        ctypes.CDLL(None).malloc_trim(0)
