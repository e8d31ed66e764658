"""Follows an enrollment for a browser, and ends it when the browser is gone."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeface.enrollment.guidance import Guidance
from edgeface.operations.context import Job
from edgeface.operations.enroll import Enrollment
from edgeface.wire.commands import EnrollRequest

ABANDONED = 15.0
"""Seconds without a question after which nobody is before the camera any more."""


@dataclass(slots=True, eq=False)
class Enrolling:
    """An enrollment that a browser follows; the loop writes ``guidance``, and then calls ``tell``."""

    tell: Callable[[], None]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    guidance: Guidance | None = None
    job: Job[EnrollRequest, Enrollment] | None = None
    _end: asyncio.TimerHandle | None = None

    def guide(self, guidance: Guidance) -> None:
        """Take what the person is to do now. For the loop."""
        self.guidance = guidance
        self.tell()

    def heard(self, job: Job[EnrollRequest, Enrollment]) -> None:
        """Take note that the browser is still there; without that the enrollment ends."""
        if self._end:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(ABANDONED, job.result.cancel)
