"""The contract of a camera: every recording, and the live camera over scripted and fake devices."""

import socket
import subprocess
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any, ClassVar, cast

import cv2
import numpy as np
import pytest

from edgeface.cameras import CAMERAS, create, ffmpeg, opencv
from edgeface.cameras.live import LiveCamera, Source
from edgeface.cameras.picamera import PicameraSource
from edgeface.config import schema
from edgeface.config.schema import CameraSettings
from edgeface.doctor import examine
from edgeface.errors import CameraError, ConfigError
from edgeface.interfaces import Camera
from edgeface.types import Frame, Image, NoFrame

Moments = Iterator[Frame | NoFrame]

PATIENCE = 60.0
"""Seconds until a test gives up; none is spent where the code is right."""


def settings(source: str, **changes: Any) -> CameraSettings:
    return schema.CameraSettings(source=str(source), **({"fps": 60.0, "hold": 0.0} | changes))


def flat(level: int, width: int = 64, height: int = 48) -> Image:
    """A picture in three different levels, so that swapped channels show."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = (level, 255 - level, 20)
    return picture


def image(moment: Frame | NoFrame) -> Image:
    assert isinstance(moment, Frame)
    return moment.image


def gap(moment: Frame | NoFrame) -> NoFrame:
    assert isinstance(moment, NoFrame)
    return moment


def level(moment: Frame | NoFrame) -> int:
    red, green, blue = image(moment).reshape(-1, 3).mean(axis=0)
    assert red + green == pytest.approx(255, abs=12)
    assert blue == pytest.approx(20, abs=12)
    return round(float(red))


LEVELS = [0, 40, 80, 120, 160, 200]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "pictures"
    where.mkdir()
    for number, value in enumerate(LEVELS):
        cv2.imwrite(str(where / f"{number}.png"), flat(value)[:, :, ::-1])
    (where / "notes.txt").write_text("no picture")
    return where


@pytest.fixture
def video(tmp_path: Path) -> Path:
    file = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 60.0, (64, 48))
    for value in LEVELS:
        writer.write(flat(value)[:, :, ::-1])
    writer.release()
    return file


@pytest.fixture(params=["folder", "video"])
def recording(request: pytest.FixtureRequest) -> str:
    return f"{request.param}:{request.getfixturevalue(request.param)}"


def test_a_recording_gives_every_picture_in_order_as_rgb_and_ends(recording: str) -> None:
    camera = create(settings(recording))
    frames = list(camera.frames())
    assert [level(frame) for frame in frames] == pytest.approx(LEVELS, abs=6)
    for frame in frames:
        assert (image(frame).shape, image(frame).dtype) == ((48, 64, 3), np.dtype(np.uint8))
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    assert camera.dropped == 0


def test_closing_twice_is_safe_and_a_closed_recording_gives_nothing(recording: str) -> None:
    camera = create(settings(recording))
    camera.close()
    camera.close()
    assert list(camera.frames()) == []


def test_closing_from_another_thread_ends_a_recording(recording: str) -> None:
    camera = create(settings(recording, fps=0.001))
    frames = camera.frames()
    level(next(frames))
    closing(camera, frames)


def closing(camera: Camera, frames: Moments) -> None:
    """``close()`` from here ends ``frames`` in another thread; gaps may still come before that."""
    waiting = Event()

    def read() -> None:
        waiting.set()
        deque(frames, maxlen=0)

    reader = Thread(target=read, daemon=True)
    reader.start()
    assert waiting.wait(PATIENCE)
    camera.close()
    reader.join(PATIENCE)
    assert not reader.is_alive()


def test_a_slow_recording_says_that_it_lives_between_its_pictures(folder: Path) -> None:
    frames = create(settings(f"folder:{folder}", fps=0.4)).frames()
    assert isinstance(next(frames), Frame)
    assert isinstance(next(frames), NoFrame)


def test_a_picture_of_a_folder_is_held(folder: Path) -> None:
    shown = [level(frame) for frame in create(settings(f"folder:{folder}", fps=100.0, hold=0.03)).frames()]
    assert shown == pytest.approx(sorted(LEVELS * 3), abs=2)


def test_a_picture_that_cannot_be_read_is_a_gap(folder: Path) -> None:
    (folder / "2.png").write_bytes(b"no picture")
    (folder / "9.JPG").mkdir()
    moments = list(create(settings(f"folder:{folder}")).frames())
    assert [isinstance(moment, Frame) for moment in moments] == [True, True, False, True, True, True, False]


def test_a_video_is_thinned_to_the_wanted_rate(video: Path) -> None:
    shown = [level(frame) for frame in create(settings(f"video:{video}", fps=30.0)).frames()]
    assert shown == pytest.approx(LEVELS[::2], abs=6)


def test_a_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(list(create(settings("folder:~/pictures")).frames())) == len(LEVELS)


@pytest.mark.parametrize("source", ["", "webcam", "ftp://host/x", "/dev/video0", "Folder:/tmp", "0"])
def test_an_unknown_source_is_a_mistake_in_the_configuration(source: str) -> None:
    with pytest.raises(ConfigError, match=r"camera\.source") as caught:
        create(settings(source))
    assert all(scheme in str(caught.value) for scheme in CAMERAS)
    assert len(str(caught.value).splitlines()) == 1


def test_a_password_in_an_unknown_source_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        create(settings("rtmp://user:secret@host/x"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["folder", "video"])
@pytest.mark.parametrize("what", ["absent", "empty folder", "no picture", "garbage"])
def test_a_recording_that_cannot_be_read_is_told_at_once(kind: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.avi"
    if what == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif what != "absent":
        path.mkdir()
        if what == "no picture":
            (path / "notes.txt").touch()
    with pytest.raises(CameraError, match=r"camera\.source: .*x\.avi") as caught:
        create(settings(f"{kind}:{path}"))
    assert len(str(caught.value).splitlines()) == 1


def test_a_jpeg_of_a_folder_is_scaled_down_and_another_picture_refused_where_it_is_too_large(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, name in enumerate(("1.png", "2.jpg")):
        cv2.imwrite(str(folder / name), flat(LEVELS[number + 1], 800, 600)[:, :, ::-1])
    (folder / "2.png").unlink()
    moments = list(create(settings(f"folder:{folder}", width=64, height=64, max_pixels=64 * 2000)).frames())
    sizes = [moment.image.shape[:2] if isinstance(moment, Frame) else None for moment in moments]
    assert sizes == [(48, 64), None, (300, 400), (48, 64), (48, 64), (48, 64)]
    assert "800 x 600 pixels; camera.max_pixels allows 128000" in caplog.text


@pytest.mark.parametrize("code", ["MJPG", "mp4v"])
def test_a_video_is_scaled_down_if_it_is_of_jpegs_and_refused_otherwise(tmp_path: Path, code: str) -> None:
    file = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*code), 60.0, (2560, 1440))
    for value in LEVELS:
        writer.write(flat(value, 2560, 1441)[:, :, ::-1].copy()[:1440])  # ffmpeg may read past the end
    writer.release()
    small = settings(f"video:{file}", width=64, height=64, max_pixels=1_000_000)
    if code == "mp4v":
        with pytest.raises(
            CameraError, match=r"film\.avi sends frames of 2560 x 1440 pixels; camera\.max_pixels allows 1000000"
        ):
            create(small)
        return
    frames = list(create(small).frames())
    assert [level(frame) for frame in frames] == pytest.approx(LEVELS, abs=6)
    assert {image(frame).shape for frame in frames} == {(720, 1280, 3)}


class Driver:
    """A device of OpenCV's that says it has frames of one size, and gives another."""

    def __init__(self, said: tuple[int, int], given: tuple[int, int]) -> None:
        self._said, self._given = said, given

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, side: int) -> float:
        return float(self._said[side - cv2.CAP_PROP_FRAME_WIDTH])

    def read(self) -> tuple[bool, Image]:
        return True, flat(0, *self._given)

    def release(self) -> None:
        pass


def device(said: tuple[int, int], given: tuple[int, int]) -> opencv.Device:
    return opencv.Device(cast(cv2.VideoCapture, Driver(said, given)), "/dev/video0", 5_100_000)


def test_a_device_that_gives_larger_frames_than_allowed_is_refused() -> None:
    told = "/dev/video0 gives frames of 4096 x 3072 pixels; camera.max_pixels allows 5100000"
    with pytest.raises(CameraError, match=told):
        device((4096, 3072), (64, 48))
    assert device((640, 480), (640, 480)).read().shape == (480, 640, 3)
    with pytest.raises(CameraError, match=told):
        device((640, 480), (4096, 3072)).read()


def test_opencv_decodes_nothing_in_the_daemon_that_we_would_refuse() -> None:
    code = (
        "from edgeface.platform import memory as frugal; frugal.set_up(); import cv2, numpy as np\n"
        "jpeg = cv2.imencode('.jpg', np.zeros((8001, 8000), np.uint8))[1]\n"
        "assert cv2.imdecode(cv2.imencode('.jpg', np.zeros((8, 8), np.uint8))[1], 0) is not None\n"
        "try: print(cv2.imdecode(jpeg, 0))\n"
        "except cv2.error: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() in ("refused", "None")


def test_ffmpegs_memory_can_be_limited_here() -> None:
    """Else a stream that is too large is still refused, but after it took the memory."""
    before = ffmpeg._set_largest_block
    assert before is not None
    assert before.__name__ == "av_max_alloc"


def test_an_empty_file_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").touch()
    with pytest.raises(CameraError, match="not a video"):
        create(settings(f"video:{tmp_path / 'x.mp4'}"))


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_the_home_of_nobody_is_told_in_one_line(kind: str) -> None:
    with pytest.raises(ConfigError, match="home"):
        create(settings(f"{kind}:~nobody-of-that-name/x"))


class Quick(LiveCamera):
    """A live camera whose patience is short."""

    LOST_AFTER, STUCK_AFTER = 0.1, 0.3
    FIRST_PAUSE, LONGEST_PAUSE, GAP = 0.01, 0.02, 0.02


Live = Callable[..., tuple[Quick, Moments]]
Turn = Source | Exception


class Script(Source):
    """A device that gives what it is told to: pictures, or errors that it raises; it waits while it has neither."""

    def __init__(self, *steps: Image | Exception) -> None:
        self.steps: deque[Image | Exception] = deque(steps)
        self.closed, self.hungry = Event(), Event()
        self.changed, self.over = Condition(), False

    def feed(self, *steps: Image) -> None:
        with self.changed:
            self.hungry.clear()
            self.steps.extend(steps)
            self.changed.notify_all()

    def read(self) -> Image:
        with self.changed:
            if not self.steps:
                self.hungry.set()
            self.changed.wait_for(lambda: bool(self.steps) or self.over, PATIENCE)
            step = self.steps.popleft() if self.steps else CameraError("the script is over")
        if isinstance(step, Exception):
            raise step
        return step

    def stop(self) -> None:
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def close(self) -> None:
        self.closed.set()


def opening(*scripts: Turn) -> Callable[[], Source]:
    """An ``open_source`` that gives one script after another; an exception is raised in its turn, the last one for ever."""
    turns = deque(scripts)

    def open_source() -> Source:
        turn = turns.popleft() if len(turns) > 1 else turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn

    return open_source


@pytest.fixture
def live() -> Iterator[Callable[..., tuple[Quick, Moments]]]:
    """Builds quick live cameras and closes them."""
    cameras: list[Quick] = []
    devices: list[Script] = []

    def build(*scripts: Turn, fps: float = 1000.0, kind: type[Quick] = Quick) -> tuple[Quick, Moments]:
        devices.extend(script for script in scripts if isinstance(script, Script))
        cameras.append(kind(opening(*scripts), fps))
        return cameras[-1], cameras[-1].frames()

    yield build
    for device in devices:
        device.stop()
    for camera in cameras:
        camera.close()


def until(moments: Moments, wanted: Callable[[Frame | NoFrame], bool], limit: int = 2000) -> list[Frame | NoFrame]:
    """The moments up to the first that is ``wanted``."""
    passed = []
    for moment in moments:
        passed.append(moment)
        if wanted(moment):
            return passed
        assert len(passed) < limit, passed[-1]
    raise AssertionError("the camera ended")


def is_frame(moment: Frame | NoFrame) -> bool:
    return isinstance(moment, Frame)


def is_lost(moment: Frame | NoFrame) -> bool:
    return isinstance(moment, NoFrame) and moment.lost is not None


def test_the_newest_frame_wins_and_the_others_count_as_dropped(
    live: Live,
) -> None:
    device = Script(flat(0))
    camera, moments = live(device)
    assert level(until(moments, is_frame)[-1]) == 0
    assert device.hungry.wait(PATIENCE)
    device.feed(flat(40), flat(80), flat(120))
    assert device.hungry.wait(PATIENCE)
    assert level(next(moments)) == 120
    assert camera.dropped == 2
    assert isinstance(next(moments), NoFrame)


def test_no_more_frames_than_wanted_are_given(live: Live) -> None:
    class Endless(Script):
        def read(self) -> Image:
            return flat(0, 4, 4)

    camera, moments = live(Endless(), fps=5.0)
    times = [until(moments, is_frame)[-1].time for _ in range(4)]
    assert np.diff(times).min() > 0.05
    assert camera.dropped > 10


def test_a_quiet_camera_is_not_lost_at_first(live: Live) -> None:
    _, moments = live(Script(flat(0)))
    until(moments, is_frame)
    gap = next(moments)
    assert isinstance(gap, NoFrame)
    assert (gap.lost, gap.stuck) == (None, False)


def test_a_camera_with_a_low_rate_says_that_it_lives(live: Live) -> None:
    device = Script(flat(0))
    _, moments = live(device, fps=0.4)
    until(moments, is_frame)
    device.feed(flat(40))
    assert device.hungry.wait(PATIENCE)
    assert isinstance(next(moments), NoFrame)


def test_a_camera_that_gives_frames_is_never_lost_at_a_low_rate(
    live: Live,
) -> None:
    device = Script(flat(0))
    _, moments = live(device, fps=1.0)
    until(moments, is_frame)
    lost = []
    for _ in range(20):  # four times as long as a silent camera has
        device.feed(flat(40))
        lost.append(gap(next(moments)).lost)
    assert set(lost) == {None}


def test_a_dead_camera_is_lost_and_comes_back(live: Live) -> None:
    dead, alive = Script(flat(0), CameraError("no more frames")), Script()
    _, moments = live(dead, CameraError("cannot be opened"), alive)
    until(moments, is_frame)
    lost = gap(until(moments, is_lost)[-1])
    assert lost.lost in ("no more frames", "cannot be opened")
    assert dead.closed.is_set()
    until(moments, lambda moment: gap(moment).lost == "cannot be opened")
    alive.feed(flat(80))
    frame = until(moments, is_frame)[-1]
    assert level(frame) == 80
    assert gap(next(moments)).lost is None


def test_a_camera_that_was_never_there_is_lost_and_tried_for_ever(
    live: Live,
) -> None:
    late = Script(flat(40))
    _, moments = live(*[CameraError("not there")] * 5, late)
    passed = until(moments, is_frame)
    assert {gap(moment).lost for moment in passed[:-1]} <= {None, "not there"}
    assert any(map(is_lost, passed[:-1]))


def test_a_blocked_camera_is_lost_and_then_stuck(live: Live) -> None:
    device = Script(flat(0))
    _, moments = live(device)
    until(moments, is_frame)
    lost = gap(until(moments, is_lost)[-1])
    assert lost.lost
    assert lost.lost.startswith("no frame for")
    assert not lost.stuck
    assert is_lost(until(moments, lambda moment: gap(moment).stuck)[-1])
    device.feed(flat(80))
    assert level(until(moments, is_frame)[-1]) == 80
    found = gap(next(moments))
    assert (found.lost, found.stuck) == (None, False)


def test_an_opening_that_hangs_is_stuck_too(live: Live) -> None:
    release = Event()

    def hang() -> Source:
        release.wait(PATIENCE)
        raise CameraError("late")

    class Hangs(Quick):
        def __init__(self, _: object, fps: float) -> None:
            super().__init__(hang, fps)

    _, moments = live(Script(), kind=Hangs)
    assert is_lost(until(moments, lambda moment: gap(moment).stuck)[-1])
    release.set()


# The thread dies of it where it is not caught, and with it every hope of another frame.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [cv2.error("bad picture"), RuntimeError("driver")])
@pytest.mark.parametrize("where", ["open", "read", "close"])
def test_no_error_of_a_driver_ends_the_retries(live: Live, where: str, error: cv2.error | RuntimeError) -> None:
    class Fails(Script):
        def close(self) -> None:
            raise error

    first = {"open": error, "read": Script(error), "close": Fails(CameraError("dead"))}[where]
    _, moments = live(first, Script(flat(40)))
    assert level(until(moments, is_frame, limit=100)[-1]) == 40


def test_closing_from_another_thread_ends_a_live_camera_and_releases_the_device(
    live: Live,
) -> None:
    device = Script(flat(0))
    camera, moments = live(device)
    until(moments, is_frame)
    assert device.hungry.wait(PATIENCE)
    closing(camera, moments)
    device.feed(flat(0))
    assert device.closed.wait(PATIENCE)
    camera.close()


def test_closing_ends_a_live_camera_that_waits_for_its_next_turn(
    live: Live,
) -> None:
    camera, moments = live(Script(flat(0)), fps=0.001)
    until(moments, is_frame)
    closing(camera, moments)


def test_closing_ends_a_live_camera_that_waits_to_try_again(
    live: Live,
) -> None:
    class Patient(Quick):
        FIRST_PAUSE = LONGEST_PAUSE = 1000.0

    camera, moments = live(CameraError("not there"), kind=Patient)
    until(moments, is_lost)
    closing(camera, moments)


def test_a_device_that_is_not_there_is_lost() -> None:
    camera = create(settings("v4l2:/dev/video-that-is-not-there"))
    lost = gap(until(camera.frames(), is_lost)[-1]).lost
    camera.close()
    assert "/dev/video-that-is-not-there cannot be opened: No such file or directory" in str(lost)


def test_a_server_that_says_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "OPEN_TIMEOUT_MS", 300)
    with socket.create_server(("127.0.0.1", 0)) as server:
        camera = create(settings(f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"))
        lost = gap(until(camera.frames(), is_lost, limit=20)[-1]).lost
        camera.close()
    assert "cannot be opened" in str(lost)


class FakePicamera2:
    """Behaves as picamera2 and libcamera do: names formats by their order in a register, and lends the camera once."""

    faults: ClassVar[deque[Exception | None]] = deque()
    """What the next calls of ``start``, ``capture_array`` and ``stop`` raise, or ``None``; with a fault the camera is away."""
    plugged, lent, memory = True, False, True
    camera_controls: ClassVar[dict[str, tuple[int, ...]]] = {"FrameDurationLimits": (100, 83333, 33333)}
    is_open = False
    ids: ClassVar[list[str]] = ["/base/i2c@1/imx708@1a", "/base/i2c@2/imx219@10"]

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Id": name, "Model": name[12:18], "Num": number} for number, name in enumerate(FakePicamera2.ids)]

    def __init__(self, camera_num: int = 0) -> None:
        self.number = camera_num
        if not FakePicamera2.plugged:
            raise RuntimeError("unplugged")
        if FakePicamera2.lent:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        FakePicamera2.lent = self.is_open = True
        if not FakePicamera2.memory:
            raise RuntimeError("Could not open any dmaHeap device")

    def create_video_configuration(self, main: dict[str, Any], controls: dict[str, Any]) -> dict[str, Any]:
        if "FrameRate" in controls and "FrameDurationLimits" not in self.camera_controls:
            raise RuntimeError("Control FrameDurationLimits is not advertised by libcamera")
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict[str, Any]) -> None:
        self.main = configuration["main"]

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": self.main}

    def start(self) -> None:
        self._fault()

    def _fault(self) -> None:
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            FakePicamera2.plugged = False
            raise fault

    def capture_array(self, stream: str) -> Image:
        assert stream == "main"
        self._fault()
        width, height = self.main["size"]
        rgb = flat(120 + 60 * self.number, width, height)
        return {"BGR888": rgb, "RGB888": rgb[:, :, ::-1]}[self.main["format"]]

    def stop(self) -> None:
        self._fault()

    def close(self) -> None:
        FakePicamera2.lent = False


@pytest.fixture
def picamera(monkeypatch: pytest.MonkeyPatch, live: Live) -> Callable[..., Moments]:
    monkeypatch.setattr(FakePicamera2, "faults", deque())
    monkeypatch.setattr(FakePicamera2, "plugged", True)
    monkeypatch.setattr(FakePicamera2, "lent", False)
    monkeypatch.setattr(FakePicamera2, "memory", True)
    module = types.ModuleType("picamera2")
    vars(module)["Picamera2"] = FakePicamera2
    monkeypatch.setitem(sys.modules, "picamera2", module)

    def build(*faults: Exception | None) -> Moments:
        FakePicamera2.faults.extend(faults)
        wanted = settings("picamera", width=80, height=64)

        class Pi(Quick):
            def __init__(self, _: object, fps: float) -> None:
                super().__init__(lambda: PicameraSource(wanted), fps)

        return live(Script(), kind=Pi, fps=200.0)[1]

    return build


def test_the_picamera_gives_rgb_of_the_wanted_size(picamera: Callable[..., Moments]) -> None:
    picture = image(until(picamera(), is_frame)[-1])
    assert picture.shape == (64, 80, 3)
    assert tuple(picture[0, 0]) == (120, 135, 20)


def test_a_picamera_whose_rate_cannot_be_set_gives_frames_at_its_own(
    picamera: Callable[..., Moments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePicamera2, "camera_controls", {})
    until(picamera(), is_frame)


def test_the_table_leads_to_the_picamera(picamera: Callable[..., Moments]) -> None:
    camera = create(settings("picamera"))
    assert level(until(camera.frames(), is_frame)[-1]) == 120
    camera.close()
    assert not FakePicamera2.lent


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("picamera:", 120),
        ("picamera:0", 120),
        ("picamera:1", 180),
        (f"picamera:{FakePicamera2.ids[0]}", 120),
        (f"picamera:{FakePicamera2.ids[1]}", 180),
    ],
)
def test_a_picamera_is_chosen_by_number_or_id(picamera: Callable[..., Moments], source: str, expected: int) -> None:
    camera = create(settings(source))
    assert level(until(camera.frames(), is_frame)[-1]) == expected
    camera.close()


def test_doctor_lists_the_picameras_that_are_there(picamera: Callable[..., Moments], tmp_path: Path) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_text('[camera]\nsource = "picamera:1"\nwidth = 80\nheight = 64\nrotate = 90\n')
    (check,) = examine(file, only=["camera"])
    assert check.ok, check
    listed = "0 imx708 (/base/i2c@1/imx708@1a); 1 imx219 (/base/i2c@2/imx219@10)"
    assert check.found == f"picamera: a frame of 64 x 80 pixels, turned by 90 degrees; {listed}"
    assert not FakePicamera2.lent


@pytest.mark.parametrize("place", ["2", "-1", "imx708", "\u0662", "\u00b2", "/base/i2c@3/imx708@1a"])
def test_a_picamera_that_is_not_there_is_told_with_those_that_are(picamera: Callable[..., Moments], place: str) -> None:
    camera = create(settings(f"picamera:{place}"))
    lost = gap(until(camera.frames(), is_lost)[-1]).lost
    camera.close()
    listed = "0 imx708 (/base/i2c@1/imx708@1a), 1 imx219 (/base/i2c@2/imx219@10)"
    assert lost == f"picamera: there is no camera {place}; libcamera finds {listed}"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "faults",
    [
        [None, RuntimeError("unplugged")],
        [None, OSError("unplugged")],
        [RuntimeError("unplugged")],
        [None, RuntimeError("unplugged"), RuntimeError("cannot stop")],
    ],
    ids=["capture", "system", "start", "stop as well"],
)
def test_a_picamera_that_fails_is_lost_and_comes_back(
    picamera: Callable[..., Moments], faults: list[RuntimeError | OSError | None]
) -> None:
    moments = picamera(*faults)
    until(moments, lambda moment: is_lost(moment) and "unplugged" in str(gap(moment).lost), limit=100)
    FakePicamera2.plugged = True
    until(moments, is_frame, limit=100)


def test_a_picamera_that_had_no_memory_is_given_back_for_the_next_try(picamera: Callable[..., Moments]) -> None:
    FakePicamera2.memory = False
    moments = picamera()
    assert "dmaHeap" in str(gap(until(moments, is_lost)[-1]).lost)
    FakePicamera2.memory = True
    until(moments, is_frame, limit=100)


def test_a_pi_without_picamera2_is_told_what_to_install(
    picamera: Callable[..., Moments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    assert "apt install python3-picamera2" in str(gap(until(picamera(), is_lost)[-1]).lost)


def test_every_camera_of_the_table_can_be_imported() -> None:
    for target in CAMERAS.values():
        module, _, attribute = target.partition(":")
        assert callable(getattr(import_module(module), attribute))
