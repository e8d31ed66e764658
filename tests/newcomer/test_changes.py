"""Worked examples: each change is made to a copy of the sources, where it works, passes the checks and touches few files."""

import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import add_camera
import add_event_field
import add_health_field
import add_loss
import add_operation
import add_setting
import add_sync_transport
import add_table
import pytest
from copied import ROOT, CopiedCli, Copy
from fixtures.broker import Broker, eventually, free_port, needs_broker
from fixtures.commandline import Cli

pytestmark = pytest.mark.slow  # each has mypy and import-linter look at a copy
CHANGES = [
    add_camera,
    add_setting,
    add_health_field,
    add_event_field,
    add_operation,
    add_table,
    add_loss,
    add_sync_transport,
]
MOST_FILES = 2


@pytest.fixture(scope="session")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of the sources, so that it looks again only at what a change concerns."""
    cache = tmp_path_factory.mktemp("types") / "cache"
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", cache)
    return cache


class Changed:
    """Makes a change to a copy, whose command line, in a folder of its own, comes with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[CopiedCli] = []

    def __call__(self, change: ModuleType) -> tuple[Copy, CopiedCli]:
        copy = Copy(self.folder / "copy")
        change.apply(copy)
        return copy, self.command_line(copy, "home")

    def command_line(self, copy: Copy, name: str) -> CopiedCli:
        self.commands.append(CopiedCli(copy, self.folder / name))
        return self.commands[-1]


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Changed]:
    changed = Changed(tmp_path)
    yield changed
    for cli in changed.commands:
        for running in cli.running:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait(10)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_touches_few_files_and_passes_the_checks(change: ModuleType, tmp_path: Path, types_cache: Path) -> None:
    copy = Copy(tmp_path / "copy")
    change.apply(copy)
    assert len(copy.touched) <= MOST_FILES, copy.touched
    python = [path for path in copy.touched if path.endswith(".py")]
    copy.run("ruff", "check", "--quiet", *python)
    copy.run("ruff", "format", "--check", "--quiet", *python)
    copy.run("mypy", "edgeface", "train", "--cache-dir", types_cache)
    copy.run("lint-imports", "--no-cache")


def camera(picture: Path, **more: Any) -> dict[str, Any]:
    return {"source": f"folder:{picture.parent}", "name": "front", "hold": 600, "fps": 10} | more


@pytest.fixture
def collins(tmp_path: Path, demo_photos: Path) -> Path:
    """The picture of somebody, alone in a folder."""
    (tmp_path / "scene").mkdir()
    return Path(shutil.copy(demo_photos / "collins_portrait.jpg", tmp_path / "scene" / "collins.jpg"))


def test_the_camera_shows_its_picture(changed: Changed, collins: Path) -> None:
    _, cli = changed(add_camera)
    cli("enroll", "Collins", "--image", collins)
    cli.set(gallery={"path": str(cli.gallery)}, camera={"source": f"still:{collins}", "fps": 10})
    cli("config", "check")
    watching = cli.start("run")
    event = json.loads(watching.line())
    assert (event["event_type"], event["name"]) == ("recognized", "Collins")
    assert watching.stop() == 0
    cli.set(camera={"source": f"still:{collins}.not"})
    assert "collins.jpg.not" in cli.start("run").hears("trying again")


@pytest.mark.parametrize("strangers", [True, False])
def test_the_setting_decides_which_events_are_kept(changed: Changed, collins: Path, strangers: bool) -> None:
    _, cli = changed(add_setting)
    assert "#strangers = true  # keep the events of those who are not recognized, too" in cli("config", "default").stdout
    cli.set(gallery={"path": str(cli.gallery)}, camera=camera(collins, hold=4), events={"strangers": strangers})
    watching = cli.start("run")
    assert json.loads(watching.line())["event_type"] == "unknown"
    assert watching.process.wait(30) == 0
    assert len(cli.json("events", "list")["events"]) == strangers


@needs_broker
def test_the_health_field_is_in_health_and_status(changed: Changed, collins: Path, tmp_path: Path) -> None:
    copy, cli = changed(add_health_field)
    broker = Broker(tmp_path / "broker").start()
    cli.set(device={"id": "door"}, camera=camera(collins), mqtt=broker.settings())
    watching = cli.start("run")
    assert eventually(lambda: broker.retained("edgeface/door/health") is not None)
    assert broker.state("edgeface/door/health")["load"] >= 0
    assert cli.json("status")["load"] >= 0
    assert watching.stop() == 0
    broker.close()
    copy.run("python", "-m", "edgeface", "mqtt", "docs", "docs")
    assert "| `load` | number, 0 or more | processes that want a processor" in (copy.root / "docs/mqtt.md").read_text()


def test_the_event_field_is_in_the_event_and_its_schema(changed: Changed, collins: Path) -> None:
    copy, cli = changed(add_event_field)
    cli.set(camera=camera(collins))
    watching = cli.start("run")
    event = json.loads(watching.line())
    assert (event["event_type"], event["waited"] >= 0) == ("unknown", True)
    assert watching.stop() == 0
    copy.run("python", "-m", "edgeface", "mqtt", "docs", "docs")
    for name in ("schemas/event.json", "asyncapi.json"):
        assert '"waited"' in (copy.root / "docs" / name).read_text()


@needs_broker
def test_the_operation_answers_at_every_door(changed: Changed, collins: Path, tmp_path: Path) -> None:
    copy, cli = changed(add_operation)
    cli("enroll", "Collins", "--image", collins)
    assert cli("people", "count").stdout == "people: 1\ntemplates: 1\n"
    assert cli.json("people", "count", "--least", 2) == {"people": 0, "templates": 0}
    assert ">= 1" in cli("people", "count", "--least", 0, code=2).stderr
    broker = Broker(tmp_path / "broker").start()
    ear = broker.listen()
    web = {"enabled": True, "port": free_port()}
    commands = {"allow": ["count"]}
    cli.set(
        gallery={"path": str(cli.gallery)},
        device={"id": "door"},
        camera=camera(collins),
        mqtt=broker.settings(),
        commands=commands,
        web=web,
    )
    watching = cli.start("run")
    ear.wait_for("edgeface/door/health")
    found = {"people": 1, "templates": 1}
    ear.say("edgeface/door/cmd/count", {"id": "1"})
    (answer,) = ear.wait_for("edgeface/door/resp/count")
    assert answer["result"] == found
    ask = """
import json, sys
from pathlib import Path
from edgeface.config.load import load
from edgeface.control import client
print(json.dumps(client.ask(load(Path(sys.argv[1])), "count", least=2)))
"""
    assert json.loads(copy.python(ask, cli.file)) == {"people": 0, "templates": 0}
    assert asked_of_the_page(cli("web", "url").stdout.strip(), "/operations/count", b"least=1") == found
    assert watching.stop() == 0
    ear.close()
    broker.close()
    copy.run("python", "-m", "edgeface", "mqtt", "docs", "docs")
    assert (copy.root / "docs/schemas/cmd-count.json").is_file()


def asked_of_the_page(url: str, path: str, body: bytes) -> Any:
    """The result of an operation, for a script that signs in by this address."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    connection.request("GET", f"{place.path}?{place.query}")
    signed = connection.getresponse()
    signed.read()
    cookie = signed.headers["set-cookie"].partition(";")[0]
    headers = {"cookie": cookie, "origin": f"http://{place.netloc}", "content-type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    connection.request("POST", signed.headers["location"].rstrip("/") + path, body, headers)
    return json.loads(connection.getresponse().read())["result"]


def test_the_table_comes_to_an_older_gallery_and_forgets_with_it(changed: Changed, collins: Path, tmp_path: Path) -> None:
    copy, cli = changed(add_table)
    before = Cli(tmp_path / "home")  # of the sources without the change
    before("enroll", "Collins", "--image", collins)
    cli.set(gallery={"path": str(cli.gallery)}, camera=camera(collins, hold=2))
    look = """
import sys
from edgeface.config.load import load
from edgeface.gallery.open import open_gallery
from edgeface.vision.model_card import SHIPPED, load_card
from pathlib import Path
gallery = open_gallery(load(Path(sys.argv[1])), load_card(SHIPPED))
print(list(gallery.events.visits().values()))
gallery.close()
"""
    assert copy.python(look, cli.file) == "[]\n"
    for visits in (1, 2):
        assert cli.start("run").process.wait(60) == 0
        assert copy.python(look, cli.file) == f"[{visits}]\n"
    assert before.json("people", "list")["people"][0]["name"] == "Collins"
    cli("people", "forget", "Collins")
    assert copy.python(look, cli.file) == "[]\n"


def test_the_loss_is_trained_with_and_recorded(changed: Changed, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs edgeface[train]")
    copy, _ = changed(add_loss)
    fit = """
import json, sys
from dataclasses import asdict
from pathlib import Path
import numpy as np, tensorflow as tf
from train import prepare
from train.config import TrainConfig
from train.fit import fit
from train.model import Shape
tf.config.run_functions_eagerly(True)
data, out = map(Path, sys.argv[1:])
data.mkdir()
luck = np.random.default_rng(0)
side = 112 + 2 * prepare.MARGIN
kept = [[f"{n}.jpg", f"people/{n // 4}"] for n in range(96)]
np.save(data / "shard-00000.crops.npy", luck.integers(0, 256, (96, side, side, 3), np.uint8))
np.save(data / "shard-00000.positions.npy", luck.normal(0, 0.08, (96, 2, 49, 128)).astype(np.float16))
(data / "shard-00000.json").write_text(json.dumps({"photos": kept, "kept": kept, "dropped": []}))
(data / "manifest.json").write_text(json.dumps({"sources": ["test"], "chips": 96}))
small = Shape((8, 8, 16, 16), (0, 1, 0, 0), neck=16, appearance_neck=4, appearance=8, decoder=(8, 8, 8, 8), identity=128)
print("HISTORY", json.dumps(fit([data], out, TrainConfig(faces=32, batch=16), sizes=asdict(small))))
"""
    told = copy.python(fit, tmp_path / "data", tmp_path / "run")
    line = json.loads(told.rpartition("HISTORY ")[2])
    assert line["hardest"] > line["cosine"] > 0
    assert json.loads((tmp_path / "run/recipe.json").read_text())["hardest"] == 0.05
    assert (tmp_path / "run/curves.png").is_file()


def test_the_transport_carries_a_gallery_from_device_to_device(changed: Changed, collins: Path, tmp_path: Path) -> None:
    copy, door = changed(add_sync_transport)
    gate = changed.command_line(copy, "gate")
    shared = tmp_path / "shared"
    sync = {"enabled": True, "topic": f"folder://{shared}"}
    for name, cli in (("door", door), ("gate", gate)):
        cli.set(gallery={"path": str(cli.gallery)}, device={"id": name}, camera=camera(collins), sync=sync)
        cli.gallery.parent.mkdir()
    key = door("gallery", "key").stdout
    (gate.gallery.parent / "sync.key").write_text(key)
    (gate.gallery.parent / "sync.key").chmod(0o600)
    assert f"there is no folder {shared}" in door.refusal("gallery", "sync")
    shared.mkdir()
    door("enroll", "Collins", "--image", collins)
    assert door.json("gallery", "sync")["sent"] == 1
    assert [one["what"] for one in gate.json("gallery", "sync")["changes"]] == ["added"]
    watching = gate.start("run")
    assert json.loads(watching.line())["name"] == "Collins"
    door("people", "rename", "Collins", "C")
    door("gallery", "sync")
    assert eventually(lambda: [one["name"] for one in gate.json("people", "list")["people"]] == ["C"])
    assert gate.json("status", code=0)["sync"]["trouble"] is None
    assert watching.stop() == 0
    assert {cli.json("doctor", "--only", "sync")["checks"][0]["ok"] for cli in (door, gate)} == {True}
