"""Keep what TensorFlow's libraries log about GPUs and instruction sets off the terminal."""

import os
import re
import signal
import sys

NOISE = re.compile(rb"[IWE]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IWE] |WARNING: All log messages before absl::|\s*$")
LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def quieten() -> None:
    """Filter what libraries write to standard error, unless the user has set TF_CPP_MIN_LOG_LEVEL.

    TensorFlow heeds that variable for some of its lines alone. A process of its own filters, so that the last words of a crash
    are not lost. Python's own standard error stays as it is: a bar must know that it is drawn on a terminal.
    """
    if os.environ.get(LEVEL) or not hasattr(os, "fork"):
        return
    os.environ[LEVEL] = "3"
    sys.stderr.flush()
    reading, writing = os.pipe()
    if not os.fork():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the pipe does
        os.close(writing)
        _filter(reading)
        os._exit(0)
    os.close(reading)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    os.dup2(writing, 2)
    os.close(writing)


def _filter(reading: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if not NOISE.match(line):
                os.write(2, line)
