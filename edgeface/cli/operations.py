"""Runs an operation for a command: in the daemon where it must be, else in this process."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from edgeface.cli.common import Setup, through_the_daemon
from edgeface.errors import CameraError, EdgefaceError
from edgeface.interfaces import Tick
from edgeface.operations.context import Job, Operation, OperationContext, Photo
from edgeface.types import Frame, NoFrame
from edgeface.vision.model_card import load_card
from edgeface.wire.commands import Refused, Request

if TYPE_CHECKING:
    from edgeface.enrollment.enroller import Enroller
    from edgeface.gallery.store import Gallery

Q = TypeVar("Q", bound=Request)
R = TypeVar("R")
SENT_SIDE, SENT_FIDELITY = 2048, 98
"""Pixels and JPEG quality of photos that are sent to the daemon; they lose nothing that it needs."""
BETWEEN = 0.02
"""Seconds between two steps of an operation that waits for a thread."""


def perform(
    setup: Setup,
    operation: Operation[Q, R],
    request: Q,
    photos: Callable[[], Iterator[Photo]] | None = None,
    tell: Callable[[Any], None] = lambda progress: None,
) -> R:
    """Run an operation in this process, or in the daemon if this user cannot open the gallery; ``tell`` is given its progress.

    An operation that needs the camera runs in the daemon if one runs.
    """
    from edgeface.control import discovery

    settings = setup.config
    if not (through_the_daemon(settings) or (operation.camera and discovery.answers(settings))):
        return _perform_here(setup, Job(operation, request, photos=photos() if photos else iter(()), tell=tell))
    from edgeface.control import client

    unread: list[Photo] = []
    answer: Any = None
    for answer in client.perform(settings, operation, request, photos and (lambda: _sent(photos(), unread))):
        if not isinstance(answer, operation.response):
            tell(answer)
    for label, error in unread:
        answer.refused.append(Refused(label, str(error).removeprefix(f"{label}: ")))
    result: R = answer
    return result


def _sent(photos: Iterator[Photo], unread: list[Photo]) -> Iterator[tuple[str, bytes]]:
    """Encode photos for the daemon, which may not be allowed to read the files; collect the unreadable ones in ``unread``."""
    from edgeface.vision.images import encode_jpeg

    unread.clear()
    for label, image in photos:
        if isinstance(image, EdgefaceError):
            unread.append((label, image))
        else:
            yield label, encode_jpeg(image, SENT_SIDE, SENT_FIDELITY)[0]


def _perform_here(setup: Setup, job: Job[Q, R]) -> R:
    with operation_context(setup) as context, ExitStack() as stack:
        steps = job.steps(context)
        try:
            next(steps)
            for moment in _camera(setup, stack) if job.operation.camera else _ticks():
                steps.send(Tick(moment))
            job.enough = True  # a recording has ended
            steps.send(Tick(NoFrame(time.monotonic(), time.time())))
        except StopIteration as end:
            result: R = end.value
            return result
        finally:
            steps.close()
        raise CameraError("the recording ended without a usable view")


@contextmanager
def operation_context(setup: Setup) -> Iterator[OperationContext]:
    """Yield the context of operations in this process, and close its gallery."""
    from edgeface.gallery.open import open_gallery

    settings = setup.config
    with ExitStack() as stack:

        @cache
        def gallery() -> "Gallery":
            opened = open_gallery(settings, card)
            stack.callback(opened.close)
            return opened

        @cache
        def enroller() -> "Enroller":
            from edgeface.enrollment.enroller import Enroller
            from edgeface.recognition.pipeline import Pipeline
            from edgeface.vision.embedding import Embedder

            return Enroller(Pipeline(settings, Embedder(setup.model), gallery()), gallery())

        card = load_card(setup.model)
        yield OperationContext(settings, card, gallery, enroller)


def _camera(setup: Setup, stack: ExitStack) -> Iterator[Frame | NoFrame]:
    from edgeface import cameras

    camera = cameras.create(setup.config.camera)
    stack.callback(camera.close)
    return camera.frames()


def _ticks() -> Iterator[NoFrame]:
    while True:
        yield NoFrame(time.monotonic(), time.time())
        time.sleep(BETWEEN)
