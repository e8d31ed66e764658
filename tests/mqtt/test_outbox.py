"""Events on their way to a broker that is not there, or does not confirm."""

from typing import Any

from fixtures.optional import needed
from fixtures.publishing import ANNA, event, numbered
from paho.mqtt.client import MQTTMessageInfo

from edgeface.mqtt.outbox import Outbox


def filled(*numbers: int, bound: int = 1000, max_age: float = 60.0) -> Outbox:
    outbox = Outbox(bound, max_age)
    for number in numbers:
        outbox.add(numbered(number))
    return outbox


def sent(outbox: Outbox) -> MQTTMessageInfo:
    """Send the event that is due; how the broker's confirmation will be noted."""
    assert outbox.due()
    on_its_way = MQTTMessageInfo(1)
    outbox.sent(on_its_way)
    return on_its_way


def waiting(outbox: Outbox) -> list[Any]:
    return [int(needed(each.reason).split()[1]) for each in outbox._waiting]


def test_what_was_sent_and_never_confirmed_goes_over_too_and_the_queues_are_not_shared() -> None:
    before, after = filled(1, 2), Outbox(1000, 60.0)
    sent(before)
    before.dropped = 7
    after.take_over(before)  # as from a thread that is still on its way out
    before.add(numbered(3))
    assert (waiting(after), after.dropped) == ([1, 2], 7)


def test_the_oldest_is_dropped_where_there_is_no_room_and_what_comes_back_counts() -> None:
    outbox = filled(1, 2, 3, bound=2)
    assert (waiting(outbox), outbox.dropped) == ([2, 3], 1)
    sent(outbox)
    outbox.add(numbered(4))
    assert (waiting(outbox), len(outbox)) == ([3, 4], 3)
    outbox.recall()
    assert (waiting(outbox), outbox.dropped, len(outbox)) == ([3, 4], 2, 2)


def test_a_confirmed_event_is_neither_recalled_nor_taken_over() -> None:
    outbox = filled(1, 2)
    sent(outbox)._set_as_published()
    assert len(outbox) == 1
    outbox.recall()
    assert waiting(outbox) == [2]


def test_what_is_too_old_is_never_due() -> None:
    outbox = Outbox(1000, 5.0)
    for number, age in enumerate((6.0, 5.5, 0.0)):
        outbox.add(numbered(number, age=age))
    assert needed(outbox.due()).reason == "number 2"
    assert outbox.dropped == 2


def test_no_more_is_due_while_too_many_are_unconfirmed() -> None:
    outbox = filled(*range(Outbox.MAX_IN_FLIGHT + 1))
    first, *_ = [sent(outbox) for _ in range(Outbox.MAX_IN_FLIGHT)]
    assert outbox.due() is None
    first._set_as_published()
    assert needed(outbox.due()).reason == f"number {Outbox.MAX_IN_FLIGHT}"


def test_nothing_waits_of_people_who_were_forgotten() -> None:
    outbox = filled(1)
    outbox.add(event())
    outbox.forget({ANNA.id})
    assert (waiting(outbox), outbox.dropped) == ([1], 1)
