"""A daemon starts with a gallery of which one bit is flipped: it recognizes who is whole, or tells the gallery's state."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from faults.test_giants import status
from fixtures.broker import eventually
from fixtures.commandline import ROOT, Cli

PHOTOS = ROOT / "edgeface" / "demo" / "photos"


@cache
def _made() -> Path:
    cli = Cli(Path(tempfile.mkdtemp(prefix="edgeface-daemons-")))
    cli("enroll", "Barack Obama", "--image", PHOTOS / "obama_portrait.jpg")
    cli("enroll", "Joe Biden", "--image", PHOTOS / "biden_portrait.jpg")
    return cli.gallery.parent


def attack(dice: Random, folder: Path) -> str:
    cli = Cli(folder)
    shutil.copytree(_made(), cli.gallery.parent)
    data = bytearray(cli.gallery.read_bytes())
    at, bit = dice.randrange(len(data)), dice.randrange(8)
    data[at] ^= 1 << bit
    cli.gallery.write_bytes(data)
    (folder / "scene").mkdir()
    shutil.copy(PHOTOS / "obama_portrait.jpg", folder / "scene")
    cli.set(camera={"source": f"folder:{folder}/scene", "name": "front", "hold": 600.0, "fps": 5})
    daemon = cli.start("run")
    told: dict[str, Any] = {}
    events: list[dict[str, Any]] = []

    def settled() -> bool:
        while not daemon.out.empty():
            events.append(json.loads(daemon.out.get()))
        told.update(status(cli))
        return any(event["event_type"] == "recognized" for event in events) or told.get("gallery_state", "ok") != "ok"

    try:
        assert eventually(settled, 60), (at, bit, events, daemon.told, list(daemon.err.queue))
        assert daemon.process.poll() is None
        assert daemon.stop() == 0
    finally:
        daemon.process.kill()
    names = {event["name"] for event in events if event["event_type"] == "recognized"}
    assert "Joe Biden" not in names
    return f"{'recognized' if names else 'not recognized'}, gallery {told['gallery_state']}"
