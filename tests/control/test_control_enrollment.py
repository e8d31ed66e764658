"""Enrollment and more through the daemon's socket, by those who may not touch the gallery themselves."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.commandline import ROOT
from fixtures.daemon import EMPTY, Stage
from fixtures.operations import idle, talk
from fixtures.optional import needed
from fixtures.sitters import sitter
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.cli import operations as cli_operations
from edgeface.config.schema import CommandsSettings, Config, DeviceSettings, GallerySettings, MqttSettings
from edgeface.control import discovery
from edgeface.control import server as control_server
from edgeface.control.client import ask
from edgeface.control.server import ControlServer
from edgeface.daemon.assembly import assemble
from edgeface.enrollment.guidance import Hint
from edgeface.errors import AskAgainError, EdgefaceError
from edgeface.interfaces import Tick
from edgeface.operations.context import OperationContext
from edgeface.types import Image
from edgeface.vision.drawing import save_image
from edgeface.vision.images import load_image

__all__ = ["broker"]
MOVES = {
    Hint.TURN_LEFT: {"yaw": 0.45},
    Hint.TURN_RIGHT: {"yaw": -0.45},
    Hint.LOOK_UP: {"pitch": -0.4},
    Hint.LOOK_DOWN: {"pitch": 0.4},
}


class House:
    """A daemon in a thread, its stage and its socket."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.settings = Config(gallery=GallerySettings(str(folder / "gallery.db")), **sections)
        self.audit, self.stage = folder / "audit.jsonl", Stage()
        self.ready = False

    def live(self) -> None:
        self.daemon = assemble(self.settings, camera=self.stage)
        self.ready = True
        self.daemon.run()

    def talk(self, verb: str, photos: Iterator[tuple[str, bytes]] | None = None, **request: Any) -> list[Any]:
        return list(talk(self.settings, verb, None if photos is None else (lambda: photos), **request))

    def names(self) -> list[Any]:
        return [person["name"] for person in self.talk("people")[-1]["people"]]

    def noted(self) -> list[Any]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()] if self.audit.exists() else []


@contextmanager
def opened(house: House) -> Iterator[House]:
    """A house whose daemon runs."""
    thread = Thread(target=house.live, daemon=True)
    thread.start()
    assert eventually(lambda: house.ready)
    server = ControlServer(house.settings, {"ping": lambda _: "pong"}, house.daemon.jobs)
    yield house
    house.stage.close()
    assert eventually(lambda: not thread.is_alive())
    server.close()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[House]:
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    with opened(House(tmp_path)) as house:
        yield house


def jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def test_who_sits_down_is_guided_and_enrolled(house: House) -> None:
    hints = []
    house.stage.scene = EMPTY
    for told in talk(house.settings, "enroll", name="Barack"):
        if "hint" not in told:
            break
        hints.append(told["hint"])
        house.stage.scene = sitter(**MOVES.get(told["hint"], {}))
    assert told["name"] == "Barack"
    assert 5 <= len(told["accepted"]) <= 9
    assert told["assessment"]["metres"] > 1
    assert hints[0] == Hint.NOBODY
    assert {Hint.TURN_LEFT, Hint.TAKEN} <= set(hints)
    assert house.names() == ["Barack"]
    (line,) = house.noted()
    assert line["action"] == "enroll"
    assert (line["by"]["uid"], line["by"]["socket"]) == (os.getuid(), True)


def taken(sitting: Iterator[Any]) -> None:
    """Wait for the first view that counts; a frame of before may come first."""
    assert any(line.get("hint") == Hint.TAKEN for line in sitting)


def test_a_client_that_vanishes_leaves_nothing_and_the_chair_is_free(house: House) -> None:
    house.stage.scene = sitter()
    sitting = talk(house.settings, "enroll", name="Barack")
    taken(sitting)
    with pytest.raises(EdgefaceError, match="somebody else is being enrolled"):
        house.talk("enroll", name="Eve")
    sitting.close()  # as Ctrl-C does
    assert eventually(lambda: idle(house.daemon.jobs))
    assert house.names() == []
    assert house.noted() == []
    again = talk(house.settings, "enroll", name="Eve")
    taken(again)
    again.close()


@needs_broker
def test_one_sits_at_a_time_whatever_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    ear = broker.listen()
    asked = {
        "device": DeviceSettings("door"),
        "commands": CommandsSettings(("enroll",)),
        "mqtt": MqttSettings(**broker.settings()),
    }
    with opened(House(tmp_path, **asked)) as house:
        house.stage.scene = sitter()
        ear.wait_for("availability")
        sitting = talk(house.settings, "enroll", name="Barack")
        next(sitting)
        ear.say("edgeface/door/cmd/enroll", {"id": "1", "name": "Eve"})
        assert ear.wait_for("resp/enroll")[0]["error"] == "somebody else is being enrolled now"
        sitting.close()
        assert eventually(lambda: not house.daemon.jobs._at_camera)
        house.stage.scene = EMPTY
        ear.say("edgeface/door/cmd/enroll", {"id": "2", "name": "Eve", "timeout": 300})
        assert eventually(lambda: house.daemon.jobs._at_camera)
        with pytest.raises(EdgefaceError, match="somebody else is being enrolled now"):
            house.talk("enroll", name="Barack")
        house.daemon.signals.stop = True
        assert "stopping" in ear.wait_for("resp/enroll", 2)[1]["error"]
        assert eventually(lambda: not house.daemon.jobs._at_camera)


@pytest.mark.parametrize(("drops", "names"), [(1, ["Barack"]), (2, [])])
def test_what_new_settings_drop_is_asked_once_more(
    house: House, monkeypatch: pytest.MonkeyPatch, drops: int, names: list[str]
) -> None:
    jobs, on_tick, left = house.daemon.jobs, house.daemon.jobs.on_tick, [AskAgainError("new settings")] * drops

    def dropping(tick: Tick, context: OperationContext) -> None:
        if not left:
            on_tick(tick, context)
        elif jobs._waiting:
            jobs.close(left.pop())

    monkeypatch.setattr(jobs, "on_tick", dropping)
    with nullcontext() if names else pytest.raises(EdgefaceError, match="new settings"):
        list(talk(house.settings, "photos", lambda: iter([("good.jpg", jpeg(sitter()))]), name="Barack"))
    assert house.names() == names
    assert not left


def test_a_sitting_that_comes_to_nothing_says_why(house: House) -> None:
    with pytest.raises(EdgefaceError, match="no usable view within 1 s; last: nobody is there"):
        house.talk("enroll", name="Barack", timeout=1.0)


def test_what_takes_too_long_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "OPERATION_TIMEOUT", 1.0)
    house.stage.scene = sitter()
    with pytest.raises(EdgefaceError, match="not done after 0 minutes; nothing was kept"):
        house.talk("enroll", name="Barack")
    assert house.names() == []


def test_who_sits_is_told_when_the_daemon_stops(house: House) -> None:
    house.stage.scene = sitter()
    sitting = talk(house.settings, "enroll", name="Barack")
    next(sitting)
    house.daemon.signals.stop = True
    with pytest.raises(EdgefaceError, match="the daemon is stopping"):
        list(sitting)


def test_a_socket_that_closes_says_so_to_who_sits(house: House, tmp_path: Path) -> None:
    settings = Config(gallery=GallerySettings(str(tmp_path / "gallery.db")), device=house.settings.device.__class__("other"))
    server = ControlServer(settings, {}, house.daemon.jobs)
    house.stage.scene = sitter()
    sitting = talk(settings, "enroll", name="Barack")
    next(sitting)
    server.close()
    with pytest.raises(EdgefaceError, match="takes new settings; start again"):
        list(sitting)
    assert eventually(lambda: idle(house.daemon.jobs))
    assert house.names() == []


def test_photos_are_enrolled_all_together_each_with_its_answer(house: House) -> None:
    photos = [
        ("good.jpg", jpeg(sitter())),
        ("blank.jpg", jpeg(EMPTY)),
        ("text.jpg", b"no picture"),
        ("turned.jpg", jpeg(sitter(yaw=0.3))),
    ]
    *told, report = house.talk("photos", iter(photos), name="Barack")
    assert [(one["photo"], one["reason"] is None) for one in told] == [
        ("good.jpg", True),
        ("blank.jpg", False),
        ("text.jpg", False),
        ("turned.jpg", True),
    ]
    assert report["accepted"] == ["good.jpg", "turned.jpg"]
    assert report["refused"][1] == {"path": "text.jpg", "reason": "not a JPEG, PNG, WebP or BMP image"}
    assert report["templates"] == 2
    (line,) = house.noted()
    assert (line["images"], line["refused"]) == (2, 2)


def test_photos_of_another_face_are_added_by_force_alone(house: House) -> None:
    house.talk("photos", iter([("own.jpg", jpeg(sitter()))]), name="Barack")

    def other() -> Iterator[tuple[str, bytes]]:
        return iter([("other.jpg", jpeg(sitter("biden_portrait.jpg")))])

    told, report = house.talk("photos", other(), name="Barack")
    assert "(needs 0.30); force enrolls it anyway" in told["reason"]
    assert report["id"] is None
    assert house.talk("photos", other(), name="Barack", force=True)[-1]["templates"] == 2


def test_a_face_is_searched_for_through_the_socket(house: House) -> None:
    house.stage.scene = sitter()
    assert eventually(lambda: house.talk("events")[-1]["events"])
    house.stage.scene = EMPTY
    (seen,) = house.talk("events")[-1]["events"]
    blank, good, found = house.talk("find", iter([("blank.jpg", jpeg(EMPTY)), ("good.jpg", jpeg(sitter()))]))
    assert (blank["reason"], good["reason"]) == ("no face was found", None)
    assert [event["event_id"] for event in found["events"]] == [seen["event_id"]]
    assert [one["path"] for one in found["refused"]] == ["blank.jpg"]
    (alone,) = house.talk("find", iter([]), event_id=seen["event_id"])
    assert (alone["events"], alone["compared"]) == ([], 0)
    with pytest.raises(EdgefaceError, match="photo or an event"):
        house.talk("find", iter([]))


def test_photos_are_identified_through_the_socket(house: House) -> None:
    house.talk("photos", iter([("own.jpg", jpeg(sitter()))]), name="Barack")
    blank, good, result = house.talk("identify", iter([("blank.jpg", jpeg(EMPTY)), ("good.jpg", jpeg(sitter()))]))
    assert result["images"] == [blank, good]
    assert (blank["faces"], [face["name"] for face in good["faces"]]) == ([], ["Barack"])


def test_the_command_identifies_in_the_daemon_what_it_may_not_look_up_itself(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_operations, "through_the_daemon", lambda settings: True)
    house.talk("photos", iter([("own.jpg", jpeg(sitter()))]), name="Barack")
    large, bad, drawn = tmp_path / "large.png", tmp_path / "none.jpg", tmp_path / "drawn"
    save_image(large, np.repeat(np.repeat(sitter(), 4, axis=0), 4, axis=1))
    (tmp_path / "edgeface.toml").write_text(f"gallery.path = {json.dumps(house.settings.gallery.path)}\n")
    words = ("--config", tmp_path / "edgeface.toml", "identify", bad, large, "--annotate", drawn, "--json")
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1, done.output
    missing, seen = json.loads(done.stdout)["images"]
    assert (missing["path"], "No such file" in missing["error"]) == (str(bad), True)
    (face,), before, after = seen["faces"], load_image(large), load_image(drawn / "large.png")
    assert (face["name"], max(seen["size"])) == ("Barack", 2048)
    left, top, _, height = (round(side * after.shape[1] / seen["size"][0]) for side in face["box"])
    assert np.any(after[top + height // 2, left] != before[top + height // 2, left])
    assert after.shape == before.shape


def test_photos_that_stop_halfway_leave_nothing(house: House) -> None:
    def sent() -> Iterator[tuple[str, bytes]]:
        yield "good.jpg", jpeg(sitter())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        house.talk("photos", sent(), name="Barack")
    assert eventually(lambda: idle(house.daemon.jobs))
    assert house.names() == []


def raw(house: House, *parts: bytes) -> list[Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(discovery.socket_path(house.settings)))
        for part in parts:
            client.sendall(part)
        client.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in client.makefile("rb")]


@pytest.mark.parametrize(
    "after",
    [
        b'{"photo": "x", "bytes": 999999999}\n',
        b'{"photo": "x", "bytes": -1}\n',
        b"[]\n",
        b"\xff\n",
        b'{"photo": "x", "bytes": 100}\nshort',
        b'{"photo": "' + b"x" * 100_000 + b'"}\n',
        b"",
    ],
    ids=["vast", "negative", "list", "bytes", "short", "long", "nothing"],
)
def test_photos_that_are_malformed_end_the_errand_and_nothing_else(house: House, after: bytes) -> None:
    answers = raw(house, b'{"verb": "photos", "name": "Eve"}\n', after)
    assert not any("ok" in answer for answer in answers)
    assert eventually(lambda: idle(house.daemon.jobs))
    assert ask(house.settings, "ping") == "pong"
    assert house.names() == []


@pytest.mark.parametrize(
    ("verb", "request_", "reason"),
    [
        ("enroll", {"name": "\n"}, "is no name"),
        ("enroll", {"name": "Eve", "count": 1000}, "malformed request"),
        ("enroll", {"name": "Eve", "timeout": 1e9}, "malformed request"),
        ("enroll", {"name": 5}, "malformed request"),
        ("enroll", {}, "malformed request"),
        ("people", {"fly": True}, "malformed request"),
        ("rename", {"person": "Nobody", "name": "Eve"}, "nobody called 'Nobody' is enrolled"),
        ("drop", {"template": "00000000"}, "there is no template"),
        ("reject", {"event_id": "x"}, "no event 'x' is kept"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(house: House, verb: str, request_: dict[str, Any], reason: str) -> None:
    with pytest.raises(EdgefaceError, match=reason) as refused:
        house.talk(verb, **request_)
    assert "\n" not in str(refused.value)


def test_people_are_listed_renamed_checked_and_forgotten(house: House) -> None:
    house.talk("photos", iter([("good.jpg", jpeg(sitter()))]), name="Barack")
    assert house.talk("rename", person="Barack", name="Barry")[-1]["name"] == "Barry"
    (finding,) = house.talk("check")[-1]["findings"]
    assert finding["kind"] == "few"
    assert house.talk("events") == [{"events": []}]
    house.talk("forget", person="Barry")
    assert house.names() == []
    assert [line["action"] for line in house.noted()] == ["enroll", "rename", "forget"]


def test_talkers_are_few_and_others_are_still_answered(house: House) -> None:
    silent = []
    for request in (b'{"verb": "photos", "name": "Eve"}\n', b'{"verb": "enroll", "name": "Eve"}\n'):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(discovery.socket_path(house.settings)))
        client.sendall(request)
        silent.append(client)
    assert eventually(lambda: len(house.daemon.jobs._running) == control_server.OPERATIONS[1])
    with pytest.raises(EdgefaceError, match="as much for user"):
        house.talk("people")
    assert ask(house.settings, "ping") == "pong"
    for client in silent:
        client.close()
    assert eventually(lambda: idle(house.daemon.jobs))
    assert house.names() == []


def test_a_client_that_reads_nothing_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "TIMEOUT", 2.0)
    monkeypatch.setattr(control_server, "PHOTO_TIMEOUT", 1.0)
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(discovery.socket_path(house.settings)))
    client.sendall(b'{"verb": "photos", "name": "Eve"}\n')
    client.settimeout(60)
    assert client.makefile("rb").read() == b'{"error":"no photo came for 1 s; nothing was kept"}\n'
    client.close()
    assert house.names() == []


# The whole thing: a process of the service's user, and another user of its group

SERVICE, MEMBER, STRANGER, GROUP = 64001, 64002, 64003, 64100


def runs_as(uid: int) -> bool:
    if os.geteuid() != 0:
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import edgeface.operations.registry"],
            user=uid,
            group=GROUP,
            extra_groups=[],
            cwd="/",
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
        )
    except OSError:
        return False
    return done.returncode == 0


needs_users = pytest.mark.skipif(not runs_as(SERVICE), reason="needs root, and a Python that other users may run")


class Users:
    """A service that runs as its own user, and others who give commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "edgeface.toml"
        for name, mode in {"state": 0o700, "run": 0o750}.items():
            (root / name).mkdir()
            (root / name).chmod(mode)
            shutil.chown(root / name, SERVICE, GROUP)
        self.scenes = root / "scenes"
        self.scenes.mkdir()
        for round_ in range(6):
            for number, move in enumerate([{}, *MOVES.values()]):
                (self.scenes / f"{round_}{number}.jpg").write_bytes(jpeg(sitter(**move)))
        self.write()
        self.environment = {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "PATH": os.environ["PATH"]}
        self.environment |= {"RUNTIME_DIRECTORY": str(root / "run")}

    def write(self, **sections: Any) -> None:
        given: dict[str, dict[str, Any]] = {
            "gallery": {"path": str(self.root / "state" / "gallery.db")},
            "camera": {"source": f"folder:{self.scenes}", "hold": 2.0},
            **sections,
        }
        lines = []
        for section, values in given.items():
            lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def popen(self, uid: int, groups: list[Any], *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "edgeface", "--config", str(self.file), *map(str, words)],
            user=uid,
            group=GROUP if uid == SERVICE else uid,
            extra_groups=groups,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=self.environment,
            umask=0o077 if uid == SERVICE else 0o022,
        )

    def command(self, uid: int, groups: list[Any], *words: str | Path) -> tuple[Any, str, str]:
        process = self.popen(uid, groups, *words)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        return process.returncode, out, err


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Users]:
    root = Path("/tmp") / f"edgeface-users-{os.getpid()}-{time.monotonic_ns()}"
    root.mkdir()
    root.chmod(0o755)
    yield Users(root)
    shutil.rmtree(root)


@contextmanager
def service(users: Users) -> Iterator[subprocess.Popen[str]]:
    process = users.popen(SERVICE, [], "run")
    try:
        assert eventually(lambda: list((users.root / "run").glob("*.sock"))), process.poll()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert "Traceback" not in err


@needs_users
def test_a_member_of_the_group_enrolls_while_the_daemon_has_the_camera(users: Users) -> None:
    with service(users):
        code, out, err = users.command(MEMBER, [GROUP], "enroll", "Barack", "--count", "2", "--json")
        assert code == 0, err
        assert len(json.loads(out)["accepted"]) == 2
        assert "view 1 taken" in err
        code, out, _ = users.command(MEMBER, [GROUP], "people", "list")
        assert code == 0
        assert "Barack" in out
        shutil.copy(users.scenes / "00.jpg", users.root / "photo.jpg")
        (users.root / "photo.jpg").chmod(0o600)
        os.chown(users.root / "photo.jpg", MEMBER, MEMBER)  # the daemon itself may not read it
        code, out, err = users.command(MEMBER, [GROUP], "enroll", "Barack", "--image", users.root / "photo.jpg")
        assert "1 image enrolled" in out, err
        code, out, err = users.command(MEMBER, [GROUP], "identify", users.root / "photo.jpg", users.root / "none.jpg")
        assert (code, "photo.jpg: Barack" in out, "No such file" in err) == (1, True, True)
        assert users.command(MEMBER, [GROUP], "people", "forget", "Barack")[0] == 0
        noted = [json.loads(line) for line in (users.root / "state" / "audit.jsonl").read_text().splitlines()]
        assert [(line["action"], line["by"]["uid"]) for line in noted] == [
            ("enroll", MEMBER),
            ("enroll", MEMBER),
            ("forget", MEMBER),
        ]


@needs_users
def test_who_is_not_in_the_group_is_told_so_in_one_line(users: Users) -> None:
    with service(users):
        for words in (("enroll", "Eve"), ("enroll", "Eve", "--image", users.scenes / "00.jpg"), ("people", "list")):
            code, out, err = users.command(STRANGER, [], *words)
            assert (code, out) == (1, "")
            assert len(err.splitlines()) == 1
            assert "you may not ask the daemon" in err
            assert f"{users.root / 'run'} is for the group {GROUP}" in err
        assert not (users.root / "state" / "audit.jsonl").exists()


@needs_users
def test_where_no_daemon_runs_a_member_is_told_so(users: Users) -> None:
    code, out, err = users.command(MEMBER, [GROUP], "people", "list")
    assert (code, out) == (1, "")
    assert "is closed to you, and no daemon with these settings runs that you may ask" in err


@needs_users
def test_ctrl_c_leaves_nothing(users: Users) -> None:
    with service(users):
        process = users.popen(MEMBER, [GROUP], "enroll", "Barack", "--count", "9")
        assert "taken" in needed(process.stderr).readline() + needed(process.stderr).readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert err.splitlines()[-1] == "edgeface: cancelled, nothing was kept"
        assert users.command(MEMBER, [GROUP], "people", "list")[1] == ""


@needs_users
def test_a_reload_in_the_middle_carries_a_sitting_over_or_begins_it_again(users: Users) -> None:
    with service(users) as daemon:
        process = users.popen(MEMBER, [GROUP], "enroll", "Barack", "--count", "3")
        needed(process.stderr).readline()
        users.write(presence={"left_after": 3.0})
        daemon.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "3 images enrolled" in out
        process = users.popen(MEMBER, [GROUP], "enroll", "Eve", "--force", "--count", "3")
        needed(process.stderr).readline()
        users.write(matching={"margin": 0.1})
        daemon.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "3 images enrolled" in out
