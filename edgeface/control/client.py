"""Asks the daemon through its socket."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edgeface.config.schema import Config
from edgeface.control.discovery import SERVICE_FOLDER, closed_to_us, dial, folders, reach, socket_path
from edgeface.errors import AskAgainError, EdgefaceError
from edgeface.wire.commands import Request

if TYPE_CHECKING:  # status need not wait for it
    from edgeface.operations.context import Operation

Q = TypeVar("Q", bound=Request)
R = TypeVar("R")

LONGEST_TALK = 660.0

Photos = Callable[[], Iterator[tuple[str, bytes]]]
"""Each with its label, from the first on."""


def talk(config: Config, operation: "Operation[Q, R]", request: Q, photos: Photos | None = None) -> Iterator[Any]:
    """Have the daemon with these settings run an operation; yield its progress, and last of all its result.

    It is asked once more where it takes new settings meanwhile.

    Raises:
        EdgefaceError: no daemon answers, it refuses, or it goes away.
    """
    try:
        yield from _talk(config, operation, request, photos and photos())
    except AskAgainError:
        yield from _talk(config, operation, request, photos and photos())


def _talk(
    config: Config, operation: "Operation[Q, R]", request: Q, photos: Iterator[tuple[str, bytes]] | None
) -> Iterator[Any]:
    with _connect(config) as client, client.makefile("rb") as lines:
        try:
            asked = {"verb": operation.name} | msgspec.to_builtins(request)
            client.sendall(msgspec.json.encode(asked) + b"\n")
            client.settimeout(LONGEST_TALK)
            if photos is not None:
                _send_next(client, photos)
            while True:
                answer = msgspec.json.decode(lines.readline(), type=dict[str, Any])
                if "error" in answer:
                    raise (AskAgainError if answer.get("again") else EdgefaceError)(str(answer["error"]))
                if "told" not in answer:
                    yield msgspec.convert(answer.get("ok"), operation.response)
                    return
                yield msgspec.convert(answer["told"], operation.progress)
                if photos is not None:
                    _send_next(client, photos)
        except (OSError, msgspec.MsgspecError):  # it was killed, or hangs
            raise EdgefaceError("the daemon went away before it was done; see systemctl status edgeface") from None


def _send_next(client: socket.socket, photos: Iterator[tuple[str, bytes]]) -> None:
    photo = next(photos, None)
    if photo is None:
        client.sendall(b'{"end": true}\n')
    else:
        client.sendall(msgspec.json.encode({"photo": photo[0], "bytes": len(photo[1])}) + b"\n" + photo[1])


def ask(config: Config, verb: str, **request: Any) -> Any:
    """What the daemon with these settings answers.

    Raises:
        EdgefaceError: no daemon answers, or it refuses.
    """
    return _asked(_connect(config), verb, request)


def ask_the_only_one(verb: str) -> Any:
    """What the one daemon answers that listens where a service does, whatever its settings; nothing if it is not the only one.

    Raises:
        EdgefaceError: it refuses, or does not answer.
    """
    there = []
    for folder in dict.fromkeys((*folders(Config()), SERVICE_FOLDER, *SERVICE_FOLDER.parent.glob("edgeface-*"))):
        for place in folder.glob("edgeface-*.sock"):
            with contextlib.suppress(OSError):
                there.append(dial(place))
    if len(there) == 1:
        return _asked(there[0], verb, {})
    for client in there:
        client.close()
    return None


def _asked(client: socket.socket, verb: str, request: dict[str, Any]) -> Any:
    try:
        with client, client.makefile("rb") as lines:
            client.sendall(msgspec.json.encode({"verb": verb} | request) + b"\n")
            answer = msgspec.json.decode(lines.readline(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):  # it is hung, or was killed this moment
        raise EdgefaceError("the daemon does not answer") from None
    if "error" in answer:
        raise EdgefaceError(f"the daemon refuses: {answer['error']}")
    return answer.get("ok")


def _connect(config: Config) -> socket.socket:
    client, closed = reach(config)
    if client:
        return client
    if closed:
        raise EdgefaceError(closed_to_us(closed))
    place = socket_path(config)
    raise EdgefaceError(f"no daemon with these settings is running (it would answer at {place}); see systemctl status edgeface")
