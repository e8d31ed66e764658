import time
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from edgeface.errors import EdgefaceError
from edgeface.operations.jobs import MAX_RUNNING, MAX_WAITING, Window
from edgeface.types import Frame, NoFrame

IMAGE = np.zeros((4, 4, 3), np.uint8)


def moments(count):
    return [NoFrame(float(number), 0.0) for number in range(count)]


def test_a_picture_is_left_only_while_somebody_watches():
    window, asked = Window(), []
    frame = Frame(IMAGE, 0.0, 0.0)
    window.show(frame, asked.append, 0.1)
    assert window.view is None
    assert not asked  # nobody watches: the faces are not even looked up
    window.watch(1e9)
    window.show(frame, lambda time: [], 0.1)
    assert window.view.frame is frame
    window.show(NoFrame(1.0, 1.0), lambda time: [], 0.1)
    assert window.view.frame is frame  # a gap is no picture
    window.show(Frame(IMAGE, 2.0, 0.0), lambda time: ["Anna"], 0.1)
    window.show(Frame(IMAGE, 3.0, 0.0), lambda time: [], None)
    assert (window.view.frame.time, window.view.sights, window.view.seconds) == (3.0, ("Anna",), 0.1)  # nothing has moved
    window.watch(-1e9)
    window.show(Frame(IMAGE, 1e12, 0.0), lambda time: [], 0.1)
    assert window.view is None  # and nothing of it stays


def test_who_watches_is_told_of_each_picture_and_of_nothing_else():
    window, told = Window(), []
    window.watch(1e9, lambda: told.append(window.view.number))
    for moment in (Frame(IMAGE, 0.0, 0.0), NoFrame(1.0, 1.0), Frame(IMAGE, 2.0, 0.0)):
        window.show(moment, lambda time: [], 0.1)
    assert told == [1, 2]
    window.watch(-1e9, lambda: told.append("nobody watches"))
    window.show(Frame(IMAGE, 1e12, 0.0), lambda time: [], 0.1)
    assert told == [1, 2]


def test_work_goes_on_moment_by_moment_until_its_result():
    window, seen = Window(), []

    def work(desk):
        for _ in range(3):
            seen.append((desk, (yield)))
        return "done"

    result = window.ask(work)
    for moment in moments(3):
        assert not result.done()
        window.serve(moment, "desk")
    assert result.result(0) == "done"
    assert [moment.time for _, moment in seen] == [0.0, 1.0, 2.0]


def test_what_fails_in_work_is_told_and_stops_nothing():
    window = Window()

    def refused(desk):
        raise EdgefaceError("no")
        yield

    def broken(desk):
        yield
        raise ValueError("secret")

    first, second = window.ask(refused), window.ask(broken)
    for moment in moments(2):
        window.serve(moment, None)
    with pytest.raises(EdgefaceError, match=r"^no$"):
        first.result(0)
    with pytest.raises(EdgefaceError, match="failed inside") as error:
        second.result(0)
    assert "secret" not in str(error.value)


def endless(desk):
    try:
        while True:
            yield
    finally:
        desk.append("closed")


def test_cancelled_work_is_ended_by_the_loop():
    window, desk = Window(), []
    result = window.ask(endless)
    window.serve(NoFrame(0.0, 0.0), desk)
    result.cancel()
    window.serve(NoFrame(1.0, 0.0), desk)
    assert desk == ["closed"]
    with pytest.raises(CancelledError):
        result.result(0)


def test_a_flood_of_work_is_refused_and_takes_turns():
    window, desk = Window(), []
    asked = [window.ask(endless) for _ in range(MAX_WAITING)]
    with pytest.raises(EdgefaceError, match="busy"):
        window.ask(endless)
    window.serve(NoFrame(0.0, 0.0), desk)
    for result in asked[:MAX_RUNNING]:
        result.cancel()
    window.serve(NoFrame(1.0, 0.0), desk)
    assert len(desk) == MAX_RUNNING
    window.close(EdgefaceError("new settings"))
    for result in asked[MAX_RUNNING:]:
        with pytest.raises(EdgefaceError, match="new settings"):
            result.result(0)


class Slow(deque):
    """A queue whose length is no longer true when it is told."""

    def __len__(self):
        length = super().__len__()
        time.sleep(0.01)
        return length

    def __bool__(self):
        return len(self) > 0


def test_several_who_ask_at_once_are_not_more_than_may_wait():
    window = Window()
    window._waiting = Slow()

    def ask(_):
        with suppress(EdgefaceError):
            return window.ask(endless)

    with ThreadPoolExecutor(2 * MAX_WAITING) as askers:
        asked = [found for found in askers.map(ask, range(2 * MAX_WAITING)) if found]
    assert len(asked) == MAX_WAITING
    window.close()
    assert all(result.exception(0) for result in asked)


def test_somebody_sits_alone_until_that_ends():
    window = Window()
    first = window.sit(endless)
    with pytest.raises(EdgefaceError, match="somebody else"):
        window.sit(endless)
    assert window.session.locked()
    window.serve(NoFrame(0.0, 0.0), [])
    first.cancel()
    second = window.sit(endless)
    window.close()
    assert second.exception(0)
    assert not window.session.locked()


def test_who_cannot_sit_for_want_of_room_leaves_the_chair_free():
    window = Window()
    for _ in range(MAX_WAITING):
        window.ask(endless)
    with pytest.raises(EdgefaceError, match="busy"):
        window.sit(endless)
    assert not window.session.locked()
