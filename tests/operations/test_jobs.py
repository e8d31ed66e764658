import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from fixtures.operations import idle
from fixtures.optional import needed

from edgeface.config.schema import Config
from edgeface.errors import EdgefaceError
from edgeface.interfaces import Tick
from edgeface.operations.context import Job, Operation, OperationContext
from edgeface.operations.jobs import MAX_RUNNING, MAX_WAITING, JobQueue
from edgeface.types import NoFrame
from edgeface.vision.model_card import ModelCard
from edgeface.wire.commands import Request


@pytest.fixture
def closed() -> list[str]:
    """What the jobs say when they end: in place of the gallery, which no job here asks for."""
    return []


@pytest.fixture
def context(card: ModelCard, closed: list[str]) -> OperationContext:
    return OperationContext(Config(), card, lambda: closed, lambda: None, serving=True)  # type: ignore[arg-type,return-value]  # see closed


def operation(run: Callable[[OperationContext, Request], Any], **more: Any) -> Operation[Request, Any]:
    return Operation("test", Request, object, run, **more)


def endless(context: OperationContext, _request: Request) -> Generator[None, Any, None]:
    try:
        while True:
            yield
    finally:
        context.gallery.append("closed")  # type: ignore[attr-defined]  # the list of closed


ENDLESS, BEFORE_THE_CAMERA = operation(endless), operation(endless, camera=True)


def submit(jobs: JobQueue, wanted: Operation[Request, Any], **more: Any) -> Job[Request, Any]:
    return jobs.submit(Job(wanted, Request(), None, **more))


def at(time: float) -> Tick:
    return Tick(NoFrame(time, 0.0))


def ticks(count: int) -> Iterator[Tick]:
    return (at(float(number)) for number in range(count))


def test_steps_go_on_round_by_round_until_their_result(context: OperationContext) -> None:
    jobs, seen, told = JobQueue(), list[Tick](), list[int]()

    def work(context: object, request: object) -> Generator[int, Tick, str]:
        for number in range(3):
            seen.append((yield number))
        return "done"

    job = submit(jobs, operation(work), tell=told.append)
    for tick in ticks(3):
        assert not job.result.done()
        jobs.on_tick(tick, context)
    assert job.result.result(0) == "done"
    assert [tick.moment.time for tick in seen] == [0.0, 1.0, 2.0]
    assert told == [0, 1, 2]
    assert idle(jobs)


def test_what_is_done_at_once_takes_one_tick(context: OperationContext) -> None:
    jobs = JobQueue()
    job = submit(jobs, operation(lambda context, request: context.serving))
    jobs.on_tick(at(0.0), context)
    assert job.result.result(0) is True


def test_what_fails_is_told_and_stops_nothing(context: OperationContext) -> None:
    jobs = JobQueue()

    def refused(context: object, request: object) -> None:
        raise EdgefaceError("no")

    def broken(context: object, request: object) -> Iterator[None]:
        yield
        raise ValueError("secret")

    first, second = submit(jobs, operation(refused)), submit(jobs, operation(broken))
    for tick in ticks(2):
        jobs.on_tick(tick, context)
    with pytest.raises(EdgefaceError, match=r"^no$"):
        first.result.result(0)
    with pytest.raises(EdgefaceError, match="failed inside") as error:
        second.result.result(0)
    assert "secret" not in str(error.value)


def test_a_cancelled_job_is_ended_by_the_loop(context: OperationContext, closed: list[str]) -> None:
    jobs = JobQueue()
    job = submit(jobs, ENDLESS)
    jobs.on_tick(at(0.0), context)
    job.result.cancel()
    jobs.on_tick(at(1.0), context)
    assert closed == ["closed"]
    with pytest.raises(CancelledError):
        job.result.result(0)


def test_a_job_that_was_cancelled_writes_nothing_and_one_that_writes_is_not_cancelled(context: OperationContext) -> None:
    jobs, written = JobQueue(), list[bool | str]()

    def write(context: OperationContext, request: object) -> Generator[None, Tick, str]:
        yield
        job = needed(context.job)
        job.commit()
        written.append(job.result.cancel())  # as another thread does at the worst moment
        return "kept"

    late = submit(jobs, operation(write))
    for tick in ticks(2):
        jobs.on_tick(tick, context)
    assert (written, late.result.result(0)) == ([False], "kept")

    def cancelled(context: OperationContext, request: object) -> Iterator[None]:
        yield
        job = needed(context.job)
        job.result.cancel()
        job.commit()
        written.append("too late")

    early = submit(jobs, operation(cancelled))
    for tick in ticks(2):
        jobs.on_tick(tick, context)
    assert early.result.cancelled()
    assert written == [False]
    assert idle(jobs)


def test_a_flood_of_jobs_is_refused_and_takes_turns(context: OperationContext, closed: list[str]) -> None:
    jobs = JobQueue()
    asked = [submit(jobs, ENDLESS) for _ in range(MAX_WAITING)]
    with pytest.raises(EdgefaceError, match="busy"):
        submit(jobs, ENDLESS)
    jobs.on_tick(at(0.0), context)
    for job in asked[:MAX_RUNNING]:
        job.result.cancel()
    jobs.on_tick(at(1.0), context)
    assert len(closed) == MAX_RUNNING
    jobs.close(EdgefaceError("new settings"))
    for job in asked[MAX_RUNNING:]:
        with pytest.raises(EdgefaceError, match="new settings"):
            job.result.result(0)


class Slow(deque[Any]):
    """A queue whose length is no longer true when it is told."""

    def __len__(self) -> int:
        length = super().__len__()
        time.sleep(0.01)
        return length

    def __bool__(self) -> bool:
        return len(self) > 0


def test_several_who_ask_at_once_are_not_more_than_may_wait() -> None:
    jobs = JobQueue()
    jobs._waiting = Slow()

    def ask(_: object) -> Future[Any] | None:
        with suppress(EdgefaceError):
            return submit(jobs, ENDLESS).result
        return None

    with ThreadPoolExecutor(2 * MAX_WAITING) as askers:
        asked = [found for found in askers.map(ask, range(2 * MAX_WAITING)) if found]
    assert len(asked) == MAX_WAITING
    jobs.close()
    assert all(result.exception(0) for result in asked)


def test_one_job_at_a_time_has_the_camera(context: OperationContext) -> None:
    jobs = JobQueue()
    first = submit(jobs, BEFORE_THE_CAMERA)
    with pytest.raises(EdgefaceError, match="somebody else"):
        submit(jobs, BEFORE_THE_CAMERA)
    assert jobs._at_camera
    jobs.on_tick(at(0.0), context)
    first.result.cancel()
    second = submit(jobs, BEFORE_THE_CAMERA)
    jobs.close()
    assert second.result.exception(0)
    assert not jobs._at_camera


def test_a_job_for_which_there_is_no_room_leaves_the_camera_free() -> None:
    jobs = JobQueue()
    for _ in range(MAX_WAITING):
        submit(jobs, ENDLESS)
    with pytest.raises(EdgefaceError, match="busy"):
        submit(jobs, BEFORE_THE_CAMERA)
    assert not jobs._at_camera
