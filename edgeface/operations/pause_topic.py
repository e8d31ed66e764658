"""Knows whether a topic of the broker pauses the camera, such as one that says who is home."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from edgeface.interfaces import Heard

log = logging.getLogger(__name__)

Moment = Annotated[float, Meta(ge=0, le=1e11)]


@dataclass(frozen=True, slots=True)
class Clocks:
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


THIS_MACHINE = Clocks()


class Closed(Struct, frozen=True, kw_only=True):
    """That the topic pauses the camera, as it is noted: since when, and whether somebody has resumed meanwhile."""

    since: Moment
    resumed: bool = False


class TopicPause:
    """Knows whether the last payload on ``pause.topic`` pauses the camera. For the loop.

    What was said last holds while the connection lasts on which it was said, and ``hold`` seconds longer. So it outlasts a
    restart of the broker or of this process, which goes on with ``closed``, but no broker that stays away.
    """

    def __init__(self, heard: Callable[[], Heard], hold: float, clocks: Clocks, closed: Closed | None) -> None:
        self._heard, self._hold, self._clocks = heard, hold, clocks
        self._closed, self._wanted = closed, closed is not None
        self._until = clocks.monotonic() + hold

    def update(self) -> Closed | None:
        """Return that the camera is paused, if it is."""
        now, heard = self._clocks.monotonic(), self._heard()
        if heard.told:
            self._wanted = heard.matches
        vouched = bool(heard.told) and heard.told == heard.connection
        if vouched:
            self._until = now + self._hold
        if self._wanted and (vouched or now < self._until):
            if self._closed is None:
                self._closed = Closed(since=self._clocks.wall())
                log.info("paused by pause.topic")
        elif self._closed:
            self._closed = None
            if self._wanted:
                log.warning("pause.topic: the broker has said nothing for %.0f s, so the camera opens", self._hold)
            else:
                log.info("no longer paused by pause.topic")
        return self._closed

    def resume(self) -> Closed | None:
        """Open the camera until the topic says something else, and then pauses anew."""
        if self._closed:
            self._closed = Closed(since=self._closed.since, resumed=True)
        return self._closed
