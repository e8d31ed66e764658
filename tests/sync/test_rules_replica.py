"""People's rules on devices that share a gallery, one of them of an earlier version."""

import hashlib
from collections.abc import Callable

import msgspec
from fixtures.replicas import unit
from test_replica import MODEL, SECRET, TOPIC, Device, device, settle

from edgeface.gallery.rules import NONE, Rules
from edgeface.gallery.shared import SharedPerson, SharedTemplate
from edgeface.sync.messages import PersonSealer, digest

__all__ = ["device"]
POSTMAN = Rules(ignored=True, groups=("staff",))


def enrolled(one: Device) -> str:
    return one.gallery.enroll("Anna", [unit(1)], [0.9]).id


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
