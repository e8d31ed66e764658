"""The page with nobody, with one person, a family's friends, and a company."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from fixtures.page import serving

from edgeface.gallery.store import Gallery
from edgeface.web.people import PAGE

VIEWS = ("/", "/people", "/people?sort=seen", "/visits", "/unknown", "/enroll", "/health", "/settings", "/bin")
MOST = 250_000
"""Bytes of a page, at most."""


@pytest.mark.parametrize("count", [0, 1, 49, 1000])
def test_every_view_shows_so_many_people_and_stays_small(tmp_path: Path, count: int) -> None:
    faces = np.random.default_rng(0).normal(size=(count, 128)).astype(np.float32)
    names = [f"Person {number:04}" for number in range(count)]

    def fill(gallery: Gallery) -> None:
        gallery._database.execute("PRAGMA synchronous = OFF")  # no power fails here
        for name, face in zip(names, faces, strict=True):
            gallery.enroll(name, [face / np.linalg.norm(face)], [0.9])

    with serving(tmp_path) as page:
        page.with_gallery(fill)
        sizes = {}
        for view in VIEWS:
            status, _, told = page.ask("GET", view)
            assert status == 200, view
            sizes[view] = len(told)
        assert max(sizes.values()) < MOST, sizes
        pages = [page.get(f"/people?page={number}") for number in range(1, max(1, math.ceil(count / PAGE)) + 1)]
        assert set(re.findall(r"Person \d{4}", "".join(pages))) == set(names)
        assert [">Next</a>" in told for told in pages] == [True] * (len(pages) - 1) + [False]
        if names:
            assert names[-1] in page.get(f"/people?q={names[-1].replace(' ', '+')}")
        else:
            assert "Nobody is enrolled yet" in page.get("/")
