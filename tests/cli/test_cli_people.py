"""The commands: people, events, gallery, and who may do what."""

import json
import os
import re
import shutil
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import pytest
from fixtures.commandline import Cli, on_terminal
from fixtures.optional import needed

from edgeface.gallery.store import Gallery, template_id
from edgeface.types import Vector
from edgeface.vision.model_card import SHIPPED, load_card

# People


def test_people_are_renamed_and_forgotten_by_name_or_id(cli: Cli, obama: dict[str, Any]) -> None:
    cli("people", "rename", "Barack Obama", "Barry")
    (person,) = cli.json("people", "list")["people"]
    assert (person["id"], person["name"]) == (obama["id"], "Barry")
    cli("people", "forget", obama["id"])
    assert cli.json("people", "list") == {"people": []}
    assert "Barry" in cli.refusal("people", "forget", "Barry")


def test_forget_asks_on_a_terminal_unless_told_yes(cli: Cli, obama: dict[str, Any]) -> None:
    assert b"Erase Barack Obama with 2 templates and all events? [y/N]: " in on_terminal(
        cli, "people", "forget", "Barack Obama", answer=b"n\n", code=1
    )
    assert len(cli.json("people", "list")["people"]) == 1
    assert b"is forgotten" in on_terminal(cli, "people", "forget", obama["id"], answer=b"y\n")
    assert cli.json("people", "list") == {"people": []}


def test_forget_with_yes_asks_nothing_and_a_wrong_case_is_told(cli: Cli, obama: dict[str, Any]) -> None:
    assert "did you mean 'Barack Obama'?" in cli.refusal("people", "forget", "barack obama")
    assert b"Erase" not in on_terminal(cli, "people", "forget", "Barack Obama", "--yes")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A file with a passphrase."""
    file = tmp_path / "words"
    file.write_text("correct horse battery\n")
    file.chmod(0o600)
    return file


def test_an_export_in_the_clear_is_private_and_brings_everybody_back(cli: Cli, obama: dict[str, Any], tmp_path: Path) -> None:
    cli("people", "export", tmp_path / "people.json", "--plain")
    assert stat.S_IMODE((tmp_path / "people.json").stat().st_mode) == 0o600
    before = cli.json("people", "list")
    assert cli("people", "export", "-", "--plain").stdout.strip() == (tmp_path / "people.json").read_text().strip()
    cli("people", "forget", "Barack Obama")
    cli("people", "import", tmp_path / "people.json")
    assert cli.json("people", "list") == before


def test_an_export_is_encrypted_with_a_passphrase_from_a_file(
    cli: Cli, obama: dict[str, Any], tmp_path: Path, words: Path
) -> None:
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


def test_export_and_import_tell_programs_what_they_did(
    cli: Cli, obama: dict[str, Any], tmp_path: Path, words: Path, demo_photos: Path
) -> None:
    out, secret = tmp_path / "people.sealed", ("--passphrase-file", words)
    he = {"id": obama["id"], "name": "Barack Obama"}
    told = cli.json("people", "export", out, *secret)
    assert told == {"file": str(out), "encrypted": True, "people": [he | {"templates": 2}]}
    sealed = json.loads(out.read_text())
    assert sealed["edgeface_sealed"] == 1

    def imported() -> list[dict[str, Any]]:
        told = cli.json("people", "import", out, *secret)
        assert told["file"] == str(out)
        return list(told["people"])

    assert imported() == [he | {"outcome": "skipped", "added": 0, "templates": 2}]
    cli("people", "forget", "Barack Obama")
    assert imported() == [he | {"outcome": "imported", "added": 2, "templates": 2}]
    cli("gallery", "drop", template_id(he["id"], stored_templates(cli)[0]))
    assert imported() == [he | {"outcome": "merged", "added": 1, "templates": 2}]
    out.write_text(json.dumps(sealed | {"edgeface_sealed": 9}))
    assert "another version of edgeface" in cli.refusal("people", "import", out, *secret)
    assert "give a file" in cli.refusal("people", "export", "-", "--plain", "--json", code=2)


def stored_templates(cli: Cli) -> Vector:
    gallery = Gallery(cli.gallery, load_card(SHIPPED).digest)
    with closing(gallery):
        return gallery.templates().vectors


def test_a_gallery_is_taken_over_to_another_network_on_command(cli: Cli, other_model: Path, demo_photos: Path) -> None:
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


def test_without_a_terminal_there_is_no_passphrase_to_ask_for(
    cli: Cli, obama: dict[str, Any], tmp_path: Path, words: Path
) -> None:
    assert "--passphrase-file" in cli.refusal("people", "export", tmp_path / "out", code=2)
    words.write_text("short\n")
    assert "8 characters" in cli.refusal("people", "export", tmp_path / "out", "--passphrase-file", words, code=2)
    words.chmod(0o644)
    assert "chmod 0600" in cli.refusal("people", "export", tmp_path / "out", "--passphrase-file", words, code=2)
    assert not (tmp_path / "out").exists()


def test_a_passphrase_is_asked_for_on_a_terminal_and_not_shown(cli: Cli, obama: dict[str, Any], tmp_path: Path) -> None:
    answer = b"correct horse battery\n"
    out = tmp_path / "people.sealed"
    shown = on_terminal(cli, "people", "export", out, answer=answer)
    assert shown.count(b": ") == 2
    assert b"horse" not in shown
    cli("people", "forget", "Barack Obama")
    assert b"1 person imported" in on_terminal(cli, "people", "import", out, answer=answer)


# Not this person


def test_an_event_is_listed_rejected_and_confirmed(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any], demo_photos: Path
) -> None:
    cli.set(camera=scene)
    event = json.loads(cli("run").stdout.splitlines()[0])
    (kept,) = cli.json("events", "list")["events"]
    fields = {"event_id", "event_type", "ts", "camera", "person_id", "name", "score", "quality", "verdict"}
    assert set(kept) == fields | {"reason", "why"}
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


def test_a_stranger_is_confirmed_by_name_only(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any], demo_photos: Path
) -> None:
    shutil.copy(demo_photos / "collins_portrait.jpg", Path(scene["source"].removeprefix("folder:")) / "obama_portrait.jpg")
    cli.set(camera=scene, events={"keep_strangers": True})
    cli("run")
    (kept,) = cli.json("events", "list")["events"]
    assert (kept["event_type"], kept["person_id"], kept["name"]) == ("unknown", None, None)
    assert "names nobody" in cli.refusal("people", "reject", kept["event_id"])
    assert "--as NAME" in cli.refusal("people", "confirm", kept["event_id"], code=2)
    assert "nobody called" in cli.refusal("people", "confirm", kept["event_id"], "--as", "Susan")
    assert cli.json("people", "confirm", kept["event_id"], "--as", "Barack Obama")["added"]


def test_an_event_that_is_not_kept_is_one_line(cli: Cli, obama: dict[str, Any]) -> None:
    for words in (("reject", "01M86GTN766HKSFCZ15NNMEFKP"), ("confirm", "nonsense"), ("reject", "é")):
        assert "events list" in cli.refusal("people", *words)
    assert "no event is kept" in cli("events", "list").stderr


# The key and the audit log


def test_a_gallery_without_its_key_is_one_line_and_no_key_is_made(cli: Cli, obama: dict[str, Any]) -> None:
    key = cli.gallery.with_name("gallery.key")
    aside = key.rename(key.with_name("aside"))
    line = cli.refusal("people", "list")
    assert str(key) in line
    assert "put it back" in line
    assert not key.exists()
    cli.set(gallery={"path": str(cli.gallery), "key_file": str(aside)})
    assert len(cli.json("people", "list")["people"]) == 1


def test_a_doubtful_template_is_shown_with_its_kept_face(cli: Cli, demo_photos: Path, tmp_path: Path) -> None:
    cli.set(gallery={"path": str(cli.gallery), "keep_faces": True})
    cli("enroll", "Barack", "--image", demo_photos / "obama_portrait.jpg", "--image", demo_photos / "obama_congress.jpg")
    joe = [
        word
        for name in ("biden_portrait", "biden_blue_room", "obama_press_room")
        for word in ("--image", demo_photos / f"{name}.jpg")
    ]
    cli("enroll", "Joe", *joe, "--force")
    out = tmp_path / "doubtful"
    told = cli("gallery", "check", "--pictures", out, code=1).stdout
    (template,) = re.findall(
        r"^unusual .* nearer to Barack, .*: unusual view or wrong photo\n(?:.*\n)*? +-> .* drop (\w+)$", told, re.M
    )
    assert f"its face is in {out / template}.png" in told
    assert stat.S_IMODE((out / f"{template}.png").stat().st_mode) == 0o600
    assert needed(cv2.imread(str(out / f"{template}.png"))).shape == (112, 112, 3)
    findings = cli.json("gallery", "check", code=1)["findings"]
    assert ("mislabelled", template) in [(one["kind"], one["template"]) for one in findings]


def test_whatever_changes_the_gallery_is_in_the_audit_log(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any], tmp_path: Path, words: Path
) -> None:
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


def test_a_full_disk_costs_a_line_of_the_audit_log_and_never_half_an_enrollment(
    cli: Cli, demo_photos: Path, tmp_path: Path
) -> None:
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


def test_what_is_no_file_is_written_to_and_a_link_stays_one(cli: Cli, obama: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    cli("people", "export", "link", "--plain")
    assert (tmp_path / "link").is_symlink()
    assert b"Barack" in (tmp_path / "target").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        cli("people", "export", "pipe", "--plain")
        assert b"Barack" in needed(reader.stdout).read()
    assert (tmp_path / "pipe").is_fifo()


def test_a_full_standard_output_is_one_line(cli: Cli, obama: dict[str, Any], scene: dict[str, Any]) -> None:
    cli.set(camera=scene)
    for words in (["people", "list"], ["people", "list", "--json"], ["config", "default"]):
        command = f"{' '.join(cli.command(*words))} > /dev/full"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=cli.environment, timeout=60)
        assert (done.returncode, done.stderr) == (1, "edgeface: standard output: No space left on device\n")
    command = f"{' '.join(cli.command('run'))} > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=cli.environment, timeout=60)
    assert done.returncode == 0
    assert done.stderr.count("an event is not printed") == 2
