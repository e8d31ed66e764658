"""Defines the interfaces of cameras, detectors and publishers, and of the transports of commands and the shared gallery."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from edgeface.health import BrokerStatus, Health
from edgeface.types import Face, Frame, Image, NoFrame, Person, Request, Seen
from edgeface.wire.events import Event
from edgeface.wire.home import PersonHome

CAMERA_THREAD = "camera"  # name of the threads in which cameras and their drivers are called


class Camera(Protocol):
    @property
    def live(self) -> bool:
        """Whether frames come in real time, and are lost to a slow reader; the frames of a recording wait."""

    @property
    def dropped(self) -> int:
        """Captured frames that were not given out because a newer one replaced them."""

    def frames(self) -> Iterator[Frame | NoFrame]:
        """Yield the newest frame whenever there is one, else a ``NoFrame`` at least once a second.

        A live camera that fails is retried for ever, and ``NoFrame.lost`` says so; a recording ends the iteration. A second
        call goes on where the first was left. Raise ``CameraError`` if the source can never work, such as a missing folder.
        """

    def close(self) -> None:
        """Release the device; ends a running ``frames()``. Safe to call twice and from another thread."""


class Detector(Protocol):
    def detect(self, image: Image) -> Sequence[Face]:
        """Find the faces of an RGB image, largest first, in the image's own pixels."""


class EventPublisher(Protocol):
    """A destination of events and health. No call but ``close`` blocks for longer than a local write.

    A subclass without a connection needs only the two abstract methods.
    """

    shows_events: bool = False
    """Whether a person reads the events at a terminal, so that the log has no need to tell them again."""

    @property
    def link(self) -> BrokerStatus:
        return BrokerStatus()

    @property
    def home(self) -> Sequence[PersonHome] | None:
        """Return everybody who was ever seen, by name, merged over all devices; ``None`` where nobody merges them."""
        return None

    def open(self, people: Sequence[Person]) -> None:
        """Start; ``people`` are those who may be recognized."""

    def people(self, people: Sequence[Person]) -> None:
        """Replace the people who may be recognized."""

    def cameras(self, names: Sequence[str]) -> None:
        """Replace the cameras, the first one first."""

    @abstractmethod
    def publish(self, event: Event, image: Image | None = None) -> None:
        """Send one event; ``image`` is the frame of the event."""

    def note(self, event: Event) -> None:
        """Tell who is present after an event that is withheld, and not the event."""

    @abstractmethod
    def health(self, health: Health) -> None:
        """Send the daemon's health."""

    def close(self, heir: "EventPublisher | None" = None) -> None:
        """Send waiting events, announce the end, and stop.

        An ``heir`` of the same kind, which is not open yet, takes over waiting events and who is present. Retained messages
        that the heir will not have are removed.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """One round of the daemon's loop: a moment of a camera, what was seen of it, and the events that it led to.

    ``camera`` is the camera's name; ``None`` where there is but one.
    """

    moment: Frame | NoFrame
    seen: Seen = field(default_factory=Seen)
    events: Sequence[Event] = ()
    camera: str | None = None


@runtime_checkable
class CommandTransport(Protocol):
    """The source of commands and destination of answers; no call blocks for longer than a local write."""

    def requests(self) -> Sequence[Request]:
        """Return the commands that came in since the last call."""

    def respond(self, verb: str, response: bytes) -> None:
        """Answer a command."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Tells what was heard of a state from outside: whether the last payload ``matches``, and the connection on which it came.

    ``connection`` is the number of the connection that there is now. Both numbers are 0 for none.
    """

    connection: int = 0
    told: int = 0
    matches: bool = False


@runtime_checkable
class StateSource(Protocol):
    """The source of a state from outside, such as whether somebody is home."""

    def heard(self) -> Heard:
        """Return what was heard last."""


@runtime_checkable
class SyncTransport(Protocol):
    """The way to the shared gallery; in the daemon no call blocks for longer than a local write."""

    def shared(self, connection: int = -1) -> tuple[int, Mapping[str, bytes]]:
        """Return the number of the connection, 0 without one, and new payloads by name, the newest of each.

        After a new number, all that is kept comes. A payload is returned once. A caller without room gives the
        known number as ``connection``: until the number changes, no payload is returned.
        """

    def share(self, name: str, payload: bytes) -> None:
        """Keep a payload of the shared gallery, for every device; it comes back."""


class SyncConnection(SyncTransport, Protocol):
    """A way to the shared gallery that somebody has opened, and closes."""

    def close(self) -> None:
        """Close the connection."""
