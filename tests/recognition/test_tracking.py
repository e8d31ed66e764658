from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.frames import Door
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator
from numpy.typing import NDArray

from edgeface.recognition import tracking
from edgeface.recognition.tracking import MAX_TRACKS, MEMORY, NEAR, Tracker, intersection_over_union
from edgeface.types import Box, Embedding, Face, Observation, Vector

A, B = np.eye(8, dtype=np.float32)[:2]


def seen(
    left: float, vector: Vector | None = None, *, top: float = 0.0, size: float = 100.0, quality: float = 0.8
) -> Observation:
    face = Face(Box(left, top, size, size), np.zeros((5, 2), np.float32), 0.9)
    return Observation(face, quality, None if vector is None else Embedding(np.asarray(vector, np.float32), 1.0))


def between(cosine: float) -> Vector:
    return np.asarray(cosine * A + np.float32(np.sqrt(1 - cosine**2)) * B)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(same=0.5, different=0.2, keep=5.0)


def ids(tracker: Tracker, time: float, *observations: Observation) -> list[Any]:
    """Track id of each observation, in order."""
    tracks, _ = tracker.update(time, observations)
    by_latest = {id(track.latest): track.id for track in tracks}
    return [by_latest[id(observation)] for observation in observations]


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [
        (Box(0, 0, 10, 10), Box(0, 0, 10, 10), 1.0),
        (Box(0, 0, 10, 10), Box(5, 0, 10, 10), 1 / 3),
        (Box(0, 0, 10, 10), Box(10, 0, 10, 10), 0.0),
        (Box(0, 0, 10, 10), Box(20, 20, 10, 10), 0.0),
        (Box(0, 0, 10, 10), Box(2, 2, 5, 5), 0.25),
        (Box(0, 0, 0, 0), Box(0, 0, 0, 0), 0.0),
    ],
)
def test_overlap_is_shared_over_joint_area(a: Box, b: Box, share: float) -> None:
    boxes = np.array([[box.left, box.top, box.width, box.height] for box in (a, b)])
    assert intersection_over_union(boxes[:1], boxes[1:]) == pytest.approx(share)
    assert intersection_over_union(boxes[1:], boxes[:1]) == pytest.approx(share)


def test_a_moving_face_is_one_track_by_its_box_alone(tracker: Tracker) -> None:
    assert [ids(tracker, step * 0.1, seen(step * 20)) for step in range(10)] == [[1]] * 10
    assert tracker.tracks[0].last_seen == pytest.approx(0.9)


def test_a_face_elsewhere_is_another_track_unless_it_is_alike(tracker: Tracker) -> None:
    assert ids(tracker, 0.0, seen(0, A)) == [1]
    assert ids(tracker, 0.1, seen(400, B)) == [2]
    assert ids(tracker, 0.2, seen(800, A)) == [1]
    assert ids(tracker, 0.3, seen(1200, between(0.4))) == [2]
    assert ids(tracker, 0.4, seen(1600)) == [3]


def test_two_people_who_cross_keep_their_tracks(tracker: Tracker) -> None:
    for step in range(21):
        left, right = seen(step * 20, A), seen(400 - step * 20, B)
        assert ids(tracker, step * 0.1, left, right) == [1, 2]
        assert ids(tracker, step * 0.1 + 0.05, right, left) == [2, 1]


def test_another_face_in_the_same_place_starts_a_new_track(tracker: Tracker) -> None:
    assert ids(tracker, 0.0, seen(0, A)) == [1]
    assert ids(tracker, 0.1, seen(0, B)) == [2]
    assert ids(tracker, 0.2, seen(0, B)) == [2]


@pytest.mark.parametrize("vector", [between(0.3), None], ids=["doubtful", "poor view"])
def test_a_doubtful_or_poor_view_in_the_same_place_stays_with_its_track(tracker: Tracker, vector: Any) -> None:
    assert ids(tracker, 0.0, seen(0, A)) == [1]
    assert ids(tracker, 0.1, seen(5, vector)) == [1]


def test_poor_views_are_no_evidence(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0, A))
    ids(tracker, 0.1, seen(5))
    (track,) = tracker.tracks
    assert (len(track.views), track.latest.face.box.left) == (1, 5)


def test_missed_frames_do_not_end_a_track(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0))
    for time in (0.2, 0.4, 0.6):
        assert tracker.update(time, []) == ([], [])
    assert ids(tracker, 0.8, seen(10)) == [1]


def test_a_box_says_nothing_after_a_second_but_a_face_does(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0, A))
    assert ids(tracker, 2.0, seen(0)) == [2]
    assert ids(tracker, 4.0, seen(0, A)) == [1]


def test_a_face_that_nobody_can_tell_makes_no_track_last_and_then_is_one_of_its_own(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0, A))
    assert [ids(tracker, step * 0.5, seen(0)) for step in range(1, 11)] == [[1]] * 10
    tracks, ended = tracker.update(5.5, [seen(0)])
    assert ([track.id for track in tracks], [track.id for track in ended]) == ([2], [1])
    assert ids(tracker, 6.0, seen(0)) == [2]


def test_a_face_that_can_be_told_again_is_the_same_one_even_at_the_last_moment(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0, A))
    for step in range(1, 11):
        ids(tracker, step * 0.5, seen(0))
    assert ids(tracker, 5.5, seen(0, A)) == [1]


def test_who_walks_up_to_the_camera_is_one_track_though_some_views_are_poor(tracker: Tracker) -> None:
    for step in range(40):
        size = 60 * 1.04**step
        vector = A if step % 7 == 0 else None
        assert ids(tracker, step * 0.2, seen(300 - size / 2, vector, top=200 - size / 2, size=size)) == [1]


def test_a_track_ends_once_after_it_was_not_seen_for_long_enough(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0, A))
    assert tracker.update(5.0, []) == ([], [])
    _, ended = tracker.update(5.1, [])
    assert [track.id for track in ended] == [1]
    assert tracker.update(5.2, []) == ([], [])
    assert ids(tracker, 5.3, seen(0, A)) == [2]


def test_the_better_overlap_gets_the_track(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0))
    assert ids(tracker, 0.1, seen(50), seen(5)) == [2, 1]


def test_one_track_takes_one_face_of_a_frame(tracker: Tracker) -> None:
    ids(tracker, 0.0, seen(0, A))
    assert sorted(ids(tracker, 0.1, seen(0, A), seen(300, A))) == [1, 2]


def test_a_full_memory_spans_the_whole_stay_and_keeps_the_better_views(tracker: Tracker) -> None:
    for step in range(500):
        tracker.update(step * 0.1, [seen(0, A, quality=0.9 if step % 2 else 0.3)])
    (track,) = tracker.tracks
    assert MEMORY / 2 < len(track.views) <= MEMORY
    assert track.views[-1] is track.latest
    assert sum(view.quality == 0.9 for view in track.views) >= MEMORY / 2 - 1
    first = seen(0, A, quality=1.0)
    again = Tracker(same=0.5, different=0.2, keep=5.0)
    again.update(0.0, [first])
    for step in range(1, 500):
        again.update(step * 0.1, [seen(0, A, quality=0.5)])
    assert again.tracks[0].views[0] is first


def test_a_missed_face_is_looked_for_where_it_was_going(tracker: Tracker) -> None:
    """At 400 pixels a second: three missed frames on, its box overlaps nothing of where it was."""
    for step in range(5):
        assert ids(tracker, step * 0.1, seen(step * 40)) == [1]
    assert ids(tracker, 0.8, seen(320)) == [1]


def test_overlap_and_likeness_count_together(tracker: Tracker) -> None:
    """Where two people meet, whose face is whose is not for the box alone."""
    near_a, near_b = between(0.8), between(0.45)
    assert ids(tracker, 0.0, seen(0, A), seen(60, B)) == [1, 2]
    assert ids(tracker, 0.1, seen(25, near_b), seen(35, near_a)) == [2, 1]


def test_a_bad_view_does_not_take_the_place_of_its_track(tracker: Tracker) -> None:
    for step in range(5):
        assert ids(tracker, step * 0.1, seen(0, A)) == [1]
    assert ids(tracker, 0.5, seen(2, B)) == [2]
    assert ids(tracker, 0.6, seen(2)) == [1]
    assert ids(tracker, 0.7, seen(2, between(0.9))) == [1]


def test_two_people_who_cross_in_a_film_of_photos_keep_their_tracks(tmp_path: Path) -> None:
    """Each walks past the other, one hidden behind the other for some frames."""
    door = Door(tmp_path, {"Obama": ["obama_portrait.jpg", "obama_congress.jpg"], "Biden": ["biden_blue_room.jpg"]})
    whose: dict[int, set[str]] = defaultdict(set)
    for step in range(20):
        seen = door.look(("biden_portrait.jpg", 420 - 22 * step, 120), ("obama_press_room.jpg", 10 + 22 * step, 100))
        tracks, _ = door.tracker.update(door.time, seen)
        for track in tracks:
            if track.latest.match is not None:
                whose[track.id].add(str(track.latest.match.name))
    assert sorted(sorted(names) for names in whose.values()) == [["Biden"], ["Obama"]]


def test_a_crowd_leaves_no_more_tracks_than_are_bearable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A friend who was seen before the crowd came, and is away while it passes, is known again."""
    tracker, random = Tracker(same=0.5, different=0.2, keep=60.0), np.random.default_rng(0)
    compared: list[int] = []

    def counted(a: NDArray[np.float64], b: NDArray[np.float64]) -> object:
        compared.append(len(a) * len(b))
        return intersection_over_union(a, b)

    monkeypatch.setattr(tracking, "intersection_over_union", counted)
    friend = unit(random)
    for step in range(3):
        assert ids(tracker, step * 0.1, seen(0, friend)) == [1]
    for step in range(3, 200):
        tracks, ended = tracker.update(step * 0.1, [seen(place * 200, unit(random)) for place in range(30)])
        assert len(tracks) == 30
        assert len(tracker.tracks) <= MAX_TRACKS
        assert not {track.id for track in ended} & {track.id for track in tracker.tracks}
    assert max(compared) <= MAX_TRACKS * 30
    assert ids(tracker, 20.0, seen(0, friend)) == [1]


def test_whoever_is_in_the_frame_has_a_track_however_many_they_are(tracker: Tracker) -> None:
    crowd = [seen(place * 200, unit(np.random.default_rng(place))) for place in range(MAX_TRACKS + 10)]
    assert ids(tracker, 0.0, *crowd) == ids(tracker, 0.1, *crowd) == list(range(1, MAX_TRACKS + 11))
    tracker.update(0.2, [])
    assert len(tracker.tracks) == MAX_TRACKS


def unit(random: Generator) -> Vector:
    vector = random.normal(size=128).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


class PairByPair(Tracker):
    """Assigns faces as the definition says, one pair after the other."""

    def pairs(self, time: float, observations: list[Observation]) -> Iterator[tuple[float, int, int]]:
        """Track by track the affinity of each face that fits at all."""
        for i, track in enumerate(self.tracks):
            for j, observation in enumerate(observations):
                last, box, passed = track.latest.face.box, observation.face.box, time - track.last_seen
                moved = Box(last.left + track.speed[0] * passed, last.top + track.speed[1] * passed, last.width, last.height)
                overlap = max(shared(last, box), shared(moved, box)) if passed <= NEAR else 0.0
                near = overlap >= self._min_overlap
                if observation.embedding is None or track.probe is None:
                    affinity = overlap * (len(track.views) + 1) / (len(track.views) + 2) if near else 0.0
                else:
                    similarity = float(track.probe.vector @ observation.embedding.vector)
                    affinity = 0.0 if similarity < (self._different if near else self._same) else overlap + similarity
                if affinity > 0:
                    yield affinity, i, j

    def chosen(self, time: float, observations: list[Observation]) -> dict[int, int]:
        """The track of each face that has one already."""
        tracks = [track.id for track in self.tracks]
        owner: dict[int, int] = {}
        for _, i, j in sorted(self.pairs(time, observations), reverse=True):
            if tracks[i] not in owner.values() and j not in owner:
                owner[j] = tracks[i]
        return owner


def shared(a: Box, b: Box) -> float:
    width = max(0.0, min(a.left + a.width, b.left + b.width) - max(a.left, b.left))
    height = max(0.0, min(a.top + a.height, b.top + b.height) - max(a.top, b.top))
    return width * height / (a.width * a.height + b.width * b.height - width * height)


@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(1, 7),
    poor=st.floats(0, 1),
    missed=st.floats(0, 0.7),
    strange=st.floats(0, 0.3),
    spread=st.sampled_from([60, 200, 600]),
    step=st.sampled_from([0.07, 0.3, 1.1]),
)
@settings(max_examples=60, deadline=None)
def test_each_face_of_a_small_scene_gets_the_track_that_the_definition_says(
    seed: int, people: int, poor: float, missed: float, strange: float, spread: int, step: float
) -> None:
    random = np.random.default_rng(seed)
    tracker = PairByPair(same=0.45, different=0.2, keep=1000.0)
    faces, places = [unit(random) for _ in range(people)], random.uniform(0, spread, (people, 2))
    speeds = random.normal(0, 60, (people, 2))
    for number in range(25):
        time = step * number
        observations = []
        for i in random.permutation(people):
            if random.random() < missed:
                continue
            vector = unit(random) if random.random() < strange else faces[i] + unit(random) * random.uniform(0.2, 2.5)
            view = None if random.random() < poor else vector / np.linalg.norm(vector)
            left, top = places[i] + speeds[i] * time + random.normal(0, 4, 2)
            observations.append(seen(left, view, top=top, size=random.uniform(70, 130), quality=random.uniform(0.3, 1)))
        wanted, known = tracker.chosen(time, observations), {track.id for track in tracker.tracks}
        found = ids(tracker, time, *observations)
        assert {j: track for j, track in enumerate(found) if track in known} == wanted
