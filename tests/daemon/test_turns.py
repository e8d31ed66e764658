"""Several cameras take turns: none waits for another, and what the loop is too slow for is dropped, or waits."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from threading import Event as Flag
from typing import Any

import numpy as np
from fixtures.broker import eventually

from edgeface.cameras.recording import Recording
from edgeface.daemon.pausable_camera import PausableCamera
from edgeface.daemon.turns import ENDED, Turns
from edgeface.errors import CameraError
from edgeface.interfaces import Camera
from edgeface.types import Frame, NoFrame, Paused


def picture(number: int) -> Any:
    return np.full((1, 1, 3), number, np.uint8)


class Numbered(Camera):
    """A live camera: frame after frame, numbered, until it is closed; or nothing at all, as one whose driver hangs."""

    live, dropped = True, 0

    def __init__(self, interval: float = 0.005, *, hangs: bool = False) -> None:
        self.closed, self.given = Flag(), 0
        self._interval, self._hangs = interval, hangs

    def frames(self) -> Iterator[Frame | NoFrame]:
        while not self.closed.wait(None if self._hangs else self._interval):
            self.given += 1
            yield Frame(picture(self.given % 250), time.monotonic(), time.time())

    def close(self) -> None:
        self.closed.set()


def recording(count: int, fps: float = 200.0) -> Recording:
    return Recording(lambda: iter([picture(number) for number in range(count)]), fps)


@contextmanager
def watching(**watched: Camera) -> Iterator[tuple[Turns, Iterator[tuple[str, Frame | NoFrame]]]]:
    turns = Turns()
    try:
        yield turns, turns.moments(watched)
    finally:
        for camera in watched.values():
            camera.close()
        turns.close()


def test_one_camera_alone_is_read_without_a_thread() -> None:
    turns, camera = Turns(), recording(3)
    assert [name for name, _ in turns.moments({"front": camera})] == ["front"] * 3
    assert turns._readers == []


def test_a_loop_that_is_too_slow_takes_cameras_in_turn_and_of_each_the_newest_frame() -> None:
    front, back = Numbered(), Numbered()
    with watching(front=front, back=back) as (turns, moments):
        taken = []
        for _ in range(8):
            name, moment = next(moments)
            given = {"front": front, "back": back}[name].given
            assert isinstance(moment, Frame)
            taken.append((name, given - int(moment.image[0, 0, 0])))
            before = front.given, back.given
            assert eventually(lambda: front.given > before[0] + 3 and back.given > before[1] + 3)  # noqa: B023 (called at once)
        assert all(name != following for (name, _), (following, _) in pairwise(taken))
        assert max(behind for _, behind in taken) <= 2
        assert turns.dropped > 8


def test_a_camera_that_hangs_holds_up_no_other() -> None:
    with watching(front=Numbered(hangs=True), back=Numbered()) as (_, moments):
        assert [next(moments)[0] for _ in range(20)] == ["back"] * 20


def test_a_recording_loses_no_frame_to_a_slow_loop_and_has_ended_while_others_go_on() -> None:
    with watching(film=recording(5, 1000.0), front=Numbered()) as (_, moments):
        seen: list[int] = []
        for name, moment in moments:
            if name == "film" and isinstance(moment, Frame):
                seen.append(int(moment.image[0, 0, 0]))
            elif name == "film" and isinstance(moment, NoFrame) and moment.lost:
                assert moment.lost == ENDED
                break
        assert seen == [0, 1, 2, 3, 4]
        assert next(other for other in moments if other[0] == "front")


def test_the_loop_ends_once_every_recording_has() -> None:
    with watching(a=recording(3), b=recording(6)) as (_, moments):
        frames = [name for name, moment in moments if isinstance(moment, Frame)]
    assert (frames.count("a"), frames.count("b")) == (3, 6)


def broken() -> Iterator[Frame | NoFrame]:
    raise CameraError("the folder is gone")
    yield


def test_a_camera_that_can_never_work_is_lost_and_stops_no_other() -> None:
    camera = Numbered()
    camera.frames = broken  # type: ignore[method-assign]
    with watching(gone=camera, front=Numbered()) as (_, moments):
        lost = next(moment for name, moment in moments if name == "gone")
        assert isinstance(lost, NoFrame)
        assert lost.lost == "the folder is gone"
        assert next(moment for name, moment in moments if name == "front")


def test_the_next_call_goes_on_with_the_cameras_that_are_there_then() -> None:
    front, back, attic = Numbered(), recording(10_000), Numbered()
    turns = Turns()
    moments = turns.moments({"front": front, "back": back})
    assert {next(moments)[0] for _ in range(20)} == {"front", "back"}
    reader = next(one for one in turns._readers if one.name == "front")
    moments = turns.moments({"front": front, "attic": attic})
    assert {next(moments)[0] for _ in range(20)} == {"front", "attic"}
    assert reader in turns._readers
    moments = turns.moments({"front": front})
    assert {next(moments)[0] for _ in range(20)} == {"front"}
    for camera in (front, back, attic):
        camera.close()
    turns.close()


def test_a_frame_from_before_a_pause_is_not_given_out() -> None:
    pause: list[Paused | None] = [None]
    made = [Numbered(), Numbered()]
    cameras = [PausableCamera(lambda one=one: one, lambda: pause[0]) for one in made]  # type: ignore[misc]
    with watching(front=cameras[0], back=cameras[1]) as (turns, moments):
        next(moments)
        assert eventually(lambda: all(isinstance(reader.moment, Frame) for reader in turns._readers))
        pause[0] = Paused(0.0, None, "guests")
        told = [next(moments)[1] for _ in range(4)]
        assert [isinstance(moment, NoFrame) and moment.paused for moment in told] == [pause[0]] * 4


def test_the_threads_end_though_a_recording_waits_for_its_turn() -> None:
    with watching(film=recording(5, 1000.0), front=Numbered()) as (turns, moments):
        next(moments)
        assert eventually(lambda: all(isinstance(reader.moment, Frame) for reader in turns._readers))
        threads = [reader.thread for reader in turns._readers]
        assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)
