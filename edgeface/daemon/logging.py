"""Writes the log to standard error, in the journal's format if it goes there, and shortens repeated lines."""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from threading import Lock

from edgeface.platform import environment
from edgeface.types import EventType
from edgeface.wire.events import Event

log = logging.getLogger("edgeface")

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""Levels as syslog(3) numbers them."""


def set_up() -> None:
    handler = logging.StreamHandler(sys.stderr)
    if _is_journal():
        formatter: logging.Formatter = JournalFormatter("%(message)s")
    elif sys.stderr is not None and sys.stderr.isatty():
        formatter = logging.Formatter("%(asctime)s  %(levelname)s  %(message)s", "%H:%M:%S")
    else:
        formatter = logging.Formatter("%(levelname)s %(message)s")
    handler.setFormatter(formatter)
    handler.addFilter(Repeats())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def log_event(event: Event) -> None:
    """Log an event; events of people are never shortened as repetitions, those of the camera are."""
    level = logging.WARNING if event.event_type is EventType.CAMERA_LOST else logging.INFO
    log.log(level, "%s", event_line(event), extra={"news": event.track_id is not None})


def event_line(event: Event) -> str:
    """Write an event as ``type key=value ...``, without the name, which the log would keep after the person is forgotten."""
    values = {
        "person": event.person_id,
        "score": event.score and f"{event.score:.3f}",
        "threshold": event.threshold and f"{event.threshold:.3f}",
        "liveness": event.liveness if event.liveness is None else f"{event.liveness:.2f}",
        "liveness_class": event.liveness_class,
        "seconds": event.seconds and f"{event.seconds:.1f}",
        "reason": event.reason and f'"{event.reason}"',
        "why": event.doubt and str(event.doubt.reason),
        "track": event.track_id,
        "camera": event.camera,
        "id": event.event_id,
    }
    return " ".join([str(event.event_type), *(f"{key}={value}" for key, value in values.items() if value is not None)])


class JournalFormatter(logging.Formatter):
    """Starts each line with its priority, as sd-daemon(3) says."""

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


class Repeats(logging.Filter):
    """Lets lines that differ only in numbers through ``BURST`` times in ``PERIOD`` seconds, and counts the others."""

    BURST, PERIOD = 3, 300.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record; the last line of a burst says that more are held back, the next gives their count."""
        if getattr(record, "news", False):
            return True
        now, line = self._clock(), record.getMessage()
        key = re.sub(r"\b[0-9A-Z]{26}\b|\d+", "#", line)
        with self._lock:
            since, count = self._seen.get(key, (float("-inf"), 0))
            note = ""
            if now - since >= self.PERIOD:
                note = f" (and {count - self.BURST} times more since)" if count > self.BURST else ""
                since, count = now, 0
                self._seen = {key: entry for key, entry in self._seen.items() if now - entry[0] < self.PERIOD}
            self._seen[key] = since, count + 1
        if count + 1 == self.BURST:
            note = f" (more of the same is kept back for {self.PERIOD / 60:.0f} minutes)"
        record.msg, record.args = line + note, ()
        return count < self.BURST


def _is_journal() -> bool:
    """Return whether standard error goes to the journal; see systemd.exec(5)."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # there is no standard error
        return False
    return environment.text("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
