"""Defines an operation, the job that runs one, and the context that its handler gets."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from edgeface.config.schema import Config
from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.audit import Audit, Scalar
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Tick
from edgeface.operations.pause import Pause
from edgeface.operations.signing import Grants
from edgeface.types import Image
from edgeface.vision.model_card import ModelCard
from edgeface.wire.commands import Request
from edgeface.wire.home import PersonHome

if TYPE_CHECKING:
    from edgeface.enrollment.enroller import Enroller

Q = TypeVar("Q", bound=Request)
R = TypeVar("R")

Actor: TypeAlias = Mapping[str, Scalar] | None
"""Who asked, for the audit log; ``None`` is the user of this process."""
Photo: TypeAlias = tuple[str, Image | EdgefaceError]
"""A label, and the image or the reason why it cannot be read."""
Photos: TypeAlias = Iterator[Photo | None]
"""The photos of a request; ``None`` means that the next one has not arrived yet."""
Steps: TypeAlias = Generator[Any, Tick, R]
"""A handler that takes several rounds of the loop: it is sent each, yields progress or ``None``, and returns the result."""


class Door(StrEnum):
    """Where an operation can be asked for."""

    MQTT = "mqtt"
    SOCKET = "socket"
    WEB = "web"
    COMMAND = "command"


EVERYWHERE = frozenset(Door)


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[Q, R]):
    """An operation: its name, request, response and handler, and the doors at which it is open.

    ``run`` returns the response, or a generator of steps that yields ``progress``. With ``camera`` the operation needs the
    camera to itself; with ``photos`` photos come with the request; with ``daemon`` it runs in the daemon if one runs.
    ``command`` has the words by which the command line calls it, unless it has a command of its own there; ``told`` says the
    response in a sentence, for that.
    """

    name: str
    request: type[Q]
    response: type[R]
    run: Callable[["OperationContext", Q], R | Steps[R]]
    doors: frozenset[Door] = EVERYWHERE
    camera: bool = False
    photos: bool = False
    daemon: bool = False
    progress: type | None = None
    command: str = ""
    told: Callable[[R], str] | None = None


class CancelledError(EdgefaceError):
    """The job was cancelled."""


@dataclass(slots=True, eq=False)
class Job(Generic[Q, R]):
    """One run of an operation.

    Any thread may set ``enough``, to end with the views taken until then, or cancel ``result`` until the job has committed.
    """

    operation: Operation[Q, R]
    request: Q
    actor: Actor = None
    photos: Photos = field(default_factory=lambda: iter(()))
    tell: Callable[[Any], None] = lambda progress: None
    """Called in the handler's thread with each progress."""
    enough: bool = False
    result: "Future[R]" = field(default_factory=Future)

    def commit(self) -> None:
        """Make ``result`` impossible to cancel, before the handler writes; raise ``CancelledError`` if it is cancelled."""
        if self.result.cancelled() or not (self.result.running() or self.result.set_running_or_notify_cancel()):
            raise CancelledError("cancelled; nothing was kept")

    def steps(self, context: "OperationContext") -> Steps[R]:
        outcome = self.operation.run(replace(context, job=self), self.request)
        if not isinstance(outcome, Generator):
            return outcome
        try:
            progress = next(outcome)
            while True:
                if progress is not None:
                    self.tell(progress)
                progress = outcome.send((yield))
        except StopIteration as end:
            result: R = end.value
            return result
        finally:
            outcome.close()


@dataclass(frozen=True, slots=True, eq=False)
class OperationContext:
    """The settings, gallery and enroller of a handler; the last two are made when a handler first asks for them.

    ``serving`` is true in the daemon, which runs handlers between two frames, and has the camera's ``pause``. ``file`` is the
    settings file that was named, if one was, and ``reload`` has the daemon read it again. ``home`` is the
    publisher's. ``grants`` signs for locks, where the settings want it.
    """

    config: Config
    card: ModelCard
    open_gallery: Callable[[], Gallery]
    make_enroller: Callable[[], "Enroller"]
    serving: bool = False
    pause: Pause | None = None
    job: Job[Any, Any] | None = None
    file: Path | None = None
    reload: Callable[[], None] = lambda: None
    home: Callable[[], Sequence[PersonHome] | None] = lambda: None
    grants: Grants | None = None

    @property
    def gallery(self) -> Gallery:
        return self.open_gallery()

    @property
    def enroller(self) -> "Enroller":
        return self.make_enroller()

    def note(self, action: str, **fields: Scalar) -> None:
        """Add a line to the audit log, with the job's actor."""
        Audit(self.config.audit_path).note(action, by=self.job.actor if self.job else None, **fields)

    @contextmanager
    def noted(self, action: str, **fields: Scalar) -> Iterator[dict[str, Scalar]]:
        """Note a change in the audit log once it is done, even if a trace of erased data could not be wiped."""
        try:
            yield fields
        except TraceError:
            self.note(action, **fields)
            raise
        self.note(action, **fields)
