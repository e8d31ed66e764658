"""Starts ``edgeface run`` without the command line's libraries, which would only cost the daemon memory."""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from edgeface.errors import EdgefaceError
from edgeface.interfaces import CAMERA_THREAD
from edgeface.platform import memory

OPTIONS = ("--config", "--model")


def plain(words: Sequence[str]) -> dict[str, Path] | None:
    """Parse a command line of ``--config FILE``, ``--model DIR`` and ``run``; return its options, ``None`` for any other."""
    given, rest = {}, list(words)
    while rest and rest[0].partition("=")[0] in OPTIONS:
        name, equals, value = rest.pop(0).partition("=")
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        given[name] = Path(value)
    return given if rest == ["run"] else None


def serve(file: Path | None, model: Path | None = None) -> None:
    memory.set_up()
    from edgeface.daemon import logging
    from edgeface.daemon.service import Service
    from edgeface.vision.model_card import SHIPPED

    logging.set_up()
    Service(file, model or SHIPPED).run()
    leave_a_held_camera()


def leave_a_held_camera() -> None:
    """End the process at once if a driver still holds a camera's thread.

    Python ends such a thread when its driver returns, which aborts the process if the driver is written in C++.
    """
    if any(thread.name == CAMERA_THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def main(given: dict[str, Path]) -> None:
    try:
        serve(given.get("--config"), given.get("--model"))
    except EdgefaceError as error:
        print(f"edgeface: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
