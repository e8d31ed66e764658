"""What others see of the daemon's loop and ask of it. The loop leaves values here and takes work, and waits for nobody."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

from edgeface.enrollment.enroller import Enroller
from edgeface.errors import FAILED_INSIDE, EdgefaceError
from edgeface.gallery.audit import Audit
from edgeface.gallery.store import Gallery
from edgeface.types import Frame, NoFrame, TrackedFace

MAX_WAITING = 16
"""Pieces of work that wait for the loop, at most."""
MAX_RUNNING = 12
"""Pieces of work that the loop has under way, at most; those that wait for their client take no time."""
SOMEBODY_ELSE = "somebody else is being enrolled now"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What work in the loop is done with."""

    enroller: Enroller
    gallery: Gallery
    audit: Audit


Steps: TypeAlias = Generator[None, Frame | NoFrame, Any]
Work: TypeAlias = Callable[[Desk], Steps]
"""Begun by the loop, then sent every moment until it returns its result."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture and whom it shows; ``seconds`` is how long the last search for faces took."""

    number: int
    frame: Frame
    sights: tuple[TrackedFace, ...]
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    work: Work
    result: "Future[Any]"


class Window:
    """Between the loop and who asks it: a slot for the newest picture, and a queue of work.

    ``session`` is held while somebody is enrolled from the camera, wherever that was asked for: one at a time.
    """

    def __init__(self) -> None:
        self.view: View | None = None
        self._watched_until, self._tell = -math.inf, _nobody
        self._number = 0
        self.session = Lock()
        self._lock = Lock()
        self._waiting: deque[_Job] = deque()
        self._running: list[tuple[_Job, Steps]] = []

    def watch(self, seconds: float, tell: Callable[[], None] | None = None) -> None:
        """Have the loop leave its pictures here for so long, and call ``tell`` after each; any thread may say so."""
        self._watched_until, self._tell = time.monotonic() + seconds, tell or _nobody

    def ask(self, work: Work) -> "Future[Any]":
        """Have the loop do some work; cancel the future to end it. Any thread may ask.

        Raises:
            EdgefaceError: too much waits already.
        """
        job = _Job(work, Future())
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise EdgefaceError("the device is busy; try again in a moment")
            self._waiting.append(job)
        return job.result

    def sit(self, work: Work) -> "Future[Any]":
        """As ``ask``, for work in which somebody sits before the camera.

        Raises:
            EdgefaceError: somebody else does, or too much waits already.
        """
        if not self.session.acquire(blocking=False):
            raise EdgefaceError(SOMEBODY_ELSE)
        try:
            result = self.ask(work)
        except EdgefaceError:
            self.session.release()
            raise
        result.add_done_callback(lambda _: self.session.release())
        return result

    def show(self, moment: Frame | NoFrame, sights: Callable[[float], Sequence[TrackedFace]], seconds: float | None) -> None:
        """Leave a picture, if anybody watches; ``sights`` gives the faces seen at a time. For the loop.

        A picture that was not searched (``seconds`` is none), since nothing had moved, shows whom the one before it shows.
        """
        if moment.time > self._watched_until:
            self.view = None
        elif isinstance(moment, Frame):
            self._number += 1
            before = self.view
            if seconds is not None:
                self.view = View(self._number, moment, tuple(sights(moment.time)), seconds)
            else:
                self.view = View(self._number, moment, before.sights if before else (), before.seconds if before else 0.0)
            self._tell()

    def serve(self, moment: Frame | NoFrame, desk: Desk) -> None:
        """Begin what waits, and go on with what takes several moments. For the loop."""
        while len(self._running) < MAX_RUNNING and (job := self._next()):
            if job.result.cancelled():
                continue
            steps = job.work(desk)
            if self._step(job, steps):
                self._running.append((job, steps))
        for entry in tuple(self._running):
            job, steps = entry
            if job.result.cancelled():
                steps.close()
                self._running.remove(entry)
            elif not self._step(job, steps, moment):
                self._running.remove(entry)

    def _next(self) -> _Job | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def close(self, reason: EdgefaceError | None = None) -> None:
        """Tell those who wait that nothing comes any more. For the loop."""
        jobs = [job for job, _ in self._running]
        with self._lock:
            jobs += self._waiting
            self._waiting.clear()
        for _, steps in self._running:
            steps.close()
        self._running.clear()
        self.view = None
        for job in jobs:
            _settle(job.result, reason or EdgefaceError("the daemon is stopping"))

    @staticmethod
    def _step(job: _Job, steps: Steps, moment: Frame | NoFrame | None = None) -> bool:
        """Whether the work goes on after this step of it."""
        try:
            next(steps) if moment is None else steps.send(moment)
        except StopIteration as end:
            _settle(job.result, end.value)
        except EdgefaceError as error:
            _settle(job.result, error)
        except Exception:  # a page must not stop the daemon, whatever it has found
            log.exception("what was asked of the loop failed")
            _settle(job.result, EdgefaceError(FAILED_INSIDE))
        else:
            return True
        return False


def _nobody() -> None:
    """Tell nobody."""


def _settle(future: "Future[Any]", outcome: object) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, EdgefaceError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
