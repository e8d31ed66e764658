import numpy as np
from fixtures.optional import needed

from edgeface.operations.live_view import LiveView
from edgeface.types import Frame, NoFrame

IMAGE = np.zeros((4, 4, 3), np.uint8)


def test_a_picture_is_left_only_while_somebody_watches() -> None:
    view = LiveView()
    asked: list[float] = []
    frame = Frame(IMAGE, 0.0, 0.0)
    view.show(frame, lambda time: asked.append(time) or [], 0.1)  # type: ignore[func-returns-value]  # append, then nobody
    assert view.picture is None
    assert not asked  # nobody watches: the faces are not even looked up
    view.watch(1e9)
    view.show(frame, lambda time: [], 0.1)
    assert needed(view.picture).frame is frame
    view.show(NoFrame(1.0, 1.0), lambda time: [], 0.1)
    assert needed(view.picture).frame is frame  # a gap is no picture
    view.show(Frame(IMAGE, 2.0, 0.0), lambda time: ["Anna"], 0.1)  # type: ignore[list-item]  # a name says it
    view.show(Frame(IMAGE, 3.0, 0.0), lambda time: [], None)
    assert (needed(view.picture).frame.time, needed(view.picture).faces, needed(view.picture).seconds) == (
        3.0,
        ("Anna",),
        0.1,
    )  # nothing has moved
    view.watch(-1e9)
    view.show(Frame(IMAGE, 1e12, 0.0), lambda time: [], 0.1)
    assert view.picture is None  # and nothing of it stays


def test_who_watches_is_told_of_each_picture_and_of_nothing_else() -> None:
    view = LiveView()
    told: list[int | str] = []
    view.watch(1e9, lambda: told.append(needed(view.picture).number))
    for moment in (Frame(IMAGE, 0.0, 0.0), NoFrame(1.0, 1.0), Frame(IMAGE, 2.0, 0.0)):
        view.show(moment, lambda time: [], 0.1)
    assert told == [1, 2]
    view.watch(-1e9, lambda: told.append("nobody watches"))
    view.show(Frame(IMAGE, 1e12, 0.0), lambda time: [], 0.1)
    assert told == [1, 2]
