"""Pictures are turned and mirrored at the camera's door, whatever the camera is."""

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.cameras import create
from edgeface.config import load
from edgeface.config.schema import CameraSettings
from edgeface.errors import ConfigError
from edgeface.types import Frame, Image

WIDTH, HEIGHT = 96, 64
CORNERS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "grey": (120, 120, 120)}

# The corners from the top left clockwise, and whether the picture stands upright.
TURNED = {
    (0, "none"): ("red green blue grey", False),
    (90, "none"): ("grey red green blue", True),
    (180, "none"): ("blue grey red green", False),
    (270, "none"): ("green blue grey red", True),
    (0, "horizontal"): ("green red grey blue", False),
    (0, "vertical"): ("grey blue green red", False),
    (90, "horizontal"): ("red grey blue green", True),
    (90, "vertical"): ("blue green red grey", True),
    (180, "horizontal"): ("grey blue green red", False),
}


def card() -> Image:
    """A picture whose four quarters have four colours."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x, y = WIDTH // 2, HEIGHT // 2
    picture[:y, :x], picture[:y, x:], picture[y:, x:], picture[y:, :x] = CORNERS.values()
    return picture


def nearest(pixel: Any) -> str:
    return min(CORNERS, key=lambda name: float(np.abs(np.asarray(CORNERS[name]) - pixel).sum()))


def seen(picture: Image) -> tuple[str, bool]:
    height, width = picture.shape[:2]
    at = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    return " ".join(nearest(picture[int(y * height), int(x * width)].astype(int)) for x, y in at), height > width


def folder(path: Path, _patch: pytest.MonkeyPatch) -> Iterator[str]:
    cv2.imwrite(str(path / "card.png"), card()[:, :, ::-1])
    yield f"folder:{path}"


def video(path: Path, _patch: pytest.MonkeyPatch) -> Iterator[str]:
    writer = cv2.VideoWriter(str(path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (WIDTH, HEIGHT))
    for _ in range(3):
        writer.write(card()[:, :, ::-1])
    writer.release()
    yield f"video:{path / 'film.avi'}"


def stream(_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[str]:
    jpeg = cv2.imencode(".jpg", card()[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()

    class Mjpeg(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                    self.wfile.write(jpeg + b"\r\n")
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/card.mjpg"
        server.shutdown()


def device(_path: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    class Driver:
        """OpenCV's capture of a device."""

        isOpened = staticmethod(lambda: True)  # noqa: N815
        set = staticmethod(lambda *_: True)
        get = staticmethod(lambda side: float((WIDTH, HEIGHT)[side - cv2.CAP_PROP_FRAME_WIDTH]))
        release = staticmethod(lambda: None)
        read = staticmethod(lambda: (True, card()[:, :, ::-1].copy()))

    patch.setattr(cv2, "VideoCapture", lambda *_: Driver())
    yield "v4l2:/dev/null"


def picamera(_path: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    class Picamera2:
        camera_controls: dict[str, Any] = {}  # noqa: RUF012

        def __init__(self, _number: int) -> None:
            pass

        def create_video_configuration(self, **wanted: Any) -> dict[str, Any]:
            return wanted

        def configure(self, wanted: dict[str, Any]) -> None:
            self.camera_configuration = lambda: wanted

        def start(self) -> None:
            pass

        stop = close = start

        def capture_array(self, _stream: str) -> Image:
            return card()

    patch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=Picamera2))
    yield "picamera"


BACKENDS: list[Callable[[Path, pytest.MonkeyPatch], Iterator[str]]] = [folder, video, stream, device, picamera]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.__name__)
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from request.param(tmp_path, monkeypatch)


def pictures(settings: CameraSettings, count: int) -> list[Image]:
    images: list[Image] = []
    with closing(create(settings)) as camera:
        for moment in camera.frames():
            if isinstance(moment, Frame):
                images.append(moment.image)
            else:
                assert moment.lost is None
            if len(images) == count:
                break
    return images


def settings(source: str, **changes: Any) -> CameraSettings:
    return CameraSettings(source=source, width=WIDTH, height=HEIGHT, **({"fps": 30.0, "hold": 0.1} | changes))


@pytest.mark.parametrize(("rotate", "flip"), TURNED)
def test_every_camera_is_turned_and_then_mirrored(source: str, rotate: Any, flip: Any) -> None:
    images = pictures(settings(source, rotate=rotate, flip=flip), 2)  # a folder shows one picture again and again
    assert [seen(image) for image in images] == [TURNED[rotate, flip]] * 2
    assert all(image.flags.c_contiguous and image.dtype == np.uint8 for image in images)


def test_a_second_call_of_frames_goes_on_and_a_closed_camera_ends(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((HEIGHT, WIDTH, 3), 50 * number, np.uint8))
    camera = create(settings(f"folder:{tmp_path}", hold=0.0, rotate=90))
    levels = [
        int(moment.image[0, 0, 0]) for moment in (next(camera.frames()), next(camera.frames())) if isinstance(moment, Frame)
    ]
    assert levels == [0, 50]
    camera.close()
    assert list(camera.frames()) == []
    assert camera.dropped == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [("rotate = 45", "45 is not one of 0, 90, 180, 270"), ('flip = "both"', "'both' is not one of none, horizontal, vertical")],
)
def test_another_angle_is_refused_in_one_line_that_says_which_there_are(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_text(f"[camera]\n{line}\n")
    with pytest.raises(ConfigError, match=told) as refused:
        load.load(file)
    assert "[camera." in str(refused.value)
