"""The short form: a few attacks of each kind; ``python -m tests.adversary --hours N`` makes many."""

import random
from pathlib import Path
from typing import Any

import pytest
from fixtures.backup import no_credentials

from . import daemons, flips, full, kills, senders, urls
from .__main__ import go_on, table
from .attacks import ATTACKS, Attack
from .house import furnished

__all__ = ["no_credentials"]


@pytest.mark.parametrize("seed", range(120))
def test_a_bit_anywhere_costs_what_stands_there_at_most(tmp_path: Path, seed: int) -> None:
    """Every kind of place in turn."""
    kinds = sorted(flips.classes(furnished(tmp_path) / "gallery.db"))
    assert len(kinds) > 30
    flips.attack(random.Random(seed), tmp_path, kinds[seed % len(kinds)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_daemon_with_a_flipped_bit_recognizes_or_says_why_not(tmp_path: Path, seed: int) -> None:
    daemons.attack(random.Random(seed), tmp_path)


@pytest.mark.parametrize("seed", range(20))
def test_a_kill_within_a_change_leaves_it_made_or_not(tmp_path: Path, seed: int) -> None:
    kills.attack(random.Random(seed), tmp_path)


@pytest.mark.parametrize("pages", full.PAGES)
def test_a_change_on_a_full_disk_is_made_or_refused(tmp_path: Path, pages: int) -> None:
    full.attack(random.Random(pages), tmp_path, pages)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1))
def test_a_daemon_goes_on_whoever_stands_at_its_doors(tmp_path: Path, seed: int) -> None:
    senders.attack(random.Random(seed), tmp_path)


@pytest.mark.parametrize("seed", range(10))
def test_no_address_shows_its_secret(tmp_path: Path, seed: int) -> None:
    urls.attack(random.Random(seed), tmp_path)


def test_what_fails_is_in_the_table_with_what_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def harm(dice: random.Random, _folder: object) -> str:
        number = dice.randrange(10)
        assert number < 5, f"{number} is too much"
        return "went on"

    monkeypatch.setitem(ATTACKS, "harm", Attack("harm is done", harm))
    one: dict[str, Any] = {"seconds": 0.0, "tried": 0, "outcomes": {}, "failed": {}}
    for _ in range(20):
        go_on("harm", "7", one)
    assert one["failed"]
    number, why = next(iter(one["failed"].items()))
    assert "is too much" in why
    assert f"`--again 'harm/{number}'`" in table({"harm": one})
    assert f"| harm is done | 20 | went on {20 - len(one['failed'])} |" in table({"harm": one})
    again: dict[str, Any] = {"seconds": 0.0, "tried": int(number), "outcomes": {}, "failed": {}}
    go_on("harm", "7", again)
    assert again["failed"] == {number: why}
    assert "is too much" in capsys.readouterr().err
