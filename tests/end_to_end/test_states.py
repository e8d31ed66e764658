"""A running daemon and a gallery that is damaged, gone, foreign, or another's: it goes on, tells, and recovers."""

import json
import os
import shutil
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import eventually, free_port
from fixtures.commandline import Cli
from fixtures.damage import flip_in, value

from edgeface.config.load import load
from edgeface.config.schema import Config, GallerySettings
from edgeface.control import client
from edgeface.daemon import assembly
from edgeface.daemon.assembly import assemble
from edgeface.errors import ConfigError
from edgeface.gallery.open import open_gallery
from edgeface.vision.model_card import load_card


def told(cli: Cli) -> dict[str, Any]:
    status: dict[str, Any] = client.ask(load(cli.file), "status")
    return status


def state(cli: Cli) -> tuple[Any, Any, Any]:
    assert cli("status", code=1).stderr
    status = told(cli)
    return status["gallery_state"], status["gallery_reason"], status["troubles"]


def waits(cli: Cli, wanted: str) -> None:
    assert eventually(lambda: told(cli)["gallery_state"] == wanted, 60), told(cli)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def home(cli: Cli, port: int, scene: dict[str, Any], demo_photos: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Two people are enrolled; the one before the camera is the second."""
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    cli.set(camera=scene | {"hold": 600.0}, metrics={"port": port})
    cli("enroll", "Joe", "--image", demo_photos / "biden_portrait.jpg")
    cli("enroll", "Barack", "--image", demo_photos / "obama_congress.jpg")
    return cli


def test_the_others_are_recognized_and_the_damage_is_told_everywhere(home: Cli, port: int) -> None:
    flip_in(home.gallery, value(home.gallery, "SELECT sealed FROM templates WHERE id = 1"))
    running = home.start("run")
    assert json.loads(running.line())["name"] == "Barack"
    kind, reason, troubles = state(home)
    assert kind == "damaged"
    assert "1 template; edgeface gallery check" in reason
    assert any("edgeface gallery check" in trouble for trouble in troubles)
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert 'edgeface_gallery_state{state="damaged"} 1.0' in metrics
    assert "1 template" in home("doctor", "--only", "gallery", code=1).stdout
    (finding,) = [one for one in home.json("gallery", "check", code=1)["findings"] if one["kind"] == "damaged"]
    assert "a template of Joe" in finding["found"]
    assert "what is damaged is not in it" in home("people", "export", "all.json", "--plain").stderr
    assert [one["name"] for one in json.loads((home.folder / "all.json").read_bytes())["people"]] == ["Barack", "Joe"]
    home("people", "forget", "Joe")
    waits(home, "ok")
    assert home("status").stderr == ""


@pytest.mark.parametrize("what", [pytest.param("file", marks=pytest.mark.slow), "key"])
def test_without_a_gallery_that_opens_it_runs_says_so_and_recovers(home: Cli, port: int, what: str) -> None:
    precious = home.gallery if what == "file" else home.gallery.with_name("gallery.key")
    aside = shutil.copy(precious, home.folder / "aside")
    precious.write_bytes(b"\1" * 32)
    running = home.start("run")
    assert json.loads(running.line())["event_type"] == "unknown"
    kind, reason, troubles = state(home)
    assert kind == "unreadable"
    assert "gallery.db: not " in reason
    assert "nobody is recognized" in troubles[0]
    assert 'state="unreadable"} 1.0' in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    precious.unlink()
    shutil.copy(aside, precious)
    waits(home, "ok")
    assert eventually(lambda: json.loads(running.line())["event_type"] == "recognized" or None, 60)


@pytest.mark.parametrize("path", ["pipe", ".", "a" * 300, "a/" * 600 + "gallery.db", "file/gallery.db"])
def test_what_can_never_be_a_gallery_or_its_key_is_a_wrong_setting(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    wrong = Config(gallery=GallerySettings(str(tmp_path / path)))
    for refusing in (lambda: open_gallery(wrong, load_card(), serving=True), lambda: assembly.verify(wrong)):
        with pytest.raises(ConfigError, match=r"gallery\.path: "):
            refusing()
    if len(path) < 20:
        wrong = Config(gallery=GallerySettings(str(tmp_path / "gallery.db"), str(tmp_path / path)))
        with pytest.raises(ConfigError, match=r"gallery\.key_file: "):
            open_gallery(wrong, load_card(), serving=True)


def test_a_pipe_for_a_gallery_or_a_key_is_told_in_one_line(cli: Cli) -> None:
    os.mkfifo(cli.folder / "pipe")
    cli.set(gallery={"path": str(cli.folder / "pipe")})
    assert "gallery.path: " in cli.refusal("run", code=2)
    assert "gallery.path: " in cli.refusal("people", "list", code=2)
    cli.set(gallery={"path": str(cli.gallery), "key_file": str(cli.folder / "pipe")})
    assert "gallery.key_file: " in cli.refusal("people", "list", code=2)


@pytest.mark.slow
def test_a_second_daemon_with_another_network_touches_nothing(
    home: Cli, other_model: Path, demo_photos: Path, scene: dict[str, Any]
) -> None:
    home.set(camera=scene | {"hold": 600.0}, gallery={"path": str(home.gallery), "keep_faces": True})
    for name, photo in (("Joe", "biden_portrait"), ("Barack", "obama_congress")):
        home("enroll", name, "--image", demo_photos / f"{photo}.jpg", "--force")
    running = home.start("run")
    assert json.loads(running.line())["name"] == "Barack"
    before = rows(home.gallery)
    assert "another daemon" in home("--model", other_model, "run", code=1).stderr
    assert "stop it first" in home("--model", other_model, "gallery", "reembed", code=1).stderr
    assert rows(home.gallery) == before
    assert len(home.json("people", "list")["people"]) == 2
    gate = home.folder / "gate.toml"  # another camera, whose service was started after an upgrade, and the other not yet
    gate.write_text(home.file.read_text().replace('name = "front"', 'name = "gate"'))
    with closing(assemble(load(gate), model=other_model).gallery) as gallery:
        assert gallery.serving
    assert rows(home.gallery) == before
    with closing(open_gallery(load(home.file), load_card())) as gallery:
        assert gallery.faces() == 2


def rows(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return [database.execute(f"SELECT * FROM {table}").fetchall() for table in ("meta", "people", "templates", "faces")]
