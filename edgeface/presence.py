"""Observations over time -> recognized, unknown, left: few events, and only on good evidence."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ulid import ULID

from edgeface import config
from edgeface.tracking import Track, Tracker
from edgeface.types import Decision, Event, EventType, Frame, Gap, Observation, Vector

STRANGER = ""


@dataclass(slots=True)
class _Visit:
    """Somebody's stay, over all their tracks; ``person_id`` is ``STRANGER`` for a face that is nobody's."""

    person_id: str
    name: str | None
    track_id: int
    since: float
    last_seen: float


class Presence:
    """Turns the observations of one camera into events.

    Each view votes with its quality: for a person when it was accepted, for a stranger when it was rejected, and with half of
    it for nobody when it was unsure. A person needs ``min_votes`` views, a stranger ``unknown_after``, and either needs
    ``min_share`` of all votes.
    """

    def __init__(self, camera: str, settings: config.Presence, *, same: float, different: float) -> None:
        self._camera, self._settings = camera, settings
        self._tracker = Tracker(same=same, different=different, keep=settings.left_after)
        self._verdicts: dict[int, str] = {}
        self._visits: dict[tuple[str, int], _Visit] = {}

    def update(self, moment: Frame | Gap, observations: Sequence[Observation]) -> list[Event]:
        """Take in what one frame showed, or nothing in a gap."""
        events: list[Event] = []
        seen, ended = self._tracker.update(moment.time, observations)
        for track in seen:
            events += self._judge(track, moment)
        for track in ended:
            events += self._forget(track, moment)
        return events

    def close(self, moment: Frame | Gap) -> list[Event]:
        """Everybody leaves: the recording is at its end."""
        return [event for track in tuple(self._tracker.tracks) for event in self._forget(track, moment)]

    def _judge(self, track: Track, moment: Frame | Gap) -> list[Event]:
        before, verdict = self._verdicts.get(track.id), self._vote(track)
        if verdict is None or (verdict == STRANGER and before is not None):
            verdict = before  # who was recognised once does not become a stranger by turning away
        if verdict is None:
            return []
        events = []
        if verdict != before:
            events += self._forget(track, moment)
            self._verdicts[track.id] = verdict
            if self._key(track) not in self._visits:
                event = self._arrival(track, verdict, moment)
                self._visits[self._key(track)] = _Visit(verdict, event.name, track.id, track.first_seen, moment.time)
                events.append(event)
        self._visits[self._key(track)].last_seen = moment.time
        return events

    def _key(self, track: Track) -> tuple[str, int]:
        verdict = self._verdicts[track.id]
        return verdict, track.id if verdict == STRANGER else 0

    def _vote(self, track: Track) -> str | None:
        """Whose track it is by now: a person's id, ``STRANGER``, or none for want of evidence."""
        votes: dict[str | None, int] = defaultdict(int)
        weights: dict[str | None, float] = defaultdict(float)
        for view in track.views:
            voice = _voice(view)
            votes[voice] += 1
            weights[voice] += view.quality if voice is not None else view.quality / 2
        winner = max((voice for voice in weights if voice is not None), key=lambda voice: weights[voice], default=None)
        if winner is None:
            return None
        needed = self._settings.unknown_after if winner == STRANGER else self._settings.min_votes
        enough = votes[winner] >= needed and weights[winner] >= self._settings.min_share * sum(weights.values())
        return winner if enough else None

    def _arrival(self, track: Track, verdict: str, moment: Frame | Gap) -> Event:
        views = [view for view in track.views if _voice(view) == verdict]
        matches = [view.match for view in views if view.match is not None]
        stranger = verdict == STRANGER
        height, width = moment.image.shape[:2] if isinstance(moment, Frame) else (0, 0)
        return Event(
            EventType.UNKNOWN if stranger else EventType.RECOGNIZED,
            new_event_id(moment.wall),
            moment.wall,
            moment.time,
            self._camera,
            track_id=track.id,
            person_id=None if stranger else verdict,
            name=None if stranger else matches[-1].name,
            score=sum(match.score for match in matches) / len(matches),
            threshold=matches[-1].threshold,
            margin=None if stranger else sum(match.margin for match in matches) / len(matches),
            probability=None if stranger else sum(match.probability for match in matches) / len(matches),
            votes=len(views),
            box=track.latest.face.box,
            frame_size=(width, height),
            quality=sum(view.quality for view in views) / len(views),
            embedding=_mean(views),
        )

    def _forget(self, track: Track, moment: Frame | Gap) -> list[Event]:
        """Take a track's verdict back; its visit ends unless another track carries it on."""
        if track.id not in self._verdicts:
            return []
        key = self._key(track)
        verdict = self._verdicts.pop(track.id)
        if verdict != STRANGER and verdict in self._verdicts.values():
            return []
        visit = self._visits.pop(key)
        return [
            Event(
                EventType.LEFT,
                new_event_id(moment.wall),
                moment.wall,
                moment.time,
                self._camera,
                track_id=visit.track_id,
                person_id=visit.person_id or None,
                name=visit.name,
                seconds=visit.last_seen - visit.since,
            )
        ]


def _mean(views: Sequence[Observation]) -> Vector | None:
    """The mean of the views' embeddings, weighted by their quality."""
    seen = [view for view in views if view.embedding is not None and view.quality > 0]
    if not seen:
        return None
    vectors = [view.embedding.vector for view in seen if view.embedding is not None]
    return np.asarray(np.average(vectors, axis=0, weights=[view.quality for view in seen]), np.float32)


def new_event_id(wall: float) -> str:
    """A ULID: unique, and sorted by time."""
    return str(ULID.from_timestamp(max(0.0, wall)))


def _voice(view: Observation) -> str | None:
    """Whom a view speaks for: a person's id, ``STRANGER``, or nobody."""
    if view.match is None or view.match.decision is Decision.UNSURE:
        return None
    return view.match.person_id if view.match.decision is Decision.ACCEPT else STRANGER
