"""The commands: run, status and listen."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from fixtures.broker import USER, Broker, broker, eventually, free_port, needs_broker
from fixtures.commandline import Cli, on_terminal, one_line

from edgeface.config.load import load
from edgeface.control.server import ControlServer
from edgeface.operations.jobs import JobQueue

__all__ = ["broker"]


def test_without_a_broker_events_are_lines(cli: Cli, obama: dict[str, Any], scene: dict[str, Any]) -> None:
    cli.set(camera=scene)
    events = [json.loads(line) for line in cli("run").stdout.splitlines()]
    assert [event["event_type"] for event in events] == ["recognized", "left"]
    assert {event["person_id"] for event in events} == {obama["id"]}
    assert {event["camera"] for event in events} == {"front"}


def test_without_a_broker_a_terminal_shows_each_event_once_in_words(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any]
) -> None:
    cli.set(camera=scene)
    lines = on_terminal(cli, "run").decode().splitlines()
    events = [line for line in lines if "recognized" in line or "left" in line]
    assert [re.sub(r"[\d.]+", "#", line) for line in events] == [
        "#:#:#  recognized   Barack Obama  score # (needs #)",
        "#:#:#  left         Barack Obama  after # s",
    ]
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in lines), lines


def test_a_camera_that_cannot_be_is_one_line(cli: Cli, tmp_path: Path) -> None:
    cli.set(camera={"source": f"folder:{tmp_path}/absent"})
    assert "absent" in cli.refusal("run")
    cli.set(camera={"source": "telescope"})
    assert "telescope" in cli.refusal("run", code=2)


@needs_broker
def test_a_daemon_tells_the_broker_and_a_listener_prints_it(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any], broker: Broker
) -> None:
    cli.set(camera=scene, device={"id": "door"}, mqtt=broker.settings())
    listener = cli.start("listen", "--json")
    listener.hears("listening")
    for strange in (
        b'{"a":' + b"[" * 5000,
        b'{"event_type": "left", "ts": "0001-01-01T00:00:00+14:00", "device": "d", "camera": "c"}',
    ):
        broker.listen("other").say("edgeface/door/event", strange)
    ear = broker.listen("edgeface/door/#")
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
def test_a_daemon_is_offline_after_any_end(
    cli: Cli, scene: dict[str, Any], broker: Broker, number: signal.Signals, code: int
) -> None:
    ear = broker.listen("edgeface/door/#")
    cli.set(camera=scene | {"hold": 600}, device={"id": "door"}, mqtt=broker.settings())
    daemon = cli.start("run")
    ear.wait_for("availability")
    assert eventually(lambda: any(health["camera_state"] == "ok" for health in ear.on("health")))
    assert daemon.stop(number) == code
    assert ear.wait_for("availability", 2) == ["online", "offline"]
    assert broker.retained("edgeface/door/availability") == "offline"


@pytest.mark.slow
@needs_broker
def test_a_refused_or_absent_broker_is_told_once_and_does_not_stop_the_daemon(
    cli: Cli, scene: dict[str, Any], broker: Broker
) -> None:
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


def test_status_is_of_the_running_daemon_and_fails_without_one(cli: Cli, obama: dict[str, Any], scene: dict[str, Any]) -> None:
    cli.set(camera=scene | {"hold": 600})
    assert "no daemon with these settings is running" in cli.refusal("status")
    assert cli.json("status", code=1)["running"] is False
    daemon = cli.start("run")
    assert json.loads(daemon.line())["event_type"] == "recognized"
    assert eventually(lambda: cli.json("status")["last_event"])  # printed first
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


def test_status_finds_what_is_broken(cli: Cli) -> None:
    cli.set(camera={"source": "v4l2:/dev/absent", "name": "front"})
    daemon = cli.start("run")
    daemon.hears("camera_lost")
    assert cli.trouble("lost") == "edgeface: camera front is lost: /dev/absent cannot be opened: No such file or directory"
    assert "front: lost" in cli("status", code=1).stdout
    assert daemon.stop() == 0


def test_settings_are_read_again_on_sighup_and_wrong_ones_change_nothing(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any]
) -> None:
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
    assert cli.trouble("not taken")
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


@pytest.mark.parametrize("address", ["192.0.2.1", "127.0.0.1"])
def test_metrics_that_cannot_be_served_are_trouble(cli: Cli, scene: dict[str, Any], address: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cli.set(camera=scene | {"hold": 600}, metrics={"port": port, "address": address})
        daemon = cli.start("run")
        daemon.hears("no metrics at")
        assert cli.trouble("no metrics").startswith(f"edgeface: no metrics at {address!r}, port {port}: ")
        assert daemon.stop() == 0


def test_a_reload_into_another_daemons_settings_is_refused_and_ends_neither(
    cli: Cli, scene: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    scene |= {"hold": 600}
    cli.set(camera=scene)
    daemon = cli.start("run")
    assert eventually(lambda: any(cli.gallery.parent.glob("*.sock")))
    (ours,) = cli.gallery.parent.glob("*.sock")
    cli.set(camera=scene, device={"id": "taken"})
    other = ControlServer(load(cli.file), {}, JobQueue())
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hears("not taken, the old ones hold: another daemon with these settings is running")
    other.close()
    cli.set(camera={"source": "folder:/absent"}, device={"id": "free"})
    daemon.process.send_signal(signal.SIGHUP)
    assert "/absent" in daemon.hears("not taken, the old ones hold")
    cli.set(camera=scene)
    assert cli.trouble("/absent")
    assert list(cli.gallery.parent.glob("*.sock")) == [ours]
    cli.set(camera=scene, gallery={"path": str(cli.folder / "new" / "gallery.db")})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hears("settings read again")
    assert eventually(lambda: any((cli.folder / "new").glob("*.sock")))
    assert not ours.exists()
    assert cli.json("status")["troubles"] == []
    assert daemon.stop() == 0


@needs_broker
def test_a_listener_that_is_refused_or_finds_no_broker_ends_with_one_line(cli: Cli, broker: Broker) -> None:
    wrong = cli.folder / "wrong"
    wrong.write_text("guess\n")
    wrong.chmod(0o640)
    cli.set(mqtt=broker.settings(password_file=str(wrong)))
    assert "ot authorized" in cli.refusal("listen")
    port = free_port()
    cli.set(mqtt={"host": "127.0.0.1", "port": port})
    assert f"127.0.0.1:{port}" in cli.refusal("listen")


@pytest.mark.parametrize(
    ("mqtt", "code"),
    [
        ({}, 2),
        ({"host": "192.168.1..5"}, 2),
        ({"host": "127.0.0.1", "username": USER, "password_file": "/absent"}, 2),
        ({"host": "127.0.0.1", "tls": True, "ca_file": "/absent"}, 2),
    ],
    ids=["no host", "no name", "no password", "no authority"],
)
def test_a_listener_with_wrong_settings_ends_with_one_line(
    cli: Cli, mqtt: dict[str, str | Any] | dict[str, str], code: int
) -> None:
    cli.set(mqtt=mqtt)
    cli.refusal("listen", code=code)


@pytest.mark.parametrize("start", [("-m", "edgeface"), ("-c", "from edgeface.__main__ import main; main()")])
def test_an_interrupt_while_it_is_imported_ends_it_quietly(cli: Cli, start: tuple[str, str]) -> None:
    library = "import os, signal\ntry:\n os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n raise ImportError\n"
    (cli.folder / "typer.py").write_text(library)
    ended = subprocess.run(
        [sys.executable, *start, "--version"], cwd=cli.folder, env=cli.environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_who_stops_reading_ends_the_daemon_without_a_traceback(cli: Cli, obama: dict[str, Any], scene: dict[str, Any]) -> None:
    cli.set(camera=scene)
    words = " ".join(cli.command("run"))
    done = subprocess.run(["bash", "-c", f"{words} | true; exit ${{PIPESTATUS[0]}}"], capture_output=True, env=cli.environment)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_status_reaches_the_daemon_though_its_settings_have_become_wrong(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any]
) -> None:
    cli.environment["XDG_RUNTIME_DIR"] = str(cli.folder)
    cli.set(camera=scene | {"hold": 60.0})
    daemon = cli.start("run")
    daemon.line()
    cli.file.write_text("[camera]\nfsp = 3\n")
    told = cli("status", "--json", code=1)
    assert json.loads(told.stdout)["running"]
    assert "unknown setting `fsp`" in one_line(told)
    daemon.stop()
    assert "unknown setting" in cli.refusal("status", code=2)


def test_a_recording_says_that_it_has_ended_and_fails_if_there_was_nothing_to_see(
    cli: Cli, scene: dict[str, Any], tmp_path: Path
) -> None:
    cli.set(camera=scene)
    assert "the recording has ended" in cli("run").stderr
    (tmp_path / "scene" / "obama_portrait.jpg").write_bytes(b"no picture")
    assert "no picture of it could be read" in cli("run", code=1).stderr
