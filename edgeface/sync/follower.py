"""Follows the shared gallery: in the daemon's loop, or once, by hand."""

import logging
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from edgeface.config import schema
from edgeface.errors import BrokerError, GalleryError
from edgeface.gallery.audit import Audit
from edgeface.gallery.store import Gallery
from edgeface.health import SharedGallery
from edgeface.interfaces import SyncTransport, Tick
from edgeface.sync.messages import person_sealer
from edgeface.sync.replica import Change, Replica
from edgeface.sync.transports import create
from edgeface.vision.model_card import ModelCard

log = logging.getLogger(__name__)
SAME_FAR = 0.01  # false-accept rate of the cosine from which two people of one name are taken for one


def replica(settings: schema.Config, gallery: Gallery, card: ModelCard) -> Replica:
    """Build the replica of these settings. Raise ``ConfigError`` as ``person_sealer`` does."""
    sealer = person_sealer(settings, card.digest)
    return Replica(gallery, sealer, settings.device.id, card.threshold(SAME_FAR), Audit(settings.audit_path))


class Follower:
    """Follows the shared gallery from the daemon's loop; ``close`` closes a connection that is not the publisher's.

    A gallery that cannot be written is reported, and stops nothing.
    """

    SETTLE_S = 2.0  # seconds after a connection in which the broker sends what it keeps; only then it is sent what it lacks
    SPREAD_S = 1.0  # seconds over which devices spread their messages about people whom the broker lacks
    FIRST_RESEND_S, LONGEST_RESEND_S = 10.0, 600.0  # seconds until a message that has not come back is sent again, doubled
    RETRY_S = 5.0  # seconds before a gallery that failed is tried again: a locked one needs as long to fail
    SENT_AT_ONCE, TAKEN_AT_ONCE = 20, 100  # people between two frames: a thousand would hold the loop up for seconds

    def __init__(self, replica: Replica, transport: SyncTransport, close: Callable[[], None] = lambda: None) -> None:
        self._replica, self._transport, self.close = replica, transport, close
        self._connection = 0
        self._inbox: dict[str, bytes] = {}
        self._due: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._earliest = self._again = 0.0
        self._failure: str | None = None
        self._told: str | None = None

    @property
    def sharing(self) -> SharedGallery:
        one = self._replica
        return SharedGallery(one.topic, one.shared, len(one.due()), one.received, one.ignored, self._failure or one.trouble)

    def on_tick(self, tick: Tick) -> None:
        """Take in messages, notice edits of this gallery, and send them."""
        moment = tick.moment
        connection, messages = self._transport.shared(self._connection if self._inbox else -1)
        if connection != self._connection:
            self._connection = connection
            self._replica.connected()
            self._inbox.clear()
            self._due.clear()
            self._tries.clear()
            self._earliest = moment.time + self.SETTLE_S
        self._inbox |= messages
        if moment.time < self._again:
            return
        try:
            some = dict(islice(self._inbox.items(), self.TAKEN_AT_ONCE))
            self._replica.take(some)
            for name in some:  # any message shows that the topic can be written and read
                self._tries.pop(name, None)
            self._inbox = {name: payload for name, payload in self._inbox.items() if name not in some}
            if connection and not self._inbox and moment.time >= self._earliest:
                self._send(moment.time)
            lost = sum(tries > 1 for tries in self._tries.values())
            told = f"{lost} people published on {self._replica.topic} do not come back: access control?"
            self._failure = told if lost else None
        except GalleryError as error:
            self._failure, self._again = f"the shared gallery waits: {error}", moment.time + self.RETRY_S
        if (trouble := self.sharing.trouble) and trouble != self._told:
            log.error("sync: %s", trouble)
        self._told = trouble

    def _send(self, now: float) -> None:
        lacking = self._replica.due()
        self._due = {name: self._due.get(name, now + random.uniform(0, self.SPREAD_S)) for name in lacking}
        self._tries = {name: self._tries.get(name, 0) for name in lacking}
        ripe = [name for name, at in self._due.items() if at <= now][: self.SENT_AT_ONCE]
        for name, payload in self._replica.payloads(ripe).items() if ripe else ():
            self._transport.share(name, payload)
            self._due[name] = now + min(self.LONGEST_RESEND_S, self.FIRST_RESEND_S * 2 ** self._tries[name])
            self._tries[name] += 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """Changes of this gallery, the number of messages sent and of damaged ones, of people shared, and a fault, if any."""

    changes: list[Change]
    sent: int
    ignored: int
    shared: int
    trouble: str | None


def once(settings: schema.Config, one: Replica) -> Outcome:
    """Follow the shared gallery as it is now, and send whom it lacks. Raise ``EdgefaceError`` if it or ours is out of reach."""
    with closing(create(settings)) as transport:
        changes, sent = one.take(transport.shared()[1]), 0
        for name, payload in one.payloads(one.due()).items():
            transport.share(name, payload)
            sent += 1
        changes += one.take(transport.shared()[1])
        lost = [name for name in one.due() if sent]
    if lost:
        raise BrokerError(f"{len(lost)} people published on {one.topic} do not come back: access control?")
    return Outcome(changes, sent, one.ignored, one.shared, one.trouble)
