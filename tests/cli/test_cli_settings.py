"""The commands: config, and settings and networks that are wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures.commandline import Cli

from edgeface.vision.model_card import SHIPPED

# Settings


def test_the_settings_are_shown_with_their_origin_and_checked(cli: Cli) -> None:
    cli.set(device={"id": "door"})
    rows = {(row["section"], row["name"]): row for row in cli.json("config", "show")["settings"]}
    assert (rows["device", "id"]["value"], rows["device", "id"]["origin"]) == ("door", str(cli.file))
    assert rows["camera", "fps"]["origin"] == "default"
    assert "device.id" in cli("config", "show").stdout
    assert "valid" in cli("config", "check").stdout
    (cli.folder / "default.toml").write_text(cli("config", "default").stdout)
    cli("config", "check", cli.folder / "default.toml")


def test_each_fault_of_the_settings_is_a_line(cli: Cli) -> None:
    cli.file.write_text('[camera]\nsorce = "picamera"\nfps = "ten"\n')
    assert cli("config", "check", code=2).stderr.splitlines() == [
        f"edgeface: {cli.file}: [camera]: unknown setting `sorce`, did you mean `source`?",
        f"edgeface: {cli.file}: [camera.fps]: expected a number, got a text; see edgeface config default",
    ]


def test_a_page_that_no_daemon_would_serve_has_no_address(cli: Cli) -> None:
    cli.set(web={"enabled": True, "address": "0.0.0.0"})
    wrong = cli.refusal("config", "check", code=2)
    assert cli.refusal("web", "url", code=2) == wrong
    cli.set(web={"enabled": True})
    assert "http://127.0.0.1:" in cli("web", "url").stdout


def test_the_environment_names_the_settings(cli: Cli) -> None:
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
def test_settings_that_are_wrong_are_one_line(cli: Cli, text: bytes, reason: str) -> None:
    cli.file.write_bytes(text)
    for words in (("config", "check"), ("people", "list")):
        line = cli.refusal(*words, code=2)
        assert str(cli.file) in line
        assert reason in line


def test_a_command_that_is_not_there_is_refused_by_check_doctor_and_daemon(cli: Cli) -> None:
    cli.set(commands={"allow": ["people", "steal"]})
    for words in (("config", "check"), ("run",)):
        assert "commands.allow: there is no command 'steal'; it is one of enroll, rename" in cli.refusal(*words, code=2)
    assert "'steal'" in cli.json("doctor", "--only", "config", code=1)["checks"][0]["found"]


def test_settings_that_cannot_be_read_are_one_line(cli: Cli) -> None:
    cli.file.unlink()
    assert "No such file" in cli.refusal("people", "list", code=2)
    cli.file.mkdir()
    assert str(cli.file) in cli.refusal("run", code=2)


@pytest.mark.parametrize(("path", "code"), [("/proc/nowhere/gallery.db", 1), ("a\0b", 2), (".", 2)])
def test_a_gallery_that_cannot_be_is_one_line(cli: Cli, path: str, code: int) -> None:
    cli.set(gallery={"path": path})
    cli.refusal("people", "list", code=code)


# Networks


def test_a_network_that_is_missing_or_damaged_is_one_line(cli: Cli, tmp_path: Path, demo_photos: Path) -> None:
    assert "absent" in cli.refusal("--model", tmp_path / "absent", "people", "list")
    model = shutil.copytree(SHIPPED, tmp_path / "model")
    with (model / "encoder.tflite").open("ab") as file:
        file.write(b"more")
    assert "digest" in cli.refusal("--model", model, "identify", demo_photos / "obama_portrait.jpg")
    assert "digest" in cli.refusal("--model", model, "run")


def test_a_gallery_of_another_network_is_one_line(cli: Cli, obama: dict[str, Any], tmp_path: Path) -> None:
    model = shutil.copytree(SHIPPED, tmp_path / "model")
    card = json.loads((model / "model.json").read_text())
    card["encoder"]["sha256"] = "0" * 64
    (model / "model.json").write_text(json.dumps(card))
    line = cli.refusal("--model", model, "people", "list")
    assert str(cli.gallery) in line
    assert "model sha256:" in line


def test_a_password_in_an_address_is_not_shown(cli: Cli) -> None:
    cli.set(camera={"source": "rtsp://user:sesame@cam/1"})
    assert "sesame" not in cli("config", "show").stdout + cli("config", "show", "--json").stdout


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"camera": {"source": "foo"}}, "camera.source"),
        ({"camera": {"source": "folder:"}}, "does not say which"),
        ({"sync": {"enabled": True}}, "sync.enabled needs a broker"),
        ({"home": {"enabled": True}}, "home.enabled needs a broker"),
        ({"homeassistant": {"enabled": True}}, "homeassistant.enabled needs a broker"),
        ({"mqtt": {"host": "mqtt://broker"}}, "is no name and no address"),
        ({"mqtt": {"host": "broker:1883"}}, "is no name and no address"),
        (
            {"mqtt": {"host": "broker", "username": "me", "password_file": "/nope"}},
            "mqtt.password_file: there is no file /nope",
        ),
        ({"mqtt": {"host": "broker", "tls": True, "ca_file": "/nope"}}, "mqtt.ca_file: there is no file /nope"),
        ({"mqtt": {"host": "broker", "tls": True, "ca_file": __file__}}, "mqtt.ca_file"),
        ({"mqtt": {"host": "broker", "password_file": __file__}}, "password_file is set, but no username"),
        ({"mqtt": {"host": "broker", "username": "me", "password_file": "~/nope"}}, "mqtt.password_file: there is no file"),
        ({"mqtt": {"host": "broker"}, "sync": {"enabled": True}}, "sync.key is not there"),
        ({"web": {"enabled": True, "address": "0.0.0.0"}}, "web.tls_cert"),
        ({"web": {"enabled": True, "tls_cert": "/nope", "tls_key": "/nope"}}, "web.tls_cert: there is no file"),
    ],
)
def test_settings_that_a_start_would_refuse_are_not_valid(cli: Cli, sections: dict[str, Any], reason: str) -> None:
    cli.set(**sections)
    assert reason in cli.refusal("config", "check", code=2)


BROKER = {"host": "127.0.0.1", "port": 1, "username": "me"}
OWN = {"tls": True, "cert_file": __file__, "key_file": __file__}


@pytest.mark.parametrize(
    ("setting", "more"),
    [
        ("gallery.key_file", {}),
        ("mqtt.password_file", BROKER),
        ("mqtt.ca_file", BROKER | {"tls": True}),
        ("mqtt.cert_file", BROKER | OWN),
        ("mqtt.key_file", BROKER | OWN),
        ("sync.key_file", {"enabled": True}),
        ("web.tls_cert", {"enabled": True, "tls_key": __file__}),
    ],
)
def test_a_pipe_is_told_and_never_waited_for(cli: Cli, scene: dict[str, Any], setting: str, more: dict[str, Any]) -> None:
    section, _, name = setting.partition(".")
    pipe = cli.folder / "pipe"
    os.mkfifo(pipe, 0o600)
    broker = {"mqtt": BROKER} if section == "sync" else {}
    cli.set(camera=scene, **broker, **{section: more | {name: str(pipe)}})
    line = cli.refusal("config", "check", code=2)
    assert setting in line
    assert str(pipe) in line
    daemon = cli.start("run")
    assert str(pipe) in daemon.hears("pipe")
    if section == "web":  # it goes on without its page
        assert daemon.stop() == 0
    else:
        assert daemon.process.wait(60) == 2


@pytest.mark.parametrize("kind", ["folder", "device", "empty file of 5 MB"])
def test_what_is_no_password_is_one_line(cli: Cli, kind: str) -> None:
    place = cli.folder / "password"
    if kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        place.touch()
        os.truncate(place, 5 * 2**20)
    cli.set(mqtt=BROKER | {"password_file": str(place)})
    assert "mqtt.password_file" in cli.refusal("config", "check", code=2)


def test_settings_are_valid_though_camera_broker_and_the_services_credential_are_not_here(cli: Cli) -> None:
    cli.set(camera={"source": "picamera"}, mqtt={"host": "::1", "username": "door", "password_file": "mqtt-password"})
    assert "valid" in cli("config", "check").stdout
