"""Keeps the newest picture for the page while a browser watches."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgeface.types import Frame, NoFrame, TrackedFace


@dataclass(frozen=True, slots=True, eq=False)
class LivePicture:
    """A frame and the faces in it; ``seconds`` is the duration of the last search for faces."""

    number: int
    frame: Frame
    faces: tuple[TrackedFace, ...]
    seconds: float


class LiveView:
    """Holds the newest picture, which the loop writes and any thread may read."""

    def __init__(self) -> None:
        self.picture: LivePicture | None = None
        self._watched_until, self._number = -math.inf, 0
        self._tell: Callable[[], None] = lambda: None

    def watch(self, seconds: float, tell: Callable[[], None] = lambda: None) -> None:
        """Have the loop leave its pictures here for ``seconds``, and call ``tell`` after each; any thread may call this."""
        self._watched_until, self._tell = time.monotonic() + seconds, tell

    def show(self, moment: Frame | NoFrame, faces: Callable[[float], Sequence[TrackedFace]], seconds: float | None) -> None:
        """Leave a picture, if anybody watches; ``faces`` returns the faces tracked at a time. For the loop.

        A picture that was not searched (``seconds`` is None) takes the faces of the one before it.
        """
        if moment.time > self._watched_until:
            self.picture = None
        elif isinstance(moment, Frame):
            self._number += 1
            shown = self.picture or LivePicture(0, moment, (), 0.0)
            if seconds is not None:
                shown = replace(shown, faces=tuple(faces(moment.time)), seconds=seconds)
            self.picture = replace(shown, number=self._number, frame=moment)
            self._tell()

    def close(self) -> None:
        self.picture = None
