"""A sitting that a browser follows."""

import secrets
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from edgeface.config import schema
from edgeface.enrollment.assessment import assess
from edgeface.enrollment.enroller import Report
from edgeface.enrollment.guidance import Guidance
from edgeface.enrollment.session import EnrollmentSession
from edgeface.errors import EdgefaceError
from edgeface.operations import audited
from edgeface.operations.jobs import Desk
from edgeface.types import Frame, NoFrame

TIMEOUT = 120.0
"""Seconds that a sitting lasts at most."""
ABANDONED = 15.0
"""Seconds without a question after which nobody sits any more."""


@dataclass(slots=True, eq=False)
class Session:
    """A sitting that a browser follows.

    The loop writes ``guidance``, whereupon it calls ``tell``, and ``keeping``, once it is too late to cancel; the page
    ``asked``, when it last asked, and ``enough``, to end with the views that there are.
    """

    name: str
    settings: schema.Config
    tell: Callable[[], None]
    force: bool = False
    key: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    guidance: Guidance | None = None
    asked: float = field(default_factory=time.monotonic)
    enough: bool = False
    keeping: bool = False
    outcome: "Future[Report] | None" = None

    def work(self, desk: Desk) -> Generator[None, Frame | NoFrame, Any]:
        """The sitting itself, for the loop."""
        sitting = EnrollmentSession(desk.enroller, self.name, timeout=TIMEOUT, force=self.force)
        while not (sitting.complete or (self.enough and sitting.views)):
            moment = yield
            if moment.time - self.asked > ABANDONED:
                raise EdgefaceError("the page was closed")
            self.guidance = sitting.look(moment)
            self.tell()
        self.keeping = True
        views = sitting.end()
        report = audited.enroll_views(desk.audit, desk.enroller, self.name, views, force=self.force, by=audited.WEB)
        if report.person:
            report.assessment = assess(desk.enroller.pipeline, self.settings, report.person, report.views)
        return report
