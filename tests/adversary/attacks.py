"""Every kind of attack: what it does, and how one is made with a seed."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from . import daemons, flips, full, kills, senders, urls


class Attack(NamedTuple):
    """``make`` is given a source of chance and an empty folder, and says what came of it; it raises if that was bad."""

    what: str
    make: Callable[[Random, Path], str]


ATTACKS: dict[str, Attack] = {
    "flip": Attack("a bit of the gallery's file is flipped, read by a process", flips.attack),
    "flip, daemon": Attack("a bit of the gallery's file is flipped, read by a daemon before a camera", daemons.attack),
    "kill": Attack("a process is killed within a change of the gallery", kills.attack),
    "full disk": Attack("a change with room for 0 to 128 pages of 4 kB", full.attack),
    "senders": Attack("12 hostile senders at camera, broker, page and socket of a daemon in 400 MB", senders.attack),
    "addresses": Attack("100 addresses of cameras with a secret in them", urls.attack),
}
