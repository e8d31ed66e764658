"""The Pi's camera on picamera2's own classes and libcamera's own types; only the camera manager behind them is ours.

docs/cameras.md says how to install what this needs; without it, it is skipped.
"""

import gc
import mmap
import os
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeface.cameras import create
from edgeface.cameras.picamera import PicameraSource, list_cameras
from edgeface.config import schema
from edgeface.config.schema import CameraSettings
from edgeface.errors import CameraError
from edgeface.types import Frame

libcamera = pytest.importorskip("libcamera", reason="needs Debian's python3-libcamera", exc_type=ImportError)
# Of the previews on a screen, which are not used here.
sys.modules.setdefault("pykms", types.SimpleNamespace(PixelFormat=types.SimpleNamespace(**dict.fromkeys(
    ["RGB888", "BGR888", "XBGR8888", "XRGB8888", "ABGR8888", "YUV420", "YVU420", "NV12", "NV21", "YUYV", "YVYU", "UYVY", "VYUY"]
))))  # type: ignore[arg-type]  # no module, but enough  # fmt: skip
picamera2 = pytest.importorskip("picamera2", reason="needs picamera2", exc_type=ImportError)
from picamera2.allocators import dmaallocator  # noqa: E402

SIZE = (80, 64)
PADDING = 16
"""Bytes behind each line, as the Pi's hardware wants them."""
RED = (200, 30, 10)
FIRST, SECOND = "/base/soc/i2c0mux/i2c@1/imx708@1a", "/base/soc/i2c0mux/i2c@0/imx219@10"
BLUE = (10, 30, 200)
ORDERS = {"BGR888": 1, "RGB888": -1}
"""Of the kernel's DRM fourcc, by which libcamera names its formats: BG24 is R, G, B in memory, RG24 is B, G, R."""


class Heap:
    """Memory in place of the kernel's DMA heap."""

    def alloc(self, name: str, size: int) -> types.SimpleNamespace:
        fd = os.memfd_create(name)
        os.truncate(fd, size)
        return types.SimpleNamespace(get=lambda: fd, isValid=lambda: True)

    def close(self) -> None:
        pass


class Configuration(list[Any]):
    """One stream that only has ``only``, or any format where that is ``None``."""

    def __init__(self, only: str | None) -> None:
        super().__init__([types.SimpleNamespace(stream="stream", color_space=None, formats=None)])
        self.only, self.sensor_config = only, None
        self[0].formats = types.SimpleNamespace(pixel_formats=["BGR888"], sizes=lambda _: [libcamera.Size(*SIZE)])

    at = list.__getitem__

    def validate(self) -> Any:
        stream = self[0]
        if self.only:
            stream.pixel_format = libcamera.PixelFormat(self.only)
        stream.stride = stream.size.width * 3 + PADDING
        stream.frame_size = stream.stride * stream.size.height
        status = libcamera.CameraConfiguration.Status
        return status.Adjusted if self.only else status.Valid


class Request:
    """A buffer that goes to and fro."""

    status = libcamera.Request.Status.Complete
    metadata: dict[str, Any] = {}  # noqa: RUF012 - no SensorTimestamp, nothing

    def __init__(self, cookie: object) -> None:
        self.cookie = cookie
        self.buffers: dict[object, Any] = {}

    def add_buffer(self, stream: object, buffer: Any) -> None:
        self.buffers[stream] = buffer

    def reuse(self) -> None:
        pass

    def set_control(self, control: object, value: object) -> None:
        pass


class Card:
    """A camera that looks at a card of one colour."""

    properties: dict[str, Any] = {}  # noqa: RUF012
    controls = {libcamera.controls.FrameDurationLimits: types.SimpleNamespace(min=100, max=10**6, default=33_333)}  # noqa: RUF012

    def __init__(self, manager: "Manager", colour: tuple[int, int, int], name: str) -> None:
        self.colour, self.id = colour, name
        self.manager, self.busy, self.state = manager, False, "free"
        self.only: str | None = None
        self.limits: tuple[int, int] | None = None

    def acquire(self) -> None:
        if self.busy:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        assert self.state == "free"
        self.state = "acquired"

    def release(self) -> None:
        assert self.state == "acquired"
        self.state = "free"

    def generate_configuration(self, roles: object) -> Configuration:
        return Configuration(self.only)

    def configure(self, configuration: Configuration) -> None:
        self.stream = configuration[0]

    def create_request(self, cookie: object) -> Request:
        return Request(cookie)

    def start(self, controls: dict[Any, tuple[int, int]]) -> None:
        self.state, self.limits = "running", controls[libcamera.controls.FrameDurationLimits]

    def stop(self) -> None:
        assert self.state == "running"
        self.state = "acquired"

    def queue_request(self, request: Request) -> None:
        (buffer,) = request.buffers.values()
        with mmap.mmap(buffer.planes[0].fd, self.stream.frame_size) as memory:
            lines = np.frombuffer(memory, np.uint8).reshape(self.stream.size.height, self.stream.stride)
            lines[:, :-PADDING].reshape(len(lines), -1, 3)[:] = self.colour[:: ORDERS[str(self.stream.pixel_format)]]
            del lines
        self.manager.ready.append(request)
        os.write(self.manager.bell, b"\0")


class Manager:
    """In place of libcamera's camera manager."""

    def __init__(self) -> None:
        self.event_fd, self.bell = os.pipe()
        self.ready: list[Request] = []
        self.cameras = [Card(self, RED, FIRST)]

    def get_ready_requests(self) -> list[Request]:
        if self.ready:
            os.read(self.event_fd, 4096)
        ready, self.ready = self.ready, []
        return ready


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager()
    monkeypatch.setattr(dmaallocator, "DmaHeap", Heap)
    monkeypatch.setattr(dmaallocator, "fcntl", types.SimpleNamespace(ioctl=lambda *_: 0))
    monkeypatch.setattr(picamera2.Picamera2._cm.__class__, "cms", manager)
    yield manager
    os.close(manager.event_fd)
    os.close(manager.bell)


def settings(source: str = "picamera") -> CameraSettings:
    return schema.CameraSettings(source=source, width=SIZE[0], height=SIZE[1], fps=20.0)


def test_a_red_card_is_red(manager: Manager) -> None:
    source = PicameraSource(settings())
    for _ in range(10):  # more than there are buffers
        image = source.read()
        assert (image.shape, image.dtype, image.flags.c_contiguous) == ((64, 80, 3), np.dtype(np.uint8), True)
        assert (image == RED).all()
    assert manager.cameras[0].limits == (50_000, 50_000)
    source.close()


@pytest.mark.parametrize("second", ["picamera:1", f"picamera:{SECOND}"])
def test_each_of_two_cameras_is_opened_by_its_number_or_id(manager: Manager, second: str) -> None:
    manager.cameras.append(Card(manager, BLUE, SECOND))
    assert list_cameras() == [f"0 camera ({FIRST})", f"1 camera ({SECOND})"]
    blue = PicameraSource(settings(second))
    assert (blue.read() == BLUE).all()
    blue.close()
    red = PicameraSource(settings("picamera:0"))
    assert (red.read() == RED).all()
    red.close()
    assert [card.state for card in manager.cameras] == ["free", "free"]


def test_closing_stops_and_frees_the_camera_for_the_next(manager: Manager) -> None:
    for _ in range(2):
        source = PicameraSource(settings())
        assert manager.cameras[0].state == "running"
        source.close()
        assert manager.cameras[0].state == "free"


def test_frames_without_a_timestamp_have_the_time_of_their_arrival(manager: Manager) -> None:
    camera = create(settings())
    began, moments = time.time(), []
    for moment in camera.frames():
        moments += [moment] if isinstance(moment, Frame) else []
        if len(moments) == 3:
            break
    camera.close()
    times = [began, *(frame.wall for frame in moments), time.time()]
    assert times == sorted(times)
    assert [frame.time for frame in moments] == sorted(frame.time for frame in moments)
    assert manager.cameras[0].state == "free"


def refusal() -> str:
    with pytest.raises(CameraError) as refused:
        PicameraSource(settings())
    return str(refused.value)


def test_a_busy_camera_is_told_in_one_line(manager: Manager) -> None:
    manager.cameras[0].busy = True
    assert refusal() == "picamera: Failed to acquire camera: Device or resource busy"
    manager.cameras[0].busy = False
    PicameraSource(settings()).close()


def test_no_camera_is_told_in_one_line(manager: Manager) -> None:
    manager.cameras.clear()
    assert refusal().startswith("picamera: ")
    assert "camera" in refusal().removeprefix("picamera: ")
    assert "\n" not in refusal()


def test_trying_for_ever_uses_up_no_files(manager: Manager) -> None:
    manager.cameras[0].busy = True
    refusal()
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        refusal()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_camera_without_rgb_is_refused_and_freed(manager: Manager) -> None:
    manager.cameras[0].only = "NV12"
    assert "NV12" in refusal()
    assert manager.cameras[0].state == "free"
