"""People are merged and views moved on the page, and each of it is undone by a button."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.galleries import near, unit
from fixtures.page import Page, serving

from edgeface.gallery.rules import Rules

SURE = {"force": "yes"}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(tmp_path) as opened:
        yield opened


def enroll(page: Page, name: str, *seeds: int, like: int = 0) -> str:
    """Somebody whose views are like the vector of a number, or are random ones."""
    vectors = [near(unit(like), 0.8, seed) if like else unit(seed) for seed in seeds]
    return page.with_gallery(lambda gallery: gallery.enroll(name, vectors, [0.8] * len(seeds)).id)


def known(page: Page) -> dict[str, int]:
    return page.with_gallery(lambda gallery: {person.name: person.templates for person in gallery.people()})


def undo(page: Page, shown: str) -> str:
    """Press the button of a note."""
    (change,) = re.findall(r'class="undo"><input type="hidden" name="change" value="(c_[0-9a-f]+)"', shown)
    return page.post("/undo", {"change": change})


def test_two_who_are_one_are_merged_and_apart_again(page: Page) -> None:
    anna, ann = enroll(page, "Anna", 1, 2, 3, like=99), enroll(page, "Ann", 4, 5, like=99)
    page.with_gallery(lambda gallery: gallery.rule("Ann", lambda _: Rules(groups=("family",))))
    shown = page.get(f"/people/{ann}")
    assert "If both are one person, merge them below." in shown
    assert '<input name="into" value="Anna"' in shown
    shown = page.post(f"/people/{ann}/merge", {"into": "Anna"})
    assert "Ann is merged into Anna; Anna has 5 views." in shown
    assert 'value="family"' in shown
    assert known(page) == {"Anna": 5}
    assert "1 change can be undone" in page.get("/people")
    assert "Undone: Ann was merged into Anna." in undo(page, shown)
    assert known(page) == {"Ann": 2, "Anna": 3}
    assert "can be undone" not in page.get("/people")
    assert anna != ann


def test_strangers_to_each_other_are_merged_only_if_that_is_said(page: Page) -> None:
    enroll(page, "Anna", 1, 2)
    bert = enroll(page, "Bert", 3, 4)
    shown = page.post(f"/people/{bert}/merge", {"into": "Anna"})
    assert "Not merged: Bert and Anna do not look alike, score" in shown
    assert "force" not in shown.partition('class="note bad"')[2].partition("</p>")[0]
    assert "Not merged: nobody called" in page.post(f"/people/{bert}/merge", {"into": "Carl"})
    assert "is merged into Anna" in page.post(f"/people/{bert}/merge", {"into": "Anna"} | SURE)


def test_a_view_goes_to_whom_it_shows_known_or_new(page: Page) -> None:
    anna = enroll(page, "Anna", 1, 2, 3, like=98)
    enroll(page, "Bert", 4, 5, like=99)
    page.with_gallery(lambda gallery: gallery.enroll("Anna", [near(unit(99), 0.8, 6), unit(7)], [0.8, 0.8]))
    views = page.with_gallery(lambda gallery: [view.id for view in gallery.views(anna)])
    assert page.get(f"/people/{anna}").count("This is somebody else") == 5
    assert "Not moved: this view is nearer to Anna" in page.post(f"/people/{anna}/views/{views[0]}/move", {"who": "Bert"})
    shown = page.post(f"/people/{anna}/views/{views[3]}/move", {"who": "Bert"})
    assert "1 view of Anna moved; Bert has 3 views." in shown
    shown = page.post(f"/people/{anna}/views/{views[4]}/move", {"who": "Carl"})
    assert "1 view of Anna split off as Carl; Carl has 1 view." in shown
    assert known(page) == {"Anna": 3, "Bert": 3, "Carl": 1}
    undo(page, shown)
    assert known(page) == {"Anna": 4, "Bert": 3}
    assert "is no name" in page.post(f"/people/{anna}/views/{views[0]}/move", {"who": " "})


def test_a_deleted_view_is_listed_undone_and_erased_for_good(page: Page) -> None:
    anna = enroll(page, "Anna", 1, 2, 3)
    first, second, _ = page.with_gallery(lambda gallery: [view.id for view in gallery.views(anna)])
    assert "There is nothing to undo." in page.get("/bin")
    shown = page.post(f"/people/{anna}/views/{first}/drop", {})
    assert "1 view of Anna deleted" in undo(page, shown)
    page.post(f"/people/{anna}/views/{second}/drop", {})
    shown = page.get("/bin")
    assert "1 view of Anna deleted" in shown
    assert "30 days" in shown
    assert "What could be undone is erased." in page.post("/bin/empty", {})
    assert page.with_gallery(lambda gallery: gallery.bin.count()) == 0
    assert "Not undone: there is nothing to undo." in page.post("/undo", {})
    assert known(page) == {"Anna": 2}
