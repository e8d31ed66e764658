"""Limits how often something is done."""


class RateLimit:
    """Allows ``per_minute`` actions a minute and, after a while without any, ten at once."""

    BURST = 10.0

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left, self._time = self.BURST, 0.0

    def allows(self, now: float) -> bool:
        """Return whether one more action is allowed at ``now``, in monotonic seconds."""
        self._left = min(self.BURST, self._left + (now - self._time) * self.per_minute / 60)
        self._time = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
