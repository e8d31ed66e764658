"""Follows an enrollment for a browser, and cancels it when the browser is gone."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeface.enrollment.guidance import Guidance
from edgeface.operations.context import Job
from edgeface.operations.enroll import Enrollment
from edgeface.wire.commands import EnrollRequest

ABANDONED = 15.0
"""Seconds without a request after which an enrollment is cancelled."""


@dataclass(slots=True, eq=False)
class Enrolling:
    """An enrollment that a browser follows; the loop writes ``guidance``, and then calls ``tell``."""

    tell: Callable[[], None]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    guidance: Guidance | None = None
    job: Job[EnrollRequest, Enrollment] | None = None
    _end: asyncio.TimerHandle | None = None

    def guide(self, guidance: Guidance) -> None:
        """Take the guidance of now. For the loop."""
        self.guidance = guidance
        self.tell()

    def keep_alive(self, job: Job[EnrollRequest, Enrollment]) -> None:
        """Put off the end of the enrollment, as the browser is still there."""
        if self._end:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(ABANDONED, job.result.cancel)
