"""Daemon, broker, camera and subscriber, joined; and what must be true of them after any fault."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from fixtures.broker import OPENSSL, Broker, authority, eventually

from edgeface.config import schema
from edgeface.config.load import load
from edgeface.control import client
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.errors import EdgefaceError
from edgeface.gallery.open import open_gallery
from edgeface.recognition.pipeline import Pipeline
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED, load_card

from .camera import Camera
from .supervisor import Supervisor

PHOTOS = Path(__file__).parent.parent.parent / "edgeface" / "demo" / "photos"
LEFT_AFTER = 1.0


class Rig:
    """All of it in one folder; the person enrolled is the one whom the camera's scene "face" shows."""

    def __init__(self, folder: Path, *, watchdog: float = 30.0, restart: float = 5.0, fps: float = 10.0) -> None:
        self.folder, self.file = folder, folder / "edgeface.toml"
        self.tls = authority(folder / "tls") if OPENSSL else None
        self.broker = Broker(folder / "broker", tls=self.tls).start()
        self.camera = Camera(PHOTOS / "obama_press_room.jpg", fps)
        self.gallery = folder / "gallery" / "gallery.db"
        self.write()
        self._enroll()
        self.events = self.broker.listen("edgeface/+/event")
        self.health = self.broker.listen("edgeface/+/health")
        self.availability = self.broker.listen("edgeface/+/availability")
        self.clock = [0.0]
        self.supervisor = Supervisor(folder, ["--config", self.file, "run"], watchdog=watchdog, restart=restart)
        self.supervisor.start()

    def write(self, **sections: Any) -> None:
        """Settings that work, but for these."""
        tls = {"tls": True, "ca_file": str(self.tls / "ca.pem")} if self.tls else {}
        good: dict[str, dict[str, Any]] = {
            "camera": {"name": "front", "source": self.camera.url, "fps": self.camera.fps},
            "gallery": {"path": str(self.gallery)},
            "presence": {"left_after": LEFT_AFTER},
            "mqtt": self.broker.settings(**tls),
        }
        for section, values in sections.items():
            good[section] = good.get(section, {}) | values
        self.file.write_bytes(
            b"\n".join(
                f"[{section}]\n".encode()
                + b"".join(f"{name} = ".encode() + msgspec.json.encode(value) + b"\n" for name, value in values.items())
                for section, values in good.items()
            )
        )

    def _enroll(self) -> None:
        embedder, settings = Embedder(), load(self.file)
        gallery = open_gallery(settings, embedder.card)
        enroller = Enroller(Pipeline(settings, embedder, gallery), gallery)
        for name, files in {
            "Barack Obama": ("obama_portrait.jpg", "obama_congress.jpg"),
            "Joe Biden": ("biden_portrait.jpg",),
        }.items():
            assert enroller.enroll(name, read_images([PHOTOS / file for file in files])).person
        self.people = [(person.id, person.templates) for person in gallery.people()]
        gallery.close()

    def troubles(self) -> list[str]:
        """What ``edgeface status`` finds wrong, or why it finds nothing."""
        try:
            return list(self.status()["troubles"])
        except EdgefaceError as error:
            return [str(error)]

    def status(self) -> dict[str, Any]:
        """What ``edgeface status --json`` tells."""
        # The socket's name depends on nothing that a fault changes.
        settings = schema.Config(camera=schema.CameraSettings(name="front"), gallery=schema.GallerySettings(str(self.gallery)))
        with patch.dict(os.environ, RUNTIME_DIRECTORY=str(self.supervisor.runtime)):
            status: dict[str, Any] = client.ask(settings, "status")
            return status

    def settle(self, seconds: float = 90.0, but: str | None = None) -> None:
        """Until all is well, ``but`` for one trouble, and subscribers know."""
        well = eventually(lambda: all(but is not None and but in trouble for trouble in self.troubles()), seconds)
        assert well, (self.troubles(), self.supervisor.log()[-2000:])
        assert eventually(lambda: self.camera_state() in ("ok", "starting")), self.camera_state()

    def camera_state(self) -> str:
        """As the broker told it last."""
        return str((self.health.on("/health") or [{"camera_state": "starting"}])[-1]["camera_state"])

    def recognized(self, since: float, until: float | None = None) -> int:
        """How many events between two moments of the wall clock said that somebody was recognized: always the right one."""
        events = [event for event in self.events.on("/event") if event["event_type"] in ("recognized", "unknown")]
        assert all(event.get("name") == "Barack Obama" for event in events), events
        times = {event["event_id"]: datetime.fromisoformat(event["ts"]).timestamp() for event in events}
        until = until or time.time() + 1
        return sum(any(since <= at - offset <= until for offset in self.clock) for at in times.values())

    def visit(self, seconds: float = 2.5) -> None:
        """Somebody comes, and goes."""
        self.camera.scene = "face"
        time.sleep(seconds)
        self.camera.scene = "nobody"
        time.sleep(2 * LEFT_AFTER)

    def recognizes(self, seconds: float = 150.0) -> float:
        """Seconds until a face that comes and goes is recognized."""
        began = time.time()
        while time.time() - began < seconds:
            self.camera.scene = "face"
            found = eventually(lambda: self.recognized(began), 4.0)
            took = time.time() - began
            self.camera.scene = "nobody"
            time.sleep(2 * LEFT_AFTER)
            if found:
                return took
        raise AssertionError(f"nobody is recognized any more: {self.troubles()}\n{self.supervisor.log()[-3000:]}")

    def check(self) -> None:
        """No event came late, and the gallery is whole."""
        limit = schema.MqttSettings().max_event_age + 1.0
        late = [event for age, event in self.ages() if age > limit]
        assert not late, late
        with closing(sqlite3.connect(self.gallery)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        gallery = open_gallery(load(self.file), load_card(SHIPPED))
        assert [(person.id, person.templates) for person in gallery.people()] == self.people
        gallery.close()
        assert "Traceback" not in self.supervisor.log(), self.supervisor.log()[-3000:]

    def ages(self) -> Iterator[tuple[float, Any]]:
        """Seconds from each event to its arrival; where the clock was stepped, by the reading that makes them least."""
        for message in tuple(self.events.messages):
            event = msgspec.json.decode(message.payload)
            arrived = time.time() - (time.monotonic() - message.timestamp)
            stamped = datetime.fromisoformat(event["ts"]).timestamp()
            yield min(abs(arrived + offset - stamped) for offset in self.clock), event

    def step_clock(self, seconds: float) -> None:
        """Step the daemon's wall clock, and nobody else's."""
        self.clock.append(seconds)
        (self.supervisor.worn / "clock").write_text(str(seconds))

    def close(self) -> None:
        self.supervisor.close()
        self.camera.close()
        self.broker.close()
