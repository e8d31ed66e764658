"""Three real daemons with one gallery, on a real mosquitto that is lost, forgetful, strict or full of rubbish."""

import json
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from fixtures.broker import Broker, authority, broker, certificate, eventually, needs_broker, needs_openssl
from fixtures.commandline import Cli, one_line
from fixtures.daemon import running, settings
from fixtures.optional import needed
from fixtures.replicas import unit

from edgeface.config import schema
from edgeface.config.load import load
from edgeface.config.schema import Config
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.audit import Audit
from edgeface.gallery.shared import SharedPeople, SharedPerson, SharedTemplate
from edgeface.gallery.store import Gallery
from edgeface.health import SharedGallery
from edgeface.interfaces import SyncTransport, Tick
from edgeface.sync.follower import Follower
from edgeface.sync.messages import PersonSealer, make_key, read_key, take_key
from edgeface.sync.replica import Replica
from edgeface.types import NoFrame, Person
from edgeface.vision.model_card import SHIPPED, load_card

__all__ = ["broker"]
CARD = load_card(SHIPPED)
TOPIC = "edgeface/gallery/home"
DEVICES = ("door", "gate", "yard")


class Device(Cli):
    """A device with a camera that shows a blank wall, or this photo."""

    def __init__(self, folder: Path, name: str, broker: Broker, photo: Path | None = None, **sections: Any) -> None:
        folder.mkdir()
        (folder / "wall").mkdir()
        cv2.imwrite(str(folder / "wall" / "wall.png"), np.full((240, 320, 3), 127, np.uint8))
        if photo:
            (folder / "wall" / "wall.png").unlink()
            (folder / "wall" / photo.name).write_bytes(photo.read_bytes())
        super().__init__(folder)
        self.name, self.broker = name, broker
        camera = {"source": f"folder:{folder / 'wall'}", "name": "front", "hold": 600, "fps": 4}
        self.set(
            device={"id": name}, camera=camera, mqtt=broker.settings(keepalive=5), **{"sync": {"enabled": True}} | sections
        )

    @property
    def settings(self) -> Config:
        return load(self.file)

    def open(self) -> Gallery:
        return Gallery(self.gallery, CARD.digest)

    def do(self, verb: str, *words: Any) -> Any:
        """Change the gallery, as another process does while the daemon runs."""
        gallery = self.open()
        try:
            return getattr(gallery, verb)(*words)
        finally:
            gallery.close()

    def enroll(self, name: str, *numbers: int) -> Person:
        person: Person = self.do("enroll", name, [unit(number) for number in numbers], [0.9] * len(numbers))
        return person

    def people(self) -> dict[str, SharedPerson]:
        people: dict[str, SharedPerson] = self.do("shared")
        return people

    def names(self) -> list[str]:
        return sorted(copy.name for copy in self.people().values())

    def run(self) -> "Device":
        self.daemon = self.start("run")
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.daemon.stop(number)

    def sync(self) -> dict[str, Any]:
        """What status tells of the shared gallery."""
        told: dict[str, Any] = self.json("status", code=None)["sync"]
        return told

    def close(self) -> None:
        for one in self.running:
            one.process.kill()
            one.process.wait(10)


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Broker]:
    """A broker that keeps nothing over a restart."""
    made = Broker(tmp_path / "forgetful", persistence=False).start()
    yield made
    made.close()


@pytest.fixture
def fleet(tmp_path: Path, forgetful: Broker, demo_photos: Path) -> Iterator[list[Device]]:
    photo = demo_photos / "obama_portrait.jpg"
    devices = [Device(tmp_path / name, name, forgetful, photo if name == "door" else None) for name in DEVICES]
    key = make_key(devices[0].settings)
    for device in devices[1:]:
        take_key(device.settings, key)
    yield devices
    for device in devices:
        device.close()


def agree(devices: list[Device], *names: str) -> None:
    """Until all have these people, and the same of each."""

    def one() -> bool:
        first, *others = [device.people() for device in devices]
        return sorted(copy.name for copy in first.values()) == sorted(names) and all(other == first for other in others)

    assert eventually(one, 60), [device.names() for device in devices]


@pytest.mark.slow
@needs_broker
def test_three_daemons_end_with_one_gallery_whatever_happens_to_them_and_their_broker(
    fleet: list[Device], forgetful: Broker, demo_photos: Path, request: pytest.FixtureRequest
) -> None:
    door, gate, yard = fleet
    events = forgetful.listen("edgeface/door/event")
    # Two galleries that both have people, and a namesake, meet.
    door.enroll("Anna", 1)
    door.enroll("Bert", 2)
    gate.do("enroll", "Anna", [unit(7, near=1, mix=0.3)], [0.9])
    carl = gate.enroll("Carl", 3, 4)
    for device in fleet:
        device.run()
    agree(fleet, "Anna", "Bert", "Carl")

    # Somebody who is enrolled at one device is recognized by another.
    gate("enroll", "Barack Obama", "--image", demo_photos / "obama_congress.jpg")
    assert events.wait_for("/event")[-1]["event_type"] in ("recognized", "unknown")
    assert eventually(lambda: any(event.get("name") == "Barack Obama" for event in events.on("/event")))

    # The broker is away, and everybody edits; it comes back and has lost all.
    forgetful.kill()
    door.do("forget", "Bert")
    gate.do("rename", "Bert", "Bertha")
    yard.enroll("Dora", 5)
    door.do("rename", "Carl", "Karl")
    yard.do("rename", "Carl", "Karel")
    time.sleep(request.config.getoption("--outage"))
    forgetful.start()
    agree(fleet, "Anna", "Barack Obama", "Dora", "Karel")

    # One is off while people are forgotten and enrolled, and another is killed.
    yard.end()
    door.do("forget", "Karel")
    gate.enroll("Emil", 6)
    gate.end(signal.SIGKILL)
    gate.run()
    agree([door, gate], "Anna", "Barack Obama", "Dora", "Emil")
    forgetful.stop()
    forgetful.start()
    yard.run()
    agree(fleet, "Anna", "Barack Obama", "Dora", "Emil")

    for device in fleet:
        wanted = {"people": 4, "waiting": 0, "trouble": None}
        assert eventually(lambda: device.sync().items() >= wanted.items()), device.sync()  # noqa: B023
        assert carl.id.encode() not in b"".join(path.read_bytes() for path in device.gallery.parent.glob("gallery.db*"))
        assert device.json("status")["troubles"] == []
    assert forgetful.state("edgeface/yard/health")["sync"]["topic"] == TOPIC
    kept = forgetful.listen(f"{TOPIC}/+")
    assert eventually(lambda: len(kept.messages) >= 7)
    told = b"".join(message.topic.encode() + message.payload for message in kept.messages)
    assert not [name for name in ("Anna", "Dora", carl.id, door.do("find", "Anna").id) if name.encode() in told]
    for device in fleet:
        device.end()
        assert not any("Anna" in line for line in device.daemon.told)


@pytest.mark.slow
@needs_broker
def test_a_device_with_another_key_is_told_and_harms_nobody(fleet: list[Device], forgetful: Broker) -> None:
    door, gate, _ = fleet
    take_key(gate.settings, "00" * 32)
    door.enroll("Anna", 1)
    gate.enroll("Bert", 2)
    for device in (door, gate):
        device.run()
    for device, other in ((door, "Anna"), (gate, "Bert")):
        assert "another key" in device.daemon.hears("another key")
        assert eventually(lambda: "another key" in (device.sync()["trouble"] or ""))  # noqa: B023 - the log is a frame ahead
        assert "another key" in device("status", code=1).stderr
        assert device.names() == [other]
    (check,) = (check for check in gate.json("doctor", code=1)["checks"] if check["name"] == "sync")
    assert not check["ok"]
    assert "another key" in check["found"]
    take_key(gate.settings, read_key(door.settings))
    gate.end()
    ear = forgetful.listen(f"{TOPIC}/+")
    assert eventually(lambda: len(ear.messages) == 2)
    for message in tuple(ear.messages):
        ear.say(message.topic, b"", retain=True)
    gate.run()
    agree([door, gate], "Anna", "Bert")
    assert eventually(lambda: door.sync()["trouble"] is None and gate.sync()["trouble"] is None)


@pytest.mark.slow
@needs_broker
def test_rubbish_and_replays_on_the_topic_are_counted_and_mended(fleet: list[Device], forgetful: Broker) -> None:
    door, gate, _ = fleet
    door.enroll("Anna", 1)
    for device in (door, gate):
        device.run()
    agree([door, gate], "Anna")
    ear = forgetful.listen(f"{TOPIC}/+")
    assert eventually(lambda: len(ear.messages) >= 1)
    topic, old = ear.messages[0].topic, bytes(ear.messages[0].payload)
    gate.do("rename", "Anna", "Anne")
    agree([door, gate], "Anne")
    for rubbish in (b"\xff\xfe", b"{}", old.replace(b'"counter":1', b'"counter":99'), old, b""):
        before = len(ear.messages)
        ear.say(topic, rubbish, retain=True)
        # One of the two publishes what is valid again.
        assert eventually(lambda: len(ear.messages) > before + 1 and ear.messages[-1].payload != rubbish, 30)  # noqa: B023
        assert json.loads(ear.messages[-1].payload)["counter"] == 2
    ear.say(f"{TOPIC}/strange/deep", b"x")
    ear.say(f"{TOPIC}/nobody", b"x", retain=True)
    assert eventually(lambda: door.sync()["ignored"] >= 1)  # of those that stood for long enough to be seen
    assert (door.names(), gate.names()) == (["Anne"], ["Anne"])
    assert door.json("status")["troubles"] == []


@needs_broker
def test_following_by_hand_says_what_changed(tmp_path: Path, broker: Broker) -> None:
    door, gate = (Device(tmp_path / name, name, broker) for name in ("door", "gate"))
    key = door("gallery", "key").stdout
    assert door("gallery", "key").stdout == key
    taken = subprocess.run(
        gate.command("gallery", "key", "--set"), input=key, text=True, capture_output=True, env=gate.environment, timeout=60
    )
    assert (taken.returncode, gate("gallery", "key").stdout) == (0, key)
    assert door.settings.sync_key_path.stat().st_mode & 0o777 == 0o600
    anna = door.enroll("Anna", 1)
    assert door.json("gallery", "sync") == {"changes": [], "sent": 1, "ignored": 0, "shared": 1, "trouble": None}
    assert gate("gallery", "sync").stdout == "Anna: added, by door\n"
    gate.do("rename", "Anna", "Anne")
    gate("gallery", "sync")
    assert door.json("gallery", "sync")["changes"] == [
        {"person_id": anna.id, "name": "Anne", "what": "changed", "device": "gate"}
    ]
    door.do("forget", "Anne")
    door("gallery", "sync")
    assert gate("gallery", "sync").stdout == "Anne: forgotten, by door\n"
    checks = {check["name"]: check for check in gate.json("doctor", code=None)["checks"]}
    assert checks["sync"]["ok"], checks["sync"]
    take_key(gate.settings, "00" * 32)
    assert "another key" in gate("gallery", "sync", code=1).stderr


@needs_broker
@needs_openssl
def test_a_broker_that_does_not_let_us_share_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tls = authority(tmp_path / "tls")
    acl = "pattern readwrite edgeface/%u/#\nuser door\ntopic readwrite edgeface/gallery/home/#\n"
    strict = Broker(tmp_path / "strict", tls=tls, acl=acl, certificates=True).start()
    try:
        ear = strict.listen("edgeface/gallery/home/+")
        for name in ("door", "gate"):
            section: dict[str, Any] = {"host": "127.0.0.1", "port": strict.port} | certificate(tls, name)
            place = {"path": str(tmp_path / name / "gallery.db")}
            given = settings(tmp_path, strict, device={"id": name}, gallery=place, sync={"enabled": True})
            given = msgspec.structs.replace(given, mqtt=schema.MqttSettings(**section))
            take_key(given, "12" * 32)
            gallery = Gallery(given.gallery_path, CARD.digest)
            gallery.enroll(name, [unit(len(name))], [0.9])
            gallery.close()
            with caplog.at_level(logging.ERROR), running(given):
                refused = "refuses what is published under edgeface/gallery/home/: Not authorized"
                assert eventually(lambda: refused in caplog.text or ear.messages), strict.log()  # noqa: B023
                assert (refused in caplog.text) == (name == "gate"), caplog.text
                ear.messages.clear()
    finally:
        strict.close()


# The key


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (None, 0, "edgeface gallery key"),
        ("12" * 32, 0o644, "chmod 0600"),
        ("12" * 31, 0o600, "64 hexadecimal"),
        ("x", 0o600, "64"),
    ],
)
def test_a_key_that_will_not_do_is_one_line(cli: Cli, text: str | None, mode: int, told: str) -> None:
    cli.set(device={"id": "door"}, mqtt={"host": "127.0.0.1"}, sync={"enabled": True})
    if text:
        path = cli.gallery.parent / "sync.key"
        path.parent.mkdir(mode=0o700, parents=True)
        path.write_text(text)
        path.chmod(mode)
    for words in (("gallery", "sync"), ("run",)):
        assert told in cli.refusal(*words, code=2)


def test_what_is_no_key_is_not_taken(cli: Cli) -> None:
    result = subprocess.run(
        cli.command("gallery", "key", "--set"),
        input="sesame\n",
        text=True,
        capture_output=True,
        env=cli.environment,
        timeout=60,
    )
    assert (result.returncode, "64 hexadecimal" in one_line(result)) == (2, True)
    assert not (cli.gallery.parent / "sync.key").exists()


def test_sharing_without_a_broker_is_a_wrong_setting(cli: Cli) -> None:
    cli.set(sync={"enabled": True})
    assert "mqtt.host" in cli.refusal("run", code=2)


def test_a_transport_that_is_not_there_is_a_wrong_setting(cli: Cli) -> None:
    cli.set(sync={"enabled": True, "topic": "pigeon://loft"})
    cli("gallery", "key")
    told = "sync.topic: there is no transport pigeon://; it is a topic at the broker"
    for words in (("config", "check"), ("run",), ("gallery", "sync")):
        assert told in cli.refusal(*words, code=2)


def test_the_key_may_be_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = schema.Config(sync=schema.SyncSettings(key_file="sync-key"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "sync-key").write_text("12" * 32)
    (tmp_path / "sync-key").chmod(0o440)
    assert read_key(given) == "12" * 32
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(ConfigError):
        read_key(given)


# The follower, by a clock of its own


class Wire(SyncTransport):
    """What the follower sees of a publisher."""

    def __init__(self) -> None:
        self.number = 1
        self.inbox: dict[str, bytes] = {}
        self.sent: list[tuple[str, bytes]] = []

    def shared(self, connection: int = -1) -> tuple[int, dict[str, bytes]]:
        if self.number == connection:
            return self.number, {}
        found, self.inbox = self.inbox, {}
        return self.number, found

    def share(self, name: str, payload: bytes) -> None:
        self.sent.append((name, payload))


class Follows:
    def __init__(self, folder: Path) -> None:
        self.gallery = Gallery(folder / "gallery.db", CARD.digest)
        self.replica = Replica(self.gallery, PersonSealer(bytes(32), CARD.digest, TOPIC), "door", 0.5, Audit(folder / "audit"))
        self.wire, self.time = Wire(), 100.0
        self.follower = Follower(self.replica, self.wire)

    def wait(self, seconds: float) -> list[tuple[str, bytes]]:
        """What was sent meanwhile."""
        before = len(self.wire.sent)
        for _ in range(round(seconds / 0.5)):
            self.time += 0.5
            self.follower.on_tick(Tick(NoFrame(self.time, self.time)))
        return self.wire.sent[before:]


@pytest.fixture
def follows(tmp_path: Path) -> Iterator[Follows]:
    made = Follows(tmp_path)
    made.gallery.enroll("Anna", [unit(1)], [0.9])
    yield made
    made.gallery.close()


def test_the_broker_is_heard_out_before_it_is_told(follows: Follows) -> None:
    assert follows.wait(Follower.SETTLE_S - 0.5) == []
    ((name, payload),) = follows.wait(Follower.SPREAD_S + 1)
    assert follows.follower.sharing == SharedGallery(TOPIC, 1, 1, 0, 0, None)
    follows.wire.inbox = {name: payload}
    assert follows.wait(100) == []
    assert follows.follower.sharing == SharedGallery(TOPIC, 1, 0, 0, 0, None)
    follows.wire.number = 2  # which has lost it
    assert [name for name, _ in follows.wait(Follower.SETTLE_S + Follower.SPREAD_S + 1)] == [name]


def test_nothing_is_sent_while_the_broker_is_away(follows: Follows) -> None:
    follows.wire.number = 0
    assert follows.wait(60) == []
    assert follows.follower.sharing.waiting == 1


def test_what_does_not_come_back_is_told_once_and_sent_ever_more_seldom(
    follows: Follows, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert len(follows.wait(30)) == 2
        assert "do not come back" in needed(follows.follower.sharing.trouble)
        assert len(follows.wait(3600)) in range(8, 14)
    assert len([record for record in caplog.records if "do not come back" in record.message]) == 1


def test_what_others_overwrite_is_not_lost(follows: Follows) -> None:
    ((name, _),) = follows.wait(5)
    for _ in range(3):
        follows.wire.inbox = {name: b"rubbish"}  # in its place, before the loop has seen it
        assert [sent for sent, _ in follows.wait(Follower.FIRST_RESEND_S)] == [name]
        assert follows.follower.sharing.trouble is None


def test_many_people_are_taken_in_bit_by_bit_and_nothing_is_sent_before(follows: Follows, tmp_path: Path) -> None:
    other = Follows(tmp_path / "other")
    copies = {
        f"p_{number:016x}": SharedPerson(str(number), 0.0, (SharedTemplate(unit(number).tobytes(), 0.9, ""),), ())
        for number in range(250)
    }
    other.gallery.exchange(lambda _there: copies)
    other.replica.take({})
    follows.follower.SETTLE_S = 0.0
    follows.wire.inbox = other.replica.payloads(other.replica.due())
    sizes = []
    while not follows.wait(0.5):
        sizes.append(len(follows.gallery.people()))
    assert sizes[:3] == [101, 201, 251]
    other.gallery.close()


def test_a_gallery_that_cannot_be_written_waits_and_loses_nothing(follows: Follows, monkeypatch: pytest.MonkeyPatch) -> None:
    ((name, payload),) = follows.wait(5)
    other = Follows(follows.gallery._path.parent / "other")
    monkeypatch.setattr(other.gallery, "exchange", refuse)
    other.wire.inbox = {name: payload}
    other.wait(10)
    assert "the disk is full" in needed(other.follower.sharing.trouble)
    monkeypatch.undo()
    other.wait(10)
    assert (other.follower.sharing.trouble, other.gallery.find("Anna").templates) == (None, 1)
    other.gallery.close()


def refuse(_decide: object) -> None:
    raise GalleryError("the disk is full")


def test_what_another_process_edits_in_the_moment_of_an_exchange_is_noticed(
    follows: Follows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Gallery(tmp_path / "gallery.db", CARD.digest)
    exchange = follows.gallery.exchange

    def raced(decide: Callable[[SharedPeople], Mapping[str, SharedPerson | None]]) -> None:
        exchange(decide)
        monkeypatch.undo()
        other.forget("Anna")

    monkeypatch.setattr(follows.gallery, "exchange", raced)
    follows.wait(2)
    assert follows.replica.shared == 0
    other.close()


def test_no_more_is_taken_from_the_wire_while_there_is_something_to_do(follows: Follows) -> None:
    follows.wait(1)
    follows.wire.inbox = {f"{number:032x}": b"x" for number in range(Follower.TAKEN_AT_ONCE + 1)}
    follows.wait(0.5)
    follows.wire.inbox = {"f" * 32: b"x"}
    follows.wait(0.5)
    assert follows.wire.inbox
    follows.wait(0.5)
    assert not follows.wire.inbox
