"""A disk has room for so many pages only: a change is made whole or refused in one line, and made once there is room."""

import os
from pathlib import Path
from random import Random

from fixtures.disk import fill, mounted

from edgeface.errors import GalleryError, TraceError

from .house import CHANGES, around, facts, furnished, opened

PAGES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Fifteen levels of what is left, in pages of 4 kB."""


def attack(dice: Random, folder: Path, pages: int | None = None) -> str:
    name, left = dice.choice(list(CHANGES)), dice.choice(PAGES) if pages is None else pages
    change = CHANGES[name]
    with mounted(folder / "disk") as disk:
        back, made = around(furnished(disk), change)
        fill(disk)
        os.truncate(disk / "fill", max(0, (disk / "fill").stat().st_size - 4096 * left))
        outcome, wanted = "made", made
        try:
            change.do(disk)
        except TraceError as error:
            outcome = f"made, traces told: {_line(error)}"
        except GalleryError as error:
            told = _line(error)
            assert "full" in told, told
            outcome, wanted = "refused", back
        with opened(disk) as gallery:
            assert facts(gallery) == wanted, f"{name!r} with {left} pages left was {outcome}"
        (disk / "fill").unlink()
        for step, then in ((change.do, made), (change.undo, back)) if wanted == back else ((change.undo, back),):
            step(disk)
            with opened(disk) as gallery:
                assert facts(gallery) == then
                assert gallery.damage() == []
    return outcome


def _line(error: GalleryError) -> str:
    assert len(str(error).splitlines()) == 1
    return str(error)
