"""Who is home, merged by several devices that share nothing but what a broker keeps; clocks are faked, and may be wrong."""

import json
import random
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import pytest
from fixtures.optional import needed
from fixtures.publishing import ANNA, BERT, event
from hypothesis import given
from hypothesis import strategies as st

from edgeface.config.schema import Config
from edgeface.gallery.retention import Clocks
from edgeface.mqtt.home import Whereabouts
from edgeface.types import EventType
from edgeface.wire.events import Corrected
from edgeface.wire.fields import timestamp
from edgeface.wire.home import PersonHome, Sight

PEOPLE = {ANNA.id: ANNA.name, BERT.id: BERT.name}
HOUR = 3600.0
START = 1_790_000_000.0


class House:
    """A broker that keeps messages and hands them on, in turn, to devices whose time this is."""

    def __init__(self, *devices: str, **settings: Any) -> None:
        self.now, self.kept = 1000.0, dict[str, bytes]()
        self.sent: list[tuple[str, str]] = []
        self.devices = {name: Device(self, name, **settings) for name in devices}

    def run(self, seconds: float, step: float = 0.5) -> "House":
        end = self.now + seconds
        while self.now < end:
            self.now += step
            for device in self.devices.values():
                device.serve()
        return self

    def publish(self, person_id: str, payload: bytes) -> None:
        self.kept[person_id] = payload
        if not payload:
            del self.kept[person_id]
        for device in self.devices.values():
            if device.online:
                device.home.take(person_id, payload)

    def anna(self) -> PersonHome:
        return msgspec.json.decode(self.kept[ANNA.id], type=PersonHome)


class Device:
    def __init__(self, house: House, name: str, *, ahead: float = 0.0, is_set: bool = True, hours: float = 12.0) -> None:
        self.house, self.name, self.ahead, self.is_set, self.hours = house, name, ahead, is_set, hours
        self.alive = True
        self.start()

    def start(self, people: dict[str, str] = PEOPLE) -> None:
        settings = msgspec.convert({"device": {"id": self.name}, "home": {"enabled": True, "hours": self.hours}}, Config)
        clocks = Clocks(lambda: self.house.now, self.wall, str, lambda: self.is_set)
        self.home = Whereabouts(settings, clocks)
        self.home.change(people)
        self.connect()

    def wall(self) -> float:
        return START + self.house.now + self.ahead

    def connect(self) -> None:
        self.online = True
        self.home.connected()
        for person_id, payload in self.house.kept.items():
            self.home.take(person_id, payload)

    def serve(self) -> None:
        if self.online:
            for person_id, payload in self.home.due(sure=True, alive=self.alive):
                self.house.sent.append((self.name, person_id))
                self.house.publish(person_id, payload)

    def sees(self, kind: EventType = EventType.RECOGNIZED, camera: str = "front", **more: Any) -> None:
        self.home.note(replace(event(kind, **more), camera=camera))


def seconds_ago(house: House, told: PersonHome) -> float:
    return START + house.now - datetime.fromisoformat(needed(told.last_seen)).timestamp()


def sight(house: House, state: Any = "present", later: float = 0.0, device: str = "ghost") -> Sight:
    wall = START + house.now + later
    return Sight(int(wall * 1000), state, timestamp(wall), "back", f"edgeface/{device}/availability")


def forged(house: House, **sights: Sight) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(house.anna(), devices=sights))


def test_everybody_known_is_away_until_seen_and_then_home_for_the_hours_that_are_set() -> None:
    house = House("door").run(5)
    assert (house.anna().state, house.anna().last_seen, house.anna().devices["door"].state) == ("not_home", None, "away")
    house.devices["door"].sees()
    house.run(1)
    anna = house.anna()
    assert (anna.state, anna.present, anna.name, anna.device, anna.camera) == ("home", True, ANNA.name, "door", "front")
    house.devices["door"].sees(EventType.LEFT)
    house.run(2)
    assert (house.anna().state, house.anna().present) == ("home", False)
    house.run(12 * HOUR - 60, step=30)
    assert house.anna().state == "home"
    house.run(120, step=30)
    assert (house.anna().state, house.anna().device) == ("not_home", "door")
    assert seconds_ago(house, house.anna()) == pytest.approx(12 * HOUR, abs=200)
    assert json.loads(house.kept[BERT.id])["last_seen"] is None


def test_somebody_is_present_while_any_device_or_camera_sees_them_and_the_newest_sight_tells_where() -> None:
    house = House("door", "gate").run(5)
    door, gate = house.devices.values()
    gate.sees()
    house.run(30)
    door.sees(camera="hall")
    door.sees(camera="stairs")
    house.run(5)
    assert (house.anna().device, house.anna().camera) == ("door", "stairs")
    gate.sees(EventType.LEFT)
    door.sees(EventType.LEFT, camera="stairs")
    house.run(5)
    assert house.anna().present
    door.sees(EventType.LEFT, camera="hall")
    house.run(5)
    assert (house.anna().present, house.anna().device, house.anna().camera) == (False, "door", "hall")
    assert door.home.of(ANNA.id).devices == gate.home.of(ANNA.id).devices


def test_who_stays_is_seen_every_minute_and_a_quiet_house_says_nothing() -> None:
    house = House("door", "gate").run(5)
    house.devices["door"].sees()
    house.run(600)
    assert house.anna().present
    assert seconds_ago(house, house.anna()) <= Whereabouts.RENEW_S + 1
    house.devices["door"].sees(EventType.LEFT)
    house.run(5)
    before = len(house.sent)
    house.run(3600, step=5)
    assert len(house.sent) == before


def test_a_name_that_was_a_mistake_leaves_no_sight() -> None:
    house = House("door", "gate").run(5)
    door, gate = house.devices.values()
    door.sees()
    door.sees(EventType.LEFT)
    before = house.run(100).anna()
    door.sees()
    house.run(5)
    wrong = Corrected("01M86GTN766HKSFCZ15NNMEFKP", ANNA.id, ANNA.name)
    door.sees(EventType.LEFT, corrected=wrong)
    after = house.run(5).anna()
    assert (after.last_seen, after.present, after.state) == (before.last_seen, False, "home")
    assert gate.home.of(ANNA.id).last_seen == before.last_seen
    gate.sees(person_id=BERT.id, name=BERT.name)
    gate.sees(EventType.LEFT, person_id=BERT.id, corrected=wrong)
    house.run(5)
    assert json.loads(house.kept[BERT.id])["state"] == "not_home"


# Devices that die, are cut off, or come back


def test_a_device_that_dies_does_not_hold_anybody_present() -> None:
    house = House("door", "gate").run(5)
    door, gate = house.devices.values()
    door.sees()
    house.run(5)
    door.online = False
    house.run(Whereabouts.LEASE_S - 10)
    assert house.anna().present
    house.run(20)
    assert (house.anna().present, house.anna().state, house.anna().device) == (False, "home", "door")
    house.run(12 * HOUR + 60, step=30)
    assert house.anna().state == "not_home"
    assert gate.home.of(ANNA.id).state == "not_home"


def test_a_daemon_whose_loop_hangs_does_not_hold_anybody_present() -> None:
    house = House("door").run(5)
    door = house.devices["door"]
    door.sees()
    house.run(5)
    door.alive = False
    assert not house.run(Whereabouts.LEASE_S + 70).anna().present
    door.alive = True
    assert house.run(5).anna().present


def test_a_device_that_was_only_cut_off_says_that_somebody_is_still_there() -> None:
    house = House("door", "gate").run(5)
    door = house.devices["door"]
    door.sees()
    house.run(5)
    door.online = False
    house.run(Whereabouts.LEASE_S + 10)
    assert not house.anna().present
    door.connect()
    house.run(10)
    assert house.anna().present


def test_a_device_that_was_killed_comes_back_to_what_the_broker_keeps() -> None:
    house = House("door").run(5)
    house.devices["door"].sees()
    seen = house.run(5).anna().last_seen
    house.run(20)
    house.devices["door"].start()
    assert house.anna().present
    house.run(5)
    assert (house.anna().present, house.anna().state, house.anna().last_seen) == (False, "home", seen)


def test_the_time_for_which_all_were_off_counts_where_the_network_sets_the_clock() -> None:
    for is_set, state in ((True, "not_home"), (False, "home")):
        house = House("door", is_set=is_set).run(5)
        door = house.devices["door"]
        door.sees()
        door.sees(EventType.LEFT)
        house.run(5)
        house.now += 13 * HOUR
        door.start()
        assert house.run(5).anna().state == state


def test_a_broker_that_lost_everything_is_told_again_by_whoever_is_there() -> None:
    house = House("door", "gate").run(5)
    door, gate = house.devices.values()
    door.sees()
    told = house.run(5).anna()
    door.online = False
    house.kept.clear()
    gate.connect()
    assert house.run(5).anna().devices == told.devices
    assert BERT.id in house.kept


def test_what_a_slow_broker_keeps_is_waited_for() -> None:
    house = House("door").run(5)
    house.devices["door"].sees()
    seen = house.run(5).anna().last_seen
    kept, device = dict(house.kept), house.devices["door"]
    house.kept = {}
    device.start()
    for _ in range(4):
        house.run(Whereabouts.SETTLE_S - 0.5)
        device.home.take(BERT.id, kept[BERT.id])
    device.home.take(ANNA.id, kept[ANNA.id])
    assert house.run(5).anna().last_seen == seen


# Who is forgotten


def test_who_is_forgotten_or_renamed_is_gone_or_renamed_at_the_broker() -> None:
    house = House("door", "gate").run(5)
    house.devices["gate"].sees()
    house.run(5)
    for device in house.devices.values():  # the shared gallery tells the second one later
        device.home.change({BERT.id: "Bertha"})
        house.run(5)
    assert house.kept.keys() == {BERT.id}
    assert json.loads(house.kept[BERT.id])["name"] == "Bertha"
    assert not any(ANNA.id.encode() in str(device.home.__dict__).encode() for device in house.devices.values())


def test_who_was_forgotten_while_no_daemon_ran_is_removed_once_the_gallery_can_be_read() -> None:
    house = House("door", "gate").run(5)
    for device in house.devices.values():
        device.start({BERT.id: BERT.name})
    first = house.devices["door"].home
    house.now += 10
    assert all(person_id == BERT.id for person_id, _ in first.due(sure=False))
    house.run(10)
    assert house.kept.keys() == {BERT.id}


def test_a_gallery_that_cannot_be_read_at_the_start_loses_nobody() -> None:
    house = House("door").run(5)
    door = house.devices["door"]
    door.sees()
    seen = house.run(5).anna().last_seen
    door.start({})
    house.now += 30
    assert door.home.due(sure=False) == []
    door.home.change(PEOPLE)
    house.run(5)
    assert (house.anna().last_seen, house.anna().present) == (seen, False)
    assert BERT.id in house.kept


def test_people_of_devices_with_galleries_of_their_own_are_left_alone() -> None:
    house = House("door", "gate")
    door, gate = house.devices.values()
    door.start({ANNA.id: ANNA.name})
    gate.start({BERT.id: BERT.name})
    house.run(10)
    gate.start({BERT.id: BERT.name})
    before = len(house.run(10).sent)
    assert house.kept.keys() == {ANNA.id, BERT.id}
    gate.sees(person_id=BERT.id, name=BERT.name)
    assert len(house.run(10).sent) == before + 1


# Wrong clocks, and hostile senders


@pytest.mark.parametrize("ahead", [-START, -7200.0, 250.0])
def test_a_sight_after_another_is_newer_whatever_the_clock_of_its_device_shows(ahead: float) -> None:
    house = House("door", "gate").run(5)
    door, gate = house.devices.values()
    gate.ahead, gate.is_set = ahead, False
    door.sees()
    door.sees(EventType.LEFT)
    house.run(5)
    gate.sees()
    house.run(5)
    assert (house.anna().device, house.anna().present) == ("gate", True)
    gate.sees(EventType.LEFT)
    house.run(5)
    door.sees()
    house.run(5)
    assert house.anna().device == "door"


def test_a_clock_that_was_hours_ahead_and_is_set_right_harms_nobody() -> None:
    house = House("door", "gate").run(5)
    door, gate = house.devices.values()
    gate.ahead, gate.is_set = 5 * HOUR, False
    gate.sees()
    house.run(5)
    door.sees()
    house.run(5)
    assert door.home.of(ANNA.id).device == "door"
    gate.ahead, gate.is_set = 0.0, True
    gate.sees(EventType.LEFT)
    house.run(5)
    assert (house.anna().present, house.anna().device) == (True, "door")
    door.sees(EventType.LEFT)
    house.run(10)
    assert door.home.of(ANNA.id).devices == gate.home.of(ANNA.id).devices == house.anna().devices
    assert abs(seconds_ago(house, house.anna())) < 30


def test_replays_and_removals_are_mended() -> None:
    house = House("door", "gate").run(5)
    old = house.kept[ANNA.id]
    house.devices["door"].sees()
    told = house.run(5).anna().devices
    for payload in (old, b"", b"\xff", b"{}", b"[" * 5000, forged(house, door=sight(house, "left", -60.0, "door"))):
        house.publish(ANNA.id, payload)
        assert house.run(5).anna().devices == told, payload


def test_a_sight_of_the_future_or_of_no_day_or_too_large_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    house = House("door", "gate").run(5)
    house.devices["door"].sees()
    told = house.run(5).anna().devices
    never = msgspec.structs.replace(sight(house), seen="2026-13-45T99:00:00.000Z")
    far = msgspec.structs.replace(sight(house), version=2**53)
    for payload in (
        forged(house, ghost=sight(house, later=400.0)),
        forged(house, ghost=never),
        forged(house, ghost=far),
        forged(house, ghost=msgspec.structs.replace(sight(house), availability="#")),
        b"{" + b" " * Whereabouts.MAX_BYTES,
    ):
        house.publish(ANNA.id, payload)
        assert house.run(5).anna().devices == told, payload
    assert caplog.text.count("a sight by ghost is of the future") == 3 * len(house.devices)


def test_a_ghost_is_present_for_a_lease_and_then_gone() -> None:
    house = House("door", "gate").run(5)
    house.publish(ANNA.id, forged(house, ghost=sight(house)))
    assert house.run(5).anna().device == "ghost"
    house.run(Whereabouts.LEASE_S + 10)
    assert not house.anna().present


def test_a_device_does_not_let_others_say_what_it_sees() -> None:
    house = House("door", "gate").run(5)
    door = house.devices["door"]
    door.sees()
    house.run(5)
    for state in ("left", "away"):
        house.publish(ANNA.id, forged(house, door=sight(house, state, 10.0, "door")))
        assert house.run(5).anna().present
    door.sees(EventType.LEFT)
    seen = house.run(5).anna().last_seen
    house.publish(ANNA.id, forged(house, door=sight(house, "present", 10.0, "door")))
    assert (house.run(5).anna().present, house.anna().last_seen) == (False, seen)


def test_a_flood_is_answered_once_a_second_and_fills_no_memory() -> None:
    house = House("door").run(5)
    before = len(house.sent)
    for number in range(2000):
        ghosts = {f"ghost{number}-{one}": sight(house) for one in range(60)}
        house.publish(ANNA.id, forged(house, **ghosts) if number < 20 else b"")
        house.publish(f"p_{number:016x}", forged(house, door=sight(house)) if number < 20 else b"x")
        house.publish("+/strange", b"x")
        house.kept.pop("+/strange")
        if number % 100 == 0:
            house.run(1)
    house.run(5)
    assert len(house.sent) - before <= 30
    home = house.devices["door"].home
    assert len(home.of(ANNA.id).devices) == Whereabouts.MAX_DEVICES
    assert len(house.kept[ANNA.id]) < Whereabouts.MAX_BYTES
    assert home.people.keys() == {ANNA.id, BERT.id}
    assert not home._strangers


def test_ten_thousand_people_are_told_bit_by_bit() -> None:
    people = {f"p_{number:016x}": str(number) for number in range(10_000)}
    house = House("door")
    house.devices["door"].start(people)
    house.now += 10
    house.run(0.5)
    assert len(house.kept) == Whereabouts.SENT_AT_ONCE
    house.run(600)
    assert len(house.kept) == 10_000
    assert house.devices["door"].home.due(sure=True) == []


@given(st.integers(0, 2**32))
def test_devices_agree_once_all_is_quiet_whatever_happened(seed: int) -> None:
    chance = random.Random(seed)
    house = House("door", "gate", "yard").run(3)
    for _ in range(chance.randrange(1, 12)):
        device = chance.choice(list(house.devices.values()))
        what = chance.randrange(6)
        if what < 2:
            device.sees(EventType.RECOGNIZED if what else EventType.LEFT)
        elif what == 2:
            device.online = False
        elif what == 3 and not device.online:
            device.connect()
        elif what == 4:
            device.start()
        elif what == 5:
            house.kept.clear()
            for each in house.devices.values():
                each.connect()
        house.run(chance.choice([0.5, 3, 70, 200]), step=1.0)
    for device in house.devices.values():
        if not device.online:
            device.connect()
    house.run(10)
    first, *others = [device.home.of(ANNA.id) for device in house.devices.values()]
    assert all(other.devices == first.devices == house.anna().devices for other in others)
    assert first.present == any(device.home._cameras.get(ANNA.id) for device in house.devices.values())
    before = len(house.sent)
    house.run(30)
    assert len(house.sent) - before <= 3  # but for what is renewed
