"""The three seams: what a camera, a detector and a publisher are to the rest of edgeface."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Protocol

from edgeface.health import Health, Link
from edgeface.types import Event, Face, Frame, Gap, Image, Person, Request

CAMERA_THREAD = "camera"
"""Name of the thread in which a live camera's driver is called."""


class Camera(Protocol):
    """Where frames come from."""

    @property
    def dropped(self) -> int:
        """Frames that were captured and never given out because a newer one replaced them."""
        ...

    def frames(self) -> Iterator[Frame | Gap]:
        """Yield the newest frame whenever there is one, else a ``Gap`` at least once a second.

        A live camera that dies is retried for ever and says so with ``Gap.lost``; a recording ends the iteration. Called again,
        it goes on where it was left.

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


class Publisher(Protocol):
    """Where events and health go, and commands come from. No call but ``close`` blocks for longer than a local write."""

    @property
    def link(self) -> Link:
        """How it stands with its broker."""
        ...

    def open(self, people: Sequence[Person]) -> None:
        """Start; ``people`` are those who may be recognised."""
        ...

    def people(self, people: Sequence[Person]) -> None:
        """Take note that others may be recognised now."""
        ...

    def publish(self, event: Event, image: Image | None = None) -> None:
        """Send one event; ``image`` is the frame in which it happened."""
        ...

    def health(self, health: Health) -> None:
        """Send the daemon's health."""
        ...

    def requests(self) -> Sequence[Request]:
        """The commands that came in since the last call."""
        ...

    def respond(self, verb: str, response: bytes) -> None:
        """Answer a command."""
        ...

    def shared(self, connection: int = -1) -> tuple[int, Mapping[str, bytes]]:
        """The number of the broker's connection, 0 without one, and what came of the shared gallery, the newest of each topic.

        With a new number, the broker tells all that it keeps. What was returned is not returned again; nothing is while the
        number is still ``connection``, for a caller who has no room.
        """
        ...

    def share(self, name: str, payload: bytes) -> None:
        """Let the broker keep a payload of the shared gallery."""
        ...

    def take_over(self, before: "Publisher") -> None:
        """Before ``open``: go on for one that is closed; of the same kind, with what waits in it and who is present."""
        ...

    @property
    def retained(self) -> Set[tuple[str, str]]:
        """The messages that are kept for it elsewhere, as (broker, topic)."""
        ...

    def close(self, heir: "Publisher | None" = None) -> None:
        """Send what is waiting, say goodbye, and stop; for an heir, remove what is retained and will not be the heir's."""
        ...
