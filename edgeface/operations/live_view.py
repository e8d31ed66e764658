"""Keeps the newest picture for a page, while somebody watches."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeface.types import Frame, NoFrame, TrackedFace


@dataclass(frozen=True, slots=True, eq=False)
class LivePicture:
    """One picture and whom it shows; ``seconds`` is how long the last search for faces took."""

    number: int
    frame: Frame
    faces: tuple[TrackedFace, ...]
    seconds: float


class LiveView:
    """A slot for the newest picture, which the loop fills and any thread may read."""

    def __init__(self) -> None:
        self.picture: LivePicture | None = None
        self._watched_until, self._tell = -math.inf, _nobody
        self._number = 0

    def watch(self, seconds: float, tell: Callable[[], None] | None = None) -> None:
        """Have the loop leave its pictures here for a time, and call ``tell`` after each; any thread may ask."""
        self._watched_until, self._tell = time.monotonic() + seconds, tell or _nobody

    def show(self, moment: Frame | NoFrame, faces: Callable[[float], Sequence[TrackedFace]], seconds: float | None) -> None:
        """Leave a picture, if anybody watches; ``faces`` gives the faces seen at a time. For the loop.

        A picture that was not searched (``seconds`` is None) shows whom the one before it shows.
        """
        if moment.time > self._watched_until:
            self.picture = None
        elif isinstance(moment, Frame):
            self._number += 1
            before = self.picture
            if seconds is not None:
                self.picture = LivePicture(self._number, moment, tuple(faces(moment.time)), seconds)
            else:
                known = (before.faces, before.seconds) if before else ((), 0.0)
                self.picture = LivePicture(self._number, moment, *known)
            self._tell()

    def close(self) -> None:
        """Keep no picture."""
        self.picture = None


def _nobody() -> None:
    """Tell nobody."""
