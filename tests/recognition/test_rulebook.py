import json
from dataclasses import replace

import msgspec
import pytest
from fixtures.door import Door

from edgeface.config.schema import RulesSettings
from edgeface.gallery.rules import Rules
from edgeface.recognition.rulebook import Rulebook
from edgeface.types import EventType
from edgeface.vision.model_card import ModelCard
from edgeface.wire.events import Corrected, Event, event_payload

NOON = 1_764_500_400.0  # 2025-11-30, 11:00 UTC, a Sunday
ALWAYS, NEVER = "00:00-24:00", "mon 00:00-00:01"


def event(person: str | None = "p_1", kind: EventType = EventType.RECOGNIZED, **more: object) -> Event:
    made = Event(kind, "01M86GTN766HKSFCZ15NNMEFKP", NOON, 0.0, "front", track_id=1, person_id=person, name=person and "Anna")
    return replace(made, **more)  # type: ignore[arg-type]  # any field


def ruled(told: Event, outside_hours: str = "tell", **rules: Rules) -> Event:
    (found,) = Rulebook(msgspec.convert({"outside_hours": outside_hours}, RulesSettings)).apply([told], rules)
    return found


def test_without_rules_events_are_as_they_were() -> None:
    told = event()
    assert ruled(told) is told
    assert ruled(told, p_2=Rules(ignored=True)) is told
    assert ruled(event(None, EventType.CAMERA_LOST), p_1=Rules(ignored=True)).withheld is None


@pytest.mark.parametrize("kind", [EventType.RECOGNIZED, EventType.LEFT])
def test_who_is_ignored_or_muted_is_not_told(kind: EventType) -> None:
    assert ruled(event(kind=kind), p_1=Rules(ignored=True, muted_since=1.0)).withheld == "ignored"
    assert ruled(event(kind=kind), p_1=Rules(muted_since=1.0)).withheld == "muted"
    assert ruled(event(kind=kind), p_1=Rules(muted_since=NOON - 60, muted_until=NOON - 1)).withheld is None


def test_hours_are_told_or_decide() -> None:
    assert ruled(event(), p_1=Rules(hours=(ALWAYS,))).allowed is True
    outside = ruled(event(), p_1=Rules(hours=(NEVER,)))
    assert (outside.allowed, outside.withheld) == (False, None)
    assert ruled(event(), "withhold", p_1=Rules(hours=(NEVER,))).withheld == "hours"
    assert ruled(event(), "withhold", p_1=Rules(hours=(ALWAYS,))).withheld is None
    assert ruled(event(), "withhold", p_1=Rules(groups=("family",))).withheld is None
    assert ruled(event(kind=EventType.LEFT), p_1=Rules(hours=(NEVER,))).allowed is None


def test_groups_are_in_the_events_of_a_visit() -> None:
    for kind in (EventType.RECOGNIZED, EventType.LEFT):
        assert ruled(event(kind=kind), p_1=Rules(groups=("family", "staff"))).groups == ("family", "staff")


def test_a_correction_does_not_name_who_is_not_told() -> None:
    wrong = Corrected("01M86GTN766HKSFCZ15NNMEFKP", "p_1", "Anna")
    for rules in (Rules(ignored=True), Rules(muted_since=1.0)):
        assert ruled(event(None, EventType.UNKNOWN, corrected=wrong), p_1=rules).corrected is None
        assert ruled(event("p_2", corrected=wrong), p_1=rules).corrected is None
    assert ruled(event("p_2", corrected=wrong), p_1=Rules(groups=("family",))).corrected == wrong


def test_who_is_forgotten_leaves_by_the_rules_that_they_had() -> None:
    book, left = Rulebook(RulesSettings()), event(kind=EventType.LEFT)
    assert book.apply([], {"p_1": Rules(ignored=True), "p_2": Rules()}) == []
    (told,) = book.apply([left], {"p_2": Rules()})
    assert told.withheld == "ignored"
    (told,) = book.apply([left], {"p_2": Rules()})
    assert told.withheld is None


def test_payloads_have_groups_and_whether_it_is_allowed_only_where_they_are_set(card: ModelCard) -> None:
    door = Door(card)
    (anna,) = door.see(door.view("A"), frames=5)
    plain = msgspec.to_builtins(event_payload(anna, "door", "sha256:1f"))
    assert not {"groups", "allowed", "withheld"} & plain.keys()
    told = ruled(anna, p_A=Rules(groups=("family",), hours=(NEVER,)))
    payload = msgspec.to_builtins(event_payload(told, "door", "sha256:1f"))
    assert json.loads(msgspec.json.encode(payload)) == json.loads(msgspec.json.encode(plain)) | {
        "groups": ["family"],
        "allowed": False,
    }
