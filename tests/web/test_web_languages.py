"""The page in the browser's language: whole in German, and right for whatever a browser says that it wants."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from fixtures.broker import eventually
from fixtures.daemon import EMPTY
from fixtures.galleries import unit
from fixtures.page import Page, serving
from hypothesis import given
from hypothesis import strategies as st

from edgeface.enrollment.guidance import Guidance, Hint
from edgeface.platform.translation import LANGUAGES, translation
from edgeface.types import EventType
from edgeface.vision.images import load_image
from edgeface.web import filters, language
from edgeface.web.enroll import instruction
from edgeface.web.language import SCRIPT_TEXTS, preferred

VIEWS = (
    *("/", "/people", "/visits", "/unknown", "/enroll", "/health", "/regions", "/settings", "/welcome", "/phone", "/bin"),
    "/nowhere",
)
ENGLISH = re.compile(r"\b(?:the|and|is|of|with|you|not|are|from|has|been|this|who|nobody|somebody|now)\b", re.IGNORECASE)
"""Words that no German sentence has."""
GERMAN: dict[str, Any] = {"accept-language": "de-DE,de;q=0.9,en;q=0.8"}
VOID = {"img", "input", "link", "meta", "br"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as running:
        yield running


class Shown(HTMLParser):
    """The texts that a page shows or reads out, but for those that are marked as English."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.language, self.texts, self._in_english, self._open = "", [""], 0, list[bool]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "html":
            self.language = named["lang"] or ""
        english = named.get("lang") == "en" or tag in ("code", "style", "script")
        if tag not in VOID:
            self._open.append(english)
            self._in_english += english
        if not self._in_english:
            self.texts += [named[name] or "" for name in ("alt", "title", "placeholder", "aria-label") if name in named]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and self._open:
            self._in_english -= self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._in_english:
            self.texts.append(data)


def english(html: str) -> list[str]:
    """What stands in a German page that is English: sentences, and texts of the catalogue as they are in English."""
    shown, catalogue = Shown(html), translation("de").catalogue
    assert shown.language == "de"
    texts = [" ".join(text.split()) for text in shown.texts]
    return [text for text in texts if ENGLISH.search(text) or (text and catalogue.gettext(text) != text)]


def test_english_in_a_german_page_is_found() -> None:
    html = (
        '<html lang="de"><p>Alle Besuche<p lang="en">Who is there</p><img alt="This is wrong"><br><b>Visits</b><code>of</code>'
    )
    assert english(html) == ["This is wrong", "Visits"]


@pytest.mark.parametrize("path", VIEWS)
def test_an_empty_page_is_german_for_a_german_browser(page: Page, path: str) -> None:
    _, headers, body = page.ask("GET", path, **GERMAN)
    assert english(body.decode()) == []
    assert headers["cache-control"] == "no-store"  # or another language would be shown from a cache


def test_a_page_of_which_nobody_has_the_key_is_german(page: Page) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/people", {}),
        ("/?token=x", {}),
        ("/people", {"host": "evil.example"}),
        ("/people", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}),
    ]
    for path, more in asked:
        _, _, body = page.ask("GET", path, signed=False, **GERMAN, **more)
        assert english(body.decode()) == []
    _, _, manifest = page.ask("GET", "/manifest.webmanifest", signed=False, **GERMAN)
    assert (json.loads(manifest)["lang"], json.loads(manifest)["description"]) == ("de", "Wer an der Tür ist")


def test_people_visits_and_refusals_are_german(tmp_path: Path, demo_photos: Path) -> None:
    with serving(tmp_path) as own:
        anna = own.enroll("Anna", demo_photos / "obama_portrait.jpg")
        own.enroll("Bert", demo_photos / "collins_portrait.jpg")
        for photo in ("obama_press_room.jpg", "collins_portrait.jpg"):
            count = len(own.told)
            own.stage.scene = load_image(demo_photos / photo)
            assert eventually(lambda: len(own.told) > count)  # noqa: B023
            own.stage.scene = EMPTY
            assert eventually(lambda: own.told[-1] == EventType.LEFT)
        visit = own.with_gallery(lambda gallery: gallery.events.all())[0].event_id
        own.post("/people/" + own.with_gallery(lambda gallery: gallery.find("Bert")).id + "/forget")
        for path in (*VIEWS[:-1], f"/people/{anna}", "/live/recent", "/people?q=a&sort=seen", "/visits?person=?"):
            html = own.get(path, **GERMAN)
            assert english(html if path != "/live/recent" else f'<html lang="de">{html}') == [], path
        assert "heute, " in own.get("/visits", **GERMAN).casefold()
        for path, form, told in (
            (f"/visits/{visit}/confirm", {}, "Notiert: das war Anna."),
            (f"/people/{anna}/rename", {"name": ""}, "ist kein Name"),
            ("/people/nobody/forget", {}, "niemand namens"),
            (f"/people/{anna}/rules", {"hours": "always"}, "ist nicht wie"),
            ("/unknown/dismiss", {"events": "x"}, "0 Besuche gelöscht"),
            ("/settings", {"events.keep_days": "-1"}, "Nicht geändert"),
            (f"/people/{anna}/rename", {"name": "Anna B."}, "Der Name ist jetzt Anna B."),
        ):
            _, headers, _ = own.ask("POST", path, form, **GERMAN)
            assert told in own.get(headers["location"], **GERMAN), path
        refused = own.ask("POST", "/people/photo?name=Clara", b"x", **GERMAN)[2]
        assert "kein Bild im Format" in json.loads(refused)["text"]


def test_merging_and_undoing_are_said_in_german(tmp_path: Path) -> None:
    with serving(tmp_path) as own:
        for name, seeds in (("Anna", (1, 2)), ("Bert", (3, 4)), ("Clara", (5,))):
            vectors = [unit(seed) for seed in seeds]
            own.with_gallery(lambda gallery: gallery.enroll(name, vectors, [0.8] * len(vectors)))  # noqa: B023
        anna, bert = (own.with_gallery(lambda gallery: gallery.find(name).id) for name in ("Anna", "Bert"))  # noqa: B023
        view = own.with_gallery(lambda gallery: gallery.views(anna)[0].id)
        for path, form, told in (
            (f"/people/{bert}/merge", {"into": "Anna"}, "Nicht zusammengeführt: Bert und Anna sehen sich nicht ähnlich, Wert"),
            (f"/people/{bert}/merge", {"into": "Bert"}, "Nicht zusammengeführt: das ist schon ein und dieselbe Person, Bert."),
            (
                f"/people/{anna}/views/{view}/move",
                {"who": "Clara", "force": "yes"},
                "1 Aufnahme von Anna verschoben; Clara hat 2",
            ),
            (
                f"/people/{bert}/merge",
                {"into": "Clara", "force": "yes"},
                "Bert ist mit Clara zusammengeführt; Clara hat 4 Aufn",
            ),
            ("/undo", {}, "Rückgängig gemacht: Bert wurde mit Clara zusammengeführt."),
            ("/undo", {"change": "c_no"}, "es gibt keine Änderung &#39;c_no&#39;"),
        ):
            _, headers, _ = own.ask("POST", path, form, **GERMAN)
            shown = own.get(headers["location"], **GERMAN)
            assert told in shown, path
            assert english(shown) == []
        bin_page = own.get("/bin", **GERMAN)
        assert "1 Aufnahme von Anna zu Clara verschoben" in bin_page
        assert english(bin_page) == english(own.get("/people", **GERMAN)) == english(own.get("/unknown", **GERMAN)) == []


def test_what_is_kept_of_a_face_is_said_in_german(tmp_path: Path, demo_photos: Path) -> None:
    obama = (demo_photos / "obama_portrait.jpg").read_bytes()
    with serving(tmp_path) as own:
        person = own.enroll("Anna", demo_photos / "obama_portrait.jpg")
        told = own.ask("POST", "/unknown/about", obama, content_type="image/jpeg", **GERMAN)[2].decode()
        assert english(f'<html lang="de">{told}') == []
        assert "1 Aufnahme" in told
        refused = own.ask("POST", "/unknown/about", b"x", content_type="image/jpeg", **GERMAN)[2].decode()
        assert english(f'<html lang="de">{refused}') == []
        _, headers, _ = own.ask("POST", "/unknown/erase", {"people": person}, **GERMAN)
        shown = own.get(headers["location"], **GERMAN)
        assert "Gelöscht: Anna, 0 Besuche" in shown
        assert english(shown) == []


def test_several_cameras_are_german(tmp_path: Path, demo_photos: Path) -> None:
    (tmp_path / "garden").mkdir()
    (tmp_path / "garden" / "obama.jpg").write_bytes((demo_photos / "obama_portrait.jpg").read_bytes())
    with serving(tmp_path, cameras=[{"name": "garden", "source": f"folder:{tmp_path}/garden"}]) as own:
        for path in ("/", "/?camera=garden", "/regions?camera=garden", "/enroll?camera=garden", "/health", "/?camera=attic"):
            assert english(own.ask("GET", path, **GERMAN)[2].decode()) == [], path
        assert "direkt unter den Einstellungen von [[cameras]] garden" in own.get("/regions?camera=garden", **GERMAN)


def test_the_state_is_streamed_in_the_language_of_who_asks(page: Page) -> None:
    for wanted, state in (("de", "an"), ("fr", "allumée"), ("xx", "on")):
        root, cookie = page.session
        connection = page.connect()
        connection.request("GET", f"{root}/stream", headers={"cookie": cookie, "accept-language": wanted})
        line = connection.getresponse().readline()
        connection.close()
        assert json.loads(line.removeprefix(b"data: "))["facts"]["camera"] == state


def test_the_setting_goes_before_the_browser_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, language="nl") as own:
        assert Shown(own.get("/", **GERMAN)).language == "nl"
        own.config = msgspec.structs.replace(own.config, web=msgspec.structs.replace(own.config.web, language="auto"))
        assert Shown(own.get("/", **GERMAN)).language == "de"
        assert Shown(own.get("/")).language == "en"


@pytest.mark.parametrize("name", LANGUAGES)
def test_scripts_are_handed_their_texts(page: Page, name: str) -> None:
    html = page.get("/", accept_language=name)
    handed = json.loads(re.search(r'data-words="([^"]*)"', html)[1].replace("&#34;", '"').replace("&#39;", "'"))  # type: ignore[index]
    assert handed == {text: translation(name).say(text) for text in SCRIPT_TEXTS}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("pl,es;q=0.3,nl;q=0.4", "nl"),
        ("en-GB,de;q=0.9", "en"),
        ("de;q=0,es;q=0.1", "es"),
        ("de; q=0.2, fr ; q=0.1", "de"),
        ("pl", "en"),
        ("*", "en"),
        ("de;q=inf,fr;q=nan,es;q=1e9", "en"),
        ("../../etc/passwd", "en"),
        ("pl," * 5000 + "de", "en"),
    ],
)
def test_the_best_language_is_chosen(accepted: str, language: str) -> None:
    assert preferred(accepted) == language


@given(st.text())
def test_no_header_is_too_odd(accepted: str) -> None:
    assert preferred(accepted) in LANGUAGES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("en", ("Sunday, 1 March 2020", "75%", "over 99%", "2 days", "12,345")),
        ("de", ("Sonntag, 1. März 2020", "75\xa0%", "über 99\xa0%", "2 Tage", "12.345")),
        ("es", ("domingo, 1 de marzo de 2020", "75\xa0%", "más del 99\xa0%", "2 días", "12.345")),
        ("fr", ("dimanche 1 mars 2020", "75\u202f%", "plus de 99\u202f%", "2 jours", "12\u202f345")),
        ("nl", ("zondag 1 maart 2020", "75%", "meer dan 99%", "2 dagen", "12.345")),
    ],
)
def test_dates_and_figures_are_written_as_in_the_language(name: str, expected: tuple[str, ...]) -> None:
    with patch.object(language, "current", lambda: translation(name)), patch.object(filters, "current", language.current):
        day = filters.day(datetime(2020, 3, 1, 12).timestamp())
        assert (day, filters.percent(0.75), filters.percent(1), filters.ago(172_800), filters.number(12345)) == expected


def test_guidance_is_said_with_its_reason() -> None:
    def said(hint: Hint, text: str) -> str:
        with patch.object(language, "current", lambda: translation("de")):
            return instruction(Guidance(hint, text, 1, 5, 9))

    assert said(Hint.COME_CLOSER, "come closer") == "komm näher"
    assert said(Hint.TAKEN, "view 2 taken") == "Aufnahme 2 gemacht"
    assert said(Hint.KNOWN, f"{Hint.KNOWN.words}: 'Bert'").endswith("unter einem anderen Namen erfasst: 'Bert'")
    assert said(Hint.UNLIKE, f"{Hint.UNLIKE.words}: score 0.30 (needs 0.45)").endswith(": Wert 0.30 (nötig sind 0.45)")
    assert said(Hint.CAMERA_LOST, f"{Hint.CAMERA_LOST.words}: no frame for 6 s").endswith(": seit 6 s kein Bild")
