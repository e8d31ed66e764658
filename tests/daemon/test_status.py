import time
from dataclasses import replace
from typing import Any

import pytest
from fixtures.status import HEALTH, alive, told

from edgeface.config.schema import CameraSettings, Config, RegionSettings
from edgeface.daemon.status import HUNG, describe, report
from edgeface.gallery.sqlite import FULL
from edgeface.health import BrokerStatus, GalleryHealth
from edgeface.platform.text import duration


def test_all_is_well_and_fits_one_screen() -> None:
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
    parts += ["of 480 x 640 pixels", "80 faces, 6 left out by masks"]
    parts += ["since it was started: under-voltage, throttled"]
    for part in parts:
        assert part in screen
    assert len(screen.splitlines()) < 12


def test_a_picture_that_is_turned_and_masked_is_told_with_its_size() -> None:
    corner = RegionSettings("tv", ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    config = Config(camera=CameraSettings(rotate=90, flip="vertical", masks=(corner,)))
    screen = describe(report(config, HEALTH, None, {}))
    assert "frames/s of 480 x 640 pixels, turned by 90 degrees, vertical flip, masked: tv" in screen
    before = report(config, replace(HEALTH, frame_size=None, faces_masked=0), None, {})
    assert before["frame_size"] is None
    assert "pixels" not in describe(before)
    assert "masks" not in describe(before)


def test_a_threshold_beyond_what_was_measured_is_told_and_is_no_trouble() -> None:
    beyond = alive() | {"threshold": "the threshold is extrapolated"}
    assert "matching the threshold is extrapolated" in describe(beyond)
    assert "matching" not in describe(alive())


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"camera_state": "lost", "camera_reason": "unplugged"}, "camera front is lost: unplugged"),
        (
            {"link": BrokerStatus("down", "b:1883", "no broker: b:1883 cannot be reached")},
            "no broker: b:1883 cannot be reached",
        ),
        ({"link": BrokerStatus("down", "b:1883")}, "no broker at b:1883"),
        (
            {"link": BrokerStatus("up", "b:1883", "the broker refuses what is published")},
            "the broker refuses what is published",
        ),
        ({"webhook": BrokerStatus("down", "http://a", "webhook: http://a: refused", 1, 2)}, "webhook: http://a: refused"),
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
            "nobody is recognized, for the gallery cannot be read: no key",
        ),
        ({"events_unkept": "database is locked"}, "events are not kept: database is locked"),
        ({"refused": "no TOML"}, "the settings read last were not taken: no TOML"),
        ({"unserved": {"metrics": "no metrics at ''"}}, "no metrics at ''"),
    ],
)
def test_what_is_wrong_is_one_line_each(changes: dict[str, Any], trouble: str) -> None:
    assert alive(**changes)["troubles"] == [trouble]
    describe(alive(**changes))


def test_a_daemon_that_looks_less_often_than_it_should_says_why() -> None:
    slowed = alive(fps_limit=3.25, slowed="a frame takes 240 ms, and 10 are to come a second")
    assert slowed["troubles"] == []
    assert "slowed to 3.2 a second: a frame takes 240 ms" in describe(slowed)


def test_a_loop_without_a_beat_hangs() -> None:
    (trouble,) = told(time=time.monotonic() - HUNG - 5)["troubles"]
    assert trouble.startswith("the loop hangs: no beat for 15 s")


def test_when_the_broker_last_acknowledged_anything_is_told() -> None:
    link = BrokerStatus("down", "b:1883", "confirms nothing", confirmed=time.monotonic() - 95)
    assert alive(link=link)["broker_confirmed"] == pytest.approx(95, abs=5)
    assert "down, b:1883, last acknowledgement 1 min 3" in describe(alive(link=link))
    assert alive(link=BrokerStatus("connecting", "b:1883"))["broker_confirmed"] is None


@pytest.mark.parametrize("link", [BrokerStatus(), BrokerStatus("connecting", "b:1883")])
def test_no_broker_wanted_or_none_yet_is_no_trouble(link: BrokerStatus) -> None:
    assert alive(link=link, camera_state="starting", last_event=None, events={})["troubles"] == []
    assert "none" in describe(alive(link=link, last_event=None, events={}))


def test_durations_have_two_units_at_most() -> None:
    seconds = (0, 59.6, 61, 3600, 90_061)
    assert [duration(value) for value in seconds] == ["0 s", "1 min", "1 min 1 s", "1 h", "1 d 1 h"]
