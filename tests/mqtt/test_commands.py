import base64
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from threading import Thread, current_thread
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.contract import problems
from fixtures.daemon import EMPTY, enroll, running, settings
from hypothesis import given
from hypothesis import strategies as st

from edgeface.config.schema import CameraSettings, Config, GallerySettings
from edgeface.config.schema import CommandsSettings as Settings
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.errors import ConfigError
from edgeface.gallery.open import open_gallery
from edgeface.interfaces import Tick
from edgeface.mqtt import commands
from edgeface.mqtt.commands import COMMANDS, Commands, check_allowed
from edgeface.operations import snapshot
from edgeface.operations.context import OperationContext
from edgeface.operations.jobs import JobQueue
from edgeface.platform.rate_limit import RateLimit
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import MAX_REQUEST_BYTES, Frame, Image, NoFrame, Request
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import decode_image, decode_photo, load_image

__all__ = ["broker"]
ALL = {"allow": list(COMMANDS), "per_minute": 600}


@dataclass
class Wire:
    """The publisher's part in commands: what comes in, and what goes out."""

    inbox: list[Request] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def requests(self) -> list[Request]:
        taken, self.inbox = self.inbox, []
        return taken

    def respond(self, verb: str, response: bytes) -> None:
        assert verb not in COMMANDS or problems(f"resp/{verb}", response) == []
        self.answers.append(json.loads(response))


class Desk:
    """Commands in the hands of a test, which gives them moments; Obama is enrolled."""

    def __init__(self, folder: Path, photos: Path, embedder: Embedder, **given: Any) -> None:
        self.photos, self.wire, self.now = photos, Wire(), time.monotonic()
        self.audit = folder / "audit.jsonl"
        config = Config(camera=CameraSettings(name="front"), gallery=GallerySettings(str(folder / "gallery.db")))
        self.gallery = open_gallery(config, embedder.card)
        enroller = Enroller(Pipeline(config, embedder, self.gallery), self.gallery)
        enroller.enroll("Obama", read_images([photos / "obama_portrait.jpg"]))
        self.jobs = JobQueue()
        self.context = OperationContext(config, embedder.card, lambda: self.gallery, lambda: enroller, serving=True)
        self.commands = Commands(Settings(**{"allow": tuple(COMMANDS), "per_minute": 600, **given}), self.wire, self.jobs)

    def ask(self, verb: str, payload: bytes | dict[str, Any], scene: Image | str | None = EMPTY) -> Any:
        """What is answered at once, or as soon as a photo was looked at, or nothing."""
        self.wire.answers.clear()
        self.wire.inbox.append(Request(verb, payload if isinstance(payload, bytes) else json.dumps(payload).encode()))
        self.pass_time(scene)
        if isinstance(payload, dict) and "image" in payload:
            assert self.answered(1, scene)
        return self.wire.answers[-1] if self.wire.answers else None

    def pass_time(self, scene: Image | str | None = EMPTY, seconds: float = 0.6) -> None:
        self.now += seconds
        at = self.now, time.time()
        self.commands.serve()
        self.jobs.on_tick(Tick(Frame(scene, *at) if isinstance(scene, np.ndarray) else NoFrame(*at, scene)), self.context)

    def answered(self, count: int, scene: Image | str | None = EMPTY) -> bool:
        """Whether so many answers come while time passes."""

        def there() -> bool:
            if len(self.wire.answers) < count:
                self.pass_time(scene, 0.02)
            return len(self.wire.answers) >= count

        return bool(eventually(there))

    def jpeg(self, name: str) -> str:
        return base64.b64encode((self.photos / name).read_bytes()).decode()


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def desk(tmp_path: Path, demo_photos: Path, embedder: Embedder) -> Iterator[Desk]:
    made = Desk(tmp_path, demo_photos, embedder)
    yield made
    made.gallery.close()


def names(desk: Desk) -> list[Any]:
    return [person.name for person in desk.gallery.people()]


def refused(answer: dict[str, Any]) -> str:
    """The error of an answer, in one line."""
    assert answer["ok"] is False
    assert "result" not in answer
    assert len(answer["error"].splitlines()) == 1
    return str(answer["error"])


def test_the_settings_allow_what_there_is() -> None:
    check_allowed(Settings(allow=tuple(COMMANDS)))
    with pytest.raises(ConfigError, match=r"^commands.allow: there is no command 'steal'; it is one of enroll, rename, "):
        check_allowed(Settings(allow=("people", "steal")))


# Each verb


def test_people_are_listed(desk: Desk) -> None:
    answer = desk.ask("people", {"id": "a"})
    assert (answer["id"], answer["ok"]) == ("a", True)
    (person,) = answer["result"]["people"]
    assert (person["name"], person["templates"], person["id"]) == ("Obama", 1, desk.gallery.find("Obama").id)


def test_a_person_is_renamed_and_forgotten_by_name_or_id(desk: Desk) -> None:
    person_id = desk.gallery.find("Obama").id
    assert desk.ask("rename", {"id": "a", "person": person_id, "name": "Barack"})["result"] == {
        "id": person_id,
        "name": "Barack",
    }
    assert names(desk) == ["Barack"]
    assert desk.ask("forget", {"id": "b", "person": "Barack"})["result"] == {"id": person_id, "name": "Barack"}
    assert names(desk) == []
    assert "nobody called 'Barack'" in refused(desk.ask("forget", {"id": "c", "person": "Barack"}))


def test_a_photo_is_enrolled(desk: Desk) -> None:
    answer = desk.ask("enroll", {"id": "a", "name": "Biden", "image": desk.jpeg("biden_portrait.jpg")})
    assert answer["result"] == {
        "id": desk.gallery.find("Biden").id,
        "name": "Biden",
        "templates": 1,
        "accepted": ["image"],
        "refused": [],
    }


def test_a_face_that_is_known_under_another_name_is_enrolled_by_force_alone(desk: Desk) -> None:
    request = {"id": "a", "name": "Eve", "image": desk.jpeg("obama_portrait.jpg")}
    assert "already enrolled as 'Obama'" in refused(desk.ask("enroll", request))
    assert desk.ask("enroll", request | {"force": True})["ok"]


def test_a_face_that_is_not_the_person_s_is_added_by_force_alone(desk: Desk) -> None:
    request = {"id": "a", "name": "Obama", "image": desk.jpeg("biden_portrait.jpg")}
    assert "(needs 0.30); force enrolls it anyway" in refused(desk.ask("enroll", request))
    assert desk.ask("enroll", request | {"force": True})["result"]["templates"] == 2


def test_a_photo_is_decoded_elsewhere_and_others_are_served_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, threads = Flag(), list[Thread]()

    def decode_later(data: bytes, label: str) -> Image:
        threads.append(current_thread())
        assert gate.wait(30)
        return decode_photo(data, label)

    monkeypatch.setattr(commands, "decode_photo", decode_later)
    for number in range(4):
        request = {"id": f"photo {number}", "name": "Biden", "image": desk.jpeg("biden_portrait.jpg"), "force": True}
        desk.wire.inbox.append(Request("enroll", json.dumps(request).encode()))
    desk.pass_time()
    assert desk.ask("people", {"id": "b"})["id"] == "b"
    assert eventually(lambda: len(threads) == 1)  # of four
    desk.wire.answers.clear()
    gate.set()
    assert desk.answered(4)
    assert [answer["id"] for answer in desk.wire.answers] == [f"photo {number}" for number in range(4)]
    assert current_thread() not in threads


def test_more_photos_than_may_wait_are_answered_busy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_WAITING_BYTES", 2 * len(desk.jpeg("biden_portrait.jpg")))
    for number in range(3):
        request = {"id": str(number), "name": "Biden", "image": desk.jpeg("biden_portrait.jpg")}
        desk.wire.inbox.append(Request("enroll", json.dumps(request).encode()))
    desk.pass_time()
    assert "busy: other photos wait" in refused(desk.wire.answers[0])
    assert desk.wire.answers[0]["id"] == "2"
    assert desk.answered(3)
    assert [answer["ok"] for answer in desk.wire.answers] == [False, True, True]


def noted(desk: Desk) -> list[Any]:
    return [json.loads(line) for line in desk.audit.read_text().splitlines()]


def test_whatever_changes_the_gallery_is_in_the_audit_log_and_no_name(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    person = desk.gallery.find("Obama").id
    photo = desk.jpeg("obama_portrait.jpg")
    desk.ask("enroll", {"id": "Obama", "name": "Eve", "image": photo})
    desk.ask("enroll", {"id": "Obama", "name": "Eve", "image": photo, "force": True})
    other = desk.gallery.find("Eve").id
    desk.ask("rename", {"id": "Obama", "person": other, "name": "Eva"})
    desk.ask("people", {"id": "Obama"})
    desk.ask("forget", {"id": "Obama", "person": "Eva"})
    desk.ask("forget", {"id": "Obama", "person": "Eva"})
    by = {"by": {"mqtt": True}}
    assert [{key: value for key, value in entry.items() if key != "ts"} for entry in noted(desk)] == [
        {"action": "enroll", **by, "person": other, "images": 1, "refused": 0, "force": True},
        {"action": "rename", **by, "person": other},
        {"action": "forget", **by, "person": other, "done": True},
    ]
    assert person not in desk.audit.read_text()
    assert not re.search("Obama|Eve|Eva", desk.audit.read_text() + caplog.text)
    assert caplog.text.count("'forget'") == 2


def test_who_is_forgotten_though_a_trace_stays_is_in_the_audit_log(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    person = desk.gallery.find("Obama").id
    reader = sqlite3.connect(desk.audit.with_name("gallery.db"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM templates").fetchone()
    monkeypatch.setattr("edgeface.gallery.sqlite.LOCK_TIMEOUT_S", 0.05)
    assert "keeps a trace" in refused(desk.ask("forget", {"id": "a", "person": "Obama"}))
    reader.close()
    (entry,) = noted(desk)
    assert (entry["action"], entry["person"], entry["done"], entry["by"]) == ("forget", person, True, {"mqtt": True})


def test_an_answer_speaks_of_fields_and_not_of_options(desk: Desk) -> None:
    known = refused(desk.ask("enroll", {"id": "a", "name": "Eve", "image": desk.jpeg("obama_portrait.jpg")}))
    nobody = refused(desk.ask("forget", {"id": "a", "person": "Eve"}))
    assert known.endswith("; force enrolls it anyway")
    assert not re.search("--|edgeface ", known + nobody)


def bomb() -> bytes:
    """A JPEG of a few hundred bytes that says that it is of 60,000 x 60,000 pixels."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = (60000).to_bytes(2, "big") * 2
    return bytes(data)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"no base64", "not base64"),
        (base64.b64encode(b"GIF89a"), "not a JPEG"),
        (base64.b64encode(b""), "not a JPEG"),
        (base64.b64encode(bomb()), "too large"),
        (base64.b64encode(b"\xff\xd8\xff\xc0" + b"\x00\x11\x08\x00\x10\x00\x10\x03" + bytes(40)), "damaged"),
        (base64.b64encode(cv2.imencode(".jpg", EMPTY)[1].tobytes()), "no face"),
    ],
)
def test_an_image_that_will_not_do_is_told(desk: Desk, image: bytes, why: str) -> None:
    assert why in refused(desk.ask("enroll", {"id": "a", "name": "Eve", "image": image.decode()}))
    assert names(desk) == ["Obama"]


def test_the_camera_s_views_are_enrolled_over_moments(desk: Desk) -> None:
    biden = load_image(desk.photos / "biden_portrait.jpg")
    assert desk.ask("enroll", {"id": "a", "name": "Biden", "count": 2}) is None
    desk.pass_time(biden)
    desk.pass_time(biden, 0.1)  # too soon after the first
    desk.pass_time(None)
    assert desk.wire.answers == []
    assert desk.ask("people", {"id": "b"})["id"] == "b"  # others are served meanwhile
    desk.pass_time(biden)
    assert desk.wire.answers[-1]["id"] == "a"
    assert desk.wire.answers[-1]["result"]["accepted"] == ["view 1", "view 2"]
    assert names(desk) == ["Biden", "Obama"]


def test_an_enrollment_ends_with_its_time(desk: Desk) -> None:
    assert desk.ask("enroll", {"id": "a", "name": "Biden", "timeout": 2}) is None
    assert desk.ask("enroll", {"id": "b", "name": "Eve"})["error"] == "somebody else is being enrolled now"
    desk.pass_time(seconds=1.0)
    desk.pass_time(seconds=1.0)
    assert refused(desk.wire.answers[-1]) == "no usable view within 2 s; last: nobody is there: stand before the camera"
    assert desk.ask("enroll", {"id": "c", "name": "Biden"}) is None


def test_the_views_that_there_were_in_time_are_enrolled(desk: Desk) -> None:
    assert desk.ask("enroll", {"id": "a", "name": "Biden", "timeout": 2}) is None
    desk.pass_time(load_image(desk.photos / "biden_portrait.jpg"))
    desk.pass_time(seconds=2.0)
    assert desk.wire.answers[-1]["result"]["accepted"] == ["view 1"]


def test_who_waits_is_told_that_the_daemon_stops(desk: Desk) -> None:
    assert desk.ask("enroll", {"id": "a", "name": "Biden"}) is None
    desk.commands.close()
    assert (desk.wire.answers[-1]["id"], refused(desk.wire.answers[-1])) == ("a", "the daemon is stopping")


def test_a_snapshot_is_the_next_frame(desk: Desk) -> None:
    scene = load_image(desk.photos / "obama_portrait.jpg")
    assert desk.ask("snapshot", {"id": "a"}, None) is None
    desk.pass_time(scene)
    result = desk.wire.answers[-1]["result"]
    image = decode_image(base64.b64decode(result["image"]), "snapshot")
    assert image.shape[1::-1] == (result["width"], result["height"]) == scene.shape[1::-1]
    assert np.abs(image.astype(int) - scene).mean() < 5
    large = desk.ask("snapshot", {"id": "b"}, np.zeros((1440, 2560, 3), np.uint8))["result"]
    assert (large["width"], large["height"]) == (1280, 720)


def test_a_snapshot_of_a_camera_without_frames_says_why(desk: Desk) -> None:
    assert refused(desk.ask("snapshot", {"id": "a"}, "unplugged")) == "no frame: unplugged"
    assert desk.ask("snapshot", {"id": "b"}, None) is None
    desk.pass_time(None, snapshot.FRAME_TIMEOUT + 1)
    assert refused(desk.wire.answers[-1]) == "no frame: the camera is silent"


# What is no request


@pytest.mark.parametrize(
    ("verb", "payload", "why"),
    [
        ("people", b"", "malformed"),
        ("people", b"people", "malformed"),
        ("people", b"[" * 100_000, "malformed"),
        ("people", {}, "missing required field `id`"),
        ("people", {"id": 7}, "Expected `str`, got `int`"),
        ("people", {"id": ""}, "malformed"),
        ("people", {"id": "x" * 65}, "malformed"),
        ("people", {"id": "a\nb"}, "malformed"),
        ("people", b'{"id": "\xff"}', "malformed"),
        ("people", b'{"id": "a"' + b" " * MAX_REQUEST_BYTES + b"}", "over 6 MB"),
        ("rename", {"id": "a", "person": "Obama"}, "missing required field `name`"),
        ("rename", {"id": "a", "person": "Obama", "name": ""}, "is no name"),
        ("enroll", {"id": "a", "name": "\n"}, "is no name"),
        ("enroll", {"id": "a", "name": "Eve", "count": 1000}, "<= 20"),
        ("steal", {"id": "a"}, "there is no such command"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_request_is_answered_with_its_fault(
    desk: Desk, verb: str, payload: bytes | dict[str, Any], why: str
) -> None:
    answer = desk.ask(verb, payload)
    assert why in refused(answer)
    well_formed = isinstance(payload, dict) and payload.get("id") == "a"
    assert answer["id"] == ("a" if well_formed else None)
    assert desk.ask("people", {"id": "next"})["ok"]


@pytest.mark.parametrize("verb", COMMANDS)
def test_only_what_is_allowed_is_done(tmp_path: Path, demo_photos: Path, embedder: Embedder, verb: str) -> None:
    desk = Desk(tmp_path, demo_photos, embedder, allow=tuple(name for name in COMMANDS if name != verb))
    request = {"id": "a", "person": "Obama", "name": "Eve"}
    assert "not allowed" in refused(desk.ask(verb, request))
    assert names(desk) == ["Obama"]


def test_a_fault_of_our_own_is_an_answer_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(desk.gallery, "people", lambda: 1 / 0)
    assert refused(desk.ask("people", {"id": "a"})) == "it failed inside; the log has more"
    assert "ZeroDivisionError" in caplog.text


def test_too_many_requests_are_refused(tmp_path: Path, demo_photos: Path, embedder: Embedder) -> None:
    desk = Desk(tmp_path, demo_photos, embedder, per_minute=1)
    desk.wire.inbox += [Request("people", b'{"id": "a"}')] * 15
    desk.pass_time()
    assert [answer["ok"] for answer in desk.wire.answers] == [False] * 5 + [True] * 10
    assert "commands.per_minute is 1" in refused(desk.wire.answers[0])


def test_a_rate_allows_a_burst_and_then_so_many_a_minute() -> None:
    rate = RateLimit(30)
    assert sum(rate.allows(1000.0) for _ in range(50)) == 10
    assert sum(rate.allows(1060.0 + second) for second in range(600)) == 9 + 300


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["Obama", "a", "/9j/4AAQ"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["id", "name", "person", "image", "count", "timeout", "force", "new"]
PAYLOADS = st.binary(max_size=60) | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8).map(
    lambda it: json.dumps(it).encode()
)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, demo_photos: Path, embedder: Embedder) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("victim"), demo_photos, embedder)
    made.commands._rate = RateLimit(10**9)
    yield made
    made.gallery.close()


@given(verb=st.sampled_from(list(COMMANDS)) | st.text(max_size=10), payload=PAYLOADS)
def test_any_bytes_get_one_answer_and_end_nothing(victim: Desk, verb: str, payload: bytes) -> None:
    if victim.ask(verb, payload) is None:  # an enrollment has begun
        victim.pass_time(seconds=400.0)
    (answer,) = victim.wire.answers
    assert answer["ok"] is not ("error" in answer)


# Over a real broker, in a real daemon


@needs_broker
def test_a_request_over_the_broker_changes_who_is_recognized(tmp_path: Path, broker: Broker, demo_photos: Path) -> None:
    ear = broker.listen()
    with running(settings(tmp_path, broker, commands=ALL)) as stage:
        ear.wait_for("availability")
        stage.scene = load_image(demo_photos / "biden_portrait.jpg")
        ear.say("edgeface/door/cmd/enroll", {"id": "1", "name": "Biden", "count": 2})
        (answer,) = ear.wait_for("resp/enroll")
        assert answer["ok"]
        assert answer["result"]["accepted"] == ["view 1", "view 2"]
        ear.wait(lambda message: b'"recognized"' in message.payload)
        ear.say("edgeface/door/cmd/rename", {"id": "2", "person": "Biden", "name": "Joe"})
        ear.wait(lambda message: message.topic.endswith("front/presence") and b'"Joe"' in message.payload)
        ear.say("edgeface/door/cmd/forget", {"id": "3", "person": "Joe"})
        assert ear.wait_for("resp/forget")[0]["id"] == "3"
        assert eventually(lambda: broker.state("edgeface/door/front/presence")["last"] is None)
        assert broker.state("edgeface/door/front/presence")["people"] == []
        assert broker.retained("edgeface/door/resp/forget") is None


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_is_retained_or_too_large_is_not_served(tmp_path: Path, broker: Broker, protocol: str) -> None:
    ear = broker.listen()
    ear.say("edgeface/door/cmd/people", {"id": "old"}, retain=True)
    with running(settings(tmp_path, broker, commands=ALL, mqtt={"protocol": protocol})):
        ear.wait_for("availability")
        ear.say("edgeface/door/cmd/people", b'{"id": "large"' + b" " * MAX_REQUEST_BYTES + b"}")
        ear.say(f"edgeface/door/cmd/{'x' * 65}", {"id": "long"})
        ear.say("edgeface/door/cmd/people", {"id": "new"})
        ear.wait(lambda message: message.topic.endswith("resp/people") and b'"new"' in message.payload)
    answered = [answer["id"] for answer in ear.on("resp/people")]
    assert answered == [None, "new"]
    assert not any("xxx" in message.topic and "/resp/" in message.topic for message in ear.messages)


@needs_broker
def test_without_a_verb_that_is_allowed_nothing_is_even_read(tmp_path: Path, broker: Broker) -> None:
    ear = broker.listen()
    with running(settings(tmp_path, broker)):
        ear.wait_for("front/presence")
        ear.say("edgeface/door/cmd/people", {"id": "a"})
    assert not any("/resp/" in message.topic for message in ear.messages)
    assert "edgeface/door/cmd/+" not in broker.log()


@needs_broker
def test_a_flood_neither_fills_the_memory_nor_stops_the_loop(tmp_path: Path, broker: Broker, demo_photos: Path) -> None:
    ear = broker.listen()
    config = settings(tmp_path, broker, commands=ALL)
    enroll(config, "Obama", demo_photos / "obama_portrait.jpg")
    with running(config) as stage:
        ear.wait_for("availability")
        for number in range(100):
            ear.say("edgeface/door/cmd/people", {"id": str(number)})
        stage.scene = load_image(demo_photos / "obama_portrait.jpg")
        ear.wait_for("/event")
    assert 0 < len(ear.on("resp/people")) <= 100
