"""How often frames are looked at: as often as is set, or less often where the machine cannot keep up."""

import logging
import math
from collections.abc import Callable

from edgeface.platform.machine import memory_tight
from edgeface.platform.memory import trim_heap

log = logging.getLogger(__name__)

FULL, FREE = 0.9, 0.6
"""Shares of the time between two frames: a look that takes more is too slow, one that takes less is quick enough again."""
REST = 1.25
"""Seconds from look to look for each second that one takes: the rest is for everything else."""
STEADINESS = 0.9
"""Share of the mean time of a look that a new one leaves as it was."""
CHECK = 5.0
"""Seconds between two looks at the machine's memory."""


class FrameRateLimiter:
    """Lets frames through at ``fps`` a second at most, fewer when looks take too long, half of them when memory is tight.

    At ``math.inf`` it lets all through, always. ``reason`` says why they are fewer, if they are.
    """

    def __init__(self, fps: float, tight: Callable[[], str | None] = memory_tight) -> None:
        self._interval, self._tight = 1.0 / fps, tight
        self._mean = 0.0
        self._slow = False
        self._short: str | None = None
        self._due = self._checked = -math.inf
        self.reason: str | None = None

    @property
    def fps(self) -> float:
        """Frames a second that are let through now at most."""
        return 1.0 / self._period if self._period else math.inf

    @property
    def _period(self) -> float:
        period = max(self._interval, REST * self._mean) if self._slow else self._interval
        return 2 * period if self._short else period

    def due(self, time: float) -> bool:
        """Whether a frame that was taken at this moment is to be looked at."""
        return time >= self._due

    def took(self, time: float, seconds: float) -> None:
        """A look at the frame of ``time`` took so long."""
        if not self._interval:
            return
        self._mean = STEADINESS * self._mean + (1 - STEADINESS) * seconds
        self._slow = self._mean > (FREE if self._slow else FULL) * self._interval
        if time - self._checked >= CHECK:
            self._checked, self._short = time, self._tight()
            if self._short:
                trim_heap()
        # Cameras are not punctual to the millisecond: at the full rate nothing is held back.
        self._due = time + self._period - self._interval / 2 if self._slow or self._short else -math.inf
        self._tell()

    def _tell(self) -> None:
        slow = f"a frame takes {1000 * self._mean:.0f} ms, and {1 / self._interval:.0f} are to come a second"
        reason = self._short or (slow if self._slow else None)
        if (reason is None) != (self.reason is None):
            if reason:
                log.warning("slowed to %.1f frames/s: %s", self.fps, reason)
            else:
                log.info("back to %.1f frames/s", self.fps)
        self.reason = reason
