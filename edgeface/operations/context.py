"""Defines an operation, a request for one, and what its handler works with."""

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from edgeface.config.schema import Config
from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.audit import Audit, Scalar
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Tick
from edgeface.types import Image
from edgeface.vision.model_card import ModelCard
from edgeface.wire.commands import Request

if TYPE_CHECKING:
    from edgeface.enrollment.enroller import Enroller

Q = TypeVar("Q", bound=Request)
R = TypeVar("R")

Actor: TypeAlias = Mapping[str, Scalar] | None
"""Who asked, for the audit log; ``None`` is the user of this process."""
Photo: TypeAlias = tuple[str, Image | EdgefaceError]
"""A label, and the image or why there is none."""
Photos: TypeAlias = Iterator[Photo | None]
"""The photos of a request; ``None`` means that the next one has not arrived yet."""
Steps: TypeAlias = Generator[Any, Tick, R]
"""Work over several rounds of the loop: it is sent each, yields progress or ``None``, and returns its result."""


class Door(StrEnum):
    """Where an operation can be asked for."""

    MQTT = "mqtt"
    SOCKET = "socket"
    WEB = "web"
    COMMAND = "command"


EVERYWHERE = frozenset(Door)


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[Q, R]):
    """One thing that can be asked for.

    ``run`` returns the result, or a generator of steps. ``progress`` is the type of what the steps yield. With ``camera`` the
    operation needs the camera to itself; with ``photos`` photos come with the request. ``command`` has the words by which the
    command line calls it, unless it has a command of its own there.
    """

    name: str
    request: type[Q]
    response: type[R]
    run: Callable[["OperationContext", Q], R | Steps[R]]
    doors: frozenset[Door] = EVERYWHERE
    camera: bool = False
    photos: bool = False
    progress: type | None = None
    command: str = ""


class CancelledError(EdgefaceError):
    """Whoever asked does not want it any more."""


@dataclass(slots=True, eq=False)
class Job(Generic[Q, R]):
    """One request for an operation.

    Any thread may set ``enough``, to end with what there is, or cancel ``result`` until the job has committed.
    """

    operation: Operation[Q, R]
    request: Q
    actor: Actor = None
    photos: Photos = field(default_factory=lambda: iter(()))
    tell: Callable[[Any], None] = lambda progress: None
    """Called in the thread of the handler, with what its steps yield."""
    enough: bool = False
    result: "Future[R]" = field(default_factory=Future)

    def commit(self) -> None:
        """Begin to write: from here on ``result`` cannot be cancelled.

        Raises:
            CancelledError: it was cancelled already.
        """
        if self.result.cancelled() or not (self.result.running() or self.result.set_running_or_notify_cancel()):
            raise CancelledError("cancelled; nothing was kept")

    def steps(self, context: "OperationContext") -> Steps[R]:
        """Run the operation round by round."""
        outcome = self.operation.run(context.of(self), self.request)
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
    """What a handler works with. The gallery is opened, and the enroller built, when a handler first asks for them.

    ``serving`` says that the daemon runs the handler, between two frames.
    """

    config: Config
    card: ModelCard
    open_gallery: Callable[[], Gallery]
    make_enroller: Callable[[], "Enroller"]
    serving: bool = False
    job: Job[Any, Any] | None = None

    @property
    def gallery(self) -> Gallery:
        """The gallery."""
        return self.open_gallery()

    @property
    def enroller(self) -> "Enroller":
        """What judges images of a person, and enrolls them."""
        return self.make_enroller()

    def of(self, job: Job[Any, Any]) -> "OperationContext":
        """Return the context of one job."""
        return OperationContext(self.config, self.card, self.open_gallery, self.make_enroller, self.serving, job)

    def note(self, action: str, **fields: Scalar) -> None:
        """Add a line to the audit log: that whoever asked has done this."""
        Audit(self.config.audit_path).note(action, by=self.job.actor if self.job else None, **fields)

    @contextmanager
    def noted(self, action: str, **fields: Scalar) -> Iterator[dict[str, Scalar]]:
        """Note a change once it is done, even if a trace of what it erased could not be wiped."""
        try:
            yield fields
        except TraceError:
            self.note(action, **fields)
            raise
        self.note(action, **fields)
