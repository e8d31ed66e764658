"""What the page shows and changes, on a whole daemon."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

import msgspec
import psutil
import pytest
from fixtures.broker import eventually
from fixtures.daemon import EMPTY
from fixtures.galleries import keeping, units
from fixtures.page import Page, serving
from fixtures.page import settings as page_settings

from edgeface.config.load import load
from edgeface.config.schema import Config
from edgeface.control import client as control_client
from edgeface.demo.screen import on_screen
from edgeface.errors import EdgefaceError
from edgeface.gallery.event_store import HOUR, KeptEvent
from edgeface.gallery.retention import Clocks
from edgeface.gallery.store import Gallery
from edgeface.recognition.clustering import group, unknown
from edgeface.types import EventType, Image, Vector
from edgeface.vision.images import load_image
from edgeface.web.token import Token


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Page]:
    with serving(tmp_path) as running:
        yield running


def test_masks_and_zones_are_outlined_where_the_picture_is(tmp_path: Path) -> None:
    corner = {"points": [[0, 0], [0.25, 0], [0, 0.5]]}
    with serving(tmp_path, camera={"masks": [{"name": "tv"} | corner], "zones": [{"name": "porch"} | corner]}) as page:
        for path in ("/", "/enroll", "/regions"):
            shown = re.findall(r'<polygon class="(\w+)" points="([^"]*)"><title>(\w+)', page.get(path))
            assert shown == [(kind, "0.0,0.0 0.25,0.0 0.0,0.5 ", name) for kind, name in (("masks", "tv"), ("zones", "porch"))]
        assert "zone porch" in page.get("/regions")
        assert "Left out by masks" in page.get("/health")


def test_the_page_shows_the_camera_that_is_chosen(tmp_path: Path, demo_photos: Path) -> None:
    (tmp_path / "garden").mkdir()
    (tmp_path / "garden" / "obama.jpg").write_bytes((demo_photos / "obama_portrait.jpg").read_bytes())
    mask = {"name": "street", "points": [[0, 0], [0.25, 0], [0, 0.5]]}
    garden = {"name": "garden", "source": f"folder:{tmp_path}/garden", "hold": 600.0, "masks": [mask]}
    with serving(tmp_path, cameras=[garden]) as page:
        for path in ("/", "/enroll", "/regions"):
            chosen = re.findall(r'camera=(\w+)" aria-current', page.get(path))
            assert chosen == ["front"]
            shown = page.get(f"{path}?camera=garden")
            assert re.findall(r'camera=(\w+)" aria-current', shown) == ["garden"]
            assert 'data-camera="garden"' in shown
            assert "<title>street</title>" in shown
            assert page.ask("GET", f"{path}?camera=attic")[0] == 404
        assert "right below the settings of [[cameras]] garden" in page.get("/regions?camera=garden")
        size = {camera: _size(page, camera) for camera in ("front", "garden")}
        assert size == {"front": (640, 480), "garden": (800, 1000)}
        assert page.ask("GET", "/live/picture?camera=attic")[0] == 404
        assert "Camera garden" in page.get("/health")
        begun = json.loads(page.ask("POST", "/enroll/start?name=Obama&camera=garden")[2])
        page.ask("POST", f"/enroll/finish?id={begun['id']}", {})

        def over() -> bool:
            told = json.loads(page.ask("GET", f"/enroll/state?id={begun['id']}")[2])
            return bool(told["done"] and told["ok"])

        assert eventually(over)


def _size(page: Page, camera: str) -> tuple[int, int]:
    def shown() -> dict[str, int]:
        found: dict[str, int] = json.loads(page.ask("GET", f"/live/picture?camera={camera}")[1].get("x-view", "{}"))
        return found

    assert eventually(shown)
    view = shown()
    return view["width"], view["height"]


def events(page: Page) -> list[KeptEvent]:
    return page.with_gallery(lambda gallery: gallery.events.all())


def visit(page: Page, photo: Path | Image) -> KeptEvent:
    """Somebody comes and goes; gives the event."""
    count = len(page.told)
    page.stage.scene = load_image(photo) if isinstance(photo, Path) else photo
    assert eventually(lambda: len(page.told) > count)
    page.stage.scene = EMPTY
    assert eventually(lambda: page.told[-1] == EventType.LEFT)
    return events(page)[-1]


def audited(page: Page) -> list[Any]:
    return [json.loads(line) for line in page.config.audit_path.read_text().splitlines()]


def test_a_visit_is_shown_and_judged(own: Page, demo_photos: Path) -> None:
    person = own.enroll("Obama", demo_photos / "obama_portrait.jpg")
    event = visit(own, demo_photos / "obama_press_room.jpg")
    assert (event.event_type, event.person_id) == ("recognized", person)
    assert "Obama" in own.get(f"/visits?person={person}")
    assert "no such visit" in own.get("/visits?person=?")
    assert "no such visit" in own.get("/visits?day=2001-01-01")
    assert "You said: right" in own.post(f"/visits/{event.event_id}/confirm")
    assert events(own)[-1].verdict == "confirmed"
    told = own.post(f"/visits/{event.event_id}/reject", {"force": "yes"})
    assert "You said: not Obama" in told
    assert events(own)[-1].verdict == "rejected"
    assert [(entry["action"], entry["by"]) for entry in audited(own)] == [
        ("confirmed", {"web": True}),
        ("rejected", {"web": True}),
    ]


def test_the_page_says_when_a_face_was_here(own: Page, demo_photos: Path) -> None:
    first = visit(own, demo_photos / "obama_press_room.jpg")
    other = visit(own, demo_photos / "collins_portrait.jpg")
    again = visit(own, demo_photos / "obama_portrait.jpg")
    assert f"/visits?like={again.event_id}" in own.get("/visits")
    told = own.get(f"/visits?like={again.event_id}")
    assert re.findall(r'<li class="visit" id="(\w+)"', told) == [again.event_id, first.event_id]
    assert other.event_id not in told
    for nobody in ("01M86GTN766HKSFCZ15NNMEFKP", "nonsense"):
        status, headers, _ = own.ask("GET", f"/visits?like={nobody}")
        assert status == 303
        assert 'class="note bad"' in own.get(headers["location"])


def test_a_visit_says_what_showed_the_face(tmp_path: Path, demo_photos: Path) -> None:
    with serving(tmp_path, liveness={"mode": "report"}) as page:
        page.enroll("Obama", demo_photos / "obama_portrait.jpg")
        shown = load_image(demo_photos / "obama_press_room.jpg")
        assert visit(page, shown).liveness_class == "live"
        assert "live face" in page.get("/visits")
        assert "live face" in page.get("/live/recent")
        assert visit(page, on_screen(shown, 0.0)).liveness_class == "screen"
        assert "looks like a screen" in page.get("/visits")
        visit(page, demo_photos / "collins_portrait.jpg")
        health = page.get("/health")
        assert re.search(r"Screens and prints</dt><dd>1</dd><dd class=\"soft\">of 3 visits", health)
        assert re.search(r"<strong>1</strong><div>Like nobody enrolled</div>", health)


def test_a_doubtful_rejection_is_asked_twice(own: Page, demo_photos: Path) -> None:
    own.enroll("Obama", demo_photos / "obama_portrait.jpg")
    own.enroll("Obama", demo_photos / "obama_congress.jpg")
    event = visit(own, demo_photos / "obama_press_room.jpg")
    told = own.post(f"/visits/{event.event_id}/reject")
    assert "All the same: not Obama" in told
    assert "--force" not in told
    assert events(own)[-1].verdict is None


def test_pictures_are_kept_encrypted_and_go_with_their_event(own: Page, demo_photos: Path) -> None:
    event = visit(own, demo_photos / "collins_portrait.jpg")
    status, headers, jpeg = own.ask("GET", f"/visits/{event.event_id}/picture")
    assert (status, headers["content-type"], jpeg[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
    files = b"".join(path.read_bytes() for path in own.config.gallery_path.parent.glob("gallery.db*"))
    assert b"\xff\xd8\xff\xe0" not in files
    assert b"JFIF" not in files
    own.post("/unknown/dismiss", {"events": event.event_id})
    assert events(own) == []
    assert own.with_gallery(lambda gallery: gallery.events.pictured()) == set()
    assert own.ask("GET", f"/visits/{event.event_id}/picture")[0] == 404


def test_pictures_expire_and_go_when_they_are_switched_off(own: Page, demo_photos: Path) -> None:
    event = visit(own, demo_photos / "collins_portrait.jpg")

    def after(hours: int, picture_hours: float) -> tuple[int, int]:
        def clear(gallery: Gallery) -> tuple[int, int]:
            gallery.events.clocks = Clocks(monotonic=lambda: time.monotonic() + hours * HOUR)
            gallery.events.expire(event.camera, keeping(), picture_hours)
            return len(gallery.events.pictured()), len(gallery.events.all())

        return own.with_gallery(clear)

    assert after(23, 24) == (1, 1)
    assert after(25, 24) == (0, 1)
    again = visit(own, demo_photos / "collins_portrait.jpg")
    assert own.with_gallery(lambda gallery: gallery.events.pictured()) == {again.event_id}
    assert after(0, 0.0) == (0, 2)


def test_without_the_switches_there_is_neither_picture_nor_stranger(tmp_path: Path, demo_photos: Path) -> None:
    with serving(tmp_path, pictures=False, unknown=False) as page:
        event = visit(page, demo_photos / "collins_portrait.jpg")
        assert page.with_gallery(lambda gallery: gallery.events.pictured()) == set()
        assert page.ask("GET", f"/visits/{event.event_id}/picture")[0] == 404
        told = page.get("/unknown")
        assert "are not shown" in told
        assert event.event_id not in told


def test_who_is_forgotten_is_gone_with_their_pictures(own: Page, demo_photos: Path) -> None:
    person = own.enroll("Obama", demo_photos / "obama_portrait.jpg")
    visit(own, demo_photos / "obama_press_room.jpg")
    assert "Obama is forgotten" in own.post(f"/people/{person}/forget")
    assert own.with_gallery(lambda gallery: (gallery.people(), gallery.events.all(), gallery.events.pictured())) == (
        [],
        [],
        set(),
    )
    assert [entry["action"] for entry in audited(own)] == ["forget"]


def test_one_stranger_is_one_row_and_is_recognized_once_named(own: Page, demo_photos: Path) -> None:
    first = visit(own, demo_photos / "collins_portrait.jpg")
    second = visit(own, demo_photos / "collins_portrait.jpg")
    other = visit(own, demo_photos / "biden_portrait.jpg")
    told = own.get("/unknown")
    rows = re.findall(r'action="[^"]*/unknown/name".*?name="events" value="([^"]*)"', told, re.S)
    assert rows == [other.event_id, f"{first.event_id} {second.event_id}"]
    assert "That was Eileen" in own.post("/unknown/name", {"events": rows[1], "name": "Eileen"})
    assert visit(own, demo_photos / "collins_portrait.jpg").event_type == "recognized"
    assert "Not named: this face passes for Eileen" in own.post("/unknown/name", {"events": second.event_id, "name": "Eve"})
    assert own.get("/unknown").count('/unknown/name"') == 1
    assert "Not named" in own.post("/unknown/name", {"events": "", "name": "Eve"})
    assert "Not named" in own.post("/unknown/name", {"events": other.event_id, "name": "\n"})
    own.enroll("Obama", demo_photos / "obama_portrait.jpg")
    assert "nearer to Obama than to Eileen" in own.post("/unknown/name", {"events": other.event_id, "name": "Eileen"})


def kept(
    number: int, vector: Vector, wall: float = 0.0, person: str | None = None, kind: EventType = EventType.UNKNOWN
) -> KeptEvent:
    return KeptEvent(f"{number:026}", str(kind), wall, "front", person, 0.1, 0.9, vector)


def test_a_chain_of_look_alikes_does_not_join_strangers() -> None:
    import numpy as np

    angles = np.radians([0, 35, 70, 105])
    chain = [kept(number, np.array([np.cos(angle), np.sin(angle)], np.float32)) for number, angle in enumerate(angles)]
    grouped = group(chain, 0.7)
    assert [[int(event.event_id) for event in members] for members in grouped] == [[2, 3], [0, 1]]
    assert group([], 0.7) == []


def test_only_what_waits_for_a_name_is_unknown() -> None:
    import numpy as np

    vector = np.array([1, 0], np.float32)
    waiting = kept(3, vector, wall=50.0)
    others = [kept(1, vector, 10.0), kept(2, vector, 50.0, "p_1"), kept(4, vector, 50.0, None, EventType.RECOGNIZED)]
    assert unknown([*others, waiting], since=20.0) == [waiting]


def test_enrollment_is_told_step_by_step_and_may_be_ended(own: Page, demo_photos: Path) -> None:
    def begin(name: str) -> tuple[int, Any]:
        status, _, answer = own.ask("POST", f"/enroll/start?name={name}", b"")
        return status, json.loads(answer)

    def state(key: str, after: str = "") -> dict[str, Any]:
        told: dict[str, Any] = json.loads(own.ask("GET", f"/enroll/state?id={key}&after={after}")[2])
        return told

    status, begun = begin("Anna")
    assert status == 200
    assert begin("Bob")[0] == 409  # one at a time
    assert eventually(lambda: "nobody is there" in state(begun["id"]).get("text", ""))
    own.stage.scene = load_image(demo_photos / "obama_portrait.jpg")
    assert eventually(lambda: state(begun["id"])["taken"] == 1, 60)
    own.ask("POST", f"/enroll/finish?id={begun['id']}", b"")
    assert eventually(lambda: state(begun["id"])["done"])
    assert state(begun["id"])["text"].startswith("Anna is known from 1 view now.")
    assert [entry["action"] for entry in audited(own)] == ["enroll"]
    _, again = begin("Carla")
    own.ask("POST", f"/enroll/finish?cancel&id={again['id']}", b"")
    assert state(again["id"], "x") == {"done": True, "ok": False, "text": "Cancelled. Nothing was kept."}
    assert state("another")["text"] == "This enrollment is over."
    assert begin("%20")[0] == 409


def test_with_the_page_off_nothing_of_it_is_imported(tmp_path: Path, demo_photos: Path) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_text(f'[gallery]\npath = "{tmp_path}/g.db"\n[camera]\nsource = "folder:{demo_photos}"\nhold = 0\nfps = 50\n')
    code = (
        "import sys; from pathlib import Path\n"
        "from edgeface.daemon.service import Service; from edgeface.vision.model_card import SHIPPED\n"
        f"Service(Path({str(file)!r}), SHIPPED).run()\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('starlette', 'uvicorn', 'jinja2', 'anyio', 'h11')],"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_it_takes_less_than_30_mb_more(tmp_path: Path, demo_photos: Path) -> None:
    """``pytest -s tests/web/test_web_views.py -k 30_mb`` prints how much: resident memory, while three browsers watch."""
    taken = {}
    for enabled in (False, True):
        folder = tmp_path / str(enabled)
        folder.mkdir()
        settings = page_settings(folder, enabled=enabled)
        file = folder / "edgeface.toml"
        file.write_text(
            f'[gallery]\npath = "{settings.gallery_path}"\n[camera]\nsource = "folder:{demo_photos}"\nhold = 60\n'
            f"[web]\nenabled = {str(enabled).lower()}\nport = {settings.web.port}\npictures = true\n"
        )
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(folder), "OPENBLAS_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "edgeface", "--config", str(file), "run"]
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
        try:
            with patch.dict(os.environ, environment):
                assert eventually(lambda: seen(file) > 20, 60)  # noqa: B023
                if enabled:
                    watch(settings, seconds=5)
                taken[enabled] = psutil.Process(process.pid).memory_info().rss / 1e6
        finally:
            process.terminate()
            process.wait(30)
    more = taken[True] - taken[False]
    print(f"{more:.1f} MB more, {taken[False]:.0f} MB without")
    assert more < 30


def test_a_reload_starts_and_stops_it(tmp_path: Path, demo_photos: Path) -> None:
    port, file = page_settings(tmp_path).web.port, tmp_path / "edgeface.toml"

    def write(enabled: bool) -> None:
        file.write_text(
            f'[gallery]\npath = "{tmp_path}/g.db"\n[camera]\nsource = "folder:{demo_photos}"\nhold = 60\n'
            f"[web]\nenabled = {str(enabled).lower()}\nport = {port}\n"
        )

    def served() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    write(False)
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}
    words = [sys.executable, "-m", "edgeface", "--config", str(file)]
    process = subprocess.Popen([*words, "run"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with patch.dict(os.environ, environment):
            assert eventually(lambda: seen(file), 60)
            assert not served()
            write(True)
            process.send_signal(signal.SIGHUP)
            assert eventually(served)
            assert control_client.ask(load(file), "status")["page"] == f"http://127.0.0.1:{port}/"
            printed = subprocess.run([*words, "web", "url"], capture_output=True, text=True, timeout=60).stdout
            assert printed.startswith(f"http://127.0.0.1:{port}/?token=")
            write(False)
            process.send_signal(signal.SIGHUP)
            assert eventually(lambda: not served())
            assert control_client.ask(load(file), "status")["page"] is None
    finally:
        process.terminate()
        assert process.wait(30) == 0


def seen(file: Path) -> int:
    try:
        return int(control_client.ask(load(file), "status")["frames_seen"])
    except EdgefaceError:
        return 0


def watch(settings: Config, seconds: int) -> None:
    """Open every view, and look at the live picture, three at a time."""
    token = Token(settings.token_path).text()
    signing_in = HTTPConnection("127.0.0.1", settings.web.port, timeout=30)
    signing_in.request("GET", f"/?token={token}")
    given = signing_in.getresponse().headers
    root, cookie = given["location"].rstrip("/"), given["set-cookie"].partition(";")[0]

    def look() -> None:
        end = time.monotonic() + seconds
        paths = cycle(["/", "/people", "/visits", "/unknown", "/enroll", "/health", *["/live/picture"] * 20])
        while time.monotonic() < end:
            asked = Request(f"http://127.0.0.1:{settings.web.port}{root}{next(paths)}", headers={"cookie": cookie})
            with urlopen(asked, timeout=30) as answer:
                assert answer.status == 200
                answer.read()

    threads = [Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_port_in_use_is_told_and_stops_nothing(tmp_path: Path, demo_photos: Path) -> None:
    with serving(tmp_path) as page:
        file = tmp_path / "other.toml"
        file.write_text(
            f'[gallery]\npath = "{tmp_path}/other/g.db"\n[camera]\nsource = "folder:{demo_photos}"\nhold = 0\nfps = 50\n'
            f"[web]\nenabled = true\nport = {page.port}\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "edgeface", "--config", file, "run"], capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0
    assert f"no page at '127.0.0.1', port {page.port}: Address already in use" in done.stderr


def test_people_are_found_and_sorted_whatever_their_accents(own: Page) -> None:
    names = ["Zoë", "Émile", "Eve", "Fred", "emma"]
    own.with_gallery(lambda gallery: [gallery.enroll(name, units(number), [0.8]) for number, name in enumerate(names)])

    def listed(query: str) -> list[str]:
        return re.findall(r"<strong>(.*?)</strong>", own.get(f"/people?{query}"))

    assert listed("") == ["Émile", "emma", "Eve", "Fred", "Zoë"]
    assert listed("q=E%CC%81M") == listed("q=em") == ["Émile", "emma"]
    assert listed("sort=new")[0] == "emma"
    assert listed("sort=nonsense&page=99") == listed("")
    assert "0 of 5 people" in own.get("/people?page=-1&q=nobody")
    assert listed(f"page={'9' * 5000}") == listed("")
    assert own.ask("GET", "/people/p_nobody")[0] == 404
    assert own.ask("GET", "/people/p_nobody/views/x/picture")[0] == 404


def test_the_note_of_a_change_that_erases_a_person_is_seen(own: Page, demo_photos: Path) -> None:
    event = visit(own, demo_photos / "collins_portrait.jpg")
    own.post("/unknown/name", {"events": event.event_id, "name": "Eileen"})
    (person,) = own.with_gallery(lambda gallery: gallery.people())
    assert "This is somebody else" in own.get(f"/people/{person.id}")
    status, headers, _ = own.ask("POST", f"/visits/{event.event_id}/reject", {"from": "person"})
    assert (status, f"/people/{person.id}" in headers["location"]) == (303, True)
    status, headers, _ = own.ask("GET", headers["location"])
    assert "that was not Eileen" in own.get(headers["location"])
    assert own.with_gallery(lambda gallery: gallery.people()) == []


def test_a_kept_face_is_a_portrait(tmp_path: Path, demo_photos: Path) -> None:
    config = page_settings(tmp_path)
    page = Page(msgspec.structs.replace(config, gallery=msgspec.structs.replace(config.gallery, keep_faces=True)))
    try:
        person = page.enroll("Obama", demo_photos / "obama_portrait.jpg")
        (path,) = set(re.findall(r'src="/~[\w-]+(/people/[^"]+)"', page.get("/people")))
        status, headers, jpeg = page.ask("GET", path)
        assert (status, headers["content-type"], jpeg[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
        shown = re.findall(r'src="/~[\w-]+(/people/[^"]+/views/[^"]+)"', page.get(f"/people/{person}"))
        assert [page.ask("GET", one)[0] for one in shown] == [200]
    finally:
        page.close()
