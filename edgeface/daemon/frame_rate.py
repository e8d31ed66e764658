"""Limits the rate at which frames are searched to the set one, or a lower one that the machine can keep up."""

import logging
import math
from collections.abc import Callable

from edgeface.platform.machine import memory_tight
from edgeface.platform.memory import trim_heap

log = logging.getLogger(__name__)

FULL, FREE = 0.9, 0.6
"""Shares of the time between two frames: searches that take more are too slow, those that take less are fast again."""
REST = 1.25
"""Seconds from search to search for each second that a search takes; the rest is for other tasks."""
STEADINESS = 0.9
"""Weight of the old mean of search times against a new time."""
CHECK = 5.0
"""Seconds between two checks of the machine's memory."""


class FrameRateLimiter:
    """Lets at most ``fps`` frames a second through, fewer when searches take too long, half of them when memory is tight.

    With ``math.inf`` it lets all frames through. ``reason`` says why the rate is lower than set, if it is.
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
        return 1.0 / self._period if self._period else math.inf

    @property
    def _period(self) -> float:
        period = max(self._interval, REST * self._mean) if self._slow else self._interval
        return 2 * period if self._short else period

    def due(self, time: float) -> bool:
        return time >= self._due

    def took(self, time: float, seconds: float, cameras: int = 1) -> None:
        """Take in how long a search took, while so many ``cameras`` share the loop's time."""
        if not self._interval:
            return
        self._mean = STEADINESS * self._mean + (1 - STEADINESS) * seconds * cameras
        self._slow = self._mean > (FREE if self._slow else FULL) * self._interval
        if time - self._checked >= CHECK:
            self._checked, self._short = time, self._tight()
            if self._short:
                trim_heap()
        # Cameras are not punctual to the millisecond: at the full rate no frame is held back.
        self._due = time + self._period - self._interval / 2 if self._slow or self._short else -math.inf
        frames = "a frame takes" if cameras == 1 else f"frames of {cameras} cameras take"
        slow = f"{frames} {1000 * self._mean:.0f} ms, and {1 / self._interval:.0f} are to come a second"
        reason = self._short or (slow if self._slow else None)
        if (reason is None) != (self.reason is None):
            if reason:
                log.warning("slowed to %.1f frames/s: %s", self.fps, reason)
            else:
                log.info("back to %.1f frames/s", self.fps)
        self.reason = reason
