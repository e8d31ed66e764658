"""The commands that are made of operations."""

from typing import Any

from fixtures.commandline import Cli
from fixtures.galleries import enrolled, kept, near, unit

from edgeface.config.load import load
from edgeface.gallery.open import open_gallery
from edgeface.types import EventType
from edgeface.vision.model_card import SHIPPED, load_card


def strangers(cli: Cli, *seeds: int) -> list[Any]:
    """Ids of kept events that name nobody."""
    gallery = open_gallery(load(cli.file), load_card(SHIPPED))
    try:
        return [kept(gallery, None, unit(seed), EventType.UNKNOWN).event_id for seed in seeds]
    finally:
        gallery.close()


def test_a_command_is_made_of_the_fields_of_a_request(cli: Cli) -> None:
    one, two, three = strangers(cli, 1, 2, 3)
    assert cli("events", "dismiss", one, two).stdout == "2 events are erased\n"
    assert cli.json("events", "dismiss", one) == {"events": 0}
    assert cli("events", "introduce", three, "Anna").stdout == "that was Anna, who will be recognized from now on\n"
    assert [person["name"] for person in cli.json("people", "list")["people"]] == ["Anna"]


def test_a_stranger_is_not_named_as_somebody_who_is_not_the_nearest(cli: Cli) -> None:
    gallery = open_gallery(load(cli.file), load_card(SHIPPED))
    enrolled(gallery, "Anna", 1)
    enrolled(gallery, "Bob", 5)
    stranger = kept(gallery, None, near(unit(5), 0.25), EventType.UNKNOWN).event_id
    gallery.close()
    assert "nearer to Bob than to Anna" in cli.refusal("events", "introduce", stranger, "Anna")


def test_wrong_fields_are_wrong_usage(cli: Cli) -> None:
    assert "Missing argument" in cli("events", "dismiss", code=2).stderr
    assert "length <= 200" in cli("events", "introduce", "x", "n" * 201, code=2).stderr
    assert "no event 'x' is kept" in cli.refusal("events", "introduce", "x", "Anna")
