"""The seams: cameras, detectors, publishers, and what commands and the shared gallery travel by."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from edgeface.health import BrokerStatus, Health
from edgeface.types import Event, Face, Frame, Image, NoFrame, Person, Request, Tick

CAMERA_THREAD = "camera"
"""Name of the thread in which a live camera's driver is called."""


class Camera(Protocol):
    """Where frames come from."""

    @property
    def dropped(self) -> int:
        """Frames that were captured and never given out because a newer one replaced them."""
        ...

    def frames(self) -> Iterator[Frame | NoFrame]:
        """Yield the newest frame whenever there is one, else a ``NoFrame`` at least once a second.

        A live camera that dies is retried for ever and says so with ``NoFrame.lost``; a recording ends the iteration. Called
        again, it goes on where it was left.

        Raises:
            CameraError: the source can never work, such as a folder that is not there.
        """
        ...

    def close(self) -> None:
        """Release the device; ends a running ``frames()``. Safe to call twice and from another thread."""
        ...


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Image) -> Sequence[Face]:
        """Find the faces of an RGB image, largest first, in the image's own pixels."""
        ...


class EventPublisher(Protocol):
    """Where events and health go. No call but ``close`` blocks for longer than a local write.

    One that inherits from this and has no connection needs the two abstract methods alone.
    """

    @property
    def link(self) -> BrokerStatus:
        """How it stands with its broker."""
        return BrokerStatus()

    def open(self, people: Sequence[Person]) -> None:
        """Start; ``people`` are those who may be recognised."""

    def people(self, people: Sequence[Person]) -> None:
        """Take note that others may be recognised now."""

    @abstractmethod
    def publish(self, event: Event, image: Image | None = None) -> None:
        """Send one event; ``image`` is the frame in which it happened."""

    @abstractmethod
    def health(self, health: Health) -> None:
        """Send the daemon's health."""

    def close(self, heir: "EventPublisher | None" = None) -> None:
        """Send what is waiting, say goodbye, and stop.

        An heir, which is not open yet, gets what still waits and who is present, if it is of the same kind; what is retained
        and will not be the heir's is removed.
        """


class Task(Protocol):
    """Work that the daemon's loop does once a round."""

    def on_tick(self, tick: Tick) -> None:
        """Do the share of the work that is due; wait for nothing."""
        ...


@runtime_checkable
class CommandTransport(Protocol):
    """Where commands come from and their answers go; no call blocks for longer than a local write."""

    def requests(self) -> Sequence[Request]:
        """The commands that came in since the last call."""
        ...

    def respond(self, verb: str, response: bytes) -> None:
        """Answer a command."""
        ...


@runtime_checkable
class SyncTransport(Protocol):
    """Where the shared gallery is kept; no call blocks for longer than a local write."""

    def shared(self, connection: int = -1) -> tuple[int, Mapping[str, bytes]]:
        """The number of the broker's connection, 0 without one, and what came of the shared gallery, the newest of each topic.

        With a new number, the broker tells all that it keeps. What was returned is not returned again; nothing is while the
        number is still ``connection``, for a caller who has no room.
        """
        ...

    def share(self, name: str, payload: bytes) -> None:
        """Let the broker keep a payload of the shared gallery."""
        ...
