import time
from dataclasses import replace

import pytest

from edgeface.config.schema import Config, Device
from edgeface.daemon.status import HUNG, absent, describe, report
from edgeface.gallery.sqlite import FULL
from edgeface.health import GalleryHealth, Health, Link
from edgeface.platform.text import duration
from edgeface.types import Box, Event, EventType

SEEN = Event(
    EventType.RECOGNIZED, "01M86GTN766HKSFCZ15NNMEFKP", 1.7e9, 0.0, "front", track_id=1, person_id="p_1", name="Änna",
    score=0.6, threshold=0.5, margin=0.2, probability=0.99, votes=3, box=Box(1, 2, 3, 4), frame_size=(640, 480), quality=0.8,
)  # fmt: skip
HEALTH = Health(
    "0.1.0", 90_061.0, 9.5, 600, 7, "front", "ok", None, "sha256:1f", 2, 9, 120.0, 0.3, 51.5, True,
    ("throttled",), ("under-voltage", "throttled"),
    frames_skipped=400,
    faces_seen=80, events={"recognized": 3, "left": 2}, last_event=SEEN, link=Link("up", "b:1883", None, 1, 4),
)  # fmt: skip


def told(refused=None, unserved=None, **changes):
    return report(
        Config(device=Device("door")),
        replace(HEALTH, time=time.monotonic()) if not changes else replace(HEALTH, **changes),
        refused,
        unserved,
    )


def alive(**changes):
    return told(time=time.monotonic(), **changes)


def test_all_is_well_and_fits_one_screen():
    screen = describe(alive())
    assert alive()["troubles"] == []
    parts = ["door", "1 d 1 h", "front: ok, 9.5 frames/s", "600 seen, 7 dropped", "up, b:1883", "2 enrolled, 9 templates"]
    parts += [
        "3 recognized, 2 left",
        "1 waiting, 4 dropped",
        "recognized Änna",
        "120 MB, 30 %",
        "52 °C, throttled",
        "400 not searched",
    ]
    parts += ["since it was started: under-voltage, throttled"]
    for part in parts:
        assert part in screen
    assert len(screen.splitlines()) < 12


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"camera_state": "lost", "camera_reason": "unplugged"}, "camera front is lost: unplugged"),
        ({"link": Link("down", "b:1883", "no broker: b:1883 cannot be reached")}, "no broker: b:1883 cannot be reached"),
        ({"link": Link("down", "b:1883")}, "no broker at b:1883"),
        ({"link": Link("up", "b:1883", "the broker refuses what is published")}, "the broker refuses what is published"),
        ({"throttling": ("under-voltage",)}, "under-voltage: the power supply, or its cable, is too weak"),
        ({"gallery": GalleryHealth("damaged", "1 template")}, "gallery: 1 template"),
        ({"gallery": GalleryHealth("read_only", "mounted so")}, "gallery: mounted so"),
        ({"gallery": GalleryHealth("full", "no room")}, FULL),
        (
            {"gallery": GalleryHealth("stale", "disk I/O error")},
            "the gallery cannot be read, people are known as they were before: disk I/O error",
        ),
        (
            {"gallery": GalleryHealth("unreadable", "no key")},
            "nobody is recognised, for the gallery cannot be read: no key",
        ),
        ({"events_unkept": "database is locked"}, "events are not kept: database is locked"),
        ({"refused": "no TOML"}, "the settings read last were not taken: no TOML"),
        ({"unserved": "no metrics at ''"}, "no metrics at ''"),
    ],
)
def test_what_is_wrong_is_one_line_each(changes, trouble):
    assert alive(**changes)["troubles"] == [trouble]
    describe(alive(**changes))


def test_a_daemon_that_looks_less_often_than_it_should_says_why():
    slowed = alive(fps_limit=3.25, slowed="a frame takes 240 ms, and 10 are to come a second")
    assert slowed["troubles"] == []
    assert "slowed to 3.2 a second: a frame takes 240 ms" in describe(slowed)


def test_a_loop_without_a_beat_hangs():
    (trouble,) = told(time=time.monotonic() - HUNG - 5)["troubles"]
    assert trouble.startswith("the loop hangs: no beat for 15 s")


def test_when_the_broker_last_acknowledged_anything_is_told():
    link = Link("down", "b:1883", "confirms nothing", confirmed=time.monotonic() - 95)
    assert alive(link=link)["broker_confirmed"] == pytest.approx(95, abs=5)
    assert "down, b:1883, last acknowledgement 1 min 3" in describe(alive(link=link))
    assert alive(link=Link("connecting", "b:1883"))["broker_confirmed"] is None


@pytest.mark.parametrize("link", [Link(), Link("connecting", "b:1883")])
def test_no_broker_wanted_or_none_yet_is_no_trouble(link):
    assert alive(link=link, camera_state="starting", last_event=None, events={})["troubles"] == []
    assert "none" in describe(alive(link=link, last_event=None, events={}))


def test_no_daemon_is_trouble():
    assert absent("nobody there") == {"running": False, "troubles": ["nobody there"]}


def test_durations_have_two_units_at_most():
    seconds = (0, 59.6, 61, 3600, 90_061)
    assert [duration(value) for value in seconds] == ["0 s", "1 min", "1 min 1 s", "1 h", "1 d 1 h"]
