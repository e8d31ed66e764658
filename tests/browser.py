"""A real browser before the page of a real daemon, whose folder camera shows what a test wants to be seen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from broker import MOSQUITTO, PASSWD, Broker, eventually, free_port

from edgeface.vision.images import load_image

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
AXE = os.environ.get("EDGEFACE_AXE", "")
WIDTH, HEIGHT = 960, 720
HOLD, FRAMES = 0.2, 6000  # twenty minutes at least
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and MOSQUITTO and PASSWD), reason="chromium (apt install chromium) or mosquitto is not installed"
)
needs_axe = pytest.mark.skipif(not Path(AXE).is_file(), reason="EDGEFACE_AXE does not name axe.min.js (npm pack axe-core)")


class Door:
    """``edgeface run`` with a folder camera, whose every file is a link to the picture of now, and a mosquitto."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "edgeface.toml"
        self.broker = Broker(folder / "broker").start()
        self.events = self.broker.listen("edgeface/+/event")
        self._frames = folder / "camera"
        self._frames.mkdir()
        self.show(None)
        for number in range(FRAMES):
            (self._frames / f"{number:05}.jpg").symlink_to("../now.jpg")
        given = {
            "device": {"id": "door"},
            "camera": {"name": "front", "source": f"folder:{self._frames}", "hold": HOLD},
            "gallery": {"path": str(folder / "gallery" / "gallery.db")},
            "presence": {"left_after": 1.0},
            "mqtt": self.broker.settings(),
            "web": {"enabled": True, "port": free_port(), "pictures": True, "unknown": True},
        }
        lines = [
            f"[{section}]\n" + "".join(f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in values.items())
            for section, values in given.items()
        ]
        self.file.write_text("\n".join(lines))
        self._environment = {**os.environ, "RUNTIME_DIRECTORY": str(folder), "TZ": "UTC"}
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command("run"), env=self._environment, stdout=log, stderr=log)
        assert eventually(lambda: self.edgeface("status").returncode == 0, 60), self.log()
        self.link = self.edgeface("web", "url").stdout.strip()
        self.address = self.link.partition("/?")[0]

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "edgeface", "--config", str(self.file), *words]

    def edgeface(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a command gives."""
        return subprocess.run(self._command(*words), env=self._environment, capture_output=True, text=True, timeout=60)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def show(self, photo: Path | None) -> None:
        """Have the camera see a photo from now on, or nobody."""
        picture = np.full((HEIGHT, WIDTH, 3), 105, np.uint8) if photo is None else filled(load_image(photo))
        cv2.imwrite(str(self.folder / "next.jpg"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        (self.folder / "next.jpg").replace(self.folder / "now.jpg")

    def empty(self) -> None:
        """Have the camera see nobody, until whoever was there has left."""
        self.show(None)
        assert eventually(
            lambda: self.arrivals() == sum(event["event_type"] == "left" for event in self.events.on("/event")), 60
        )

    def arrivals(self) -> int:
        """How many visits were announced."""
        return sum(event["event_type"] in ("recognized", "unknown") for event in self.events.on("/event"))

    def close(self) -> None:
        assert self._process.poll() is None, self.log()
        self._process.terminate()
        self._process.wait(30)
        self.broker.close()


def filled(image: np.ndarray) -> np.ndarray:
    """The upper part of a photo, which fills a camera's picture."""
    scale = max(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    larger = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left = (size[0] - WIDTH) // 2
    return np.ascontiguousarray(larger[:HEIGHT, left : left + WIDTH])
