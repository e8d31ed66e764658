"""Defines the errors that a user can do something about; the message says what."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

FAILED_INSIDE = "it failed inside; the log has more"
"""The answer to a request that a fault of our own has ended."""


class EdgefaceError(Exception):
    """An operation failed. The message is one line: what, where, and what to do."""

    exit_code = 1


class AskAgainError(EdgefaceError):
    """A request was dropped before it had any effect; repeated, it will be served."""


class ConfigError(EdgefaceError):
    """The configuration or the command line is wrong."""

    exit_code = 2


class SettingsError(ConfigError):
    """Settings are wrong; ``faults`` has each fault as a line."""

    def __init__(self, place: object, faults: Sequence[str], cure: str) -> None:
        self.faults = [f"{place}: {fault}" for fault in faults]
        self.faults[-1] += f"; {cure}"
        super().__init__(f"{place}: {'; '.join([*faults, cure])}")


class ImageError(EdgefaceError):
    """An image cannot be used."""


class ModelError(EdgefaceError):
    """The network or its card is missing, damaged, or not what it claims to be."""


class GalleryError(EdgefaceError):
    """The gallery cannot be used, or refuses a change."""


class TraceError(GalleryError):
    """A change of the gallery is done, but a trace of the erased records could not be wiped yet."""


class CameraError(EdgefaceError):
    """A camera cannot be opened or gives no frame."""


class DataError(EdgefaceError):
    """Training data or a file of figures cannot be used."""


class BrokerError(EdgefaceError):
    """The MQTT broker cannot be used."""


@contextmanager
def os_errors_as(kind: type[EdgefaceError], place: object) -> Iterator[None]:
    """Raise an error of the operating system as one of ``kind`` that names the place."""
    try:
        yield
    except OSError as error:
        raise kind(f"{place}: {error.strerror or error}") from None
