"""The commands that merge people, move views, and undo that."""

import re
from contextlib import closing

import pytest
from fixtures.commandline import Cli
from fixtures.galleries import near, unit

from edgeface.gallery.store import Gallery
from edgeface.vision.model_card import SHIPPED, load_card


def names(cli: Cli) -> dict[str, int]:
    return {person["name"]: person["templates"] for person in cli.json("people", "list")["people"]}


@pytest.fixture(autouse=True)
def _family(cli: Cli) -> None:
    with closing(Gallery(cli.gallery, load_card(SHIPPED).digest)) as gallery:
        for name, seeds in (("Anna", (1, 2, 3)), ("Ann", (4, 5))):
            gallery.enroll(name, [near(unit(9), 0.8, seed) for seed in seeds], [0.8] * len(seeds))
        gallery.enroll("Bert", [unit(50), unit(51)], [0.8, 0.8])


def test_a_merge_is_told_listed_and_undone(cli: Cli) -> None:
    done = cli("people", "merge", "Ann", "Anna")
    assert done.stdout == "Ann is merged into Anna; Anna has 5 views\n"
    (change,) = re.findall(r"^edgeface people undo (c_[0-9a-f]{8}) takes it back$", done.stderr, re.M)
    assert names(cli) == {"Anna": 5, "Bert": 2}
    listed = cli("people", "bin").stdout
    assert listed.startswith(change)
    assert listed.endswith("Ann was merged into Anna\n")
    assert cli("people", "undo").stdout == "undone: Ann was merged into Anna\n"
    assert names(cli) == {"Ann": 2, "Anna": 3, "Bert": 2}
    assert cli.refusal("people", "undo") == "edgeface: there is nothing to undo"


def test_what_does_not_look_right_is_refused_in_one_line_unless_forced(cli: Cli) -> None:
    assert "Bert and Anna do not look alike" in cli.refusal("people", "merge", "Bert", "Anna")
    assert "that is one person" in cli.refusal("people", "merge", "Anna", "Anna", code=2)
    (view, *_) = cli.json("people", "views", "Anna")["views"]
    assert "nearer to Ann than to Bert" in cli.refusal("people", "move", view["id"], "--to", "Bert")
    assert "passes for Ann" in cli.refusal("people", "split", view["id"], "--as", "Carl")
    assert "there is no view" in cli.refusal("people", "move", "00000000", "--to", "Bert")
    assert cli.json("people", "move", view["id"], "--to", "Bert", "--force")["templates"] == 3
    assert cli.json("people", "merge", "Bert", "Anna", "--force")["templates"] == 5


def test_views_are_split_off_deleted_and_erased_for_good(cli: Cli) -> None:
    first, second = (view["id"] for view in cli.json("people", "views", "Bert")["views"])
    assert cli("people", "split", first, "--as", "Carl").stdout == "1 view of Bert split off as Carl; Carl has 1 view\n"
    assert "these are all views of Bert" in cli.refusal("people", "split", second, "--as", "Dora")
    cli("people", "undo")
    assert f"{first} is erased, Bert has 1 template left" in cli("gallery", "drop", first).stdout
    assert cli("people", "bin", "--empty").stdout == "1 change erased: they cannot be undone any more\n"
    assert cli("people", "bin").stderr == "there is nothing to undo\n"
    cli.set(gallery={"path": str(cli.gallery), "bin_days": 0})
    assert cli("people", "merge", "Ann", "Anna").stderr == ""
    assert cli("people", "bin").stderr == "there is nothing to undo: gallery.bin_days is 0\n"
