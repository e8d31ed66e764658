"""The end of a daemon whose camera does not let go."""

import subprocess
import sys

HELD = """
import atexit, threading
from edgeface.daemon import run

atexit.register(print, "ended as usual")
if {held}:
    threading.Thread(target=threading.Event().wait, name=run.CAMERA_THREAD, daemon=True).start()
print("stopped")
run.leave_a_held_camera()
"""


def told(held: bool) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", HELD.format(held=held)], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


def test_a_driver_that_holds_its_camera_does_not_take_part_in_the_end() -> None:
    assert told(True) == (0, ["stopped"])
    assert told(False) == (0, ["stopped", "ended as usual"])
