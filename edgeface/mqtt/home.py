"""Merges what all devices have seen of each person into one state, and finds what the broker has to be told of it."""

import logging
import random
import re
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from edgeface.config import schema
from edgeface.gallery.retention import Clocks
from edgeface.types import EventType
from edgeface.wire.events import Event
from edgeface.wire.fields import SCHEMA, seconds, timestamp
from edgeface.wire.home import PersonHome, Sight, SightState

log = logging.getLogger(__name__)
RANK: dict[SightState, int] = {"present": 0, "left": 1, "away": 2}
EPOCH = timestamp(0.0)
PERSON = re.compile(r"p_[0-9a-f]{16}")
Sights = dict[str, Sight]  # by device


def order(sight: Sight) -> tuple[int, int]:
    """Return a sight's place among those of one device: the greatest is valid, whatever order they come in."""
    return sight.version, RANK[sight.state]


def home_topic(settings: schema.Config) -> str:
    return settings.home.topic.strip("/")


def read_sights(payload: bytes) -> Sights:
    """Return the sights of a payload by device; none if it is no payload of ours."""
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.json.decode(payload, type=PersonHome).devices
    return {}


class Whereabouts:
    """Keeps the sights of each person by each device: ours as events make them, those of others as the broker tells them.

    A version is the wall clock's milliseconds, or one more than any version that is known of that person. So a sight is newer
    than all sights that its device knew of, whatever its clock shows. Only the device itself makes new versions; others may
    raise the state of one: from ``present`` to ``left`` if it is not renewed, and to ``away`` when its time is over. So all
    devices come to the same state, in whatever order messages arrive. The owner holds its lock at every call.
    """

    SETTLE_S, LONGEST_SETTLE_S = 2.0, 60.0
    """Seconds without a message, and at most, in which the broker sends what it keeps; only then is it told what it lacks."""
    RENEW_S, LEASE_S = 60.0, 180.0
    """Seconds after which a device renews that somebody is present, and after which others take that for over."""
    APART_S, SPREAD_S = 1.0, 1.0
    """Seconds between two messages about a person, and over which devices spread their answers to a message."""
    AHEAD_S = 300.0
    """Seconds by which a sight may be ahead of our clock, if the network has set it."""
    MAX_BYTES, MAX_DEVICES, MAX_STRANGERS = 2**16, 64, 10_000
    MAX_VERSION = 250_000_000_000_000
    """A version that is greater is no time."""
    SENT_AT_ONCE = 20

    def __init__(self, settings: schema.Config, clocks: Clocks | None = None) -> None:
        self.topic, self._device = home_topic(settings), settings.device.id
        self._away_after = settings.home.hours * 3600.0
        self._never = Sight(0, "away", None, None, f"{settings.base}/availability")
        self._clocks = clocks or Clocks()
        self.people: dict[str, str] = {}
        self.changed: set[str] = set()
        """People whose name, or whose devices, have changed; the owner empties it."""
        self._known: dict[str, Sights] = {}
        self._kept: dict[str, Sights] = {}  # by the broker
        self._learned: dict[tuple[str, str], float] = {}  # when a version was made, by our monotonic clock
        self._cameras: dict[str, set[str]] = {}  # of ours, before which each person is now
        self._before: dict[str, Sight] = {}  # our sight of each person before the visit that lasts
        self._strangers: dict[str, Sights] = {}  # whom we do not know, though some of the sights are ours
        self._due: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self._gone: set[str] = set()
        self._settled = self._longest = float("inf")
        self.began = False
        """Tells whether all is known that the broker keeps."""

    def goes_on_in(self, heir: "Whereabouts | None") -> bool:
        return heir is not None and (heir.topic, heir._device) == (self.topic, self._device)

    def take_over(self, before: "Whereabouts") -> None:
        """Copy what another one knows that goes on in this one."""
        self._known = {person_id: dict(sights) for person_id, sights in before._known.items()}
        self._learned, self._gone = dict(before._learned), set(before._gone)
        self._cameras, self._before = dict(before._cameras), dict(before._before)

    def connected(self) -> None:
        """Forget what the broker keeps: the connection is new."""
        self._kept.clear()
        self._strangers.clear()
        now, self.began = self._clocks.monotonic(), False
        self._settled, self._longest = now + self.SETTLE_S, now + self.LONGEST_SETTLE_S

    def change(self, people: Mapping[str, str]) -> None:
        """Take who is known, ids to names; the messages about those who are gone are to be removed."""
        before, self.people = self.people, dict(people)
        for person_id in (before.keys() | self._known.keys()) - people.keys():
            for kept in (self._known, self._kept, self._cameras, self._before, self._due, self._sent):
                kept.pop(person_id, None)
            self._gone.add(person_id)
            self.changed.discard(person_id)
        self._learned = {key: at for key, at in self._learned.items() if key[0] in people}
        self._gone -= people.keys()
        for person_id, name in people.items():
            if before.get(person_id) != name:
                self._known.setdefault(person_id, {}).setdefault(self._device, self._never)
                if told := self._strangers.pop(person_id, None):  # the gallery could not be read until now
                    self._merge(person_id, told)
                self._kept.pop(person_id, None)
                self.changed.add(person_id)
                self._ask(person_id)

    def note(self, event: Event) -> None:
        """Take an event of ours; ``left`` with ``corrected`` takes a sight back that was a mistake."""
        person_id = event.person_id
        if person_id and event.event_type is EventType.RECOGNIZED and person_id not in self.people:
            self.change({**self.people, person_id: event.name or ""})
        if person_id is None or person_id not in self.people:
            return
        mine, here = self._known[person_id][self._device], self._cameras.setdefault(person_id, set())
        if event.event_type is EventType.RECOGNIZED:
            if not here:
                self._before[person_id] = mine
            here.add(event.camera)
            self._see(person_id, "present", event.camera)
        elif event.event_type is EventType.LEFT and event.camera in here:
            here.remove(event.camera)
            if here:
                return
            before = self._before.pop(person_id, mine)
            if event.corrected:
                self._put(person_id, replace(before, version=self._version(person_id)))
                self._ask(person_id)
            else:
                self._see(person_id, "left", event.camera)

    def take(self, person_id: str, payload: bytes) -> None:
        """Take what the broker keeps now of a person; an empty payload was removed."""
        if not PERSON.fullmatch(person_id):
            return
        if not self.began:
            self._settled = min(self._longest, self._clocks.monotonic() + self.SETTLE_S)
        told = self._read(payload) if payload else {}
        if person_id not in self.people:
            if not self.began and self._device in told and len(self._strangers) < self.MAX_STRANGERS:
                self._strangers[person_id] = told
            return
        if not payload:  # then the announcement may have been removed, too
            self.changed.add(person_id)
        self._merge(person_id, told)

    def due(self, *, sure: bool, alive: bool = True, everything: bool = False) -> list[tuple[str, bytes]]:
        """Return what is to be published now, as (person id, payload), an empty one to remove the message.

        Messages about people who were forgotten while the daemon did not run are removed only if it is ``sure`` who is known.
        Unless the daemon's loop is ``alive``, nobody is present for longer than the lease.
        """
        now = self._clocks.monotonic()
        if not self.began:
            if now < self._settled:
                return []
            self.began = True
            for person_id in self.people:
                if self._known[person_id] != self._kept.get(person_id):
                    self._ask(person_id, random.uniform(0.0, self.SPREAD_S))
        self._watch(now, alive=alive)
        found = [(person_id, b"") for person_id in self._gone]
        self._gone.clear()
        if sure:
            found += [(person_id, b"") for person_id in self._strangers]
            self._strangers.clear()
        ripe = [person_id for person_id, at in self._due.items() if everything or at <= now]
        for person_id in ripe if everything else ripe[: self.SENT_AT_ONCE]:
            del self._due[person_id]
            if self._known[person_id] == self._kept.get(person_id):
                continue
            self._sent[person_id], self._kept[person_id] = now, dict(self._known[person_id])
            found.append((person_id, msgspec.json.encode(self.of(person_id))))
        return found

    def of(self, person_id: str) -> PersonHome:
        sights = self._known[person_id]
        device, last = max(sights.items(), key=lambda item: (item[1].state == "present", item[1].seen or "", item[0]))
        states = {sight.state for sight in sights.values()}
        return PersonHome(
            schema=SCHEMA,
            ts=timestamp(self._clocks.wall()),
            person_id=person_id,
            name=self.people[person_id],
            state="not_home" if states == {"away"} else "home",
            present="present" in states,
            last_seen=last.seen,
            device=device if last.seen else None,
            camera=last.camera,
            devices=dict(sights),
        )

    def seen(self) -> list[PersonHome]:
        """Return everybody who was ever seen, by name."""
        seen = [person_id for person_id in self.people if any(sight.seen for sight in self._known[person_id].values())]
        return sorted(map(self.of, seen), key=lambda one: (one.name, one.person_id))

    def availability(self, person_id: str) -> list[str]:
        """Return the topics of which one at least says ``online`` while anybody can tell of this person."""
        return sorted({sight.availability for sight in self._known[person_id].values()})

    def _merge(self, person_id: str, told: Sights) -> None:
        self._kept[person_id], known = told, self._known[person_id]
        for device, sight in told.items():
            if device == self._device:
                self._recall(person_id, sight)
            elif order(sight) > order(known[device]) if device in known else len(known) < self.MAX_DEVICES:
                self._put(person_id, sight, device)
        if known == told:
            self._due.pop(person_id, None)
        else:
            self._ask(person_id, random.uniform(0.0, self.SPREAD_S))

    def _read(self, payload: bytes) -> Sights:
        """Return the sights of a payload, without those of the future; none of one that is too large."""
        told = read_sights(payload) if len(payload) <= self.MAX_BYTES else {}
        good = {device: sight for device, sight in told.items() if self._is_plausible(sight)}
        for device in told.keys() - good.keys():
            log.warning(
                "home: a sight by %s is of the future, and ignored: is its clock wrong, or that of this device?", device
            )
        return good

    def _is_plausible(self, sight: Sight) -> bool:
        latest = self._clocks.wall() + self.AHEAD_S if self._clocks.is_set() else self.MAX_VERSION / 1000
        with suppress(ValueError, OverflowError):
            return sight.version <= latest * 1000 and seconds(sight.seen or EPOCH) <= latest
        return False

    def _recall(self, person_id: str, told: Sight) -> None:
        """Take a sight of our own from the broker: after a start as our memory, later as a claim that may be wrong."""
        mine, here = self._known[person_id][self._device], self._cameras.get(person_id)
        if order(told) > order(mine):
            if mine.version == 0:
                self._put(person_id, replace(told, state="left" if told.state == "present" else told.state))
            elif told.version > mine.version or here:
                self._put(person_id, replace(mine, version=self._version(person_id, told.version)))
            else:
                self._put(person_id, replace(mine, state=told.state))
        mine = self._known[person_id][self._device]
        if mine.availability != self._never.availability:
            self._put(person_id, replace(mine, version=mine.version + 1, availability=self._never.availability))

    def _see(self, person_id: str, state: SightState, camera: str) -> None:
        version = self._version(person_id)
        sight = replace(self._never, version=version, state=state, seen=timestamp(version / 1000), camera=camera)
        self._put(person_id, sight)
        self._ask(person_id)

    def _version(self, person_id: str, least: int = 0) -> int:
        known = [sight.version for sight in self._known[person_id].values() if self._is_plausible(sight)]
        return max(int(self._clocks.wall() * 1000), 1 + max([least, *known]))

    def _put(self, person_id: str, sight: Sight, device: str = "") -> None:
        device, sights, now = device or self._device, self._known[person_id], self._clocks.monotonic()
        before = sights.get(device)
        if before is None or before.availability != sight.availability:
            self.changed.add(person_id)
        sights[device] = sight
        if before is None or before.seen != sight.seen or before.version != sight.version:
            # What the broker has kept for us may be old; a live message is new, whatever its sender's clock shows.
            aged = not self.began and self._clocks.is_set()
            age = self._clocks.wall() - seconds(sight.seen or EPOCH) if aged else 0.0
            self._learned[person_id, device] = now - max(0.0, age)

    def _ask(self, person_id: str, after: float = 0.0) -> None:
        """Have the person published in ``after`` seconds, or sooner if that is asked for already."""
        now = self._clocks.monotonic()
        earliest = max(now + after, self._sent.get(person_id, float("-inf")) + self.APART_S)
        self._due[person_id] = min(earliest, self._due.get(person_id, earliest))

    def _watch(self, now: float, *, alive: bool) -> None:
        """Renew our own sights, end those of devices that are silent, and let people be away when their time is over."""
        for (person_id, device), learned in list(self._learned.items()):
            sight, age = self._known[person_id][device], now - learned
            if alive and device == self._device and self._cameras.get(person_id):
                if age >= self.RENEW_S:
                    self._see(person_id, "present", sight.camera or "")
            elif sight.state == "away":
                del self._learned[person_id, device]
            elif age >= (self.LEASE_S if sight.state == "present" else self._away_after):
                self._put(person_id, replace(sight, state="left" if sight.state == "present" else "away"), device)
                self._ask(person_id, random.uniform(0.0, self.SPREAD_S))
