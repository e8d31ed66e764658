"""The commands: doctor."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import USER, Broker, authority, broker, free_port, needs_broker, needs_openssl
from fixtures.commandline import ROOT, Cli
from fixtures.plain_gallery import plain_gallery

from edgeface.doctor import CHECKS
from edgeface.vision.model_card import SHIPPED, load_card

__all__ = ["broker"]
SERVICE = 54321
"""User and group of a service."""


@needs_broker
def test_the_doctor_finds_nothing_wrong_with_what_works(cli: Cli, scene: dict[str, Any], broker: Broker) -> None:
    cli.set(camera=scene, mqtt=broker.settings())
    checks = cli.json("doctor")["checks"]
    names = [check["name"] for check in checks]
    assert names == ["runtime", "model", "config", "gallery", "backup", "permissions", "camera", "broker", "sync", "clock"]
    assert all(check["ok"] and check["found"] and not check["cure"] for check in checks)
    assert cli("doctor").stdout.count("ok  ") == len(checks)


def broken_config(cli: Cli) -> None:
    cli.file.write_text("[device]\nidd = 1\n")


def broken_gallery(cli: Cli) -> None:
    cli.gallery.parent.mkdir()
    cli.gallery.write_text("not a database at all, and long enough to be read as one" * 20)


def open_gallery(cli: Cli) -> None:
    cli("people", "list")
    cli.gallery.chmod(0o644)


def absent_camera(cli: Cli) -> None:
    cli.set(camera={"source": "folder:/absent"})


def open_key(cli: Cli) -> None:
    cli("people", "list")
    cli.gallery.with_name("gallery.key").chmod(0o640)


def absent_key(cli: Cli) -> None:
    cli("people", "list")
    cli.gallery.with_name("gallery.key").unlink()


def readable_password(cli: Cli) -> None:
    password = cli.folder / "password"
    password.write_text("secret\n")
    password.chmod(0o644)
    cli.set(mqtt={"username": USER, "password_file": str(password)})


def absent_broker(cli: Cli) -> None:
    cli.set(mqtt={"host": "127.0.0.1", "port": free_port()})


def broker_without_a_name(cli: Cli) -> None:
    cli.set(mqtt={"host": "192.168.1..5"})


def absent_password(cli: Cli) -> None:
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
        (broker_without_a_name, "config"),
        (absent_password, "broker"),
    ],
)
def test_the_doctor_names_a_fault_and_its_cure(cli: Cli, fault: Callable[..., None], name: str) -> None:
    fault(cli)
    checks = {check["name"]: check for check in cli.json("doctor", code=1)["checks"]}
    assert not checks[name]["ok"]
    assert checks[name]["found"]
    assert checks[name]["cure"]
    assert checks["runtime"]["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(
    ("owner", "group", "cure"),
    [(0, SERVICE, "chmod 0640"), (0, 0, "chgrp --reference={folder}, chmod 0640"), (SERVICE, SERVICE, "chmod 0600")],
)
def test_the_doctor_does_not_shut_the_service_out_of_a_password_that_root_owns(
    cli: Cli, owner: int, group: int, cure: str
) -> None:
    cli("people", "list")
    os.chown(cli.gallery.parent, SERVICE, SERVICE)
    readable_password(cli)
    os.chown(cli.folder / "password", owner, group)
    (check,) = cli.json("doctor", "--only", "permissions", code=1)["checks"]
    assert f"password is 0644, {cure.format(folder=cli.gallery.parent)}" in check["found"]


def test_the_doctor_says_fail_and_how_to_mend_it(cli: Cli) -> None:
    lines = cli("doctor", code=1).stdout.splitlines()  # the default camera is not there
    at = next(number for number, line in enumerate(lines) if line.startswith("FAIL  camera"))
    assert "-> " in lines[at + 1]


def test_the_doctor_checks_what_it_is_asked_to(cli: Cli) -> None:
    cli.file.write_text("[device]\nidd = 1\n")
    assert [check["name"] for check in cli.json("doctor", "--only", "model,runtime")["checks"]] == ["runtime", "model"]
    (check,) = cli.json("doctor", "--only", "gallery", code=1)["checks"]
    assert "idd" in check["found"]
    assert "there is no check lungs" in cli("doctor", "--only", "model,lungs", code=2).stderr


def test_a_threshold_that_was_not_measured_is_told_and_is_no_fault(cli: Cli, obama: dict[str, Any]) -> None:
    (check,) = cli.json("doctor", "--only", "gallery")["checks"]
    assert "measured" not in check["found"]
    cli.set(matching={"target_fpir": 1e-7})
    (check,) = cli.json("doctor", "--only", "gallery")["checks"]
    assert "the threshold is for a false-accept rate of 5.0e-08 a comparison, was measured down to 1e-05" in check["found"]
    told = cli.json("gallery", "check", code=1)  # for want of a third view
    assert "is extrapolated beyond" in told["threshold"]
    assert "\nthreshold    the threshold is for" in cli("gallery", "check", code=1).stdout


def test_the_doctor_leaves_a_gallery_of_an_older_format_as_it_is(cli: Cli) -> None:
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


def test_every_check_of_the_doctor_is_explained(cli: Cli) -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    assert headings[: len(CHECKS)] == list(CHECKS)
    told = cli("doctor", code=1).stdout  # the default camera is not there
    assert "see docs/troubleshooting.md#camera" in told


def test_the_doctor_names_a_damaged_network(cli: Cli, tmp_path: Path) -> None:
    model = shutil.copytree(SHIPPED, tmp_path / "model")
    (model / "decoder.tflite").write_bytes(b"other")
    checks = {check["name"]: check for check in cli.json("--model", model, "doctor", code=1)["checks"]}
    assert not checks["model"]["ok"]


@needs_broker
@needs_openssl
def test_the_doctor_tells_refusal_access_control_and_a_foreign_authority_apart(
    cli: Cli, tmp_path: Path, broker: Broker
) -> None:
    def found(settings: dict[str, Any]) -> str:
        cli.set(mqtt=settings)
        (check,) = (check for check in cli.json("doctor", code=1)["checks"] if check["name"] == "broker")
        assert not check["ok"]
        return str(check["found"])

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


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_root_makes_nothing_that_the_service_could_not_open(cli: Cli, demo_photos: Path) -> None:
    cli.gallery.parent.mkdir(mode=0o700)
    os.chown(cli.gallery.parent, 1234, 1234)
    assert "none yet" in cli("doctor", "--only", "gallery").stdout
    assert not list(cli.gallery.parent.iterdir())
    cli("enroll", "Barack", "--image", demo_photos / "obama_portrait.jpg")
    made = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in cli.gallery.parent.iterdir()}
    assert {"gallery.db", "gallery.key", "audit.jsonl"} <= made.keys()
    assert set(made.values()) == {(1234, 1234)}
