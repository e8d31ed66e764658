"""Runs any live camera: a thread grabs frames into a mailbox of one, and reopens the device for ever."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from threading import Condition, Thread
from typing import Protocol, TypeVar

from edgeface.interfaces import CAMERA_THREAD
from edgeface.types import Frame, Image, NoFrame

T = TypeVar("T")
log = logging.getLogger(__name__)


class Source(Protocol):
    def read(self) -> Image:
        """Wait for the next RGB image. Raise ``CameraError`` if the device is dead."""

    def close(self) -> None:
        """Release the device."""


class LiveCamera:
    """Keeps the newest frame of a source and drops the others; reopens a failed source after growing pauses."""

    live = True
    LOST_AFTER = 5.0  # seconds without a frame after which the camera counts as lost though its driver has not failed
    STUCK_AFTER = 60.0  # seconds in one call of the driver after which only a restart helps
    FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
    STEADY = 10.0  # seconds of frames after which the next pause is the first one again
    GAP = 0.5  # seconds without a frame after which ``frames()`` yields a ``NoFrame``

    def __init__(self, open_source: Callable[[], Source], fps: float) -> None:
        self._open, self._interval = open_source, 1.0 / fps
        self._changed = Condition()
        self._mail: Frame | None = None
        self._failure: str | None = None
        self._dropped = 0
        self._closed = False
        self._in_call_since: float | None = None
        self._heard = 0.0
        self._thread = Thread(target=self._grab, name=CAMERA_THREAD, daemon=True)
        self._moments = self._watch()

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before they were read."""
        return self._dropped

    def frames(self) -> Iterator[Frame | NoFrame]:
        """Yield the newest frame, at most ``fps`` a second, or a ``NoFrame`` every half second."""
        return self._moments

    def _watch(self) -> Iterator[Frame | NoFrame]:
        self._heard = due = time.monotonic()
        self._thread.start()
        while True:
            frame = self._next(due)
            if self._closed:
                return
            now = time.monotonic()
            if frame is not None:
                due = now + self._interval
                yield frame
            else:
                yield self._gap(now, now - self._heard)

    def close(self) -> None:
        """End ``frames()`` and release the device as soon as its driver lets go of it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _next(self, due: float) -> Frame | None:
        with self._changed:
            early = due - time.monotonic()
            self._changed.wait_for(lambda: self._closed, timeout=max(0.0, min(early, self.GAP)))
            if early > self.GAP:
                return None
            self._changed.wait_for(lambda: self._closed or self._mail is not None, timeout=self.GAP)
            frame, self._mail = self._mail, None
            return frame

    def _gap(self, now: float, silence: float) -> NoFrame:
        lost = self._failure
        if lost is None and silence > self.LOST_AFTER:
            lost = f"no frame for {silence:.0f} s"
        since = self._in_call_since
        return NoFrame(now, time.time(), lost, stuck=since is not None and now - since > self.STUCK_AFTER)

    def _grab(self) -> None:
        attempt = 0
        while not self._closed:
            began = time.monotonic()
            try:
                for frame in self._session():
                    self._deliver(frame)
            except Exception as error:  # drivers raise anything, and this thread must survive it
                if self._failure is None:
                    log.warning("camera: %s; trying again", error)
                self._failure = str(error) or type(error).__name__
            if time.monotonic() - began > self.STEADY:
                attempt = 0
            pause = min(self.LONGEST_PAUSE, self.FIRST_PAUSE * 2 ** min(attempt, 10)) * random.uniform(0.75, 1.25)
            attempt += 1
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=pause)

    def _session(self) -> Iterator[Frame]:
        """Yield frames from one opening of the source until it fails."""
        source = self._timed(self._open)
        try:
            while not self._closed:
                image = self._timed(source.read)
                yield Frame(image, time.monotonic(), time.time())
        finally:
            self._timed(source.close)

    def _timed(self, call: Callable[[], T]) -> T:
        self._in_call_since = time.monotonic()
        try:
            return call()
        finally:
            self._in_call_since = None

    def _deliver(self, frame: Frame) -> None:
        with self._changed:
            self._failure, self._heard = None, frame.time
            if self._mail is not None:
                self._dropped += 1
            self._mail = frame
            self._changed.notify_all()
