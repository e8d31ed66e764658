import logging
import math

import pytest
from fixtures.optional import needed

from edgeface.daemon import frame_rate as module
from edgeface.daemon.frame_rate import FrameRateLimiter


class Camera:
    """Ten frames a second before a pace, for so many seconds; gives how many were looked at."""

    def __init__(self, **options: object) -> None:
        self.tight: str | None = None
        self.pace, self.time = FrameRateLimiter(10.0, lambda: self.tight), 0.0

    def play(self, seconds: int, took: float) -> int:
        count, end = 0, self.time + seconds
        while self.time < end - 1e-6:
            self.time += 0.1
            if self.pace.due(self.time):
                count += 1
                self.pace.took(self.time, took)
        return count


def test_a_machine_that_keeps_up_looks_at_every_frame() -> None:
    camera = Camera()
    assert camera.play(10, took=0.08) == 100
    assert (camera.pace.fps, camera.pace.reason) == (10.0, None)


def test_looks_that_take_too_long_become_fewer_and_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    camera = Camera()
    camera.play(20, took=0.2)
    count = camera.play(20, took=0.2)
    assert 20 / 0.3 <= count <= 20 / 0.2
    assert camera.pace.fps == pytest.approx(1 / 0.25, rel=0.05)
    assert "a frame takes 2" in needed(camera.pace.reason)
    camera.play(20, took=0.01)
    assert camera.play(10, took=0.01) == 100
    assert camera.pace.reason is None
    assert [record.message.partition(" to ")[0] for record in caplog.records] == ["slowed", "back"]


def test_one_slow_look_is_no_reason() -> None:
    camera = Camera()
    camera.play(5, took=0.02)
    camera.pace.took(camera.time, 0.5)
    assert camera.play(5, took=0.02) >= 49
    assert camera.pace.reason is None


def test_tight_memory_halves_the_rate_and_gives_back_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(module, "trim_heap", lambda: given.append(1))
    camera = Camera()
    camera.play(10, took=0.02)
    assert not given
    camera.tight = "memory is tight: 240 of 256 MB in use"
    camera.play(6, took=0.02)
    assert given
    assert camera.play(10, took=0.02) == pytest.approx(50, abs=18)
    assert camera.pace.reason == camera.tight
    camera.tight = None
    camera.play(6, took=0.02)
    assert camera.play(10, took=0.02) == 100


def test_a_recording_is_never_slowed() -> None:
    pace = FrameRateLimiter(math.inf, lambda: "memory is tight")
    for second in range(100):
        pace.took(float(second), 5.0)
        assert pace.due(second + 1e-9)
    assert pace.reason is None
    assert pace.fps == math.inf
