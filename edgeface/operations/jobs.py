"""Queues jobs for the daemon's loop, which runs them between two frames."""

import logging
from collections import deque
from threading import Lock
from typing import Any

from edgeface.errors import FAILED_INSIDE, EdgefaceError
from edgeface.interfaces import Tick
from edgeface.operations.context import CancelledError, Job, OperationContext, Q, R, Steps

MAX_WAITING = 16
"""Jobs that wait for the loop, at most; each door has a lower limit of its own."""
MAX_RUNNING = 12
"""Jobs that run in the loop side by side, at most."""
CAMERA_TAKEN = "somebody else is being enrolled now"

log = logging.getLogger(__name__)


class JobQueue:
    """Takes jobs from any thread and runs them in the loop's. One job at a time has the camera to itself."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[Job[Any, Any]] = deque()
        self._running: list[tuple[Job[Any, Any], Steps[Any]]] = []
        self._at_camera: Job[Any, Any] | None = None

    def submit(self, job: Job[Q, R]) -> Job[Q, R]:
        """Have the loop run a job, and return the job; any thread may call this.

        Raises:
            EdgefaceError: ``MAX_WAITING`` jobs wait already, or another job has the camera.
        """
        camera = job.operation.camera
        with self._lock:
            if camera and self._at_camera:
                raise EdgefaceError(CAMERA_TAKEN)
            if self.full:
                raise EdgefaceError("the device is busy; try again in a moment")
            self._waiting.append(job)
            if camera:
                self._at_camera = job
        if camera:
            job.result.add_done_callback(lambda _: self._free_camera())
        return job

    @property
    def full(self) -> bool:
        """Return whether ``submit`` would refuse a job because too many wait."""
        return len(self._waiting) >= MAX_WAITING

    def on_tick(self, tick: Tick, context: OperationContext) -> None:
        """Start the jobs that wait, and continue those that take several rounds. For the loop."""
        while len(self._running) < MAX_RUNNING and self._waiting:
            with self._lock:
                job = self._waiting.popleft()
            steps = job.steps(context)
            if not job.result.cancelled() and self._step(job, steps):
                self._running.append((job, steps))
        for entry in tuple(self._running):
            job, steps = entry
            if job.result.cancelled():
                steps.close()
                self._running.remove(entry)
            elif not self._step(job, steps, tick):
                self._running.remove(entry)

    def close(self, reason: EdgefaceError | None = None) -> None:
        """End all jobs with an error, ``reason`` or that the daemon stops. For the loop."""
        with self._lock:
            jobs = [*(job for job, _ in self._running), *self._waiting]
            self._waiting.clear()
        for _, steps in self._running:
            steps.close()
        self._running.clear()
        for job in jobs:
            _settle(job, reason or EdgefaceError("the daemon is stopping"))

    def _free_camera(self) -> None:
        with self._lock:
            self._at_camera = None

    @staticmethod
    def _step(job: Job[Any, Any], steps: Steps[Any], tick: Tick | None = None) -> bool:
        """Run a job up to its next tick; return whether it goes on after that."""
        try:
            next(steps) if tick is None else steps.send(tick)
        except StopIteration as end:
            _settle(job, end.value)
        except CancelledError:
            pass
        except EdgefaceError as error:
            _settle(job, error)
        except Exception:  # no request may stop the daemon
            log.exception("the operation %r failed", job.operation.name)
            _settle(job, EdgefaceError(FAILED_INSIDE))
        else:
            return True
        return False


def _settle(job: Job[Any, Any], outcome: object) -> None:
    try:
        job.commit()
    except CancelledError:
        return
    if isinstance(outcome, EdgefaceError):
        job.result.set_exception(outcome)
    else:
        job.result.set_result(outcome)
