import subprocess
import sys

import pytest

from edgeface.platform import memory

LARGE_BLOCK = """
import ctypes, sys
from edgeface.platform import memory as frugal
class Figures(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks used free top".split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Figures, ctypes.c_void_p
if "set_up" in sys.argv:
    frugal.set_up()
before = libc.mallinfo2().hblks
assert libc.malloc(ctypes.c_size_t(5_000_000))
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's malloc")
@pytest.mark.parametrize(("words", "mapped"), [((), "1"), (("set_up",), "0")])
def test_a_large_block_is_of_the_heap(words: tuple[str, ...], mapped: str) -> None:
    ended = subprocess.run([sys.executable, "-c", LARGE_BLOCK, *words], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == mapped, ended


def test_what_searches_leave_is_given_back_once_when_a_frame_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    trimmer = memory.HeapTrimmer()
    monkeypatch.setattr(memory, "trim_heap", lambda: given.append(True))
    told = []
    for searched in (False, True, True, False, False, True, False):
        trimmer.update(searched)
        told.append(len(given))
    assert told == [0, 0, 0, 1, 1, 1, 2]
