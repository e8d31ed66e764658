import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.galleries import MODEL, enrolled, kept, one_line, unit
from fixtures.verdicts import context

from edgeface.config import schema
from edgeface.errors import ConfigError, EdgefaceError, GalleryError
from edgeface.gallery.rules import NONE, Rules
from edgeface.gallery.store import Gallery
from edgeface.operations import people, rules
from edgeface.operations.context import OperationContext
from edgeface.types import EventType
from edgeface.vision.model_card import ModelCard
from edgeface.wire.commands import PeopleRequest
from edgeface.wire.rules import ExpireRequest, GroupRequest, HoursRequest, IgnoreRequest, MuteRequest, UnmuteRequest


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    opened = Gallery(tmp_path / "gallery.db", MODEL)
    enrolled(opened, "Anna", 1)
    enrolled(opened, "Bert", 2)
    yield opened
    opened.close()


@pytest.fixture
def asked(gallery: Gallery, card: ModelCard) -> OperationContext:
    return context(gallery, card, schema.MatchingSettings())


def annas(gallery: Gallery) -> Rules:
    return gallery.rules().get(gallery.find("Anna").id, NONE)


def audited(asked: OperationContext) -> list[Any]:
    lines = [json.loads(line) for line in asked.config.audit_path.read_text().splitlines()]
    return [(line["action"], line["person"]) for line in lines]


def test_each_rule_is_set_shown_and_taken_back(asked: OperationContext, gallery: Gallery) -> None:
    anna = gallery.find("Anna").id
    rules.mute(asked, MuteRequest(person="Anna", minutes=60))
    rules.ignore(asked, IgnoreRequest(person=anna))
    rules.hours(asked, HoursRequest(person="Anna", hours=["mon-fri 08:00-17:00"]))
    rules.group(asked, GroupRequest(person="Anna", groups=["staff", "  family ", "staff"]))
    told = rules.expire(asked, ExpireRequest(person="Anna", minutes=60)).rules
    assert (told.ignored, told.muted, told.hours, told.groups) == (True, True, ["mon-fri 08:00-17:00"], ["family", "staff"])
    assert told.muted_until
    assert told.expires
    listed = {one.name: one.rules for one in people.list_people(asked, PeopleRequest()).people}
    assert (listed["Anna"], bool(listed["Bert"])) == (told, False)
    rules.unmute(asked, UnmuteRequest(person="Anna"))
    rules.ignore(asked, IgnoreRequest(person="Anna", ignored=False))
    rules.hours(asked, HoursRequest(person="Anna"))
    rules.group(asked, GroupRequest(person="Anna"))
    rules.expire(asked, ExpireRequest(person="Anna"))
    assert annas(gallery) == NONE
    actions = ["mute", "ignore", "hours", "group", "expire", "unmute", "unignore", "hours", "group", "expire"]
    assert audited(asked) == [(action, anna) for action in actions]


def test_a_mute_that_is_over_is_not_shown(asked: OperationContext, gallery: Gallery) -> None:
    gallery.rule("Anna", lambda _: Rules(muted_since=time.time() - 60, muted_until=time.time() - 30))
    assert rules.told(annas(gallery)) == rules.told(NONE)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (MuteRequest(person="Eve"), "nobody called"),
        (MuteRequest(person="Anna", minutes=1, until="18:00"), "either"),
        (MuteRequest(person="Anna", until="teatime"), "no time"),
        (ExpireRequest(person="Anna", until="2001-01-01T00:00"), "over already"),
        (ExpireRequest(person="Anna", until="2500-01-01T00:00"), "over 3660 days away"),
        (HoursRequest(person="Anna", hours=["always"]), "is not like"),
        (GroupRequest(person="Anna", groups=["a\nb"]), "control|line|name|character"),
        (GroupRequest(person="Anna", groups=[" "]), "name|empty"),
        (IgnoreRequest(), "either"),
        (IgnoreRequest(person="Anna", event_ids=["01M86GTN766HKSFCZ15NNMEFKP"]), "either"),
        (IgnoreRequest(event_ids=["01M86GTN766HKSFCZ15NNMEFKP"], ignored=False), "no longer ignored"),
        (IgnoreRequest(event_ids=["01M86GTN766HKSFCZ15NNMEFKP"]), "is kept"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line_and_changes_nothing(
    asked: OperationContext, gallery: Gallery, request_: Any, error: str
) -> None:
    run: dict[Any, Any] = {
        MuteRequest: rules.mute,
        ExpireRequest: rules.expire,
        HoursRequest: rules.hours,
        GroupRequest: rules.group,
        IgnoreRequest: rules.ignore,
    }
    with pytest.raises(EdgefaceError, match=error) as caught:
        run[type(request_)](asked, request_)
    one_line(caught)
    assert gallery.rules() == {}
    assert not asked.config.audit_path.exists()


def unknown(gallery: Gallery, *seeds: int) -> list[str]:
    return [kept(gallery, None, unit(seed), EventType.UNKNOWN).event_id for seed in seeds]


def test_whom_events_show_is_enrolled_and_ignored_at_once(asked: OperationContext, gallery: Gallery) -> None:
    first, second = unknown(gallery, 11, 12)
    turned = (unit(11) + unit(13)) / np.float32(np.linalg.norm(unit(11) + unit(13)))
    third = kept(gallery, None, turned, EventType.UNKNOWN).event_id
    person = rules.ignore(asked, IgnoreRequest(event_ids=[first, second], name="postman"))
    assert (person.name, person.rules.ignored, gallery.find("postman").templates) == ("postman", True, 2)
    again = rules.ignore(asked, IgnoreRequest(event_ids=[third], name="postman"))
    assert (again.id, gallery.find("postman").templates) == (person.id, 3)
    assert audited(asked) == [("ignore", person.id)] * 2


def test_ignored_strangers_without_a_name_get_a_number(asked: OperationContext, gallery: Gallery) -> None:
    for event_id, name in zip(unknown(gallery, 11, 12), ("ignored 1", "ignored 2"), strict=True):
        assert rules.ignore(asked, IgnoreRequest(event_ids=[event_id])).name == name


def test_nobody_who_is_enrolled_is_ignored_by_their_name_alone(asked: OperationContext, gallery: Gallery) -> None:
    (event_id,) = unknown(gallery, 11)
    with pytest.raises(GalleryError, match="enrolled and not ignored"):
        rules.ignore(asked, IgnoreRequest(event_ids=[event_id], name="Anna"))
    (annas_own,) = unknown(gallery, 1)
    with pytest.raises(GalleryError, match="passes for Anna"):
        rules.ignore(asked, IgnoreRequest(event_ids=[annas_own], name="postman"))
    assert gallery.rules() == {}
    assert [person.name for person in gallery.people()] == ["Anna", "Bert"]


def test_a_stranger_is_not_enrolled_without_being_ignored(
    asked: OperationContext, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = unknown(gallery, 11)

    def fail(*_: Any) -> None:
        raise GalleryError("the disk is full")

    monkeypatch.setattr(gallery._rules, "put", fail)
    with pytest.raises(GalleryError, match="disk"):
        rules.ignore(asked, IgnoreRequest(event_ids=[event_id], name="postman"))
    assert [person.name for person in gallery.people()] == ["Anna", "Bert"]
    assert gallery.events.find(event_id).person_id is None


def test_too_many_groups_are_refused(asked: OperationContext) -> None:
    with pytest.raises(ConfigError):
        rules.group(asked, GroupRequest(person="Anna", groups=[str(number) for number in range(17)]))
