"""Turns observations over time into few events: recognized, unknown, unsure, left."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeface.config import schema
from edgeface.recognition.doubts import Doubts, is_too_small, too_small
from edgeface.recognition.event_id import new_event_id
from edgeface.recognition.fusion import weight
from edgeface.recognition.matching import Matcher
from edgeface.recognition.one_face import Claim, OneFace
from edgeface.recognition.tracking import Track, Tracker
from edgeface.recognition.visit_liveness import Judgement
from edgeface.types import Decision, EventType, Face, Frame, LivenessClass, Match, NoFrame, Observation, TrackedFace
from edgeface.vision.model_card import ModelCard
from edgeface.vision.passive_liveness import PassiveCard
from edgeface.vision.regions import region_at
from edgeface.wire.events import Corrected, Event

log = logging.getLogger(__name__)

SAME_FAR, DIFFERENT_FAR = 1e-4, 0.05
"""False-accept rates of the two cosines by which tracks are joined and torn apart."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whose face a track shows, ``None`` for a stranger's, and the match and views behind the decision."""

    person_id: str | None
    match: Match
    views: Sequence[Observation]


@dataclass(slots=True, eq=False)
class _Visit:
    """A person's stay, over all their tracks, from the first view to the latest; a stranger's has one track."""

    arrival: Event
    first_view: float
    last_view: float


class Presence:
    """Turns the observations of one camera into events.

    A track's views are fused to one probe, and the matcher decides about it as about any other: its thresholds keep strangers
    out, and single views have only a veto. A person needs ``min_votes`` views whose nearest person they are; a stranger needs
    ``unknown_after`` views that are no outliers; both need ``min_share`` of all views, by weight. With ``liveness`` "refuse",
    nobody is named before the face counts as live; ``passive`` is the card of the network that scored the observations' looks.
    Of the faces of one frame, only the best is a person. The numbers of tracks go on from those of ``before``.
    """

    def __init__(
        self, settings: schema.Config, card: ModelCard, before: "Presence | None" = None, passive: PassiveCard | None = None
    ) -> None:
        self._camera, self._settings, self._mode = settings.camera.name, settings.presence, settings.liveness.mode
        self._attacks, self._attackers = settings.liveness.attacks, set[int]()
        self._zones, self._passive = settings.camera.zones, passive
        same, different = card.threshold(SAME_FAR), card.threshold(DIFFERENT_FAR)
        self._tracker = Tracker(same=same, different=different, keep=settings.presence.left_after)
        if before:
            self._tracker.next_id = before._tracker.next_id
        self._visits: dict[int, _Visit] = {}  # by track
        self._matcher: Matcher | None = None
        self._one_face = OneFace()
        self._doubts = Doubts(settings.presence)
        self._no_face = np.zeros(card.identity, np.float32)

    def update(
        self, moment: Frame | NoFrame, observations: Sequence[Observation], matcher: Matcher, small: Sequence[Face] = ()
    ) -> list[Event]:
        """Take in the observations of one frame, none without a frame; ``matcher`` has the gallery as it is now.

        Faces that are too ``small`` to observe are followed, so that a visit without a name can be explained.
        A person who is no longer in the gallery leaves, and views of them are forgotten; a renamed one leaves by the new name.
        """
        events = self._drop_forgotten(moment, matcher)
        for stay in self._visits.values():
            name = matcher.known.get(stay.arrival.person_id or "")
            if name not in (None, stay.arrival.name):
                stay.arrival = replace(stay.arrival, name=name)
        seen, ended = self._tracker.update(moment.time, [*observations, *map(too_small, small)])
        self._doubts.see(moment.time, seen)
        for track in seen:
            if self._mode != "off" and isinstance(moment, Frame) and track.latest.embedding is not None:
                track.liveness.see(moment.image, track.latest.face.landmarks, track.latest.passive, self._passive)
        verdicts = {track.id: self._weigh(track, matcher) for track in seen}
        for track in seen:
            events += self._attack(track, verdicts[track.id], moment)
        self._settle(seen, matcher, verdicts)
        for track in seen:
            events += self._judge(track, verdicts[track.id], moment)
        for track in seen:
            visit = self._visits.get(track.id)
            if visit and self._one_face.lost(track, visit.arrival.person_id):
                del self._visits[track.id]  # the better face has the visit now
        for track in ended:
            self._attackers.discard(track.id)
            events += self._end(track, moment)
        return events

    def _attack(self, track: Track, verdict: _Verdict | None, moment: Frame | NoFrame) -> list[Event]:
        """Tell once that a track is a screen's or a print's and shows somebody enrolled."""
        if self._attacks == "off" or verdict is None or verdict.person_id is None or track.id in self._attackers:
            return []
        kind, score = track.liveness.judge(self._passive)
        if kind not in (LivenessClass.SCREEN, LivenessClass.PRINT):
            return []
        self._attackers.add(track.id)
        named = self._attacks == "named"
        return [
            Event(
                EventType.PRESENTATION_ATTACK,
                new_event_id(moment.wall),
                moment.wall,
                moment.time,
                self._camera,
                track_id=track.id,
                person_id=verdict.person_id if named else None,
                name=verdict.match.name if named else None,
                liveness=score,
                liveness_class=kind,
            )
        ]

    def _end(self, track: Track, moment: Frame | NoFrame) -> list[Event]:
        """End a track and its visit, if that does not go on; without a visit, tell why there was none."""
        self._one_face.forget([track])
        if track.id in self._visits:
            self._doubts.forget(track)
            return self._release(track, moment)
        told = self._doubts.end(track, self._matcher, self._visits)
        if told is None:
            return []
        doubt, seconds = told
        return [
            Event(
                EventType.UNSURE,
                new_event_id(moment.wall),
                moment.wall,
                moment.time,
                self._camera,
                track_id=track.id,
                score=doubt.score if track.probe else None,
                threshold=doubt.threshold if track.probe else None,
                votes=doubt.good,
                quality=sum(view.quality for view in track.views) / max(1, len(track.views)),
                **self._living(track),
                seconds=seconds,
                doubt=doubt,
                embedding=track.probe.vector if track.probe else self._no_face,
            )
        ]

    def _settle(self, seen: Sequence[Track], matcher: Matcher, verdicts: dict[int, _Verdict | None]) -> None:
        """Take verdicts back: those of faces that are not live, and of several faces of one person all but the best's."""
        claims = []
        for track in seen:
            verdict, visit = verdicts[track.id], self._visits.get(track.id)
            visitor = visit.arrival.person_id if visit else None
            if verdict and verdict.person_id != visitor and self._withheld(track, verdict):
                verdict = verdicts[track.id] = None
            if verdict and verdict.person_id:
                claims.append(Claim(track, verdict.person_id, verdict.match.score))
            elif not verdict and visitor:
                claims.append(Claim(track, visitor, matcher.score_of(visitor, track.probe.vector) if track.probe else -1.0))
        self._one_face.decide(claims)
        for track in seen:
            verdict = verdicts[track.id]
            if verdict and verdict.person_id and self._one_face.lost(track, verdict.person_id):
                verdicts[track.id] = None
                self._doubts.displace(track, verdict.person_id)

    def tracked_faces(self, now: float) -> list[TrackedFace]:
        """Return the faces of the frame that was taken in at ``now``, each with its announcement."""
        tracks = [(track, self._visits.get(track.id)) for track in self._tracker.tracks if track.last_seen == now]
        tracks = [(track, visit) for track, visit in tracks if not is_too_small(track.latest)]
        return [
            TrackedFace(track.id, track.latest, (visit.arrival.person_id or "") if visit else None) for track, visit in tracks
        ]

    def named(self, now: float, within: float) -> list[tuple[Event, Judgement]]:
        """Return the arrival of each person of whom there was a view within some seconds, and whether their face is live."""
        recent = [track for track in self._tracker.tracks if now - track.last_view <= within and track.id in self._visits]
        named = [(self._visits[track.id].arrival, track.liveness.judge(self._passive)) for track in recent]
        return [one for one in named if one[0].person_id is not None]

    def close(self, moment: Frame | NoFrame) -> list[Event]:
        """Let everybody leave: the recording is at its end."""
        return [event for track in tuple(self._tracker.tracks) for event in self._end(track, moment)]

    def _drop_forgotten(self, moment: Frame | NoFrame, matcher: Matcher) -> list[Event]:
        """Let forgotten people leave, and forget views that matched them: all views for a new matcher, else the latest."""
        events, known = [], matcher.known
        changed, self._matcher = matcher is not self._matcher, matcher
        for track in self._tracker.tracks:
            views = track.views if changed else track.views[-1:]
            visit = self._visits.get(track.id)
            gone = visit and visit.arrival.person_id and visit.arrival.person_id not in known
            if gone:
                events += self._release(track, moment)
            if gone or any(view.match and view.match.person_id and view.match.person_id not in known for view in views):
                track.forget_views()
        return events

    def _judge(self, track: Track, verdict: _Verdict | None, moment: Frame | NoFrame) -> list[Event]:
        events: list[Event] = []
        visit = self._visits.get(track.id)
        if verdict and not (visit and visit.arrival.person_id == verdict.person_id):
            wrong = self._correction(track)
            events = self._release(track, moment, wrong)
            going_on = (other for other in self._visits.values() if other.arrival.person_id == verdict.person_id)
            visit = next(going_on, None) if verdict.person_id else None
            if visit is None:
                visit = _Visit(self._arrival(track, verdict, moment, wrong), track.first_view, track.last_view)
                events.append(visit.arrival)
            self._visits[track.id] = visit
        if visit:
            visit.last_view = max(visit.last_view, track.last_view)
        return events

    def _withheld(self, track: Track, verdict: _Verdict) -> bool:
        """Return whether a name must wait until the face counts as live."""
        if self._mode != "refuse" or verdict.person_id is None:
            return False
        kind, _ = track.liveness.judge(self._passive)
        if kind is LivenessClass.LIVE:
            return False
        self._doubts.withhold(track)
        looks = "nothing tells yet that it is live" if kind is LivenessClass.UNDECIDED else f"it looks like a {kind}"
        log.info("a face is not named: %s", looks)
        return True

    def _living(self, track: Track) -> dict[str, Any]:
        """Return the fields of an event that say whether a track is live."""
        if self._mode == "off":
            return {}
        kind, score = track.liveness.judge(self._passive)
        return {"liveness": score, "liveness_class": kind}

    def _weigh(self, track: Track, matcher: Matcher) -> _Verdict | None:
        """Return whose face a track shows; ``None`` while too few views say so."""
        probe, settings = track.probe, self._settings
        if probe is None:
            return None
        match = matcher.match(probe.vector)
        if match.decision is Decision.UNSURE:
            return None
        person = match.person_id if match.decision is Decision.ACCEPT else None
        needed = settings.min_votes if person else settings.unknown_after
        views = [view for view in probe.views if not person or (view.match and view.match.person_id == person)]
        enough = len(views) >= needed and sum(map(weight, views)) >= settings.min_share * sum(map(weight, track.views))
        return _Verdict(person, match, views) if enough else None

    def _correction(self, track: Track) -> Corrected | None:
        """Return the announced name that a new verdict about a track contradicts, unless another track has the same name."""
        visit = self._visits.get(track.id)
        if visit is None or visit.arrival.person_id is None or list(self._visits.values()).count(visit) > 1:
            return None
        return Corrected(visit.arrival.event_id, visit.arrival.person_id, visit.arrival.name or "")

    def _arrival(self, track: Track, verdict: _Verdict, moment: Frame | NoFrame, wrong: Corrected | None) -> Event:
        match, views = verdict.match, verdict.views
        stranger = verdict.person_id is None
        height, width = moment.image.shape[:2] if isinstance(moment, Frame) else (0, 0)
        return Event(
            EventType.UNKNOWN if stranger else EventType.RECOGNIZED,
            new_event_id(moment.wall),
            moment.wall,
            moment.time,
            self._camera,
            track_id=track.id,
            person_id=verdict.person_id,
            name=None if stranger else match.name,
            score=match.score,
            threshold=match.threshold,
            margin=None if stranger else match.margin,
            probability=None if stranger else match.probability,
            votes=len(views),
            box=track.latest.face.box,
            frame_size=(width, height),
            zone=region_at(track.latest.face.box, (width, height), self._zones) if height else None,
            quality=sum(view.quality for view in views) / len(views),
            **self._living(track),
            corrected=wrong,
            doubt=self._doubts.stranger(track, match) if stranger else None,
            embedding=track.probe.vector if track.probe else None,
        )

    def _release(self, track: Track, moment: Frame | NoFrame, wrong: Corrected | None = None) -> list[Event]:
        """Take a track from its visit, and end the visit unless another track goes on with it."""
        visit = self._visits.pop(track.id, None)
        if visit is None or visit in self._visits.values():
            return []
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
                zone=visit.arrival.zone,
                **self._living(track),
                seconds=visit.last_view - visit.first_view,
                corrected=wrong,
            )
        ]
