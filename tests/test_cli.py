import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
from broker import USER, Broker, authority, broker, eventually, free_port, needs_broker, needs_openssl
from sitters import sitter
from test_database import plain_gallery
from typer.main import get_command
from typer.testing import CliRunner

from edgeface import config
from edgeface.cli import app
from edgeface.control import ControlServer
from edgeface.doctor import CHECKS
from edgeface.gallery import Gallery, template_id
from edgeface.modelcard import SHIPPED, load_card

__all__ = ["broker"]
ROOT = Path(__file__).parent.parent


class Cli:
    """The command line in a folder of its own, with settings that ``set`` writes."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "edgeface.toml"
        hidden = ("EDGEFACE_CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET")
        self.environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self.environment |= {"PYTHONPATH": str(ROOT), "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
        self.running = []
        self.set()

    @property
    def gallery(self):
        return self.folder / "gallery" / "gallery.db"

    def set(self, **sections):
        given = {"gallery": {"path": str(self.gallery)}} | sections
        lines = []
        for section, values in given.items():
            lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def command(self, *words):
        return [sys.executable, "-m", "edgeface", "--config", str(self.file), *map(str, words)]

    def __call__(self, *words, code=0):
        result = subprocess.run(
            self.command(*words), capture_output=True, text=True, cwd=self.folder, env=self.environment, timeout=60
        )
        assert result.returncode == code, (result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
        return result

    def json(self, *words, code=0):
        return json.loads(self(*words, "--json", code=code).stdout)

    def refusal(self, *words, code=1):
        """The one line on standard error."""
        return one_line(self(*words, code=code))

    def start(self, *words):
        self.running.append(Running(self.command(*words), self.folder, self.environment))
        return self.running[-1]


class Running:
    """A command that goes on; its output comes line by line."""

    def __init__(self, command, folder, environment):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )
        self.out, self.err, self.told = Queue(), Queue(), []
        for stream, queue in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            Thread(target=lambda stream=stream, queue=queue: [queue.put(line.strip()) for line in stream], daemon=True).start()

    def line(self):
        return self.out.get(timeout=30)

    def hears(self, text):
        """Wait until standard error says so."""
        while text not in (line := self.err.get(timeout=30)):
            self.told.append(line)
        self.told.append(line)
        return line

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(20)
        eventually(lambda: False, 0.2)
        while not self.err.empty():
            self.told.append(self.err.get())
        assert not any("Traceback" in line for line in self.told), self.told
        return code


def on_terminal(cli, *words, answer=b""):
    """What a terminal shows of a command that succeeds, while the answer is typed at each question."""
    command = cli.command(*words)
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe(command[0], command, cli.environment | {"TERM": "xterm-256color"})
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while data := os.read(terminal, 1000):
            shown += data
            if answer and shown.endswith(b": "):  # the blank comes when what is typed is no longer shown
                os.write(terminal, answer)
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, shown
    return shown


def one_line(result):
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("edgeface: ")
    return lines[0]


@pytest.fixture
def cli(tmp_path):
    made = Cli(tmp_path)
    yield made
    for running in made.running:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(10)


@pytest.fixture
def obama(cli, demo_photos):
    """Enrolled; the answer of ``enroll --json``."""
    photos = [demo_photos / "obama_portrait.jpg", demo_photos / "obama_congress.jpg"]
    return cli.json("enroll", "Barack Obama", "--image", photos[0], "--image", photos[1])


@pytest.fixture
def scene(tmp_path, demo_photos):
    """A folder camera that shows the man who is enrolled."""
    folder = tmp_path / "scene"
    folder.mkdir()
    shutil.copy(demo_photos / "obama_portrait.jpg", folder)
    return {"source": f"folder:{folder}", "name": "front", "hold": 1.0, "fps": 10}


# Enrolling and identifying


def test_photos_are_enrolled_and_listed(cli, obama, demo_photos):
    paths = [str(demo_photos / name) for name in ("obama_portrait.jpg", "obama_congress.jpg")]
    assessment = obama.pop("assessment")
    assert obama == {"id": obama["id"], "name": "Barack Obama", "templates": 2, "accepted": paths, "refused": []}
    assert assessment["metres"] > 1
    assert re.fullmatch(r"p_[0-9a-f]{16}", obama["id"])
    (person,) = cli.json("people", "list")["people"]
    assert set(person) == {"id", "name", "templates", "enrolled"}
    assert (person["id"], person["name"], person["templates"]) == (obama["id"], "Barack Obama", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", person["enrolled"])
    assert "Barack Obama" in cli("people", "list").stdout


def test_a_folder_is_enrolled_and_what_will_not_do_is_told(cli, tmp_path, demo_photos):
    folder = tmp_path / "anna"
    folder.mkdir()
    shutil.copy(demo_photos / "collins_portrait.jpg", folder / "good.jpg")
    (folder / "text.jpg").write_text("no picture")
    told = cli.json("enroll", "Anna", "--from", folder)
    assert told["accepted"] == [str(folder / "good.jpg")]
    ((refused),) = told["refused"]
    assert set(refused) == {"path", "reason"}
    assert refused["path"] == str(folder / "text.jpg")
    assert "1 image enrolled, 1 template in all" in cli("enroll", "Anna", "--from", folder).stdout


def test_a_folder_a_person_is_enrolled_and_who_cannot_be_is_told(cli, tmp_path, demo_photos):
    for name, photo in {"Anna [1]": "biden_portrait.jpg", "Barack": "obama_portrait.jpg"}.items():
        (tmp_path / "all" / name).mkdir(parents=True)
        shutil.copy(demo_photos / photo, tmp_path / "all" / name)
    (tmp_path / "all" / "Barack" / "text.jpg").write_text("no picture")
    done = cli("enroll", "--from", tmp_path / "all")
    assert "2 of 2 people enrolled" in done.stdout
    assert "1 of 2: Anna [1]" in done.stderr
    assert "text.jpg: not a JPEG" in done.stderr
    assert [person["name"] for person in cli.json("people", "list")["people"]] == ["Anna [1]", "Barack"]
    (tmp_path / "all" / "Carl").mkdir()
    told = cli.json("enroll", "--from", tmp_path / "all", code=1)
    assert [(person["name"], person["id"] is None) for person in told["people"]] == [
        ("Anna [1]", False),
        ("Barack", False),
        ("Carl", True),
    ]
    assert "there is no folder of a person" in cli.refusal("enroll", "--from", tmp_path / "all" / "Barack")


def test_nobody_is_enrolled_when_no_photo_will_do(cli, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    told = cli.json("enroll", "Anna", "--image", tmp_path / "text.jpg", code=1)
    assert (told["id"], told["accepted"]) == (None, [])
    assert cli.json("people", "list") == {"people": []}


def test_the_camera_enrols(cli, scene):
    cli.set(camera=scene)
    told = cli.json("enroll", "Anna", "--count", "1")
    assert told["accepted"] == ["view 1"]


def test_a_terminal_shows_one_live_line_and_then_the_verdict(cli, tmp_path):
    scene = tmp_path / "sitting"
    scene.mkdir()
    for number in range(12):
        face = sitter(yaw=0.45 * (number % 2))
        assert cv2.imwrite(str(scene / f"{number:02}.png"), cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
    cli.set(camera={"source": f"folder:{scene}", "hold": 2.0, "fps": 10})
    shown = on_terminal(cli, "enroll", "Anna", "--count", "2").decode()
    live, _, verdict = shown.rpartition("\x1b[2K")  # the last time that the line is cleared
    assert live.count("\n") == 1  # at its end, before it is cleared
    assert re.search("●○ .*view 1 taken", live)
    assert re.search("●○ .*turn a little", live)
    assert re.search("●● .*thank you", live)
    assert "Anna: 2 images enrolled, 2 templates in all" in verdict
    assert "-> " in verdict
    assert "taken" not in verdict


def test_a_known_face_needs_force_to_get_another_name(cli, obama, demo_photos):
    photo = demo_photos / "obama_portrait.jpg"
    told = cli.json("enroll", "Berta", "--image", photo, code=1)
    assert "Barack Obama" in told["refused"][0]["reason"]
    assert cli.json("enroll", "Berta", "--image", photo, "--force")["accepted"] == [str(photo)]


def test_photos_are_identified(cli, obama, demo_photos, photos):
    shown = [
        demo_photos / "obama_press_room.jpg",
        demo_photos / "collins_portrait.jpg",
        photos / "obama_and_biden_blue_room.jpg",
    ]
    images = cli.json("identify", *shown)["images"]
    assert [image["path"] for image in images] == [str(path) for path in shown]
    assert [len(image["faces"]) for image in images] == [1, 1, 2]
    fields = {"box", "landmarks", "quality", "decision", "person_id", "name", "score", "threshold", "margin", "probability"}
    assert all(set(image) == {"path", "faces"} for image in images)
    assert all(set(face) == fields for image in images for face in image["faces"])
    known, unknown = images[0]["faces"][0], images[1]["faces"][0]
    assert (known["decision"], known["person_id"], known["name"]) == ("accept", obama["id"], "Barack Obama")
    assert known["score"] >= known["threshold"]
    assert unknown["decision"] in ("reject", "unsure")
    assert (unknown["person_id"], unknown["name"]) == (None, None)
    assert len(known["box"]) == 4
    assert np.shape(known["landmarks"]) == (5, 2)
    lines = cli("identify", *shown).stdout.splitlines()
    assert len(lines) == 4
    assert "Barack Obama" in lines[0]


def test_pictures_are_annotated_one_as_a_file_and_more_in_a_folder(cli, obama, demo_photos, tmp_path):
    photo = demo_photos / "obama_press_room.jpg"
    cli("identify", photo, "--annotate", tmp_path / "one.png")
    drawn, before = cv2.imread(str(tmp_path / "one.png")), cv2.imread(str(photo))
    assert drawn.shape == before.shape
    assert 0 < np.mean(np.any(drawn != before, axis=2)) < 0.5
    cli("identify", photo, demo_photos / "collins_portrait.jpg", "--annotate", tmp_path / "many")
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["collins_portrait.png", "obama_press_room.png"]


def test_pictures_of_the_same_name_from_two_folders_are_both_drawn(cli, demo_photos, tmp_path):
    for folder, photo in (("a", "obama_portrait"), ("b", "collins_portrait")):
        (tmp_path / folder).mkdir()
        shutil.copy(demo_photos / f"{photo}.jpg", tmp_path / folder / "1.jpg")
    cli("identify", tmp_path / "a", tmp_path / "b", "--annotate", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_looking_at_a_photo_says_nothing_on_standard_error(cli, demo_photos):
    assert cli("identify", demo_photos / "obama_portrait.jpg").stderr == ""


def huge(path):
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (20000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    path.write_bytes(header + bytes(64))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (huge, "too large"),
        (lambda path: path.write_text("no picture"), "not a JPEG"),
        (lambda path: path.touch(), "empty"),
        (lambda path: None, "No such file"),
    ],
    ids=["huge", "text", "empty", "absent"],
)
def test_a_file_that_is_no_picture_is_one_line_and_the_others_are_still_looked_at(cli, tmp_path, demo_photos, make, reason):
    make(tmp_path / "bad.jpg")
    good = demo_photos / "obama_portrait.jpg"
    result = cli("identify", tmp_path / "bad.jpg", good, code=1)
    assert reason in one_line(result)
    assert str(good) in result.stdout
    bad, _ = cli.json("identify", tmp_path / "bad.jpg", good, code=1)["images"]
    assert reason in bad["error"]
    assert bad["faces"] == []


def test_a_file_name_that_is_no_utf8_is_no_trouble(cli, tmp_path, demo_photos):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    shutil.copy(demo_photos / "obama_portrait.jpg", name)
    assert len(cli.json("identify", tmp_path)["images"]) == 1


# People


def test_people_are_renamed_and_forgotten_by_name_or_id(cli, obama):
    cli("people", "rename", "Barack Obama", "Barry")
    (person,) = cli.json("people", "list")["people"]
    assert (person["id"], person["name"]) == (obama["id"], "Barry")
    cli("people", "forget", obama["id"])
    assert cli.json("people", "list") == {"people": []}
    assert "Barry" in cli.refusal("people", "forget", "Barry")


@pytest.fixture
def words(tmp_path):
    """A file with a passphrase."""
    file = tmp_path / "words"
    file.write_text("correct horse battery\n")
    file.chmod(0o600)
    return file


def test_an_export_in_the_clear_is_private_and_brings_everybody_back(cli, obama, tmp_path):
    cli("people", "export", tmp_path / "people.json", "--plain")
    assert stat.S_IMODE((tmp_path / "people.json").stat().st_mode) == 0o600
    before = cli.json("people", "list")
    assert cli("people", "export", "-", "--plain").stdout.strip() == (tmp_path / "people.json").read_text().strip()
    cli("people", "forget", "Barack Obama")
    cli("people", "import", tmp_path / "people.json")
    assert cli.json("people", "list") == before


def test_an_export_is_encrypted_with_a_passphrase_from_a_file(cli, obama, tmp_path, words):
    out = tmp_path / "people.sealed"
    cli("people", "export", out, "--passphrase-file", words)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert b"Obama" not in out.read_bytes()
    assert obama["id"].encode() not in out.read_bytes()
    before = cli.json("people", "list")
    cli("people", "forget", "Barack Obama")
    (tmp_path / "wrong").write_text("incorrect horse\n")
    (tmp_path / "wrong").chmod(0o600)
    assert "passphrase is wrong" in cli.refusal("people", "import", out, "--passphrase-file", tmp_path / "wrong")
    assert cli.json("people", "list") == {"people": []}
    cli("people", "import", out, "--passphrase-file", words)
    assert cli.json("people", "list") == before


def test_export_and_import_tell_programs_what_they_did(cli, obama, tmp_path, words, demo_photos):
    out, secret = tmp_path / "people.sealed", ("--passphrase-file", words)
    he = {"id": obama["id"], "name": "Barack Obama"}
    told = cli.json("people", "export", out, *secret)
    assert told == {"file": str(out), "encrypted": True, "people": [he | {"templates": 2}]}
    sealed = json.loads(out.read_text())
    assert sealed["edgeface_sealed"] == 1

    def imported():
        told = cli.json("people", "import", out, *secret)
        assert told["file"] == str(out)
        return told["people"]

    assert imported() == [he | {"outcome": "skipped", "added": 0, "templates": 2}]
    cli("people", "forget", "Barack Obama")
    assert imported() == [he | {"outcome": "imported", "added": 2, "templates": 2}]
    cli("gallery", "drop", template_id(stored_templates(cli)[0]))
    assert imported() == [he | {"outcome": "merged", "added": 1, "templates": 2}]
    out.write_text(json.dumps(sealed | {"edgeface_sealed": 9}))
    assert "another version of edgeface" in cli.refusal("people", "import", out, *secret)
    assert "give a file" in cli.refusal("people", "export", "-", "--plain", "--json", code=2)


def stored_templates(cli):
    gallery = Gallery(cli.gallery, load_card(SHIPPED).digest)
    with closing(gallery):
        return gallery.templates().vectors


def test_a_gallery_is_taken_over_to_another_network_on_command(cli, other_model, demo_photos):
    assert "nothing to do" in cli("gallery", "reembed").stdout
    assert not cli.gallery.exists()
    cli("enroll", "Barack Obama", "--image", demo_photos / "obama_portrait.jpg")
    assert "no faces are kept of Barack Obama" in cli.refusal("--model", other_model, "gallery", "reembed")
    cli.set(gallery={"path": str(cli.gallery), "keep_faces": True})
    cli("enroll", "Barack Obama", "--image", demo_photos / "obama_portrait.jpg")
    assert "edgeface gallery reembed" in cli.refusal("--model", other_model, "people", "list")
    done = cli.json("--model", other_model, "gallery", "reembed")
    assert done == {"people": 1, "templates": 1, "lost": 0, "dropped": []}
    assert [person["name"] for person in cli.json("--model", other_model, "people", "list")["people"]] == ["Barack Obama"]
    assert '"action":"reembed"' in (cli.gallery.parent / "audit.jsonl").read_text()


def test_without_a_terminal_there_is_no_passphrase_to_ask_for(cli, obama, tmp_path, words):
    assert "--passphrase-file" in cli.refusal("people", "export", tmp_path / "out", code=2)
    words.write_text("short\n")
    assert "8 characters" in cli.refusal("people", "export", tmp_path / "out", "--passphrase-file", words, code=2)
    words.chmod(0o644)
    assert "chmod 0600" in cli.refusal("people", "export", tmp_path / "out", "--passphrase-file", words, code=2)
    assert not (tmp_path / "out").exists()


def test_a_passphrase_is_asked_for_on_a_terminal_and_not_shown(cli, obama, tmp_path):
    answer = b"correct horse battery\n"
    out = tmp_path / "people.sealed"
    shown = on_terminal(cli, "people", "export", out, answer=answer)
    assert shown.count(b": ") == 2
    assert b"horse" not in shown
    cli("people", "forget", "Barack Obama")
    assert b"1 people imported" in on_terminal(cli, "people", "import", out, answer=answer)


# Not this person


def test_an_event_is_listed_rejected_and_confirmed(cli, obama, scene, demo_photos):
    cli.set(camera=scene)
    event = json.loads(cli("run").stdout.splitlines()[0])
    (kept,) = cli.json("events", "list")["events"]
    fields = {"event_id", "event_type", "ts", "camera", "person_id", "name", "score", "quality", "verdict"}
    assert set(kept) == fields
    assert {name: kept[name] for name in fields - {"verdict"}} == {name: event[name] for name in fields - {"verdict"}}
    assert kept["verdict"] is None
    line = cli("events", "list", "--person", "Barack Obama").stdout
    assert event["event_id"] in line
    assert "Barack Obama" in line
    told = cli.json("people", "reject", event["event_id"], "--force")
    expected = {"event_id": event["event_id"], "person_id": obama["id"], "name": "Barack Obama"}
    assert told == expected | {"verdict": "rejected", "added": True}
    assert cli.json("events", "list")["events"][0]["verdict"] == "rejected"
    (face,) = cli.json("identify", demo_photos / "obama_portrait.jpg")["images"][0]["faces"]
    assert face["decision"] == "reject"
    assert cli.json("people", "confirm", event["event_id"])["verdict"] == "confirmed"
    (face,) = cli.json("identify", demo_photos / "obama_portrait.jpg")["images"][0]["faces"]
    assert face["decision"] == "accept"
    cli("people", "forget", "Barack Obama")
    assert cli.json("events", "list") == {"events": []}


def test_a_stranger_is_confirmed_by_name_only(cli, obama, scene, demo_photos):
    shutil.copy(demo_photos / "collins_portrait.jpg", Path(scene["source"].removeprefix("folder:")) / "obama_portrait.jpg")
    cli.set(camera=scene)
    cli("run")
    (kept,) = cli.json("events", "list")["events"]
    assert (kept["event_type"], kept["person_id"], kept["name"]) == ("unknown", None, None)
    assert "names nobody" in cli.refusal("people", "reject", kept["event_id"])
    assert "--as NAME" in cli.refusal("people", "confirm", kept["event_id"], code=2)
    assert "nobody called" in cli.refusal("people", "confirm", kept["event_id"], "--as", "Susan")
    assert cli.json("people", "confirm", kept["event_id"], "--as", "Barack Obama")["added"]


def test_an_event_that_is_not_kept_is_one_line(cli, obama):
    for words in (("reject", "01M86GTN766HKSFCZ15NNMEFKP"), ("confirm", "nonsense"), ("reject", "é")):
        assert "events list" in cli.refusal("people", *words)
    assert "no event is kept" in cli("events", "list").stderr


# The key and the audit log


def test_a_gallery_without_its_key_is_one_line_and_no_key_is_made(cli, obama):
    key = cli.gallery.with_name("gallery.key")
    aside = key.rename(key.with_name("aside"))
    line = cli.refusal("people", "list")
    assert str(key) in line
    assert "put it back" in line
    assert not key.exists()
    cli.set(gallery={"path": str(cli.gallery), "key_file": str(aside)})
    assert len(cli.json("people", "list")["people"]) == 1


def test_whatever_changes_the_gallery_is_in_the_audit_log(cli, obama, scene, tmp_path, words):
    cli.set(camera=scene)
    event_id = json.loads(cli("run").stdout.splitlines()[0])["event_id"]
    cli("people", "rename", "Barack Obama", "Barry")
    cli("people", "reject", event_id, "--force")
    cli("people", "confirm", event_id)
    cli("people", "export", tmp_path / "out", "--passphrase-file", words)
    cli("people", "forget", "Barry")
    cli("people", "import", tmp_path / "out", "--passphrase-file", words)
    text = cli.gallery.with_name("audit.jsonl").read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    assert [entry["action"] for entry in entries] == [
        *("enroll", "rename", "rejected", "confirmed", "export", "forget", "import")
    ]
    assert {entry["by"]["uid"] for entry in entries} == {os.getuid()}
    assert {entry["person"] for entry in entries if "person" in entry} == {obama["id"]}
    assert (entries[0]["images"], entries[2]["event"], entries[4]["encrypted"]) == (2, event_id, True)
    assert "Barry" not in text
    assert "Obama" not in text


def test_a_full_disk_costs_a_line_of_the_audit_log_and_never_half_an_enrolment(cli, demo_photos, tmp_path):
    cli("people", "list")
    cli.gallery.with_name("audit.jsonl").symlink_to("/dev/full")
    done = cli("enroll", "Anna", "--image", demo_photos / "obama_portrait.jpg")
    assert "No space left" in done.stderr
    assert "enroll is not in the audit log" in done.stderr
    assert [person["name"] for person in cli.json("people", "list")["people"]] == ["Anna"]
    refused = cli("people", "export", tmp_path / "out", "--plain", code=1)
    assert "nothing was exported" in refused.stderr
    assert not (tmp_path / "out").exists()
    cli("people", "forget", "Anna")
    assert cli.json("people", "list") == {"people": []}


# Settings


def test_the_settings_are_shown_with_their_origin_and_checked(cli):
    cli.set(device={"id": "door"})
    rows = {(row["section"], row["name"]): row for row in cli.json("config", "show")["settings"]}
    assert (rows["device", "id"]["value"], rows["device", "id"]["origin"]) == ("door", str(cli.file))
    assert rows["camera", "fps"]["origin"] == "default"
    assert "device.id" in cli("config", "show").stdout
    assert "valid" in cli("config", "check").stdout
    (cli.folder / "default.toml").write_text(cli("config", "default").stdout)
    cli("config", "check", cli.folder / "default.toml")


def test_the_environment_names_the_settings(cli):
    cli.set(device={"id": "gate"})
    result = subprocess.run(
        [sys.executable, "-m", "edgeface", "config", "show"],
        capture_output=True,
        text=True,
        env=cli.environment | {"EDGEFACE_CONFIG": str(cli.file)},
        timeout=60,
    )
    assert '"gate"' in result.stdout


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"not toml", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"[device]\nidd = 'door'\n", "unknown setting"),
        (b"[camera]\nfps = 'fast'\n", "[camera.fps]"),
        (b"a = " + b"[" * 20_000, "not valid TOML"),
    ],
    ids=["text", "bytes", "unknown", "type", "deep"],
)
def test_settings_that_are_wrong_are_one_line(cli, text, reason):
    cli.file.write_bytes(text)
    for words in (("config", "check"), ("people", "list")):
        line = cli.refusal(*words, code=2)
        assert str(cli.file) in line
        assert reason in line


def test_settings_that_cannot_be_read_are_one_line(cli):
    cli.file.unlink()
    assert "No such file" in cli.refusal("people", "list", code=2)
    cli.file.mkdir()
    assert str(cli.file) in cli.refusal("run", code=2)


@pytest.mark.parametrize("path", ["/proc/nowhere/gallery.db", "a\0b", "."])
def test_a_gallery_that_cannot_be_is_one_line(cli, path):
    cli.set(gallery={"path": path})
    cli.refusal("people", "list")


# Networks


def test_a_network_that_is_missing_or_damaged_is_one_line(cli, tmp_path, demo_photos):
    assert "absent" in cli.refusal("--model", tmp_path / "absent", "people", "list")
    model = shutil.copytree(SHIPPED, tmp_path / "model")
    with (model / "encoder.tflite").open("ab") as file:
        file.write(b"more")
    assert "digest" in cli.refusal("--model", model, "identify", demo_photos / "obama_portrait.jpg")
    assert "digest" in cli.refusal("--model", model, "run")


def test_a_gallery_of_another_network_is_one_line(cli, obama, tmp_path):
    model = shutil.copytree(SHIPPED, tmp_path / "model")
    card = json.loads((model / "model.json").read_text())
    card["encoder"]["sha256"] = "0" * 64
    (model / "model.json").write_text(json.dumps(card))
    line = cli.refusal("--model", model, "people", "list")
    assert str(cli.gallery) in line
    assert "model sha256:" in line


# The daemon


def test_without_a_broker_events_are_lines(cli, obama, scene):
    cli.set(camera=scene)
    events = [json.loads(line) for line in cli("run").stdout.splitlines()]
    assert [event["event_type"] for event in events] == ["recognized", "left"]
    assert {event["person_id"] for event in events} == {obama["id"]}
    assert {event["camera"] for event in events} == {"front"}


def test_a_camera_that_cannot_be_is_one_line(cli, tmp_path):
    cli.set(camera={"source": f"folder:{tmp_path}/absent"})
    assert "absent" in cli.refusal("run")
    cli.set(camera={"source": "telescope"})
    assert "telescope" in cli.refusal("run", code=2)


@needs_broker
def test_a_daemon_tells_the_broker_and_a_listener_prints_it(cli, obama, scene, broker):
    ear = broker.listen("edgeface/door/#")
    cli.set(camera=scene, device={"id": "door"}, mqtt=broker.settings())
    listener = cli.start("listen", "--json")
    listener.hears("listening")
    cli("run")
    events = [json.loads(listener.line()) for _ in range(2)]
    assert [(event["event_type"], event["name"]) for event in events] == [
        ("recognized", "Barack Obama"),
        ("left", "Barack Obama"),
    ]
    assert events == ear.wait_for("/event", 2)
    assert ear.wait_for(f"person/{obama['id']}/state", 3) == ["OFF", "ON", "OFF"]
    assert ear.wait_for("availability", 2) == ["online", "offline"]
    assert ear.wait_for("health")[0]["gallery_size"] == 1
    assert listener.stop(signal.SIGINT) == 130


@needs_broker
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_a_daemon_is_offline_after_any_end(cli, scene, broker, number, code):
    ear = broker.listen("edgeface/door/#")
    cli.set(camera=scene | {"hold": 600}, device={"id": "door"}, mqtt=broker.settings())
    daemon = cli.start("run")
    ear.wait_for("availability")
    assert eventually(lambda: any(health["camera_state"] == "ok" for health in ear.on("health")))
    assert daemon.stop(number) == code
    assert ear.wait_for("availability", 2) == ["online", "offline"]
    assert broker.retained("edgeface/door/availability") == "offline"


@needs_broker
def test_a_refused_or_absent_broker_is_told_once_and_does_not_stop_the_daemon(cli, scene, broker):
    wrong = cli.folder / "wrong"
    wrong.write_text("guess\n")
    for settings, reason in (
        (broker.settings(password_file=str(wrong)), "ot authorized"),
        ({"host": "127.0.0.1", "port": free_port()}, "cannot be reached"),
    ):
        cli.set(camera=scene | {"hold": 600}, mqtt=settings)
        daemon = cli.start("run")
        assert "127.0.0.1" in daemon.hears(reason)
        assert not eventually(lambda: daemon.process.poll() is not None, 2.5)  # noqa: B023
        assert daemon.stop() == 0
        assert sum("127.0.0.1" in line for line in daemon.told) == 1


def test_status_is_of_the_running_daemon_and_fails_without_one(cli, obama, scene):
    cli.set(camera=scene | {"hold": 600})
    assert "no daemon with these settings is running" in cli.refusal("status")
    assert cli.json("status", code=1)["running"] is False
    daemon = cli.start("run")
    assert json.loads(daemon.line())["event_type"] == "recognized"
    told = cli.json("status")
    assert (told["running"], told["troubles"], told["camera_state"], told["gallery_size"]) == (True, [], "ok", 1)
    assert told["last_event"]["name"] == "Barack Obama"
    screen = cli("status").stdout
    assert "front: ok" in screen
    assert "1 recognized" in screen
    assert "another daemon with these settings is running" in cli.refusal("run")
    assert cli.json("status")["troubles"] == []
    assert daemon.stop() == 0
    assert "no daemon" in cli.refusal("status")


def test_status_finds_what_is_broken(cli):
    cli.set(camera={"source": "v4l2:/dev/absent", "name": "front"})
    daemon = cli.start("run")
    daemon.hears("camera_lost")
    result = cli("status", code=1)
    assert one_line(result) == "edgeface: camera front is lost: /dev/absent cannot be opened: No such file or directory"
    assert "front: lost" in result.stdout
    assert daemon.stop() == 0


def test_settings_are_read_again_on_sighup_and_wrong_ones_change_nothing(cli, obama, scene):
    port = free_port()
    cli.set(camera=scene | {"hold": 600})
    daemon = cli.start("run")
    events = [json.loads(daemon.line())]
    good = cli.file.read_text()
    for wrong in ("[camera", "[camera]\nfps = 0\n", f"{good}\n[matching]\nmargin = 'wide'\n"):
        cli.file.write_text(wrong)
        daemon.process.send_signal(signal.SIGHUP)
        assert str(cli.file) in daemon.hears("settings not taken, the old ones hold")
    cli.file.write_text(good)
    assert "not taken" in one_line(cli("status", code=1))
    cli.set(camera=scene | {"hold": 600, "name": "back"}, metrics={"port": port})
    daemon.process.send_signal(signal.SIGHUP)
    assert "camera, metrics" in daemon.hears("settings read again")
    events += [json.loads(daemon.line()) for _ in range(2)]
    assert [(event["event_type"], event["camera"]) for event in events] == [
        ("recognized", "front"),
        ("left", "front"),
        ("recognized", "back"),
    ]
    assert cli.json("status")["troubles"] == []
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"edgeface_camera_up 1.0" in answer.read()
    assert daemon.stop() == 0


@pytest.mark.parametrize("address", ["a\0b", "a..b", "127.0.0.1"])
def test_metrics_that_cannot_be_served_are_trouble(cli, scene, address):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cli.set(camera=scene | {"hold": 600}, metrics={"port": port, "address": address})
        daemon = cli.start("run")
        daemon.hears("no metrics at")
        assert one_line(cli("status", code=1)).startswith(f"edgeface: no metrics at {address!r}, port {port}: ")
        assert daemon.stop() == 0


def test_a_reload_into_another_daemons_settings_is_refused_and_ends_neither(cli, scene, monkeypatch):
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    scene |= {"hold": 600}
    cli.set(camera=scene)
    daemon = cli.start("run")
    assert eventually(lambda: any(cli.gallery.parent.glob("*.sock")), 30)
    (ours,) = cli.gallery.parent.glob("*.sock")
    cli.set(camera=scene, device={"id": "taken"})
    other = ControlServer(config.load(cli.file), {})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hears("not taken, the old ones hold: another daemon with these settings is running")
    other.close()
    cli.set(camera={"source": "folder:/absent"}, device={"id": "free"})
    daemon.process.send_signal(signal.SIGHUP)
    assert "/absent" in daemon.hears("not taken, the old ones hold")
    cli.set(camera=scene)
    assert "/absent" in one_line(cli("status", code=1))
    assert list(cli.gallery.parent.glob("*.sock")) == [ours]
    cli.set(camera=scene, gallery={"path": str(cli.folder / "new" / "gallery.db")})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hears("settings read again")
    assert eventually(lambda: any((cli.folder / "new").glob("*.sock")))
    assert not ours.exists()
    assert cli.json("status")["troubles"] == []
    assert daemon.stop() == 0


@needs_broker
def test_a_listener_that_is_refused_or_finds_no_broker_ends_with_one_line(cli, broker):
    wrong = cli.folder / "wrong"
    wrong.write_text("guess\n")
    cli.set(mqtt=broker.settings(password_file=str(wrong)))
    assert "ot authorized" in cli.refusal("listen")
    port = free_port()
    cli.set(mqtt={"host": "127.0.0.1", "port": port})
    assert f"127.0.0.1:{port}" in cli.refusal("listen")


@pytest.mark.parametrize(
    ("mqtt", "code"),
    [
        ({}, 2),
        ({"host": "192.168.1..5"}, 1),
        ({"host": "127.0.0.1", "username": USER, "password_file": "/absent"}, 2),
        ({"host": "127.0.0.1", "tls": True, "ca_file": "/absent"}, 2),
    ],
    ids=["no host", "no name", "no password", "no authority"],
)
def test_a_listener_with_wrong_settings_ends_with_one_line(cli, mqtt, code):
    cli.set(mqtt=mqtt)
    cli.refusal("listen", code=code)


@pytest.mark.parametrize("start", [("-m", "edgeface"), ("-c", "from edgeface.__main__ import main; main()")])
def test_an_interrupt_while_it_is_imported_ends_it_quietly(cli, start):
    library = "import os, signal\ntry:\n os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n raise ImportError\n"
    (cli.folder / "typer.py").write_text(library)
    ended = subprocess.run(
        [sys.executable, *start, "--version"], cwd=cli.folder, env=cli.environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


# The doctor


@needs_broker
def test_the_doctor_finds_nothing_wrong_with_what_works(cli, scene, broker):
    cli.set(camera=scene, mqtt=broker.settings())
    checks = cli.json("doctor")["checks"]
    names = [check["name"] for check in checks]
    assert names == ["runtime", "model", "config", "gallery", "permissions", "camera", "broker", "sync", "clock"]
    assert all(check["ok"] and check["found"] and not check["cure"] for check in checks)
    assert cli("doctor").stdout.count("ok  ") == len(checks)


def broken_config(cli):
    cli.file.write_text("[device]\nidd = 1\n")


def broken_gallery(cli):
    cli.gallery.parent.mkdir()
    cli.gallery.write_text("not a database at all, and long enough to be read as one" * 20)


def open_gallery(cli):
    cli("people", "list")
    cli.gallery.chmod(0o644)


def absent_camera(cli):
    cli.set(camera={"source": "folder:/absent"})


def open_key(cli):
    cli("people", "list")
    cli.gallery.with_name("gallery.key").chmod(0o640)


def absent_key(cli):
    cli("people", "list")
    cli.gallery.with_name("gallery.key").unlink()


def readable_password(cli):
    password = cli.folder / "password"
    password.write_text("secret\n")
    password.chmod(0o644)
    cli.set(mqtt={"username": USER, "password_file": str(password)})


def absent_broker(cli):
    cli.set(mqtt={"host": "127.0.0.1", "port": free_port()})


def broker_without_a_name(cli):
    cli.set(mqtt={"host": "192.168.1..5"})


def absent_password(cli):
    cli.set(mqtt={"host": "127.0.0.1", "username": USER, "password_file": "/absent"})


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (broken_config, "config"),
        (broken_gallery, "gallery"),
        (open_gallery, "permissions"),
        (open_key, "permissions"),
        (open_key, "gallery"),
        (absent_key, "gallery"),
        (readable_password, "permissions"),
        (absent_camera, "camera"),
        (absent_broker, "broker"),
        (broker_without_a_name, "broker"),
        (absent_password, "broker"),
    ],
)
def test_the_doctor_names_a_fault_and_its_cure(cli, fault, name):
    fault(cli)
    checks = {check["name"]: check for check in cli.json("doctor", code=1)["checks"]}
    assert not checks[name]["ok"]
    assert checks[name]["found"]
    assert checks[name]["cure"]
    assert checks["runtime"]["ok"]


def test_the_doctor_says_fail_and_how_to_mend_it(cli):
    lines = cli("doctor", code=1).stdout.splitlines()  # the default camera is not there
    at = next(number for number, line in enumerate(lines) if line.startswith("FAIL  camera"))
    assert "-> " in lines[at + 1]


def test_the_doctor_checks_what_it_is_asked_to(cli):
    cli.file.write_text("[device]\nidd = 1\n")
    assert [check["name"] for check in cli.json("doctor", "--only", "model,runtime")["checks"]] == ["runtime", "model"]
    (check,) = cli.json("doctor", "--only", "gallery", code=1)["checks"]
    assert "idd" in check["found"]
    assert "there is no check lungs" in cli("doctor", "--only", "model,lungs", code=2).stderr


def test_the_doctor_leaves_a_gallery_of_an_older_format_as_it_is(cli):
    cli("people", "list")
    cli.gallery.unlink()
    with closing(plain_gallery(cli.gallery, {}, load_card(SHIPPED).digest)):
        pass
    cli.gallery.chmod(0o600)
    before = cli.gallery.read_bytes()
    (check,) = cli.json("doctor", "--only", "gallery")["checks"]
    assert "0 people" in check["found"]
    with closing(sqlite3.connect(cli.gallery)) as older:
        assert older.execute("PRAGMA user_version").fetchone() == (1,)
    assert cli.gallery.read_bytes() == before


def test_every_check_of_the_doctor_is_explained(cli):
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    assert headings[: len(CHECKS)] == list(CHECKS)
    told = cli("doctor", code=1).stdout  # the default camera is not there
    assert "see docs/troubleshooting.md#camera" in told


def test_the_doctor_names_a_damaged_network(cli, tmp_path):
    model = shutil.copytree(SHIPPED, tmp_path / "model")
    (model / "decoder.tflite").write_bytes(b"other")
    checks = {check["name"]: check for check in cli.json("--model", model, "doctor", code=1)["checks"]}
    assert not checks["model"]["ok"]


@needs_broker
@needs_openssl
def test_the_doctor_tells_refusal_access_control_and_a_foreign_authority_apart(cli, tmp_path, broker):
    def found(settings):
        cli.set(mqtt=settings)
        (check,) = (check for check in cli.json("doctor", code=1)["checks"] if check["name"] == "broker")
        assert not check["ok"]
        return check["found"]

    wrong = cli.folder / "wrong"
    wrong.write_text("guess\n")
    assert "ot authorized" in found(broker.settings(password_file=str(wrong)))
    ours, foreign = authority(tmp_path / "ours"), authority(tmp_path / "foreign")
    other = Broker(tmp_path / "other", tls=ours, acl=f"user {USER}\ntopic read #\n").start()
    try:
        assert "certificate verify failed" in found(other.settings(tls=True, ca_file=str(foreign / "ca.pem")))
        assert "access control" in found(other.settings(tls=True, ca_file=str(ours / "ca.pem")))
    finally:
        other.close()


# Wrong usage


def commands(command, words=()):
    """Each command and group as its words and itself."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


def parsed(command, words):
    """Have a command line parsed as it would be, and nothing done."""
    context = command.make_context("edgeface", list(words))
    if below := getattr(command, "commands", {}):
        name, *rest = [*context._protected_args, *context.args]
        parsed(below[name], rest)


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*each, id=" ".join(("edgeface", *each[0]))) for each in commands(get_command(app))]
)
def test_every_command_has_examples_each_a_line_of_its_own_that_would_work(words, command):
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout
    _, _, part = re.sub(r"\n\n(?! *Example).*", "", shown[shown.find("Example") :], flags=re.DOTALL).partition(":")
    examples = [line.strip() for line in part.splitlines()]
    assert examples, shown
    for example in examples:
        line = shlex.split(re.split(r" [|>] | && ", example)[-1 if "&& edgeface" in example else 0])
        line = line[len(line) - line[::-1].index("edgeface") :]
        assert "--install-completion" not in line  # parsing it would do it
        assert tuple(word for word in line if word in words)[: len(words)] == words
        parsed(get_command(app), line)


def test_help_and_version_work_and_a_wrong_word_is_wrong_usage(cli):
    assert "enroll" in cli("--help").stdout
    assert cli("--version").stdout.startswith("edgeface ")
    for words in (("fly",), ("enroll",), ("people", "list", "--colour")):
        assert "Error" in cli(*words, code=2).stderr
