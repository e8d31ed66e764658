"""Runs the real daemon on a moving picture of bundled photos, with a broker and a subscriber of its own."""

import asyncio
import logging
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import cv2
import msgspec
import numpy as np
from amqtt.broker import Broker

from edgeface.cameras.recording import Recording
from edgeface.config.schema import Config, DeviceSettings, EventsSettings, GallerySettings, LivenessSettings, MqttSettings
from edgeface.daemon.assembly import assemble
from edgeface.demo.screen import on_screen
from edgeface.enrollment.enroller import read_images
from edgeface.errors import BrokerError, ImageError, os_errors_as
from edgeface.mqtt import client as mqtt_client
from edgeface.platform.text import scored
from edgeface.types import Box, Image
from edgeface.vision.drawing import GREEN, GREY, check_suffix, contact_sheet, draw_face, save_image
from edgeface.vision.images import load_image
from edgeface.wire.description import describe

PHOTOS = Path(__file__).parent / "photos"
ENROLLED = {"Barack Obama": ("obama_portrait.jpg", "obama_congress.jpg"), "Joe Biden": ("biden_portrait.jpg",)}
SHOWN = (("obama_press_room.jpg", "Barack Obama"), ("collins_portrait.jpg", None), ("biden_blue_room.jpg", "Joe Biden"))
FILM = "obama_press_room.jpg", "the film of Barack Obama"
"""What a simulated tablet shows at the end: somebody enrolled."""
FPS, SECONDS, PAUSE = 10.0, 3.0, 1.0
WIDTH, HEIGHT = 640, 480
MAX_PICTURES = 6


def show(out: Path, *, keep: bool, tell: Callable[[str], None], take: Callable[[Any], None] | None = None) -> bool:
    """Run the demo, draw its contact sheet to ``out``, and return whether everybody was told apart.

    ``tell`` is given each line for people, ``take``, if there is one, the payload of each event in place of such a line.

    Raise ``EdgefaceError`` if a part of edgeface does not work here, or ``out`` cannot be written.
    """
    check_suffix(out)
    with os_errors_as(ImageError, out), tempfile.TemporaryFile(dir=out.parent):
        pass  # what cannot be written is told before the demo, not after it
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, _quiet(), _broker() as port:
        config = Config(
            device=DeviceSettings("demo"),
            gallery=GallerySettings(str(Path(folder) / "gallery" / "gallery.db")),
            events=EventsSettings(keep_strangers=True),
            liveness=LivenessSettings("refuse", attacks="named"),
            mqtt=MqttSettings("127.0.0.1", port, protocol="3.1.1"),
        )
        stage = Stage(keep=keep)
        daemon = assemble(config, camera=Recording(stage.frames, FPS))
        for name, names in ENROLLED.items():
            report = daemon.enroller.enroll(name, read_images(PHOTOS / file for file in names))
            photos = len(report.accepted)
            tell(f"enrolled  {name} from {photos} photo{'' if photos == 1 else 's'}")
        with _subscriber(config, stage, tell, take):
            tell(f"playing   {len(SHOWN)} other photos, and a film on a tablet; a subscriber receives:")
            if keep:
                tell(f"broker    mosquitto_sub -p {port} -t 'edgeface/#' -v   (Ctrl-C ends the demo)")
                daemon.signals.listen()
            daemon.run()
        save_image(out, stage.sheet())
    return _verdict(stage, out, tell)


class Stage:
    """Plays photos as a camera would see people, drifting, a little noisy and with pauses; keeps a picture of each event."""

    def __init__(self, *, keep: bool) -> None:
        self._photos = [(load_image(PHOTOS / file), name) for file, name in (*SHOWN, FILM)]
        self._keep = keep
        self._noise = np.random.default_rng(0)
        self.now: tuple[Image, str | None] = (np.zeros((HEIGHT, WIDTH, 3), np.uint8), None)
        self.told: list[tuple[str | None, dict[str, Any], Image]] = []

    def frames(self) -> Iterator[Image]:
        """Yield all frames once, or again and again if the demo is kept running."""
        for _ in count() if self._keep else range(1):
            for photo, name in self._photos:
                for phase in np.linspace(0.0, 1.0, round(SECONDS * FPS)):
                    view = self._view(photo, float(phase))
                    self.now = (on_screen(view, float(phase)) if name == FILM[1] else view), name
                    yield self.now[0]
                yield from [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * round(PAUSE * FPS)

    def _view(self, photo: Image, phase: float) -> Image:
        height, width = photo.shape[:2]
        scale = max(WIDTH / width, HEIGHT / height) * (1.05 + 0.1 * phase)
        x, y = (WIDTH - scale * width) / 2 + 16 * np.sin(6 * phase), 8 * np.cos(5 * phase) - 0.02 * scale * height
        moved = cv2.warpAffine(photo, np.array([[scale, 0, x], [0, scale, y]]), (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
        noisy = moved + self._noise.normal(0.0, 3.0, moved.shape)
        return np.asarray(np.clip(noisy, 0, 255), np.uint8)

    def take(self, event: dict[str, Any]) -> None:
        """Keep an event with the frame that is being shown."""
        image, name = self.now
        if event["event_type"] in ("recognized", "unknown", "presentation_attack") and len(self.told) < MAX_PICTURES:
            picture = image.copy()
            if "box" in event:
                label = f"{event.get('name', 'unknown')} {event['score']:.2f}"
                draw_face(picture, Box(*event["box"]), label, GREEN if "name" in event else GREY, scale=1.8)
            self.told.append((name, event, picture))

    def sheet(self) -> Image:
        """Draw the contact sheet: the photos of those who were enrolled, and the events of other photos."""
        enrolled = [(name, load_image(PHOTOS / file)) for name, names in ENROLLED.items() for file in names]
        events = [(_caption(event), picture) for _, event, picture in self.told]
        return contact_sheet([("Enrolled from these photos", enrolled), ("Events on MQTT from other photos", events)])


def _caption(event: dict[str, Any]) -> str:
    if event["event_type"] == "presentation_attack":
        return f"presentation attack, a {event['liveness_class']}"
    return f"{event['event_type']}, {scored(event['score'], event['threshold'])}"


def _verdict(stage: Stage, out: Path, tell: Callable[[str], None]) -> bool:
    named = {(shown, event["name"]) for shown, event, _ in stage.told if event["event_type"] == "recognized"}
    wrong = [f"{shown or 'the stranger'} was called {name}" for shown, name in sorted(named, key=str) if shown != name]
    missed = [name for name in ENROLLED if (name, name) not in named]
    for name in ENROLLED:
        tell(f"{'MISSED' if name in missed else 'right':<9} {name}{'' if name in missed else ' was recognized'}")
    for mistake in wrong:
        tell(f"WRONG     {mistake}")
    if not wrong:
        tell("right     the stranger was not recognized")
    refused = any(event["event_type"] == "presentation_attack" for shown, event, _ in stage.told if shown == FILM[1])
    tell(f"{'right' if refused else 'MISSED':<9} {FILM[1]}{' was refused' if refused else ''}")
    tell("strangers only the demo keeps their faces, until it ends; elsewhere it takes")
    tell("switch    edgeface config set events.keep_strangers true")
    tell(f"drawn     {out}")
    return refused and not missed and not wrong


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings, such as that this machine is too slow for every frame, out of what the demo prints."""
    log = logging.getLogger("edgeface")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _broker() -> Iterator[int]:
    """Run an MQTT broker on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    loop = asyncio.new_event_loop()
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(settings, loop=loop)
    up = Flag()

    async def serve() -> None:
        await broker.start()
        up.set()

    thread = Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()), name="broker", daemon=True)
    thread.start()
    if not up.wait(10):
        raise BrokerError("the demo's broker did not start")
    try:
        yield port
    finally:
        # The thread ends with the process: a clean shutdown waits for every session's timers.
        loop.call_soon_threadsafe(loop.stop)


@contextmanager
def _subscriber(
    config: Config, stage: Stage, tell: Callable[[str], None], take: Callable[[Any], None] | None
) -> Iterator[None]:
    """Run another MQTT client, which prints every message under the device's topics but its health."""
    client = mqtt_client.new_client(config.mqtt, "demo-subscriber")
    ready = Flag()

    def on_message(_client: Any, _data: Any, message: Any) -> None:
        topic = message.topic.removeprefix(f"{config.base}/")
        if topic == "event":
            event = msgspec.json.decode(message.payload)
            take(event) if take else tell(f"  event     {describe(event, place=False)}")
            stage.take(event)
        elif not take and topic.endswith("/presence"):
            there = msgspec.json.decode(message.payload)
            strangers = [f"{there['unknown']} unknown"] if there["unknown"] else []
            tell(f"  presence  {', '.join([*(one['name'] for one in there['people']), *strangers]) or 'nobody'}")

    def on_connect(*_: Any) -> None:
        client.subscribe(f"{config.base}/#", qos=1)

    client.on_connect, client.on_message = on_connect, on_message
    client.on_subscribe = lambda *_: ready.set()
    client.connect(config.mqtt.host, config.mqtt.port)
    client.loop_start()
    ready.wait(5)
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()
