"""Runs an operation for a command: in the daemon where it must be, else in this process."""

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, TypeVar

from edgeface import cameras
from edgeface.cli.common import Setup
from edgeface.config import schema
from edgeface.control import client, discovery
from edgeface.errors import CameraError, EdgefaceError
from edgeface.gallery.sqlite import is_read_only, refuse_for_good
from edgeface.interfaces import Tick
from edgeface.operations.context import Job, Operation, OperationContext, Photo
from edgeface.platform import environment
from edgeface.types import Frame, NoFrame
from edgeface.vision.images import encode_jpeg
from edgeface.wire.commands import Refused, Request

Q = TypeVar("Q", bound=Request)
R = TypeVar("R")
SENT_SIDE, SENT_FIDELITY = 2048, 98  # pixels and JPEG quality of photos sent to the daemon; they lose nothing that it needs
BETWEEN = 0.02  # seconds between two steps of an operation that waits for a thread


def perform(
    setup: Setup,
    operation: Operation[Q, R],
    request: Q,
    photos: Callable[[], Iterator[Photo]] = lambda: iter(()),
    tell: Callable[[Any], None] = lambda progress: None,
) -> R:
    """Run an operation in this process, or in the daemon if this user cannot open the gallery; ``tell`` is given its progress.

    An operation that needs the camera, or changes what the daemon does, runs in the daemon if one runs.
    """
    settings = setup.config
    if not (through_the_daemon(settings) or ((operation.camera or operation.daemon) and discovery.answers(settings))):
        return _perform_here(setup, Job(operation, request, photos=photos(), tell=tell))
    unread: list[Photo] = []
    answer: Any = None
    for answer in client.perform(settings, operation, request, (lambda: _sent(photos(), unread)) if operation.photos else None):
        if not isinstance(answer, operation.response):
            tell(answer)
    for label, error in unread:
        answer.refused.append(Refused(label, str(error).removeprefix(f"{label}: ")))
    result: R = answer
    return result


def through_the_daemon(settings: schema.Config) -> bool:
    """Return whether the daemon must access the gallery, because this user cannot see or open its file.

    Raise ``EdgefaceError`` if this user may ask no daemon either.
    """
    path = settings.gallery_path
    refuse_for_good(path, "gallery.path")
    try:
        there, closed = path.exists(), False
    except OSError:  # a folder on the way is closed
        there, closed = False, True
    if there:
        closed = not (os.access(path, os.R_OK) and (os.access(path, os.W_OK) or is_read_only(path)))
        if not closed:
            key_here = os.access(settings.key_path, os.R_OK) or environment.credentials()
            return not key_here and discovery.answers(settings)  # the key may be a credential that only the service gets
    if discovery.answers(settings, strict=True):
        return True
    if closed:
        raise EdgefaceError(
            f"{path} is closed to you, and no daemon with these settings runs that you may ask; "
            "do it as its user: sudo -u edgeface edgeface ..."
        )
    return False


def _sent(photos: Iterator[Photo], unread: list[Photo]) -> Iterator[tuple[str, bytes]]:
    """Encode photos for the daemon, which may not be allowed to read the files; collect the unreadable ones in ``unread``."""
    unread.clear()
    for label, image in photos:
        if isinstance(image, EdgefaceError):
            unread.append((label, image))
        else:
            yield label, encode_jpeg(image, SENT_SIDE, SENT_FIDELITY)[0]


def _perform_here(setup: Setup, job: Job[Q, R]) -> R:
    context = OperationContext(setup.config, setup.card, lambda: setup.gallery, lambda: setup.enroller, file=setup.file)
    config = setup.config.of_camera(getattr(job.request, "camera", None)) if job.operation.camera else None
    with closing(job.steps(context)) as steps, closing(_moments(config)) as moments:
        try:
            next(steps)
            for moment in moments:
                steps.send(Tick(moment))
            job.enough = True  # a recording has ended
            steps.send(Tick(NoFrame(time.monotonic(), time.time())))
        except StopIteration as end:
            result: R = end.value
            return result
        raise CameraError("the recording ended without a usable view")


def _moments(config: schema.Config | None) -> Generator[Frame | NoFrame, None, None]:
    """Yield what the camera of ``config`` sees, or, for an operation that needs none, a moment every ``BETWEEN`` seconds."""
    if config:
        with closing(cameras.create(config.camera)) as opened:
            yield from opened.frames()
        return
    while True:
        yield NoFrame(time.monotonic(), time.time())
        time.sleep(BETWEEN)
