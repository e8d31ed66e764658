"""``edgeface`` on a worn machine: the files ``clock`` and ``blocked`` in ``EDGEFACE_WORN`` step its clock, block its camera."""

import os
import time
from pathlib import Path

WORN = Path(os.environ["EDGEFACE_WORN"])
real_time = time.time


def stepped_time() -> float:
    try:
        return real_time() + float((WORN / "clock").read_text())
    except (OSError, ValueError):
        return real_time()


time.time = stepped_time

from edgeface.__main__ import main  # noqa: E402
from edgeface.cameras import ffmpeg  # noqa: E402
from edgeface.types import Image  # noqa: E402

real_read = ffmpeg.Stream.read


def blocking_read(stream: ffmpeg.Stream) -> Image:
    while (WORN / "blocked").exists():
        time.sleep(0.1)
    return real_read(stream)


ffmpeg.Stream.read = blocking_read  # type: ignore[method-assign, assignment]  # the machine is worn
main()
