"""Settings that are read again: what they concern is built anew, the rest goes on."""

import gc
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from fixtures.broker import eventually
from fixtures.optional import needed
from msgspec.structs import force_setattr, replace

from edgeface import detectors, publishers
from edgeface.cameras import live
from edgeface.config.schema import (
    BackupSettings,
    CameraSettings,
    CommandsSettings,
    Config,
    DetectorSettings,
    DeviceSettings,
    EventsSettings,
    GallerySettings,
    GrantSettings,
    HomeAssistantSettings,
    HomeSettings,
    LivenessSettings,
    MatchingSettings,
    MetricsSettings,
    MqttSettings,
    PauseSettings,
    PresenceSettings,
    RegionSettings,
    RulesSettings,
    SyncSettings,
    WebhookSettings,
    WebSettings,
    _Section,
)
from edgeface.daemon.assembly import assemble
from edgeface.daemon.loop import Daemon
from edgeface.daemon.parts import PARTS, differ
from edgeface.daemon.service import READ_AT_USE, SERVERS, Service
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.errors import EdgefaceError
from edgeface.health import BrokerStatus
from edgeface.interfaces import Tick
from edgeface.types import Frame, NoFrame, Request
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED
from edgeface.wire.events import Event

POSTED = WebhookSettings("http://127.0.0.1:9/")
WATCHED = (
    "camera",
    "pipeline",
    "camera_monitor",
    "presence",
    "publisher",
    "webhook",
    "commands",
    "event_keeper",
    "gallery",
    "follower",
    "backup",
)


@pytest.fixture
def settings(tmp_path: Path, demo_photos: Path) -> Config:
    (tmp_path / "sync.key").write_text("12" * 32)
    (tmp_path / "sync.key").chmod(0o600)
    return Config(
        camera=CameraSettings(source=f"folder:{demo_photos}"),
        gallery=GallerySettings(str(tmp_path / "gallery.db")),
        mqtt=MqttSettings("127.0.0.1", 9),
        presence=PresenceSettings(min_votes=1),
    )


@pytest.fixture
def daemon(settings: Config) -> Iterator[Daemon]:
    daemon = assemble(settings)
    yield daemon
    daemon.gallery.close()


def renewed(old: Daemon, new: Daemon) -> set[Any]:
    return {part for part in WATCHED if getattr(old, part) is not getattr(new, part)}


CONCERNS: list[tuple[dict[str, _Section], set[str]]] = [
    ({}, set()),
    ({"metrics": MetricsSettings(9100)}, set()),
    ({"detector": DetectorSettings(max_side=320)}, {"pipeline", "commands"}),
    ({"matching": MatchingSettings(target_fpir=0.01)}, {"pipeline", "commands"}),
    ({"presence": PresenceSettings(left_after=1.0)}, {"presence"}),
    ({"liveness": LivenessSettings("refuse")}, {"presence", "publisher", "commands"}),
    ({"backup": BackupSettings(3)}, {"backup"}),
    ({"pause": PauseSettings(("mon 08:00-17:00",))}, set()),
    ({"rules": RulesSettings("withhold")}, set()),
    ({"events": EventsSettings(5)}, {"event_keeper"}),
    ({"webhook": POSTED}, {"webhook"}),
    ({"device": DeviceSettings("door")}, {"publisher", "commands"}),
    ({"commands": CommandsSettings(("people",))}, {"publisher", "commands"}),
    ({"home": HomeSettings(True)}, {"publisher", "commands"}),
    ({"grant": GrantSettings(seconds=3.0)}, set()),
    ({"homeassistant": HomeAssistantSettings(True)}, {"publisher", "commands"}),
    ({"home": HomeSettings(True)}, {"publisher", "commands"}),
    ({"sync": SyncSettings(True)}, {"publisher", "commands", "follower"}),
    ({"mqtt": MqttSettings("127.0.0.1", 10)}, {"publisher", "commands"}),
    ({"mqtt": MqttSettings()}, {"publisher", "presence", "commands"}),
    ({"web": WebSettings(enabled=True, pictures=True)}, {"publisher", "commands", "event_keeper"}),
]
"""For each change of settings what it concerns; cameras and galleries have tests of their own."""


def test_it_is_settled_for_every_section_what_it_concerns() -> None:
    own = {"camera", "cameras", "gallery"}
    assert {section for changes, _ in CONCERNS for section in changes} | own == set(Config.__struct_fields__)


def altered(config: Config, section: str, name: str) -> Config:
    """A configuration with another value, be it valid or not, of one setting."""
    settings = copy(getattr(config, section))
    value = getattr(settings, name)
    others: dict[type, Callable[[], Any]] = {bool: lambda: not value, str: lambda: value + "x", tuple: lambda: (*value, "x")}
    force_setattr(settings, name, others.get(type(value), lambda: value + 1)())
    return replace(config, **{section: settings})


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (section, name)
        for section in Config.__struct_fields__
        if section != "cameras"
        for name in getattr(Config(), section).__struct_fields__
    ],
)
def test_some_part_or_server_reads_every_setting(section: str, name: str) -> None:
    before = Config()
    now = altered(before, section, name)
    reads = {part.name: part.reads for part in PARTS} | SERVERS | {"page, at use": READ_AT_USE}
    assert [reader for reader, settings in reads.items() if differ(settings, before, now)]


def test_every_part_of_a_daemon_is_in_the_table_once_and_after_those_that_it_needs() -> None:
    names = [part.name for part in PARTS]
    assert sorted(names) == sorted(Daemon.__annotations__)
    assert all(names.index(needed) < number for number, part in enumerate(PARTS) for needed in part.needs)


CORNER = RegionSettings("corner", ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5)))
CHANGES: dict[str, dict[str, Any]] = {
    "backup": {"backup": BackupSettings(3)},
    "camera": {"camera": CameraSettings("camera", "picamera", width=320)},
    "camera.fps": {"camera": CameraSettings("camera", "picamera", fps=5.0)},
    "camera.masks": {"camera": CameraSettings("camera", "picamera", masks=(CORNER,))},
    "camera.name": {"camera": CameraSettings("back", "picamera")},
    "camera.source": {"camera": CameraSettings("camera", "v4l2:/dev/video0")},
    "camera.zones": {"camera": CameraSettings("camera", "picamera", zones=(CORNER,))},
    "cameras": {"cameras": (CameraSettings("back", "picamera:1"),)},
    "commands": {"commands": CommandsSettings(per_minute=5)},
    "commands.allow": {"commands": CommandsSettings(("people",))},
    "detector.max_side": {"detector": DetectorSettings(max_side=320)},
    "detector.min_eye_distance": {"detector": DetectorSettings(min_eye_distance=30.0)},
    "detector.model": {"detector": DetectorSettings("another")},
    "detector.min_quality": {"detector": DetectorSettings(min_quality=0.3)},
    "detector.still_every": {"detector": DetectorSettings(still_every=2.0)},
    "detector.threads": {"detector": DetectorSettings(threads=2)},
    "device": {"device": DeviceSettings("door")},
    "device.id": {"device": DeviceSettings("door")},
    "events": {"events": EventsSettings(5)},
    "events.keep_strangers": {"events": EventsSettings(keep_strangers=True)},
    "events.publish_unsure": {"events": EventsSettings(publish_unsure=True)},
    "gallery": {"gallery": GallerySettings("other.db")},
    "gallery.path": {"gallery": GallerySettings("other.db")},
    "grant": {"grant": GrantSettings(seconds=3.0)},
    "home": {"home": HomeSettings(True)},
    "homeassistant": {"homeassistant": HomeAssistantSettings(True)},
    "liveness": {"liveness": LivenessSettings("refuse")},
    "matching": {"matching": MatchingSettings(margin=0.1)},
    "mqtt": {"mqtt": MqttSettings("127.0.0.1", 10)},
    "pause": {"pause": PauseSettings(("mon 08:00-17:00",))},
    "pause.payload": {"pause": PauseSettings(payload="in")},
    "pause.topic": {"pause": PauseSettings(topic="home/anna")},
    "rules": {"rules": RulesSettings("withhold")},
    "presence": {"presence": PresenceSettings(unknown_after=9)},
    "presence.left_after": {"presence": PresenceSettings(left_after=1.0)},
    "publisher": {"mqtt": MqttSettings(), "sync": SyncSettings()},
    "shared_gallery": {"gallery": GallerySettings("other.db")},
    "sync": {"sync": SyncSettings(True, "attic")},
    "webhook": {"webhook": WebhookSettings("http://127.0.0.1:9/", images=True)},
    "web.enabled": {"web": WebSettings(True)},
    "web.hosts": {"web": WebSettings(hosts=("door.lan",))},
    "web.keep_hours": {"web": WebSettings(keep_hours=5.0)},
    "web.pictures": {"web": WebSettings(pictures=True)},
    "web.port": {"web": WebSettings(port=8481)},
    "web.tls_cert": {"web": WebSettings(tls_cert="door.pem")},
}
"""For each setting that a part reads other settings in which it differs."""


@pytest.mark.parametrize("name", sorted({name for part in PARTS for name in part.reads}))
def test_a_setting_renews_the_parts_that_read_it_and_those_that_need_them_and_nothing_else(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(detectors.DETECTORS, "another", detectors.DETECTORS["yunet"])
    before = replace(settings, camera=CameraSettings("camera", "picamera"), sync=SyncSettings(True), webhook=POSTED)
    now = replace(before, **CHANGES[name])
    assert differ((name,), before, now)
    concerned = set[str]()
    for part in PARTS:
        if differ(part.reads, before, now) or not concerned.isdisjoint(part.needs):
            concerned.add(part.name)
    assert {part.name for part in PARTS if name in part.reads} <= concerned
    daemon = assemble(before)
    new = assemble(now, daemon)
    try:
        there = {part.name for part in PARTS if getattr(new, part.name) is not None or getattr(daemon, part.name) is not None}
        assert {part.name for part in PARTS if getattr(new, part.name) is not getattr(daemon, part.name)} == concerned & there
    finally:
        new.close()


@pytest.mark.parametrize(("changes", "parts"), CONCERNS)
def test_only_what_is_concerned_is_built_anew(daemon: Daemon, settings: Config, changes: Any, parts: set[str]) -> None:
    new = assemble(replace(settings, **changes), daemon)
    assert renewed(daemon, new) == parts
    assert new.pipeline.embedder is daemon.pipeline.embedder
    assert new.reporter.counters is daemon.reporter.counters
    assert new.signals is daemon.signals
    assert new.reporter._publisher is new.publisher
    assert new.reporter._first.camera is new.camera
    new.publisher.close()


def test_another_camera_or_another_name_for_it(daemon: Daemon, settings: Config, photos: Path) -> None:
    moved = replace(settings, camera=CameraSettings(source=f"folder:{photos}"))
    other = assemble(moved, daemon)
    assert renewed(daemon, other) == {"camera"}
    named = assemble(replace(moved, camera=CameraSettings(name="back", source=f"folder:{photos}")), other)
    assert renewed(other, named) == {"camera", "camera_monitor", "presence", "publisher", "commands", "event_keeper"}
    named.publisher.close()


OWN = ("camera", "camera_monitor", "presence", "gate", "frame_rate", "live")


def test_another_camera_beside_the_first_concerns_no_other(daemon: Daemon, settings: Config, photos: Path) -> None:
    def beside(*named: tuple[str, dict[str, Any]]) -> Config:
        more = (CameraSettings(name, source=f"folder:{photos}", **values) for name, values in named)
        return replace(settings, cameras=tuple(more))

    def kept(before: Daemon, after: Daemon) -> set[str]:
        return {part for part in OWN if getattr(before, part) is getattr(after, part)}

    two = assemble(beside(("yard", {})), daemon)
    assert renewed(daemon, two) == {"event_keeper"}
    three = assemble(beside(("yard", {}), ("attic", {})), two)
    assert renewed(two, three) == {"event_keeper"}
    assert kept(two.beside["yard"], three.beside["yard"]) == set(OWN)
    assert list(three.each) == ["camera", "yard", "attic"]
    slower = assemble(beside(("yard", {}), ("attic", {"fps": 5.0})), three)
    assert kept(three.beside["yard"], slower.beside["yard"]) == set(OWN)
    assert kept(three.beside["attic"], slower.beside["attic"]) == {"camera_monitor", "presence", "live"}
    other = assemble(replace(slower.config, detector=DetectorSettings(max_side=320)), slower)
    assert other.beside is slower.beside
    assert other.beside["yard"].pipeline is other.pipeline
    assert kept(daemon, assemble(settings, other)) == set(OWN)


def test_a_further_camera_that_cannot_be_built_leaves_the_old_daemon_as_it_was(
    daemon: Daemon, settings: Config, tmp_path: Path
) -> None:
    absent = replace(settings, cameras=(CameraSettings("yard", source=f"folder:{tmp_path}/absent"),))
    with pytest.raises(EdgefaceError, match=r"^camera yard: camera\.source: .*absent"):
        assemble(absent, daemon)
    assert list(daemon.each) == ["camera"]
    assert isinstance(next(iter(daemon.camera.frames())), Frame)


def test_another_gallery_has_other_people(daemon: Daemon, settings: Config, tmp_path: Path) -> None:
    new = assemble(replace(settings, gallery=GallerySettings(str(tmp_path / "other.db"))), daemon)
    assert renewed(daemon, new) == {"gallery", "pipeline", "commands", "event_keeper", "backup"}
    assert new.gallery.people() == []
    with pytest.raises(EdgefaceError):
        daemon.gallery.people()
    new.gallery.close()


def test_another_gallery_that_is_shared_gets_a_new_connection_on_which_the_broker_tells_all(
    daemon: Daemon, settings: Config, tmp_path: Path
) -> None:
    sharing = replace(settings, sync=SyncSettings(True))
    shared = assemble(sharing, daemon)
    new = assemble(replace(sharing, gallery=GallerySettings(str(tmp_path / "other.db"), keep_faces=True)), shared)
    assert {"gallery", "publisher", "follower"} <= renewed(shared, new)
    new.publisher.close()
    new.gallery.close()


@pytest.mark.parametrize("broken", ["camera", "gallery", "mqtt"])
def test_a_part_that_cannot_be_built_leaves_the_old_daemon_as_it_was(
    daemon: Daemon, settings: Config, tmp_path: Path, broken: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    changes = {
        "gallery": GallerySettings(str(tmp_path / "other.db")),
        "camera": CameraSettings(source=f"folder:{tmp_path}/absent"),
        "mqtt": MqttSettings("127.0.0.1", 9, username="door", password_file=f"{tmp_path}/absent"),
    }
    if broken == "gallery":
        changes["gallery"] = GallerySettings(str(tmp_path / "file" / "gallery.db"))
    with pytest.raises(EdgefaceError, match=r"absent|file"):
        assemble(replace(settings, **(changes if broken != "mqtt" else {"mqtt": changes["mqtt"]})), daemon)
    assert not any("other.db" in os.path.realpath(file) for file in Path("/proc/self/fd").iterdir())
    assert daemon.gallery.people() == []
    assert isinstance(next(iter(daemon.camera.frames())), Frame)


def test_kept_faces_go_only_with_settings_that_are_taken(settings: Config, tmp_path: Path) -> None:
    keeping = replace(settings, gallery=GallerySettings(settings.gallery.path, keep_faces=True))
    daemon = assemble(keeping)
    daemon.gallery.enroll("Anna", [np.eye(1, 128, dtype=np.float32)[0]], [0.9], [np.zeros((112, 112, 3), np.uint8)])
    broken = MqttSettings("127.0.0.1", 9, username="door", password_file=f"{tmp_path}/absent")
    with pytest.raises(EdgefaceError, match="absent"):
        assemble(replace(settings, mqtt=broken), daemon)
    with pytest.raises(EdgefaceError, match="absent"):
        assemble(replace(settings, mqtt=broken))
    assert daemon.gallery.faces() == 1
    new = assemble(settings, daemon)
    assert new.gallery.faces() == 0
    new.gallery.close()


class Recorder:
    """A publisher that remembers what it was told, and by which of its like."""

    shows_events = False

    def __init__(self, told: list[Any]) -> None:
        self.told, self.link = told, BrokerStatus()
        self.before: Recorder | None = None

    def open(self, _: object) -> None:
        pass

    def requests(self) -> list[Any]:
        return [Request("enroll", b'{"id": "a", "name": "Anna"}')]

    def respond(self, _: object, response: bytes) -> None:
        self.told.append(json.loads(response)["error"])

    def health(self, _: object) -> None:
        pass

    def publish(self, event: Event, image: object = None) -> None:
        self.told.append(event.event_type)

    def close(self, heir: "Recorder") -> None:
        self.told.append("closed")
        heir.before = self


def test_who_is_being_enrolled_over_mqtt_is_told_that_there_are_new_settings(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(publishers, "create", lambda *_: Recorder(told))
    settings = replace(settings, commands=CommandsSettings(("enroll",)))
    daemon = assemble(settings)
    needed(daemon.commands).serve()
    daemon.jobs.on_tick(Tick(NoFrame(0.0, 0.0)), daemon.context)
    assemble(replace(settings, matching=MatchingSettings(target_fpir=0.01)), daemon).gallery.close()
    assert told == ["the daemon took new settings; ask again"]


@pytest.mark.parametrize(
    ("changes", "events"),
    [
        ({"device": DeviceSettings("door"), "detector": DetectorSettings(max_side=480)}, ["recognized", "closed"]),
        ({"presence": PresenceSettings(min_votes=1, left_after=9.0)}, ["recognized", "left", "recognized"]),
        (
            {"device": DeviceSettings("door"), "presence": PresenceSettings(min_votes=1, left_after=9.0)},
            ["recognized", "left", "closed", "recognized"],
        ),
    ],
)
def test_whoever_is_there_is_told_anew_only_where_visits_start_anew(
    settings: Config, demo_photos: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, _Section], events: list[str]
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(publishers, "create", lambda *_: Recorder(told))
    daemon = assemble(settings)
    enroller = Enroller(daemon.pipeline, daemon.gallery)
    assert enroller.enroll("Obama", read_images([demo_photos / "obama_portrait.jpg"])).person
    image = load_image(demo_photos / "obama_portrait.jpg")

    def look(daemon: Daemon, moment: float) -> None:
        observations = daemon.pipeline.observe(image)
        for event in daemon.presence.update(Frame(image, moment, moment), observations, daemon.pipeline.matcher):
            daemon.publisher.publish(event)

    look(daemon, 1000.0)
    new = assemble(replace(settings, **changes), daemon)
    look(new, 1000.5)
    assert [str(event) for event in told] == events
    assert new.publisher is daemon.publisher or cast(Any, new.publisher).before is daemon.publisher
    new.gallery.close()


def test_a_reload_frees_what_the_one_before_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves it not to Python's own rounds, which do not know how large a camera's frames are."""
    monkeypatch.setattr(live.log, "disabled", True)  # pytest keeps what is logged, here an error with all that it has seen
    file = tmp_path / "edgeface.toml"

    def reload(width: int, margin: float) -> None:
        file.write_text(
            f'[camera]\nsource = "http://127.0.0.1:9/"\nwidth = {width}\n'
            f'[gallery]\npath = "{tmp_path}/gallery.db"\n[matching]\nmargin = {margin}\n'
        )
        service._reload()

    file.touch()
    service = Service(file, SHIPPED)
    service._daemon = assemble(Config(gallery=GallerySettings(str(tmp_path / "gallery.db"))))
    gc.disable()
    try:
        reload(640, 0.05)
        camera = weakref.ref(service._daemon.camera)
        next(service._daemon.camera.frames())
        reload(320, 0.05)
        assert eventually(lambda: all(thread.name != "camera" for thread in threading.enumerate()))
        reload(320, 0.06)
        assert camera() is None
    finally:
        gc.enable()
        service._daemon.close()
