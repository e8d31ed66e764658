"""Turns observations over time into few events: recognized, unknown, left."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgeface.config import schema
from edgeface.recognition.event_id import new_event_id
from edgeface.recognition.fusion import weight
from edgeface.recognition.matching import Matcher
from edgeface.recognition.tracking import Track, Tracker
from edgeface.types import Decision, EventType, Frame, Match, NoFrame, Observation, TrackedFace
from edgeface.vision.liveness import ALIVE, Liveness
from edgeface.vision.model_card import ModelCard
from edgeface.wire.events import Corrected, Event

log = logging.getLogger(__name__)

STRANGER = ""
SAME_FAR, DIFFERENT_FAR = 1e-4, 0.05
"""False-accept rates of the two cosines by which tracks are joined and torn apart."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whose face a track shows, ``STRANGER`` if nobody's, and the match and views behind the decision."""

    person_id: str
    match: Match
    views: Sequence[Observation]


@dataclass(slots=True)
class _Visit:
    """A person's stay, over all their tracks, from the first view to the latest."""

    arrival: Event
    first_view: float
    last_view: float


class Presence:
    """Turns the observations of one camera into events.

    A track's views are fused to one probe, and the matcher decides about it as about any other: its thresholds keep strangers
    out, and single views have only a veto. A person needs ``min_votes`` views whose nearest person they are; a stranger needs
    ``unknown_after`` views that are no outliers; both need ``min_share`` of all views, by weight. With ``liveness`` "refuse",
    nobody is named before the face has looked alive. The numbers of tracks go on from those of ``before``.
    """

    def __init__(
        self,
        camera: str,
        settings: schema.PresenceSettings,
        *,
        same: float,
        different: float,
        liveness: Literal["off", "report", "refuse"] = "off",
        before: "Presence | None" = None,
    ) -> None:
        self._camera, self._settings, self._mode = camera, settings, liveness
        self._lives: dict[int, Liveness] = {}
        self._tracker = Tracker(same=same, different=different, keep=settings.left_after)
        if before:
            self._tracker.next_id = before._tracker.next_id
        self._verdicts: dict[int, str] = {}
        self._visits: dict[tuple[str, int], _Visit] = {}
        self._matcher: Matcher | None = None

    def update(self, moment: Frame | NoFrame, observations: Sequence[Observation], matcher: Matcher) -> list[Event]:
        """Take in the observations of one frame, none without a frame; ``matcher`` has the gallery as it is now.

        A person who is no longer in the gallery leaves, and views of them are forgotten; a renamed one leaves by the new name.
        """
        events = self._drop_forgotten(moment, matcher)
        for visit in self._visits.values():
            name = matcher.known.get(visit.arrival.person_id or STRANGER)
            if name not in (None, visit.arrival.name):
                visit.arrival = replace(visit.arrival, name=name)
        seen, ended = self._tracker.update(moment.time, observations)
        for track in seen:
            if self._mode != "off" and isinstance(moment, Frame) and track.latest.embedding is not None:
                self._lives.setdefault(track.id, Liveness()).see(moment.image, track.latest.face.landmarks)
            events += self._judge(track, moment, matcher)
        for track in ended:
            events += self._release(track, moment)
            self._lives.pop(track.id, None)
        return events

    def tracked_faces(self, now: float) -> list[TrackedFace]:
        """Return the faces of the frame that was taken in at ``now``, each with its announcement."""
        tracks = [track for track in self._tracker.tracks if track.last_seen == now]
        return [TrackedFace(track.id, track.latest, self._verdicts.get(track.id)) for track in tracks]

    def close(self, moment: Frame | NoFrame) -> list[Event]:
        """Let everybody leave: the recording is at its end."""
        return [event for track in tuple(self._tracker.tracks) for event in self._release(track, moment)]

    def _drop_forgotten(self, moment: Frame | NoFrame, matcher: Matcher) -> list[Event]:
        """Let forgotten people leave, and forget views that matched them: all views for a new matcher, else the latest."""
        events, known = [], matcher.known
        changed, self._matcher = matcher is not self._matcher, matcher
        for track in self._tracker.tracks:
            views = track.views if changed else track.views[-1:]
            announced = self._verdicts.get(track.id, STRANGER)
            gone = announced != STRANGER and announced not in known
            if gone:
                events += self._release(track, moment)
            if gone or any(view.match and view.match.person_id and view.match.person_id not in known for view in views):
                track.forget_views()
        return events

    def _judge(self, track: Track, moment: Frame | NoFrame, matcher: Matcher) -> list[Event]:
        before, verdict = self._verdicts.get(track.id), self._weigh(track, matcher)
        events = []
        if verdict is not None and verdict.person_id != before and not self._withheld(track, verdict):
            wrong = self._correction(track)
            events += self._release(track, moment, wrong)
            self._verdicts[track.id] = verdict.person_id
            if self._key(track) not in self._visits:
                arrival = self._arrival(track, verdict, moment, wrong)
                self._visits[self._key(track)] = _Visit(arrival, track.first_view, track.last_view)
                events.append(arrival)
        if track.id in self._verdicts:
            visit = self._visits[self._key(track)]
            visit.last_view = max(visit.last_view, track.last_view)
        return events

    def _withheld(self, track: Track, verdict: _Verdict) -> bool:
        """Return whether a name must wait until the face has looked alive."""
        if self._mode != "refuse" or verdict.person_id == STRANGER or (self._liveness(track) or 0.0) >= ALIVE:
            return False
        log.info("a face is not named: it may be a photo (it has not turned as a head does)")
        return True

    def _liveness(self, track: Track) -> float | None:
        return self._lives[track.id].score if track.id in self._lives else None

    def _key(self, track: Track) -> tuple[str, int]:
        verdict = self._verdicts[track.id]
        return verdict, track.id if verdict == STRANGER else 0

    def _weigh(self, track: Track, matcher: Matcher) -> _Verdict | None:
        """Return whose face a track shows; ``None`` while too few views say so."""
        probe, settings = track.probe, self._settings
        if probe is None:
            return None
        match = matcher.match(probe.vector)
        if match.decision is Decision.UNSURE:
            return None
        if match.decision is Decision.ACCEPT and match.person_id is not None:
            person, needed = match.person_id, settings.min_votes
            views = [view for view in probe.views if view.match is not None and view.match.person_id == person]
        else:
            person, needed, views = STRANGER, settings.unknown_after, list(probe.views)
        enough = len(views) >= needed and sum(map(weight, views)) >= settings.min_share * sum(map(weight, track.views))
        return _Verdict(person, match, views) if enough else None

    def _correction(self, track: Track) -> Corrected | None:
        """Return the announced name that a new verdict about a track contradicts, unless another track has the same name."""
        person = self._verdicts.get(track.id, STRANGER)
        if person == STRANGER or list(self._verdicts.values()).count(person) > 1:
            return None
        arrival = self._visits[self._key(track)].arrival
        return Corrected(arrival.event_id, person, arrival.name or "")

    def _arrival(self, track: Track, verdict: _Verdict, moment: Frame | NoFrame, wrong: Corrected | None) -> Event:
        match, views = verdict.match, verdict.views
        stranger = verdict.person_id == STRANGER
        height, width = moment.image.shape[:2] if isinstance(moment, Frame) else (0, 0)
        return Event(
            EventType.UNKNOWN if stranger else EventType.RECOGNIZED,
            new_event_id(moment.wall),
            moment.wall,
            moment.time,
            self._camera,
            track_id=track.id,
            person_id=None if stranger else verdict.person_id,
            name=None if stranger else match.name,
            score=match.score,
            threshold=match.threshold,
            margin=None if stranger else match.margin,
            probability=None if stranger else match.probability,
            votes=len(views),
            box=track.latest.face.box,
            frame_size=(width, height),
            quality=sum(view.quality for view in views) / len(views),
            liveness=self._liveness(track),
            corrected=wrong,
            embedding=track.probe.vector if track.probe else None,
        )

    def _release(self, track: Track, moment: Frame | NoFrame, wrong: Corrected | None = None) -> list[Event]:
        """Take a track's verdict back, and end its visit unless another track goes on with it."""
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
                track_id=visit.arrival.track_id,
                person_id=visit.arrival.person_id,
                name=visit.arrival.name,
                liveness=self._liveness(track),
                seconds=visit.last_view - visit.first_view,
                corrected=wrong,
            )
        ]


def create_presence(settings: schema.Config, card: ModelCard, before: Presence | None = None) -> Presence:
    """Return the presence of these settings' camera, in the place of another."""
    return Presence(
        settings.camera.name,
        settings.presence,
        same=card.threshold(SAME_FAR),
        different=card.threshold(DIFFERENT_FAR),
        liveness=settings.liveness.mode,
        before=before,
    )
