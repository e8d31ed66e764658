import time
from collections.abc import Iterator

import numpy as np
import pytest
from fixtures.broker import eventually

from edgeface.cameras.live import LiveCamera
from edgeface.cameras.recording import Recording
from edgeface.daemon.pausable_camera import PausableCamera
from edgeface.interfaces import Camera
from edgeface.types import Frame, Image, NoFrame, Paused

IMAGE = np.zeros((4, 4, 3), np.uint8)
GUESTS = Paused(1.7e9, None, "guests")


class Device:
    """A camera's device, of which one can be open at a time; the light is on while one is."""

    opened = 0
    light = False

    def __init__(self) -> None:
        assert not Device.light
        Device.light, Device.opened = True, Device.opened + 1

    def read(self) -> Image:
        time.sleep(0.005)
        return IMAGE

    def close(self) -> None:
        Device.light = False


@pytest.fixture
def device() -> type[Device]:
    Device.opened, Device.light = 0, False
    return Device


class Switch:
    pause: Paused | None = None

    def __call__(self) -> Paused | None:
        return self.pause


@pytest.fixture
def switch() -> Switch:
    return Switch()


def until(moments: Iterator[Frame | NoFrame], wanted: type[Frame] | type[NoFrame]) -> Frame | NoFrame:
    return next(moment for moment in moments if isinstance(moment, wanted))


def test_the_device_is_closed_during_a_pause_and_opened_after_it(device: type[Device], switch: Switch) -> None:
    camera = PausableCamera(lambda: LiveCamera(Device, 100.0), switch)
    moments = camera.frames()
    until(moments, Frame)
    switch.pause = GUESTS
    paused = [next(moments) for _ in range(3)]
    assert [isinstance(moment, NoFrame) and moment.paused for moment in paused] == [GUESTS] * 3
    assert eventually(lambda: not device.light)
    assert device.opened == 1
    switch.pause = None
    until(camera.frames(), Frame)  # a reload asks again, and goes on
    assert (device.light, device.opened) == (True, 2)
    camera.close()
    assert list(moments) == []
    assert eventually(lambda: not device.light)


def test_a_pause_from_before_the_start_opens_no_device(device: type[Device], switch: Switch) -> None:
    switch.pause = GUESTS
    camera = PausableCamera(lambda: LiveCamera(Device, 100.0), switch)
    assert isinstance(next(camera.frames()), NoFrame)
    camera.close()
    assert list(camera.frames()) == []
    assert device.opened == 0


def test_dropped_frames_are_counted_over_a_pause(switch: Switch) -> None:
    made: list[Scripted] = []

    def make() -> Camera:
        made.append(Scripted())
        return made[-1]

    camera = PausableCamera(make, switch)
    moments = camera.frames()
    next(moments)
    made[0].dropped = 3
    switch.pause = GUESTS
    next(moments)
    switch.pause = None
    next(moments)
    made[1].dropped = 4
    assert camera.dropped == 7
    camera.close()
    assert all(one.closed for one in made)


class Scripted(Camera):
    live, dropped = True, 0  # type: ignore[assignment]  # properties of the interface
    closed = False

    def frames(self) -> Iterator[Frame | NoFrame]:
        while not self.closed:
            yield Frame(IMAGE, 0.0, 0.0)

    def close(self) -> None:
        self.closed = True


def test_a_recording_waits_and_loses_nothing(switch: Switch) -> None:
    images: list[Image | None] = [np.full((2, 2, 3), number, np.uint8) for number in range(4)]
    camera = PausableCamera(lambda: Recording(lambda: iter(images), 1000.0), switch)
    seen = []
    for moment in camera.frames():
        if isinstance(moment, Frame):
            seen.append(int(moment.image[0, 0, 0]))
            switch.pause = GUESTS if len(seen) == 2 else None
        elif moment.paused:
            switch.pause = None
    assert seen == [0, 1, 2, 3]


def test_close_ends_a_pause_of_another_thread_at_once(switch: Switch) -> None:
    from threading import Thread

    switch.pause = GUESTS
    camera = PausableCamera(Scripted, switch)
    reader = Thread(target=lambda: list(camera.frames()), daemon=True)
    reader.start()
    camera.close()
    reader.join(60)
    assert not reader.is_alive()
