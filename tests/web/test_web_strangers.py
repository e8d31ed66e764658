"""The view of strangers when there are many: small pages that show each visit once."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures.page import Page, serving

from edgeface.config.schema import EventsSettings
from edgeface.gallery.store import Gallery
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Image
from edgeface.vision.images import encode_jpeg
from edgeface.web import strangers as view
from edgeface.web.strangers import PAGE
from edgeface.wire.events import Event

MOST = 250_000
"""Bytes of a page, at most."""
MANY = 1000


def came(page: Page, count: int, strangers: int) -> list[str]:
    """Ids of visits, with pictures, of as many strangers; they come in turn."""
    random = np.random.default_rng(0)
    faces = random.normal(size=(strangers, 128)).astype(np.float32)
    blank: Image = np.full((112, 112, 3), 90, np.uint8)
    picture, now = encode_jpeg(blank, 112)[0], time.time() - 3600
    ids = [new_event_id(now + number) for number in range(count)]

    def keep(gallery: Gallery) -> None:
        gallery._database.execute("PRAGMA synchronous = OFF")  # no power fails here
        for number, event_id in enumerate(ids):
            face = faces[number % strangers]
            told = EventType.UNKNOWN, event_id, now + number, 0.0, "front"
            event = Event(*told, score=0.1, quality=0.9, embedding=face)
            gallery.events.keep(event, EventsSettings(max=2 * MANY, keep_strangers=True), picture)

    page.with_gallery(keep)
    return ids


def walk(page: Page) -> list[str]:
    """The pages from the first to the last, by their link."""
    path, pages = "/unknown", []
    while path:
        told = page.get(path)
        pages.append(told)
        found = re.search(r'href="[^"]*(/unknown\?[^"]+)">Earlier visitors', told)
        path = found[1].replace("&amp;", "&") if found else ""
    return pages


def shown(told: str) -> list[list[str]]:
    return [ids.split() for ids in re.findall(r'name="events" value="([^"]*)"', told)]


def test_a_page_of_a_thousand_visits_is_small(tmp_path: Path) -> None:
    with serving(tmp_path) as page:
        ids = came(page, MANY, MANY)
        told = page.get("/unknown")
        assert len(told.encode()) < MOST
        assert len(shown(told)) == PAGE
        assert [row[-1] for row in shown(told)][:3] == ids[:-4:-1]


@pytest.mark.parametrize(("strangers", "pages"), [(14, 5), (2, 3)])
def test_every_visit_is_on_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strangers: int, pages: int) -> None:
    monkeypatch.setattr(view, "MAX_EVENTS", 6)
    monkeypatch.setattr(view, "PAGE", 4)
    with serving(tmp_path) as page:
        ids = came(page, 14, strangers)
        told = walk(page)
        assert sorted(event_id for text in told for row in shown(text) for event_id in row) == ids
        assert len(told) == pages
        assert ["Latest visitors" in text for text in told] == [False, *(pages - 1) * [True]]


def test_who_is_dealt_with_on_a_later_page_leads_back_to_it(tmp_path: Path) -> None:
    with serving(tmp_path) as page:
        came(page, PAGE + 2, PAGE + 2)
        _, last = walk(page)
        before = re.findall(r'name="before" value="([^"]+)"', last)
        first, second = (row[0] for row in shown(last))
        told = page.post("/unknown/dismiss", {"events": first, "before": before[0], "name": ""})
        assert "Dismissed: 1 visit erased." in told
        assert shown(told) == [[second]]
        told = page.post("/unknown/dismiss", {"events": second, "before": before[0]})
        assert "Nobody unknown was here earlier." in told
        assert len(shown(page.get("/unknown"))) == PAGE
        for strange in ("?before=%00&older=%F0%9F%98%80", "?before=" + "Z" * 2000):
            page.get("/unknown" + strange)


def test_who_is_ignored_is_told_of_again_by_one_button(tmp_path: Path) -> None:
    with serving(tmp_path) as page:
        came(page, 1, 1)
        told = page.get("/unknown")
        assert "Ignore: known from now on, never told of." in told
        told = page.post("/unknown/ignore", {"events": shown(told)[0][0], "name": ""})
        assert "They are ignored from now on, as ignored 1." in told
        (person,) = re.findall(r'name="ignored" value="([^"]+)"><button[^>]*>Ignore no longer', told)
        assert page.with_gallery(lambda gallery: gallery.rules())[person].ignored
        assert "ignored 1 is no longer ignored." in page.post("/undo", {"ignored": person})
        assert not page.with_gallery(lambda gallery: gallery.rules())[person].ignored
