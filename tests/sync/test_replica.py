"""Copies of one gallery that drift apart and meet again, without a broker."""

import hashlib
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fixtures.optional import needed
from fixtures.replicas import unit
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.gallery.audit import Audit
from edgeface.gallery.encryption import Sealer
from edgeface.gallery.rules import NONE, Rules
from edgeface.gallery.shared import SharedPerson, SharedTemplate
from edgeface.gallery.store import Gallery
from edgeface.gallery.versions import FORGETTING, LEAP, NEVER, Revision, merge
from edgeface.sync.messages import PersonSealer, digest
from edgeface.sync.replica import Change, Replica

MODEL, SECRET, TOPIC = "sha256:" + "1f" * 32, bytes(range(32)), "edgeface/gallery/home"
SAME = 0.5

revisions = st.builds(
    Revision,
    st.integers(1, 2**53),
    st.sampled_from(["door", "gate", "yard"]),
    st.binary(max_size=3),
)
states = st.dictionaries(st.sampled_from("abcde"), revisions)


@given(states, states, states)
def test_the_merge_is_commutative_associative_and_idempotent(
    a: dict[str, Revision], b: dict[str, Revision], c: dict[str, Revision]
) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)


@given(revisions, st.binary(max_size=3))
def test_an_edit_is_newer_than_what_it_edits(revision: Revision, digest: bytes) -> None:
    assert revision.next("a", digest) > revision > NEVER


def test_a_forgetting_wins_over_edits_made_elsewhere_meanwhile_and_an_import_over_it() -> None:
    first = Revision(1, "door", b"1")
    forgotten, edited = first.next("door", b""), first
    for number in range(1000):
        edited = edited.next("yard", bytes([number % 255 + 1]))
    assert forgotten > edited
    assert forgotten.counter == 1 + FORGETTING
    assert forgotten.next("door", b"2") > forgotten


class Device:
    """A gallery and its replica."""

    def __init__(self, folder: Path, name: str, secret: bytes = SECRET, model: str = MODEL) -> None:
        self.folder, self.name, self.secret, self.model = folder / name, name, secret, model
        self.start()

    def start(self) -> None:
        self.gallery = Gallery(self.folder / "gallery.db", self.model)
        sealer = PersonSealer(self.secret, self.model, TOPIC)
        self.audit = Audit(self.folder / "audit.jsonl")
        self.replica = Replica(self.gallery, sealer, self.name, SAME, self.audit)

    def restart(self) -> None:
        self.gallery.close()
        self.start()

    def meet(self, broker: dict[str, bytes]) -> list[Change]:
        """Read all that the broker keeps, and give it what it lacks."""
        self.replica.connected()
        changes = self.replica.take(dict(broker))
        broker |= self.replica.payloads(self.replica.due())
        return changes

    def people(self) -> dict[str, SharedPerson]:
        return self.gallery.shared()

    def names(self) -> list[str]:
        return [person.name for person in self.gallery.people()]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Callable[..., Device]]:
    made: list[Device] = []

    def make(name: str, **more: Any) -> Device:
        made.append(Device(tmp_path, name, **more))
        return made[-1]

    yield make
    for one in made:
        one.gallery.close()


def settle(broker: dict[str, bytes], *devices: Device) -> None:
    for _ in range(3):
        for one in devices:
            one.meet(broker)
    first, *others = (one.people() for one in devices)
    assert all(other == first for other in others)


def test_merges_moves_and_what_undoes_them_are_so_everywhere(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    door.gallery.bin.days = gate.gallery.bin.days = 30.0
    broker: dict[str, bytes] = {}
    anna = door.gallery.enroll("Anna", [unit(1), unit(2)], [0.9, 0.8])
    ann = door.gallery.enroll("Ann", [unit(3), unit(4)], [0.7, 0.6])
    door.gallery.rule("Ann", lambda _: Rules(groups=("family",)))
    settle(broker, door, gate)
    before = gate.people()
    door.gallery.moves.merge(ann.id, anna.id)
    settle(broker, door, gate)
    assert [(person.name, person.templates) for person in gate.gallery.people()] == [("Anna", 4)]
    assert needed(gate.people()[anna.id].rules).groups == ("family",)
    assert gate.gallery.bin.count() == 0
    door.gallery.moves.undo(None)
    settle(broker, door, gate)
    assert {one: person.templates for one, person in gate.people().items()} == {
        one: person.templates for one, person in before.items()
    }
    gate.gallery.moves.split(anna.id, {unit(2).tobytes()}, "Carl")
    settle(broker, door, gate)
    assert door.names() == ["Ann", "Anna", "Carl"]
    door.gallery.forget("Anna")
    settle(broker, door, gate)
    assert (gate.names(), gate.gallery.bin.count()) == (["Ann", "Carl"], 0)


def test_who_is_enrolled_renamed_and_forgotten_is_so_everywhere(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1)], [0.9])
    door.gallery.enroll("Bert", [unit(2)], [0.8])
    settle(broker, door, gate)
    assert gate.names() == ["Anna", "Bert"]
    gate.gallery.rename("Anna", "Anna B.")
    gate.gallery.enroll("Bert", [unit(3)], [0.7])
    settle(broker, door, gate)
    assert door.names() == ["Anna B.", "Bert"]
    assert door.gallery.find("Bert").templates == 2
    door.gallery.forget("Anna B.")
    assert [(change.what, change.device) for change in gate.meet(broker) + door.meet(broker) + gate.meet(broker)] == [
        ("forgotten", "door")
    ]
    settle(broker, door, gate)
    assert gate.names() == ["Bert"]
    assert '"what":"forgotten"' in (gate.folder / "audit.jsonl").read_text()
    assert "Anna" not in (gate.folder / "audit.jsonl").read_text()


def test_topics_and_payloads_tell_nobody(device: Callable[..., Device]) -> None:
    door = device("door")
    broker: dict[str, bytes] = {}
    person = door.gallery.enroll("Anna", [unit(1)], [0.9])
    door.meet(broker)
    (name,) = broker
    assert person.id not in name + broker[name].decode()
    assert b"Anna" not in broker[name]


def test_edits_on_both_sides_end_as_one_and_a_forgetting_wins(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    for name in ("Anna", "Bert"):
        door.gallery.enroll(name, [unit(ord(name[0]))], [0.9])
    settle(broker, door, gate)
    door.gallery.rename("Anna", "Anne")
    gate.gallery.rename("Anna", "Änna")
    door.gallery.forget("Bert")
    gate.gallery.enroll("Bert", [unit(5)], [0.9])
    gate.replica.take({})
    gate.gallery.enroll("Bert", [unit(6)], [0.9])
    settle(broker, gate, door)
    assert door.names() == ["Änna"]  # by the greater device id


def test_galleries_that_both_have_people_become_one_and_namesakes_are_told_apart_by_their_faces(
    device: Callable[..., Device],
) -> None:
    door, gate, yard = device("door"), device("gate"), device("yard")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1)], [0.9])
    gate.gallery.enroll("Anna", [unit(7, near=1, mix=0.3)], [0.9])
    yard.gallery.enroll("Anna", [unit(3)], [0.9])
    door.gallery.enroll("Bert", [unit(4)], [0.9])
    gate.gallery.enroll("Carl", [unit(5)], [0.9])
    settle(broker, door, gate, yard)
    assert sorted(door.names()) == ["Anna", "Anna (2)", "Bert", "Carl"]
    assert sorted(person.templates for person in door.gallery.people()) == [1, 1, 1, 2]
    for one in (door, gate, yard):
        assert one.meet(broker) == []


def test_older_messages_never_win_and_are_mended(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1)], [0.9])
    settle(broker, door, gate)
    old = dict(broker)
    door.gallery.rename("Anna", "Anne")
    settle(broker, door, gate)
    newest = dict(broker)
    for one in (door, gate):
        one.restart()
        assert one.replica.take(old) == []
        assert one.names() == ["Anne"]
        assert one.replica.due() == list(newest)
    door.gallery.forget("Anne")
    settle(broker, door, gate)
    for past in (old, newest):
        assert gate.replica.take(past) == []
        assert gate.names() == []


def test_a_device_that_was_off_catches_up_and_a_broker_that_lost_all_is_told_again(device: Callable[..., Device]) -> None:
    door, gate, yard = device("door"), device("gate"), device("yard")
    broker: dict[str, bytes] = {}
    for number, name in enumerate("ABCD"):
        door.gallery.enroll(name, [unit(number)], [0.9])
    settle(broker, door, gate, yard)
    yard.gallery.close()
    gate.gallery.forget("A")
    gate.gallery.forget("B")
    gate.gallery.enroll("E", [unit(9)], [0.9])
    settle(broker, door, gate)
    broker.clear()
    yard.start()
    settle(broker, yard, gate, door)
    assert yard.names() == ["C", "D", "E"]
    assert len(broker) == 5  # two of them are forgotten


def test_an_import_brings_back_who_was_forgotten(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1)], [0.9])
    kept = door.gallery.export()
    settle(broker, door, gate)
    gate.gallery.forget("Anna")
    settle(broker, door, gate)
    assert door.names() == []
    door.gallery.import_(kept)
    settle(broker, door, gate)
    assert gate.names() == ["Anna"]


@pytest.mark.parametrize("other", [{"secret": bytes(32)}, {"model": "sha256:" + "2e" * 32}])
def test_another_key_or_network_is_told_and_touches_nothing(device: Callable[..., Device], other: dict[str, Any]) -> None:
    door, gate = device("door"), device("gate", **other)
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1)], [0.9])
    gate.gallery.enroll("Bert", [unit(2)], [0.9])
    for _ in range(3):
        door.meet(broker)
        gate.meet(broker)
    assert (door.names(), gate.names()) == (["Anna"], ["Bert"])
    assert len(broker) == 2
    wanted = "another key" if "secret" in other else "another network"
    assert wanted in needed(door.replica.trouble)
    assert wanted in needed(gate.replica.trouble)
    door.replica.take(dict.fromkeys(broker, b""))
    assert door.replica.trouble is None


def test_a_new_key_carries_everybody_over_and_nobody_who_was_forgotten(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    for name in ("Anna", "Bert"):
        door.gallery.enroll(name, [unit(ord(name[0]))], [0.9])
    settle(broker, door, gate)
    gate.gallery.forget("Anna")
    settle(broker, door, gate)
    old = dict(broker)
    for one in (door, gate):
        one.secret = bytes(32)
        one.restart()
    settle(broker, door, gate)
    assert door.names() == ["Bert"]
    assert "another key" in needed(gate.replica.trouble)
    broker = {name: payload for name, payload in broker.items() if name not in old}
    settle(broker, gate, door)
    assert (len(broker), gate.replica.trouble) == (1, None)
    for one in (door, gate):  # a key that was wrong for a while, and is put right
        one.secret = SECRET
        one.restart()
        one.meet(old)
    assert (door.names(), gate.names()) == (["Bert"], ["Bert"])


def test_two_daemons_may_share_one_file(device: Callable[..., Device], tmp_path: Path) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    second = Device(tmp_path, "door")
    second.replica = Replica(second.gallery, PersonSealer(SECRET, MODEL, TOPIC), "door2", SAME, second.audit)
    door.gallery.enroll("Anna", [unit(1)], [0.9])
    settle(broker, door, second, gate)
    gate.gallery.rename("Anna", "Anne")
    settle(broker, gate, second, door)
    second.gallery.forget("Anne")
    settle(broker, door, second, gate)
    assert gate.names() == []
    assert len(broker) == 1
    second.gallery.close()


def test_hostile_and_damaged_payloads_are_counted_and_change_nothing(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    for name in ("Anna", "Bert"):
        door.gallery.enroll(name, [unit(ord(name[0]))], [0.9])
    settle(broker, door, gate)
    before = gate.people()
    one, two = broker
    spoilt = broker[one].replace(b'"sealed":"', b'"sealed":"A', 1)
    higher = broker[one].replace(b'"counter":1', b'"counter":9')
    assert higher != broker[one]
    hostile = [b"\xff\xfe", b"{}", b"[" * 100_000, b'{"schema":1}', b"\0" * 7_000_000, spoilt, higher, broker[two]]
    hostile.append(broker[one].replace(b'"device":"door"', b'"device":"yard"'))
    for number, payload in enumerate(hostile, 1):
        assert gate.replica.take({one: payload}) == []
        assert gate.replica.ignored == number
    assert gate.people() == before
    assert gate.replica.due() == [one]
    assert gate.replica.trouble is None


def test_a_counter_that_leaps_is_refused_and_the_person_can_be_edited_by_all(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    anna = door.gallery.enroll("Anna", [unit(1)], [0.9])
    settle(broker, door, gate)
    (name,) = broker
    sealer = PersonSealer(SECRET, MODEL, TOPIC)
    copy = door.gallery.shared()[anna.id]
    for counter in (2**53, LEAP + 2):
        poison = Revision(counter, "zoo", digest(copy))
        for number, one in enumerate((door, gate)):
            one.restart()
            assert one.replica.take({name: sealer.seal(name, poison, anna.id, copy, 0.0)}) == []
            assert one.replica.ignored == 1
            assert one.replica.due() == [name]  # the valid one is published again
            one.gallery.rename(anna.id, f"Anna {counter} {number}")
    settle(broker, gate, door)
    door.gallery.rename(anna.id, "Anne")
    settle(broker, door, gate)
    assert gate.names() == ["Anne"]
    door.gallery.forget("Anne")
    settle(broker, door, gate)
    assert gate.names() == []


def test_a_counter_that_is_far_ahead_and_yet_honest_is_followed(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1)], [0.9])
    settle(broker, door, gate)
    kept = door.gallery.export()
    for _ in range(50):
        door.gallery.forget("Anna")
        door.meet(broker)
        door.gallery.import_(kept)
        door.meet(broker)
    door.gallery.rename("Anna", "Anne")
    settle(broker, door, gate)
    assert gate.names() == ["Anne"]


def test_what_a_batch_an_edit_and_letters_decrypt_is_what_they_concern(
    device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    for number in range(40):
        door.gallery.enroll(f"P{number:02}", [unit(number), unit(1000 + number)], [0.9, 0.8])
    settle(broker, door, gate)
    gate.gallery.enroll("New", [unit(77), unit(78)], [0.9, 0.8])
    gate.gallery.enroll("P03", [unit(79)], [0.9])
    gate.replica.take({})
    payloads = gate.replica.payloads(gate.replica.due())
    assert len(payloads) == 2
    door.replica.take({})
    opened, unseal = [], Sealer.unseal

    def counting(sealer: Sealer, sealed: bytes, kind: type[Any], *bound: str) -> Any:
        opened.append(bound[0])
        return unseal(sealer, sealed, kind, *bound)

    monkeypatch.setattr(Sealer, "unseal", counting)
    assert sorted(change.name for change in door.replica.take(payloads)) == ["New", "P03"]
    assert len(opened) < 12
    opened.clear()
    door.gallery.rename("P05", "Zoe")
    opened.clear()
    door.replica.take({})
    assert len(opened) < 12
    opened.clear()
    assert len(door.replica.payloads(door.replica.due())) == 1
    assert len(opened) < 12


def test_edits_beyond_number_are_noticed_in_parts_and_none_is_lost(
    device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeface.sync.replica.NOTICED_AT_ONCE", 4)
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    for number in range(10):
        door.gallery.enroll(f"P{number}", [unit(number)], [0.9])
    shared = []
    for _ in range(4):
        door.replica.take({})
        shared.append(door.replica.shared)
    assert shared == [4, 8, 10, 10]
    settle(broker, door, gate)
    for number in range(10):
        gate.gallery.rename(f"P{number}", f"Q{number}")
        door.gallery.enroll(f"P{number}", [unit(100 + number)], [0.9])
    for _ in range(3):
        gate.meet(broker)
        door.meet(broker)
    settle(broker, door, gate)
    assert gate.names() == door.names()
    assert len(gate.names()) == 10


def test_the_forgotten_leave_no_byte_in_the_file_of_any_device(device: Callable[..., Device]) -> None:
    door, gate = device("door"), device("gate")
    broker: dict[str, bytes] = {}
    anna = door.gallery.enroll("Anna", [unit(1)], [0.9])
    door.gallery.enroll("Bert", [unit(2)], [0.9])
    settle(broker, door, gate)
    with sqlite3.connect(gate.folder / "gallery.db") as file:
        (sealed,) = file.execute("SELECT sealed FROM people WHERE id = ?", (anna.id,)).fetchone()
        vectors = [row[0] for row in file.execute("SELECT sealed FROM templates WHERE person_id = ?", (anna.id,))]
    file.close()
    door.gallery.forget("Anna")
    settle(broker, door, gate)
    for one in (door, gate):
        data = b"".join(path.read_bytes() for path in one.folder.glob("gallery.db*"))
        assert not [part for part in (anna.id.encode(), sealed, *vectors) if part in data]


edits = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["enroll", "rename", "forget", "meet", "restart", "lose"]),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=25,
)
folders = itertools.count()


@given(edits, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_whatever_is_done_wherever_ends_as_one_gallery(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[int, str, int, int]], chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp(f"fleet{next(folders)}")
    devices = [Device(folder, name) for name in ("door", "gate", "yard")]
    broker: dict[str, bytes] = {}
    for who, verb, first, second in script:
        device = devices[who]
        try:
            if verb == "enroll":
                device.gallery.enroll(f"P{first}", [unit(10 * first + second, near=first, mix=0.2)], [0.9])
            elif verb == "rename":
                device.gallery.rename(f"P{first}", f"P{second}")
            elif verb == "forget":
                device.gallery.forget(f"P{first}")
            elif verb == "meet":
                device.meet(broker)
            elif verb == "restart":
                device.restart()
            else:
                broker.clear()
        except Exception as refused:
            assert "P" in str(refused)  # noqa: PT017
    chance.shuffle(devices)
    settle(broker, *devices)
    names = devices[0].names()
    assert len(set(names)) == len(names)
    for device in devices:
        device.gallery.close()


def test_a_shared_key_names_people_as_it_always_has() -> None:
    sealer = PersonSealer(bytes(range(32)), "sha256:a", TOPIC)
    assert (sealer.key, sealer.name("p_0123456789abcdef")) == ("9bf30186", "8f8bf708ff98bfc78b35319e38e3066c")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE people SET sealed = zeroblob(60)",
        "UPDATE templates SET sealed = zeroblob(60) WHERE id = 2",
        "DELETE FROM people",
    ],
)
def test_a_damaged_record_is_no_edit_for_the_others_and_comes_back_from_them(tmp_path: Path, damage: str) -> None:
    door, yard = Device(tmp_path, "door"), Device(tmp_path, "yard")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1), unit(2)], [0.5, 0.5])
    for device in (door, yard, door):
        device.meet(broker)
    before, there = yard.gallery.shared(), dict(broker)
    door.gallery.close()
    with sqlite3.connect(tmp_path / "door" / "gallery.db") as database:
        database.execute(damage)
    database.close()
    door.start()
    door.replica.take({})
    assert door.replica.payloads(door.replica.due()) == {}
    assert len(door.gallery.people()) == 1
    door.meet(broker)
    yard.meet(broker)
    assert broker == there
    assert door.gallery.damage() == []
    assert door.gallery.shared() == yard.gallery.shared() == before


def test_who_is_damaged_here_is_forgotten_with_the_others(tmp_path: Path) -> None:
    door, yard = Device(tmp_path, "door"), Device(tmp_path, "yard")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1), unit(2)], [0.5, 0.5])
    for device in (door, yard, door):
        device.meet(broker)
    yard.gallery.forget("Anna")
    yard.meet(broker)
    with sqlite3.connect(tmp_path / "door" / "gallery.db") as database:
        database.execute("UPDATE people SET sealed = zeroblob(60)")
    database.close()
    door.meet(broker)
    assert door.gallery.people() == []


def test_a_template_that_is_nobody_s_any_more_is_no_edit_of_whose_it_was(tmp_path: Path) -> None:
    door, yard = Device(tmp_path, "door"), Device(tmp_path, "yard")
    broker: dict[str, bytes] = {}
    door.gallery.enroll("Anna", [unit(1), unit(2)], [0.5, 0.5])
    for device in (door, yard, door):
        device.meet(broker)
    before, there = yard.gallery.shared(), dict(broker)
    with sqlite3.connect(tmp_path / "door" / "gallery.db") as database:
        database.execute("UPDATE templates SET person_id = 'p_0000000000000000' WHERE id = 2")
    database.close()
    for device in (door, yard):
        device.meet(broker)
    assert broker == there
    assert yard.gallery.shared() == before
    assert len(door.gallery.templates().vectors) == 2
    door.gallery.drop(next(damage.id for damage in door.gallery.damage() if damage.kind == "template"))
    door.meet(broker)
    assert door.gallery.shared() == before


# Rules of people, and devices of an earlier version, which do not know them

POSTMAN = Rules(ignored=True, groups=("staff",))


def enrolled(one: Device) -> str:
    return str(one.gallery.enroll("Anna", [unit(1)], [0.9]).id)


def test_rules_that_are_set_and_taken_back_are_so_everywhere(device: Callable[..., Device]) -> None:
    door, gate, broker = device("door"), device("gate"), dict[str, bytes]()
    anna = enrolled(door)
    settle(broker, door, gate)
    assert gate.gallery.rules() == {}
    door.gallery.rule("Anna", lambda _: POSTMAN)
    settle(broker, door, gate)
    assert gate.gallery.rules() == {anna: POSTMAN}
    gate.gallery.rename("Anna", "Anna B.")
    gate.gallery.rule("Anna B.", lambda _: NONE)
    settle(broker, door, gate)
    assert door.gallery.rules() == {anna: NONE}
    assert door.names() == ["Anna B."]
    door.gallery.forget("Anna B.")
    settle(broker, door, gate)
    assert gate.gallery.rules() == {}


class _Earlier(msgspec.Struct, frozen=True, array_like=True):
    """A person as an earlier version reads and writes them."""

    name: str
    enrolled: float
    templates: tuple[SharedTemplate, ...]
    negatives: tuple[SharedTemplate, ...]


def test_an_earlier_version_reads_the_person_and_takes_nobody_s_rules_away(device: Callable[..., Device]) -> None:
    door, gate, broker = device("door"), device("gate"), dict[str, bytes]()
    anna = enrolled(door)
    door.gallery.rule("Anna", lambda _: POSTMAN)
    settle(broker, door, gate)
    sealer = PersonSealer(SECRET, MODEL, TOPIC)
    (name,) = broker
    revision, person_id, person = sealer.open(name, broker[name])
    earlier = msgspec.msgpack.decode(msgspec.msgpack.encode(person), type=_Earlier)
    assert earlier.name == "Anna"
    renamed = SharedPerson("Anna B.", *msgspec.structs.astuple(earlier)[1:])
    broker[name] = sealer.seal(name, revision.next("shed", digest(renamed)), person_id, renamed, 0.0)
    settle(broker, door, gate)
    assert door.names() == gate.names() == ["Anna B."]
    assert door.gallery.rules() == gate.gallery.rules() == {anna: POSTMAN}
    before = dict(broker)
    settle(broker, door, gate)
    assert broker == before  # nobody answers anybody for ever


def test_who_has_no_rules_is_shared_as_by_an_earlier_version(device: Callable[..., Device]) -> None:
    door = device("door")
    anna = enrolled(door)
    person = door.people()[anna]
    earlier = _Earlier(*msgspec.structs.astuple(person)[:-1])
    assert digest(person) == hashlib.sha256(msgspec.msgpack.encode(earlier)).digest()
    assert digest(msgspec.structs.replace(person, rules=NONE)) != digest(person)
