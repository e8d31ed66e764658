import math
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from threading import Thread
from types import FrameType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from fixtures.optional import needed

from edgeface.cameras.recording import Recording
from edgeface.config.schema import CameraSettings, Config, GallerySettings, PresenceSettings
from edgeface.daemon import health_reporter as module
from edgeface.daemon.assembly import assemble
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.health_reporter import INTERVAL, GalleryParts, HealthReporter, Links, Watched
from edgeface.daemon.loop import Daemon, Signals
from edgeface.gallery.contents import Templates
from edgeface.health import BackupStatus, BrokerStatus, GalleryHealth, Health
from edgeface.interfaces import Tick
from edgeface.platform.machine import Throttling
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.types import EventType, Frame, Image, NoFrame, Observation, Paused, Person, Seen
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED, load_card
from edgeface.wire.events import Event

BLANK = np.full((480, 640, 3), 127, np.uint8)
START, WALL = 1000.0, 1_700_000_000.0
GUESTS = Paused(WALL, None, "guests")


@dataclass
class Camera:
    """Gives the moments of a script, and says which of them the loop came back for."""

    script: list[Frame | NoFrame] = field(default_factory=list)
    live: bool = True
    dropped: int = 3
    closed: int = 0

    def frames(self) -> Iterator[Frame | NoFrame]:
        yield from self.script

    def close(self) -> None:
        self.closed += 1


NOBODY = Templates((), np.empty(0, np.intp), np.empty((0, 128), np.float32))


@dataclass
class Publisher:
    calls: list[tuple[str, Any]] = field(default_factory=list)
    link: BrokerStatus = field(default_factory=BrokerStatus)
    shows_events: bool = False
    home: None = None

    def open(self, people: Sequence[Person]) -> None:
        self.calls.append(("open", list(people)))

    def people(self, people: Sequence[Person]) -> None:
        self.calls.append(("people", list(people)))

    def cameras(self, names: Sequence[str]) -> None:
        self.calls.append(("cameras", list(names)))

    def publish(self, event: Event, image: object = None) -> None:
        self.calls.append(("event", event))

    def note(self, event: Event) -> None:
        self.calls.append(("noted", event))

    def requests(self) -> tuple[()]:
        return ()

    def respond(self, verb: object, response: bytes) -> None:
        self.calls.append(("response", response))

    def health(self, health: Health) -> None:
        self.calls.append(("health", health))

    def close(self, heir: object = None) -> None:
        self.calls.append(("close", None))

    def of(self, kind: str) -> list[Any]:
        return [what for name, what in self.calls if name == kind]


class Systemd:
    """The receiving end of a service's notifications, read as they come: the kernel holds ten."""

    def __init__(self, path: Path) -> None:
        self._path, self._messages = str(path), Queue[str]()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            self._messages.put(self._socket.recv(4096).decode())

    def told(self) -> list[Any]:
        """What was told since the last call."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"that is all", self._path)
        return list(iter(lambda: self._messages.get(timeout=60), "that is all"))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return Systemd(tmp_path / "notify")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def daemon(tmp_path: Path, embedder: Embedder, demo_photos: Path, systemd: Systemd) -> Iterator[Daemon]:
    """A whole daemon but for its camera and its publisher; Obama is enrolled with the very photo that is shown."""
    daemon = assemble(
        Config(
            camera=CameraSettings("front"),
            gallery=GallerySettings(str(tmp_path / "gallery.db")),
            presence=PresenceSettings(min_votes=2, unknown_after=3, left_after=2.0),
        ),
        embedder=embedder,
        publisher=Publisher(),
        camera=Camera(),
        frame_rate=FrameRateLimiter(math.inf),
    )
    (seen,) = daemon.pipeline.observe(load_image(demo_photos / "obama_portrait.jpg"))
    daemon.gallery.enroll("Obama", [needed(seen.embedding).vector], [seen.quality])
    yield daemon
    daemon.gallery.close()


@pytest.fixture
def obama(demo_photos: Path) -> Image:
    return load_image(demo_photos / "obama_portrait.jpg")


@pytest.fixture
def stranger(demo_photos: Path) -> Image:
    return load_image(demo_photos / "collins_portrait.jpg")


def script(*items: Image | str | None, step: float = 0.5) -> list[Frame | NoFrame]:
    """Pictures as frames, ``None`` as a gap, a text as a gap in which the camera is lost."""
    moments = []
    for number, item in enumerate(items):
        at = START + number * step, WALL + number * step
        moments.append(Frame(item, *at) if isinstance(item, np.ndarray) else NoFrame(*at, item))
    return moments


def camera_of(daemon: Daemon) -> Camera:
    return cast(Camera, daemon.camera)


def publisher_of(daemon: Daemon) -> Publisher:
    return cast(Publisher, daemon.publisher)


def run(daemon: Daemon, *items: Image | str | None, **options: Any) -> list[Any]:
    camera_of(daemon).script = script(*items, **options)
    daemon.watch()
    return publisher_of(daemon).of("event")


def kinds(events: list[Any]) -> list[str]:
    return [str(event.event_type) for event in events]


def test_people_come_and_go_as_events_in_order(daemon: Daemon, obama: Image, stranger: Image) -> None:
    events = run(daemon, *[obama] * 3, *[BLANK] * 6, *[stranger] * 4, *[BLANK] * 6)
    assert kinds(events) == ["recognized", "left", "unknown", "left"]
    assert [event.name for event in events] == ["Obama", "Obama", None, None]
    assert [event.event_id for event in events] == sorted(event.event_id for event in events)
    assert events[0].frame_size == (800, 1000)
    assert events[0].time == START + 0.5
    assert events[1].seconds == pytest.approx(1.0)


def test_the_end_of_the_camera_is_a_goodbye_to_everybody(daemon: Daemon, obama: Image) -> None:
    assert kinds(run(daemon, obama, obama)) == ["recognized", "left"]


def test_a_camera_that_never_gives_anything_ends_quietly(daemon: Daemon) -> None:
    assert run(daemon) == []


def test_a_lost_camera_is_told_once_and_so_is_its_return(daemon: Daemon) -> None:
    events = run(daemon, BLANK, None, "unplugged", "unplugged", "still unplugged", None, BLANK, BLANK, "again", step=1.0)
    assert kinds(events) == ["camera_lost", "camera_back", "camera_lost"]
    assert [event.reason for event in events] == ["unplugged", None, "again"]
    assert events[1].seconds == pytest.approx(4.0)
    assert events[0].time == START + 2


def test_who_was_there_has_left_when_the_camera_is_lost_for_long(daemon: Daemon, obama: Image) -> None:
    events = run(daemon, obama, obama, *["unplugged"] * 8)
    assert kinds(events) == ["recognized", "camera_lost", "left"]


def test_a_pause_is_a_goodbye_to_everybody_and_leaves_no_picture(daemon: Daemon, obama: Image) -> None:
    daemon.live.watch(1e9)
    moments = script(obama, obama, None, None)
    paused = [replace(moment, paused=GUESTS) for moment in moments[2:] if isinstance(moment, NoFrame)]
    camera_of(daemon).script = [*moments[:2], *paused]
    daemon.watch()
    events = publisher_of(daemon).of("event")
    assert kinds(events) == ["recognized", "left"]
    assert events[1].time == START + 1
    assert daemon.live.picture is None


def test_a_short_gap_ends_no_visit(daemon: Daemon, obama: Image) -> None:
    assert kinds(run(daemon, obama, obama, None, None, obama)) == ["recognized", "left"]


def test_health_is_told_at_first_on_change_and_every_half_minute(daemon: Daemon, obama: Image) -> None:
    count = 2 * int(INTERVAL)
    run(daemon, *[BLANK] * (count + 1), "unplugged", "unplugged", BLANK, step=1.0)
    told = publisher_of(daemon).of("health")
    assert [health.camera_state for health in told] == ["ok", "ok", "ok", "lost", "ok"]
    assert [health.camera_reason for health in told] == [None, None, None, "unplugged", None]
    assert [health.frames_seen for health in told] == [1, INTERVAL + 1, count + 1, count + 1, count + 2]
    assert told[1].fps == pytest.approx(1.0)
    last = told[-1]
    assert (last.frames_dropped, last.people, last.templates, last.model) == (3, 1, 1, daemon.embedder.card.digest)
    assert last.rss_mb > 1


def test_health_is_told_when_the_gallery_changes(daemon: Daemon) -> None:
    run(daemon, BLANK, BLANK)
    assert [health.people for health in publisher_of(daemon).of("health")] == [1]
    daemon.gallery.forget("Obama")
    run(daemon, BLANK, BLANK)
    assert [health.people for health in publisher_of(daemon).of("health")] == [1, 0]


def test_the_last_event_is_told_until_its_person_is_forgotten(daemon: Daemon, obama: Image) -> None:
    run(daemon, obama, obama)
    assert needed(daemon.reporter.health.last_event).name == "Obama"
    daemon.gallery.forget("Obama")
    run(daemon, BLANK)
    assert daemon.reporter.health.last_event is None
    assert daemon.reporter.health.events["recognized"] == 1


def test_a_daemon_says_hello_and_goodbye(daemon: Daemon, obama: Image, systemd: Systemd) -> None:
    people = daemon.gallery.people()
    camera_of(daemon).script = script(obama, obama)
    daemon.run()
    calls = publisher_of(daemon).calls
    assert calls[0] == ("open", people)
    assert calls[-1] == ("close", None)
    assert kinds(publisher_of(daemon).of("event")) == ["recognized", "left"]
    assert camera_of(daemon).closed
    told = systemd.told()
    assert told[0] == "READY=1"
    assert told[-1] == "STOPPING=1"
    assert told.count("WATCHDOG=1") == 2


def test_a_daemon_says_goodbye_though_it_fails(daemon: Daemon) -> None:
    camera_of(daemon).script = [Frame(np.zeros((0, 0, 3), np.uint8), START, WALL)]
    with pytest.raises(Exception):  # noqa: B017, PT011
        daemon.run()
    assert publisher_of(daemon).calls[-1] == ("close", None)
    assert camera_of(daemon).closed


def test_stop_ends_the_loop_at_the_next_moment_and_everybody_has_left(daemon: Daemon, obama: Image) -> None:
    camera_of(daemon).script = script(obama, obama, obama)
    daemon.signals.stop = True
    daemon.run()
    assert publisher_of(daemon).of("event") == []
    assert camera_of(daemon).closed


def test_a_reload_interrupts_the_loop_and_no_visit(daemon: Daemon, obama: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(script(*[obama] * 6))
    monkeypatch.setattr(daemon.camera, "frames", lambda: moments)

    def publish(event: Event, _image: object) -> None:
        publisher_of(daemon).calls.append(("event", event))
        daemon.signals.reload = True

    monkeypatch.setattr(daemon.publisher, "publish", publish)
    daemon.watch()
    assert kinds(publisher_of(daemon).of("event")) == ["recognized"]
    daemon.signals.reload = False
    daemon.watch()
    assert kinds(publisher_of(daemon).of("event")) == ["recognized", "left"]


# The heartbeat


def reporting(
    publisher: Publisher | None = None,
    camera: Camera | None = None,
    known: Templates = NOBODY,
    frame_rate: FrameRateLimiter | None = None,
    before: HealthReporter | None = None,
) -> HealthReporter:
    """A reporter of parts of which all is well."""
    seen = {"templates": known, "announced": known.people, "health": GalleryHealth()}
    pipeline: Any = SimpleNamespace(**seen, embedder=SimpleNamespace(card=load_card(SHIPPED)))
    keeper: Any = SimpleNamespace(trouble=None)
    backup: Any = SimpleNamespace(state=BackupStatus())
    gallery = GalleryParts(pipeline, keeper, None, backup)
    links = Links(publisher or Publisher())
    watched = Watched(camera or Camera(), CameraMonitor("front"), frame_rate or FrameRateLimiter(10.0))
    return HealthReporter(links, [watched], gallery, before=before)


def beat(
    reporter: HealthReporter,
    moment: Frame | NoFrame,
    seconds: float | None = None,
    faces: int = 0,
    events: tuple[()] | list[Any] = (),
) -> None:
    """The loop comes round."""
    reporter._first.monitor.update(moment)
    reporter.on_tick(Tick(moment, Seen(cast(list[Observation], [None] * faces), seconds), events))


@pytest.fixture
def reporter(systemd: Systemd) -> HealthReporter:
    return reporting()


def test_systemd_hears_that_the_service_is_ready_and_stopping(reporter: HealthReporter, systemd: Systemd) -> None:
    reporter.ready()
    reporter.stopping()
    assert systemd.told() == ["READY=1", "STOPPING=1"]


def test_what_slows_the_board_down_is_told_and_logged_when_it_changes(
    reporter: HealthReporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pi = {"now": Throttling((), ())}
    monkeypatch.setattr(module, "throttling", lambda: pi["now"])
    for second in range(6):
        if second == 3:
            pi["now"] = Throttling(("under-voltage",), ("under-voltage",))
        beat(reporter, Frame(BLANK, START + second, WALL + second), 0.02)
    health = reporter.health
    assert (health.throttled, health.throttling, health.throttled_before) == (True, ("under-voltage",), ("under-voltage",))
    assert [record.message for record in caplog.records] == ["the board is slowed down by: under-voltage"]


def test_a_frame_that_is_not_searched_is_seen_but_has_no_duration(reporter: HealthReporter) -> None:
    beat(reporter, Frame(BLANK, START, WALL), 0.02, 1)
    beat(reporter, Frame(BLANK, START + 2, WALL + 2))
    health = reporter.health
    assert (health.frames_seen, health.frames_skipped, sum(health.observe.counts)) == (2, 1, 1)


def test_health_is_told_at_once_when_the_daemon_is_slowed() -> None:
    pace, publisher = FrameRateLimiter(10.0, lambda: "memory is tight"), Publisher()
    reporter = reporting(publisher, frame_rate=pace)
    beat(reporter, Frame(BLANK, START, WALL), 0.02)
    pace.took(START, 0.02)
    beat(reporter, Frame(BLANK, START + 0.1, WALL + 0.1), 0.02)
    assert [(health.slowed, health.fps_limit) for health in publisher.of("health")] == [
        (None, 10.0),
        ("memory is tight", 5.0),
    ]


def test_systemd_hears_of_a_reload_and_of_its_end(reporter: HealthReporter, systemd: Systemd) -> None:
    reporter.reloading()
    reporter.ready()
    reloading, ready = systemd.told()
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
    assert ready == "READY=1"


def test_what_the_loop_did_is_counted_over_a_reload(reporter: HealthReporter) -> None:
    beat(reporter, Frame(BLANK, START, WALL), 0.02, 2)
    (lost,) = CameraMonitor("front").update(NoFrame(START + 1, WALL + 1, "unplugged"))
    beat(reporter, NoFrame(START + 1, WALL + 1, "unplugged"), events=[lost])
    after = reporting(camera=Camera(dropped=1), before=reporter)
    after.counters.dropped += 3
    beat(after, Frame(BLANK, START + 2, WALL + 2), 0.3, 1)
    told = after.health
    assert (told.frames_seen, told.faces_seen, told.frames_dropped, told.events) == (2, 3, 4, {"camera_lost": 1})
    assert told.last_event is lost
    assert dict(zip(told.observe.bounds, told.observe.counts, strict=False))[0.025] == 1
    assert (sum(told.observe.counts), told.observe.total) == (2, pytest.approx(0.32))  # type: ignore[comparison-overlap]  # approx equals numbers


def test_the_first_beat_after_a_reload_tells_who_is_known_now(reporter: HealthReporter) -> None:
    publisher, others = Publisher(), Templates((Person("p_1", "Anna", 1, 0.0),), NOBODY.owners, NOBODY.vectors)
    after = reporting(publisher, known=others, before=reporter)
    beat(after, Frame(BLANK, START, WALL))
    beat(after, Frame(BLANK, START + 1, WALL + 1))
    assert publisher.of("people") == [list(others.people)]
    assert after.health.people == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_a_hangup_reloads_a_service_and_ends_what_a_terminal_ran(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: terminal)
    signals = Signals()
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        signals.listen()
        signal.raise_signal(signal.SIGHUP)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert (signals.stop, signals.reload) == (terminal, not terminal)


def test_every_beat_feeds_the_watchdog_and_a_stuck_camera_does_not(reporter: HealthReporter, systemd: Systemd) -> None:
    for moment in script(BLANK, None, "unplugged"):
        beat(reporter, moment)
    assert systemd.told().count("WATCHDOG=1") == 3
    beat(reporter, NoFrame(START + 100, WALL + 100, "no frame for 61 s", stuck=True))
    assert systemd.told().count("WATCHDOG=1") == 0
    beat(reporter, Frame(BLANK, START + 101, WALL + 101))
    assert systemd.told().count("WATCHDOG=1") == 1


def test_a_pause_feeds_the_watchdog_and_is_told_at_once(systemd: Systemd) -> None:
    publisher = Publisher()
    reporter = reporting(publisher)
    for moment in (
        *script(BLANK),
        *(NoFrame(START + n, WALL + n, paused=GUESTS) for n in (1, 2, 3)),
        Frame(BLANK, START + 4, WALL),
    ):
        beat(reporter, moment)
    assert systemd.told().count("WATCHDOG=1") == 5
    assert [(health.camera_state, health.paused, health.fps) for health in publisher.of("health")] == [
        ("ok", None, 0.0),
        ("paused", GUESTS, 0.0),
        ("ok", None, 0.0),
    ]


def test_systemd_sees_the_state_of_the_camera(reporter: HealthReporter, systemd: Systemd) -> None:
    for moment in script(BLANK, "unplugged"):
        beat(reporter, moment)
    states = [line for line in systemd.told() if line.startswith("STATUS=")]
    assert [("camera ok" in line, "camera lost" in line) for line in states] == [(True, False), (False, True)]


def test_without_systemd_the_heart_beats_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    publisher = Publisher()
    reporter = reporting(publisher)
    reporter.ready()
    beat(reporter, Frame(BLANK, time.monotonic(), time.time()))
    assert len(publisher.of("health")) == 1


def test_an_outage_needs_a_reason_and_ends_with_a_frame() -> None:
    camera_monitor = CameraMonitor("front")
    assert camera_monitor.update(NoFrame(START, WALL)) == []
    assert camera_monitor.update(Frame(BLANK, START, WALL)) == []
    (lost,) = camera_monitor.update(NoFrame(START, WALL, "unplugged"))
    assert (lost.event_type, lost.reason, lost.camera) == (EventType.CAMERA_LOST, "unplugged", "front")
    (back,) = camera_monitor.update(Frame(BLANK, START + 7, WALL + 7))
    assert (back.event_type, back.seconds) == (EventType.CAMERA_BACK, 7.0)


def test_an_outage_goes_on_over_a_pause() -> None:
    monitor = CameraMonitor("front")
    assert [event.event_type for event in monitor.update(NoFrame(START, WALL, "unplugged"))] == ["camera_lost"]
    assert monitor.update(NoFrame(START + 1, WALL, paused=GUESTS)) == []
    assert (monitor.state, monitor.reason, monitor.paused) == ("paused", None, GUESTS)
    assert monitor.update(NoFrame(START + 2, WALL)) == []
    assert (monitor.state, monitor.paused) == ("starting", None)
    assert monitor.update(NoFrame(START + 3, WALL, "still unplugged")) == []
    assert monitor.state == "lost"
    (back,) = monitor.update(Frame(BLANK, START + 7, WALL))
    assert (back.event_type, back.seconds) == (EventType.CAMERA_BACK, 7.0)


def test_a_pause_without_an_outage_is_no_event() -> None:
    monitor = CameraMonitor("front")
    moments = (Frame(BLANK, START, WALL), NoFrame(START, WALL, paused=GUESTS), NoFrame(START, WALL), Frame(BLANK, START, WALL))
    assert [event for moment in moments for event in monitor.update(moment)] == []


def test_a_signal_may_close_a_recording_at_any_line() -> None:
    """As a signal handler would: between two lines of the very thread that waits for the next frame."""

    def interrupted(line: int) -> None:
        camera, left = Recording(lambda: iter([BLANK] * 3), 50.0), [line]

        def trace(frame: FrameType, event: str, _: object) -> Callable[[FrameType, str, Any], Any]:
            if event == "line" and frame.f_code.co_filename != __file__:
                left[0] -= 1
                if left[0] == 0:
                    sys.settrace(None)
                    camera.close()
            return trace

        sys.settrace(trace)
        try:
            list(camera.frames())
        finally:
            sys.settrace(None)

    def interrupt_all() -> None:
        for line in range(1, 80):
            interrupted(line)

    thread = Thread(target=interrupt_all, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
