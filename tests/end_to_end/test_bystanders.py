"""A stranger before a device whose settings say nothing of strangers, as a user sees it."""

import json
import re
import shutil
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from fixtures.broker import eventually, free_port
from fixtures.commandline import Cli
from fixtures.galleries import WALL, keeping, unit

from edgeface.config.load import load
from edgeface.gallery.open import open_gallery
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType
from edgeface.vision.model_card import SHIPPED, load_card
from edgeface.wire.events import Event

OFF = "the faces of strangers are not kept; edgeface config set events.keep_strangers true"


class Browser:
    """Somebody who has signed in to the page."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._port, self._sent = parts.port, {"origin": f"http://127.0.0.1:{parts.port}", "sec-fetch-site": "same-origin"}
        self._root = ""
        _, where, cookie = self.ask("GET", f"{parts.path}?{parts.query}")
        self._root, self._sent["cookie"] = where.rstrip("/"), cookie.partition(";")[0]

    def ask(self, method: str, path: str, form: str | None = None) -> tuple[str, str, str]:
        """The text of an answer, where it leads, and its cookie."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        kind = {"content-type": "application/x-www-form-urlencoded"} if method == "POST" else {}
        connection.request(method, path if path.startswith("/~") else self._root + path, form, headers=self._sent | kind)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return text, answer.headers.get("location", ""), answer.headers.get("set-cookie", "")


def shown(cli: Cli) -> list[bool]:
    gallery = open_gallery(load(cli.file), load_card(SHIPPED))
    faces = [event.shows_face for event in gallery.events.all()]
    gallery.close()
    return faces


def test_nothing_of_a_stranger_is_kept_until_it_is_switched_on_and_each_door_says_so(
    cli: Cli, demo_photos: Path, tmp_path: Path
) -> None:
    scene = tmp_path / "scene"
    scene.mkdir()
    shutil.copy(demo_photos / "collins_portrait.jpg", scene)
    cli.environment |= {"RUNTIME_DIRECTORY": str(cli.folder)}
    cli.set(camera={"source": f"folder:{scene}", "hold": 600}, web={"enabled": True, "port": free_port()})
    gallery = open_gallery(load(cli.file), load_card(SHIPPED))
    old = Event(EventType.UNKNOWN, new_event_id(WALL), WALL, 0.0, "camera", score=0.1, quality=0.7, embedding=unit(1))
    gallery.events.keep(old, keeping())
    gallery.close()
    assert shown(cli) == [True]

    daemon = cli.start("run")
    event = json.loads(daemon.line())
    assert (event["event_type"], "stranger_id" in event) == ("unknown", False)
    assert eventually(lambda: len(shown(cli)) == 2, 60)
    assert shown(cli) == [False, False]
    event_id = event["event_id"]
    for words in (
        ("people", "confirm", event_id, "--as", "Susan"),
        ("people", "reject", event_id),
        ("events", "introduce", event_id, "Susan"),
        ("events", "find", "--event", event_id),
        ("people", "ignore", event_id),
    ):
        assert OFF in cli.refusal(*words), words
    assert OFF in cli("events", "list").stderr
    assert OFF in cli("events", "explain", event_id).stdout
    assert OFF in cli("evaluate").stdout
    assert OFF in cli("people", "about", demo_photos / "collins_portrait.jpg").stderr

    browser = Browser(cli("web", "url").stdout.strip())
    for path in ("/unknown", "/visits", "/welcome"):
        assert re.search("(?i)faces (of visitors who are not recognized )?are not kept", browser.ask("GET", path)[0]), path
    browser.ask("POST", "/unknown/keep", "pictures=yes")
    daemon.hears("settings read again, changed: events, web")
    told, _, _ = browser.ask("GET", "/unknown")
    assert re.search("Visitors of the last", told)
    assert "faces of visitors" not in browser.ask("GET", "/visits")[0]
    assert "Unknown visitors whose faces were not kept are under" in told
    assert load(cli.file).events.keep_strangers
    assert load(cli.file).web.pictures
    assert "this face was not kept: keeping was off then" in cli("events", "explain", event_id).stdout
    refused = cli.refusal("people", "confirm", event_id, "--as", "Susan")
    assert f"the face of {event_id} was not kept: keeping was off then" in refused
    assert daemon.stop() == 0
