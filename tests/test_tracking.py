from collections import defaultdict

import numpy as np
import pytest
from stage import Door

from edgeface.tracking import MEMORY, Tracker, intersection_over_union
from edgeface.types import Box, Embedding, Face, Observation

A, B = np.eye(8, dtype=np.float32)[:2]


def seen(left, vector=None, *, top=0.0, size=100.0, quality=0.8):
    face = Face(Box(left, top, size, size), np.zeros((5, 2), np.float32), 0.9)
    return Observation(face, quality, None if vector is None else Embedding(np.asarray(vector, np.float32), 1.0))


def between(cosine):
    return cosine * A + np.float32(np.sqrt(1 - cosine**2)) * B


@pytest.fixture
def tracker():
    return Tracker(same=0.5, different=0.2, keep=5.0)


def ids(tracker, time, *observations):
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
def test_overlap_is_shared_over_joint_area(a, b, share):
    assert intersection_over_union(a, b) == pytest.approx(share)
    assert intersection_over_union(b, a) == pytest.approx(share)


def test_a_moving_face_is_one_track_by_its_box_alone(tracker):
    assert [ids(tracker, step * 0.1, seen(step * 20)) for step in range(10)] == [[1]] * 10
    assert (tracker.tracks[0].first_seen, tracker.tracks[0].last_seen) == (0.0, pytest.approx(0.9))


def test_a_face_elsewhere_is_another_track_unless_it_is_alike(tracker):
    assert ids(tracker, 0.0, seen(0, A)) == [1]
    assert ids(tracker, 0.1, seen(400, B)) == [2]
    assert ids(tracker, 0.2, seen(800, A)) == [1]
    assert ids(tracker, 0.3, seen(1200, between(0.4))) == [2]
    assert ids(tracker, 0.4, seen(1600)) == [3]


def test_two_people_who_cross_keep_their_tracks(tracker):
    for step in range(21):
        left, right = seen(step * 20, A), seen(400 - step * 20, B)
        assert ids(tracker, step * 0.1, left, right) == [1, 2]
        assert ids(tracker, step * 0.1 + 0.05, right, left) == [2, 1]


def test_another_face_in_the_same_place_starts_a_new_track(tracker):
    assert ids(tracker, 0.0, seen(0, A)) == [1]
    assert ids(tracker, 0.1, seen(0, B)) == [2]
    assert ids(tracker, 0.2, seen(0, B)) == [2]


@pytest.mark.parametrize("vector", [between(0.3), None], ids=["doubtful", "poor view"])
def test_a_doubtful_or_poor_view_in_the_same_place_stays_with_its_track(tracker, vector):
    assert ids(tracker, 0.0, seen(0, A)) == [1]
    assert ids(tracker, 0.1, seen(5, vector)) == [1]


def test_poor_views_are_no_evidence(tracker):
    ids(tracker, 0.0, seen(0, A))
    ids(tracker, 0.1, seen(5))
    (track,) = tracker.tracks
    assert (len(track.views), track.latest.face.box.left) == (1, 5)


def test_missed_frames_do_not_end_a_track(tracker):
    ids(tracker, 0.0, seen(0))
    for time in (0.2, 0.4, 0.6):
        assert tracker.update(time, []) == ([], [])
    assert ids(tracker, 0.8, seen(10)) == [1]


def test_a_box_says_nothing_after_a_second_but_a_face_does(tracker):
    ids(tracker, 0.0, seen(0, A))
    assert ids(tracker, 2.0, seen(0)) == [2]
    assert ids(tracker, 4.0, seen(0, A)) == [1]


def test_a_track_ends_once_after_it_was_not_seen_for_long_enough(tracker):
    ids(tracker, 0.0, seen(0, A))
    assert tracker.update(5.0, []) == ([], [])
    _, ended = tracker.update(5.1, [])
    assert [track.id for track in ended] == [1]
    assert tracker.update(5.2, []) == ([], [])
    assert ids(tracker, 5.3, seen(0, A)) == [2]


def test_the_better_overlap_gets_the_track(tracker):
    ids(tracker, 0.0, seen(0))
    assert ids(tracker, 0.1, seen(50), seen(5)) == [2, 1]


def test_one_track_takes_one_face_of_a_frame(tracker):
    ids(tracker, 0.0, seen(0, A))
    assert sorted(ids(tracker, 0.1, seen(0, A), seen(300, A))) == [1, 2]


def test_a_full_memory_spans_the_whole_stay_and_keeps_the_better_views(tracker):
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


def test_a_missed_face_is_looked_for_where_it_was_going(tracker):
    """At 400 pixels a second: three missed frames on, its box overlaps nothing of where it was."""
    for step in range(5):
        assert ids(tracker, step * 0.1, seen(step * 40)) == [1]
    assert ids(tracker, 0.8, seen(320)) == [1]


def test_overlap_and_likeness_count_together(tracker):
    """Where two people meet, whose face is whose is not for the box alone."""
    near_a, near_b = between(0.8), between(0.45)
    assert ids(tracker, 0.0, seen(0, A), seen(60, B)) == [1, 2]
    assert ids(tracker, 0.1, seen(25, near_b), seen(35, near_a)) == [2, 1]


def test_a_bad_view_does_not_take_the_place_of_its_track(tracker):
    for step in range(5):
        assert ids(tracker, step * 0.1, seen(0, A)) == [1]
    assert ids(tracker, 0.5, seen(2, B)) == [2]
    assert ids(tracker, 0.6, seen(2)) == [1]
    assert ids(tracker, 0.7, seen(2, between(0.9))) == [1]


def test_two_people_who_cross_in_a_film_of_photos_keep_their_tracks(tmp_path):
    """Each walks past the other, one hidden behind the other for some frames."""
    door = Door(tmp_path, {"Obama": ["obama_portrait.jpg", "obama_congress.jpg"], "Biden": ["biden_blue_room.jpg"]})
    whose = defaultdict(set)
    for step in range(20):
        seen = door.look(("biden_portrait.jpg", 420 - 22 * step, 120), ("obama_press_room.jpg", 10 + 22 * step, 100))
        tracks, _ = door.tracker.update(door.time, seen)
        for track in tracks:
            if track.latest.match is not None:
                whose[track.id].add(track.latest.match.name)
    assert sorted(map(sorted, whose.values())) == [["Biden"], ["Obama"]]
