"""A process is killed at a random instant of a change: the gallery is as before the change, or as after it."""

import time
from pathlib import Path
from random import Random

from fixtures.backup import killed

from .house import CHANGES, around, facts, furnished, opened


def attack(dice: Random, folder: Path) -> str:
    name = dice.choice(list(CHANGES))
    change = CHANGES[name]
    back, made = around(furnished(folder), change)
    began = time.monotonic()
    change.do(folder)
    change.undo(folder)
    took = time.monotonic() - began

    def again() -> None:
        change.do(folder)
        change.undo(folder)

    killed(again, dice.uniform(0.0, 2 * took))
    with opened(folder) as gallery:
        left = facts(gallery)
        assert left in (back, made), f"killed in {name!r}: neither before nor after"
        assert gallery.damage() == []
    step, wanted = (change.undo, back) if left == made else (change.do, made)
    step(folder)
    with opened(folder) as gallery:
        assert facts(gallery) == wanted
    return "as after it" if left == made else "as before it"
