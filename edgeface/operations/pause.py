"""Knows whether the camera is paused, by request, topic or hours of the week, whatever the clock does and across restarts."""

import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from threading import RLock
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from edgeface.config.hours import WeeklyHours
from edgeface.config.schema import Config
from edgeface.errors import CameraError, EdgefaceError
from edgeface.interfaces import Heard
from edgeface.operations.pause_topic import THIS_MACHINE, Clocks, Closed, Moment, TopicPause
from edgeface.platform.files import read_small, write_whole
from edgeface.types import Frame, NoFrame, Paused

log = logging.getLogger(__name__)
LONGEST = 366 * 86400.0
"""Seconds that a pause with an end may last."""
SAVE_EVERY = 600.0
"""Seconds between two notes of how long a pause still lasts."""
BY_HOURS, BY_TOPIC = "pause.hours of the settings", "pause.topic of the settings"


class _Request(Struct, frozen=True, kw_only=True):
    """A pause that somebody asked for; ``left`` is how many seconds it still lasted when it was noted."""

    since: Moment
    until: Moment | None = None
    left: Annotated[float, Meta(le=LONGEST)] | None = None
    timed: bool = False
    reason: str = ""


class _Saved(Struct, frozen=True, kw_only=True):
    request: _Request | None = None
    awake_until: Moment | None = None
    """When the hours end during which somebody has resumed."""
    topic: Closed | None = None


class Pause:
    """Knows whether the cameras are paused, and keeps that in a file. Any thread may ask ``now``; all else is for the loop.

    A pause ends when its seconds have passed by the monotonic clock; a ``timed`` one also when the wall clock shows its end. So
    a clock that is set back prolongs no pause. After a restart, the wall clock and the noted rest of the duration decide,
    whichever is over first. After a reload, the pause goes on as it was ``before``. If the file cannot be read, the camera is
    paused until somebody resumes. ``heard`` tells what the broker says on ``pause.topic``.
    """

    def __init__(
        self,
        config: Config,
        clocks: Clocks = THIS_MACHINE,
        before: "Pause | None" = None,
        heard: Callable[[], Heard] | None = None,
    ) -> None:
        self._path, self._hours, self._clocks = config.pause_path, WeeklyHours.of(config.pause.hours), clocks
        self._watched = config.pause.topic, config.pause.payload
        self.trouble: str | None = None
        self._saved: _Saved
        self._ends: float | None
        self._began: float | None = None
        self._noted = clocks.monotonic()
        self._lock = RLock()
        if before:
            self._saved, self._ends = before._saved, before._ends
        else:
            self._saved = _read(self._path, clocks.wall())
            request = self._saved.request
            self._ends = None if request is None or request.left is None else self._noted + self._rest(request)
        closed = self._saved.topic if before is None or before._watched == self._watched else None
        self._topic = TopicPause(heard, config.pause.hold, clocks, closed) if heard and config.pause.topic else None

    def now(self) -> Paused | None:
        """Return the pause that holds, if any."""
        with self._lock:
            return self._now()

    def _now(self) -> Paused | None:
        topic = self._topic.update() if self._topic else None
        if topic != self._saved.topic:
            self._save(replace(self._saved, topic=topic))
        now, wall, request = self._clocks.monotonic(), self._clocks.wall(), self._saved.request
        if request:
            over = self._ends is not None and now >= self._ends
            if over or (request.timed and request.until is not None and wall >= request.until):
                log.info("the pause is over")
                self._save(replace(self._saved, request=None))
            else:
                if self._ends is not None and now - self._noted >= SAVE_EVERY:
                    self._noted = now
                    self._save(replace(self._saved, request=replace(request, left=self._ends - now)))
                return Paused(request.since, request.until, request.reason)
        return Paused(topic.since, None, BY_TOPIC) if topic and not topic.resumed else self._by_hours(wall)

    def begin(self, until: float | None, reason: str, *, timed: bool = False) -> Paused:
        """Pause until a time, or until ``resume``; a ``timed`` pause is over when the wall clock says so, too."""
        wall = self._clocks.wall()
        left = None if until is None else min(until - wall, LONGEST)
        with self._lock:
            self._noted = self._clocks.monotonic()
            self._ends = None if left is None else self._noted + left
            request = _Request(since=wall, until=until, left=left, timed=timed, reason=reason)
            self._save(replace(self._saved, request=request, awake_until=None))
        log.info("paused %s", "until somebody resumes" if left is None else f"for {left:.0f} s")
        return Paused(wall, until, reason)

    def resume(self) -> None:
        """End a pause; one by hours or by a topic ends until these hours come, or the topic says so, again."""
        wall = self._clocks.wall()
        awake = (self._hours.ends(wall) or wall + LONGEST) if self._hours.has(wall) else None
        with self._lock:
            self._ends = None
            topic = self._topic.resume() if self._topic else self._saved.topic
            self._save(replace(self._saved, request=None, awake_until=awake, topic=topic))

    def _by_hours(self, wall: float) -> Paused | None:
        there, awake = self._hours.has(wall), self._saved.awake_until
        if awake is not None and (not there or wall >= awake):
            self._save(replace(self._saved, awake_until=None))
            awake = None
        if not there or awake is not None:
            self._began = None
            return None
        self._began = wall if self._began is None else self._began
        return Paused(self._began, self._hours.ends(wall), BY_HOURS)

    def _rest(self, request: _Request) -> float:
        left = LONGEST if request.left is None else request.left
        return left if request.until is None else min(left, request.until - self._clocks.wall())

    def _save(self, saved: _Saved) -> None:
        """Note what holds; if it cannot be written, it holds until a restart, and ``trouble`` says why."""
        self._saved, self.trouble = saved, None
        try:
            if saved == _Saved():
                self._path.unlink(missing_ok=True)
            else:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(self._path, msgspec.json.encode(saved), 0o600)
        except OSError as error:
            self.trouble = f"a restart forgets this, as it cannot be noted: {self._path}: {error.strerror or error}"
            log.error("%s", self.trouble)


def _read(path: Path, wall: float) -> _Saved:
    try:
        return msgspec.json.decode(read_small(path)[0], type=_Saved)
    except FileNotFoundError:
        return _Saved()
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        log.error("%s cannot be read: %s; paused until somebody resumes", path, error)
        return _Saved(request=_Request(since=wall, reason=f"{path.name} cannot be read: edgeface resume"))


def end(minutes: float | None, until: str | None, wall: float, *, longest: float = LONGEST) -> float | None:
    """Return when something ends: after some minutes, at a time as ``moment`` reads it, or never if neither is given."""
    if minutes is not None and until is not None:
        raise EdgefaceError("give either for how long, or until when")
    if minutes is not None:
        return wall + 60 * minutes
    return None if until is None else moment(until, wall, longest=longest)


def moment(text: str, wall: float, zone: tzinfo | None = None, *, longest: float = LONGEST) -> float:
    """Return the next time that a clock shows "18:00", or the moment of a date and time; by the clock of this machine.

    Raises:
        EdgefaceError: the text is neither, is over already, or is over ``longest`` seconds away.
    """
    now = datetime.fromtimestamp(wall, zone)
    try:
        if re.fullmatch(r"\d\d:\d\d", text):
            found = _local(now, int(text[:2]), int(text[3:]))
        else:
            given = datetime.fromisoformat(text)
            found = given if given.tzinfo else given.replace(tzinfo=zone)
        at = found.timestamp()
    except (ValueError, OverflowError):
        raise EdgefaceError(f"{text!r} is no time, such as 18:00 or 2026-12-24T18:00") from None
    if not wall < at <= wall + longest:
        raise EdgefaceError(f"{text!r} is over already" if at <= wall else f"{text!r} is over {longest / 86400:.0f} days away")
    return at


def _local(now: datetime, hour: int, minute: int) -> datetime:
    """Return the next time that a local clock shows an hour and minute."""
    zone = now.tzinfo
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0, tzinfo=None, fold=0)
    days = (today + timedelta(days=count) for count in range(3))
    return next(day for day in (one.replace(tzinfo=zone) for one in days) if day.timestamp() > now.timestamp())


def refuse_paused(moment: Frame | NoFrame) -> None:
    """Raise ``CameraError`` if the camera is paused."""
    if isinstance(moment, NoFrame) and moment.paused:
        raise CameraError("the camera is paused: edgeface resume opens it")
