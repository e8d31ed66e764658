"""Events against clocks that are wrong, jump and stand still: none goes too early, none stays for ever."""

import ctypes
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fixtures.galleries import MODEL, WALL, keeping, unit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeface.gallery.event_keeper import EXPIRE_EVERY, EventKeeper
from edgeface.gallery.retention import BOOT, Clocks
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Tick
from edgeface.platform import machine
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, NoFrame
from edgeface.wire.events import Event

HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0
LIMITS = keeping(keep_days=3 * HOUR / DAY)
PICTURE_HOURS = 2.0


@dataclass
class Kept:
    """An event, when it was kept, and for how long a daemon has run since."""

    at: float
    ran: float = 0.0
    boots: int = 0


class Machine:
    """A machine with a daemon on it; ``now`` is the true time, ``error`` that of its wall clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gallery.db"
        self.now, self.error, self.is_set = WALL, 0.0, False
        self.boots, self.booted = 0, WALL - 100
        self.events: dict[str, Kept] = {}
        self.start()

    @property
    def clocks(self) -> Clocks:
        return Clocks(
            lambda: self.now - self.booted, lambda: self.now + self.error, lambda: f"boot {self.boots}", lambda: self.is_set
        )

    def start(self) -> None:
        """The daemon starts, in the place of one that was killed."""
        self.gallery = Gallery(self.path, MODEL)
        self.gallery._database.execute("PRAGMA synchronous=OFF")
        self.gallery.events.clocks = self.clocks
        self.keeper = EventKeeper(self.gallery, "front", LIMITS, PICTURE_HOURS)
        self.look()

    def look(self, *events: Event) -> None:
        self.keeper.on_tick(Tick(NoFrame(self.clocks.monotonic(), self.clocks.wall()), events=events))
        kept, pictured = {event.event_id for event in self.gallery.events.all()}, self.gallery.events.pictured()
        for event_id, event in tuple(self.events.items()):
            age, lost = self.now - event.at, EXPIRE_EVERY * (event.boots + 1)
            for there, retention in (
                (event_id in kept, 24 * HOUR * LIMITS.keep_days),
                (event_id in pictured, HOUR * PICTURE_HOURS),
            ):
                assert there or age >= retention, f"gone after {age:.0f} of {retention:.0f} s"
                assert not there or event.ran <= retention + lost, (
                    f"there after {event.ran:.0f} s of run time, for {retention:.0f}"
                )
            if event_id not in kept:
                del self.events[event_id]

    def keep(self) -> None:
        wall = self.clocks.wall()
        event = Event(EventType.UNKNOWN, new_event_id(wall), wall, 0.0, "front", score=0.4, quality=0.7, embedding=unit(1))
        self.gallery.events.keep(event, LIMITS, b"jpeg")
        self.events[event.event_id] = Kept(self.now)
        self.look()

    def run(self, seconds: float) -> None:
        while seconds > 0:
            step = min(seconds, EXPIRE_EVERY)
            self.now, seconds = self.now + step, seconds - step
            for event in self.events.values():
                event.ran += step
            self.look()

    def step(self, error: float) -> None:
        """Somebody or something sets the wall clock; the kernel knows that it was not the network."""
        self.error, self.is_set = error, False

    def synchronise(self) -> None:
        self.error, self.is_set = 0.0, True

    def restart(self, seconds: float) -> None:
        """The daemon is killed, and starts again after some time."""
        self.gallery.close()
        self.now += seconds
        self.start()

    def reboot(self, seconds: float, error: float) -> None:
        """The machine is without power for some time; its clock then says what it likes."""
        self.gallery.close()
        self.now += seconds
        self.boots, self.booted = self.boots + 1, self.now - BOOT
        for event in self.events.values():
            event.boots += 1
        self.step(error)
        self.start()

    def close(self) -> None:
        self.gallery.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Machine]:
    with closing(Machine(tmp_path)) as device:
        yield device


ERRORS = st.sampled_from([-WALL, -3 * YEAR, -DAY, -90.0, 0.0, 90.0, DAY, 3 * YEAR])
OFF = st.sampled_from([BOOT, 60.0, 2 * HOUR, 5 * HOUR, 40 * DAY])
STEPS = st.one_of(
    st.tuples(st.just("keep")),
    st.tuples(st.just("run"), st.floats(1, 2.5 * HOUR)),
    st.tuples(st.just("step"), ERRORS),
    st.tuples(st.just("synchronise")),
    st.tuples(st.just("restart"), OFF),
    st.tuples(st.just("reboot"), OFF, ERRORS),
)


@given(steps=st.lists(STEPS, max_size=25))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_history_of_clocks_erases_an_event_too_early_or_keeps_it_for_ever(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """Too late is: a look, and for each boot one more, by run time; the time that a machine was off need not count."""
    with closing(Machine(tmp_path_factory.mktemp("device"))) as device:
        device.keep()
        for name, *values in steps:
            getattr(device, name)(*values)
        device.run(4 * HOUR)


def test_hours_with_a_clock_of_1970_erase_nothing(device: Machine) -> None:
    device.keep()
    device.reboot(60.0, -WALL)
    device.run(1.9 * HOUR)
    assert len(device.events) == len(device.gallery.events.pictured()) == 1


def test_a_clock_that_is_stepped_again_and_again_keeps_nothing_for_ever(device: Machine) -> None:
    device.keep()
    for number in range(24):
        device.step((-1) ** number * 90.0)
        device.run(540.0)
    assert device.events == {} == dict.fromkeys(device.gallery.events.pictured())


def test_an_event_of_a_clock_that_was_ahead_goes_in_time_and_those_before_it_stay(device: Machine) -> None:
    device.keep()
    device.step(3 * YEAR)
    device.keep()
    device.synchronise()
    device.run(2.5 * HOUR)
    assert len(device.events) == 2
    device.run(HOUR)
    assert device.events == {}


def test_where_the_network_sets_the_clock_the_time_without_power_counts(device: Machine) -> None:
    device.synchronise()
    device.run(EXPIRE_EVERY)
    device.keep()
    device.run(EXPIRE_EVERY)
    device.reboot(5 * HOUR, -3 * YEAR)
    device.keep()
    assert len(device.events) == 2
    device.synchronise()
    device.run(EXPIRE_EVERY)
    assert [event.ran for event in device.events.values()] == [EXPIRE_EVERY]


def test_daemons_that_share_a_gallery_count_once(device: Machine) -> None:
    device.keep()
    other = EventKeeper(device.gallery, "yard", LIMITS, PICTURE_HOURS)
    for _ in range(11):
        device.run(EXPIRE_EVERY)
        other.on_tick(Tick(NoFrame(device.now, WALL)))
    assert len(device.gallery.events.pictured()) == 1


def test_an_event_of_an_earlier_version_begins_its_age_now(device: Machine) -> None:
    device.keep()
    for table in ("kept", "retention"):
        device.gallery._database.execute(f"DROP TABLE {table}")
    device.restart(10 * HOUR)
    assert len(device.events) == 1
    device.run(3 * HOUR + EXPIRE_EVERY)
    assert device.events == {}


def test_the_clock_is_set_when_timesyncd_or_the_kernel_says_so(tmp_path: Path) -> None:
    asked = ctypes.create_string_buffer(512)
    ctypes.CDLL(None).adjtimex(asked)
    status = int.from_bytes(asked.raw[5 * ctypes.sizeof(ctypes.c_long) :][:4], "little")
    assert machine.clock_is_set(tmp_path) == (not status & 0x40)  # STA_UNSYNC
    (tmp_path / "systemd/timesync").mkdir(parents=True)
    (tmp_path / "systemd/timesync/synchronized").touch()
    assert machine.clock_is_set(tmp_path)


def test_a_boot_has_one_name_for_all_processes_and_a_machine_without_it_one_for_each(tmp_path: Path) -> None:
    assert machine.boot() == machine.boot()
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("one\n")
    assert machine.boot(tmp_path) == "one"
    assert machine.boot(tmp_path / "none") == machine.THIS_PROCESS
