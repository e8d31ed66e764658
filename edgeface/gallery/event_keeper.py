"""Keeps the daemon's events for a verdict, and erases them when their time is over."""

import logging
import math
from collections import deque
from collections.abc import Sequence

from edgeface.config import schema
from edgeface.errors import GalleryError
from edgeface.gallery.event_store import NAMELESS
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Tick
from edgeface.types import Frame, NoFrame
from edgeface.vision.images import crop, encode_jpeg
from edgeface.wire.events import Event

log = logging.getLogger(__name__)
RETRY_S = 5.0  # seconds until events that could not be kept are tried again
WIPE_EVERY = 60.0  # seconds between two looks for erased records in the write-ahead log
EXPIRE_EVERY = 600.0  # seconds between two looks for events that have been kept for long enough
PICTURE_SIDE, MARGIN = 240, 0.35  # pixels of a picture at most, and the share of the face's size that it shows around it


class EventKeeper:
    """Keeps the daemon's events. A gallery that cannot be written stops nothing: the latest events wait for it.

    The face of each event is kept as a picture for ``picture_hours``; if that is 0, pictures of these cameras are erased.
    Unless the limits keep strangers, those of events without a name are not kept. Erased records, of any process, are wiped out
    of the write-ahead log as soon as no reader is in the way.
    """

    WAITING = 20

    def __init__(
        self,
        gallery: Gallery,
        camera: str,
        limits: schema.EventsSettings,
        picture_hours: float = 0.0,
        others: Sequence[str] = (),
    ) -> None:
        self._gallery, self._cameras, self._limits, self._picture_hours = gallery, (camera, *others), limits, picture_hours
        self._waiting: deque[tuple[Event, bytes | None]] = deque(maxlen=self.WAITING)
        self._again = self._wiped = self._expired = -math.inf
        self.trouble: str | None = None  # why events are not kept at the moment

    def on_tick(self, tick: Tick) -> None:
        """Keep the events of this moment; every ten minutes, erase those that have been kept for long enough."""
        moment = tick.moment
        wanted = [event for event in tick.events if event.withheld != "ignored"]
        self._waiting.extend((event, self._picture(moment, event)) for event in wanted)
        if moment.time < self._again:
            return
        try:
            while self._waiting:
                self._gallery.events.keep(self._waiting[0][0], self._limits, self._waiting[0][1])
                self._waiting.popleft()
            if moment.time - self._expired >= EXPIRE_EVERY:
                self._expired = moment.time
                for camera in self._cameras:
                    self._gallery.events.expire(camera, self._limits, self._picture_hours)
                self._gallery.wipe(whatever=True)
            if moment.time - self._wiped >= WIPE_EVERY:
                self._wiped = moment.time
                self._gallery.wipe()
            self.trouble = None
        except GalleryError as error:
            if self.trouble is None:
                log.warning("events are not kept: %s", error)
            self.trouble, self._again = str(error), moment.time + RETRY_S

    def _picture(self, moment: Frame | NoFrame, event: Event) -> bytes | None:
        if not self._picture_hours or not isinstance(moment, Frame) or event.box is None:
            return None
        if event.event_type in NAMELESS and not self._limits.keep_strangers:
            return None
        return encode_jpeg(crop(moment.image, event.box, MARGIN), PICTURE_SIDE)[0]
