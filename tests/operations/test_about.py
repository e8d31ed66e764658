"""``people about``: everything that is kept of a face, and its erasure, at the doors of the operations."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, broker, needs_broker
from fixtures.commandline import Cli
from fixtures.daemon import enroll, running, settings
from fixtures.frames import photo
from fixtures.galleries import WALL, keeping, unit
from fixtures.optional import needed
from fixtures.page import serving

from edgeface.config.load import load
from edgeface.gallery.backup import Backups
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Vector
from edgeface.vision.model_card import SHIPPED, load_card
from edgeface.wire.events import Event

__all__ = ["broker"]
OBAMA, BIDEN, OTHER = "obama_portrait.jpg", "biden_portrait.jpg", "collins_portrait.jpg"
STRANGER = "s_0123456789abcdef"


class House:
    """Obama and Biden are enrolled; Obama came as himself, as a stranger and as Biden, which was rejected; so did others."""

    def __init__(self, gallery: Gallery, faces: dict[str, Vector]) -> None:
        self.gallery, congress, press = gallery, faces["obama_congress.jpg"], faces["obama_press_room.jpg"]
        self.obama = gallery.enroll("Obama", [congress], [0.8])
        self.biden = gallery.enroll("Biden", [faces["biden_blue_room.jpg"]], [0.8])
        self.named = self.keep(congress, 1, EventType.RECOGNIZED, person_id=self.obama.id)
        self.unknown = self.keep(press, 2, stranger_id=STRANGER)
        self.same_stranger = self.keep(unit(7), 3, stranger_id=STRANGER)
        self.wrong = self.keep(press, 4, EventType.RECOGNIZED, person_id=self.biden.id)
        gallery.learn(gallery.events.find(self.wrong), self.biden.id, "rejected", keep=True)
        self.collins = self.keep(faces[OTHER], 5)
        self.bidens = self.keep(faces["biden_blue_room.jpg"], 6, EventType.RECOGNIZED, person_id=self.biden.id)

    def keep(self, embedding: Vector, hours: float, kind: EventType = EventType.UNKNOWN, **fields: Any) -> str:
        wall = WALL + 3600 * hours
        event = Event(kind, new_event_id(wall), wall, 0.0, "front", score=0.2, quality=0.7, embedding=embedding, **fields)
        self.gallery.events.keep(event, keeping(), b"jpeg" if hours < 3 else None)
        return event.event_id

    @property
    def obamas(self) -> list[str]:
        return [self.wrong, self.same_stranger, self.unknown, self.named]


def left(gallery: Gallery, house: House) -> tuple[set[str], set[str], int]:
    events = {event.event_id for event in gallery.events.all()}
    return {person.name for person in gallery.people()}, events, len(gallery.templates().negatives)


@pytest.fixture
def house(cli: Cli, faces: dict[str, Vector]) -> Iterator[House]:
    gallery = open_gallery(load(cli.file), load_card(SHIPPED))
    yield House(gallery, faces)
    gallery.close()


def test_a_photo_is_answered_with_all_that_is_kept_of_the_face(cli: Cli, house: House) -> None:
    made = needed(Backups(load(cli.file)).make())
    told = cli.json("people", "about", photo(OBAMA))
    (person,) = told["people"]
    assert (person["name"], person["templates"], person["faces"], person["sure"]) == ("Obama", 1, 0, True)
    assert [event["event_id"] for event in told["events"]] == house.obamas
    assert [event["picture"] for event in told["events"]] == [False, False, True, True]
    assert [face["name"] for face in told["rejected"]] == ["Biden"]
    assert [(one["stranger_id"], one["visits"]) for one in told["strangers"]] == [(STRANGER, 2)]
    assert told["backups"] == [made.new.copy.path.name]
    assert set(told["erase"]["event_ids"]) == set(house.obamas)
    assert told["erase"]["people"] == [house.obama.id]
    lines = cli("people", "about", photo(OBAMA)).stdout
    for word in ("Obama", STRANGER, "with a picture", "rejected as Biden", made.new.copy.path.name):
        assert word in lines


def test_all_of_it_is_erased_at_once_and_the_audit_log_keeps_no_face_and_no_name(cli: Cli, house: House) -> None:
    backup = needed(Backups(load(cli.file)).make()).new.copy.path.name
    result = cli("people", "about", photo(OBAMA), "--erase", "--yes")
    assert "erased: Obama with all that is theirs" in result.stdout
    assert backup in result.stderr  # it holds the face that was rejected as Biden
    assert left(house.gallery, house) == ({"Biden"}, {house.collins, house.bidens}, 0)
    assert house.gallery.events.pictured() == set()
    (line,) = [json.loads(one) for one in load(cli.file).audit_path.read_text().splitlines()][-1:]
    assert {name: line[name] for name in ("action", "people", "events", "rejected")} == {
        "action": "erase",
        "people": 1,
        "events": 4,
        "rejected": 1,
    }
    assert "Obama" not in json.dumps(line)
    assert cli("people", "about", photo(OBAMA)).stdout == ""
    (copy,) = Backups(load(cli.file)).listing()
    assert needed(copy.contents).people == 1
    assert cli.json("people", "about", photo(OBAMA), "--erase")["people"] == []


def test_who_is_known_by_nothing_is_told_so_and_that_strangers_are_not_kept(cli: Cli, house: House) -> None:
    assert "Biden" in cli("people", "about", photo(BIDEN)).stdout
    house.gallery.erase([house.biden.id], [house.bidens], [])
    result = cli("people", "about", photo(BIDEN))
    assert (result.stdout, result.stderr.splitlines()[0]) == ("", "nothing is kept that shows this face")
    assert "events.keep_strangers true" in result.stderr
    assert "one person alone" in cli.refusal("people", "about", photo("obama_and_biden_blue_room.jpg"))


def test_who_may_only_be_alike_is_told_and_stays(cli: Cli, house: House, faces: dict[str, Vector]) -> None:
    twin = house.gallery.enroll("Twin", [faces["obama_congress.jpg"]], [0.8])
    told = cli.json("people", "about", photo(OBAMA), "--erase")
    assert (told["people"], told["rejected"]) == ([], 1)
    names, events, _ = left(house.gallery, house)
    assert names == {"Obama", "Biden", "Twin"}
    assert house.unknown not in events
    lines = cli("people", "about", photo(OBAMA)).stdout
    assert f"edgeface people forget {twin.id}" in lines


def test_an_erasure_that_breaks_off_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    before = left(house.gallery, house)

    def killed(_event_id: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(house.gallery.events, "erase", killed)
    with pytest.raises(KeyboardInterrupt):
        house.gallery.erase([house.obama.id], [house.unknown], [])
    assert left(house.gallery, house) == before


def test_what_was_learned_from_an_erased_event_goes_with_it(house: House) -> None:
    kept = house.gallery.events.find(house.unknown)
    house.gallery.learn(kept, house.biden.id, "confirmed", keep=True)
    assert house.gallery.find("Biden").templates == 2
    house.gallery.erase([], [house.unknown, "no such event"], ["no such face"])
    assert house.gallery.find("Biden").templates == 1


def test_a_view_that_was_dropped_is_told_of_while_it_can_be_brought_back_and_goes_with_the_rest(
    cli: Cli, faces: dict[str, Vector]
) -> None:
    gallery = open_gallery(load(cli.file), load_card())
    biden = gallery.enroll("Biden", [faces["biden_blue_room.jpg"], faces["obama_congress.jpg"]], [0.8, 0.8])
    wrong = next(view.id for view in gallery.views(biden.id)[1:])
    gallery.drop(wrong)
    gallery.close()
    told = cli.json("people", "about", photo(OBAMA))
    assert (told["people"], len(told["changes"])) == ([], 1)
    assert "in 1 change that can be undone" in cli("people", "about", photo(OBAMA)).stdout
    cli("people", "about", photo(OBAMA), "--erase", "--yes")
    assert cli.json("people", "about", photo(OBAMA))["changes"] == []
    assert cli.json("people", "bin")["changes"] == []


def test_the_page_shows_what_is_kept_and_erases_it(tmp_path: Path, faces: dict[str, Vector]) -> None:
    with serving(tmp_path) as page:
        house = page.with_gallery(lambda gallery: House(gallery, faces))
        assert "data-about-photo" in page.get("/unknown")
        data = photo(OBAMA).read_bytes()
        status, _, body = page.ask("POST", "/unknown/about", data, content_type="image/jpeg")
        text = body.decode()
        assert (status, "Obama" in text, "rejected as Biden" in text) == (200, True, True)
        assert f"/visits/{house.unknown}/picture?small" in text
        for wrong in (b"no photo", b""):
            assert page.ask("POST", "/unknown/about", wrong, content_type="image/jpeg")[0] == 422
        status, _, body = page.ask("POST", "/operations/about", data, content_type="image/jpeg")
        wanted = json.loads(body)["result"]["erase"]
        fields = {"people": wanted["people"], "events": wanted["event_ids"], "rejected": wanted["rejected"]}
        told = page.post("/unknown/erase", {name: " ".join(ids) for name, ids in fields.items()})
        assert "Erased: Obama, 4 visits and 1 rejected faces." in told
        assert page.with_gallery(lambda gallery: left(gallery, house)) == ({"Biden"}, {house.collins, house.bidens}, 0)
        assert b"Nothing is kept" in page.ask("POST", "/unknown/about", data, content_type="image/jpeg")[2]
        assert "Erased: 0 visits and 0 rejected faces." in page.post("/unknown/erase", {"people": "p_no"})


@needs_broker
def test_mqtt_tells_and_erases(tmp_path: Path, broker: Broker, faces: dict[str, Vector]) -> None:
    config = settings(tmp_path, broker, commands={"allow": ["about", "erase"]}, events={"keep_strangers": True})
    enroll(config, "Collins", photo(OTHER))
    gallery = open_gallery(config, load_card(SHIPPED))
    house = House(gallery, faces)
    gallery.close()
    ear = broker.listen()
    image = base64.b64encode(photo(OBAMA).read_bytes()).decode()
    with running(config):
        ear.wait_for("edgeface/door/health")
        for number, fields in enumerate(({"image": image}, {}, {"image": "no base64"})):
            ear.say("edgeface/door/cmd/about", {"id": str(number)} | fields)
        answers = {answer["id"]: answer for answer in ear.wait_for("edgeface/door/resp/about", 3)}
        wanted = answers["0"]["result"]["erase"]
        assert (wanted["people"], [answers[one]["ok"] for one in "12"]) == ([house.obama.id], [False, False])
        assert not any("embedding" in json.dumps(answer) for answer in answers.values())
        ear.say("edgeface/door/cmd/erase", {"id": "10"} | wanted)
        ear.say("edgeface/door/cmd/erase", {"id": "11", "people": ["Anna"], "event_ids": [], "rejected": []})
        done = {answer["id"]: answer for answer in ear.wait_for("edgeface/door/resp/erase", 2)}
    assert [person["name"] for person in done["10"]["result"]["people"]] == ["Obama"]
    assert not done["11"]["ok"]
    reopened = open_gallery(config, load_card(SHIPPED))
    assert "Obama" not in {person.name for person in reopened.people()}
    reopened.close()
