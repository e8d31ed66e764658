"""Asks the daemon through its socket."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from edgeface.config.schema import Config
from edgeface.control.discovery import SERVICE_FOLDER, closed_to_us, dial, folders, reach, socket_path
from edgeface.errors import AskAgainError, EdgefaceError

if TYPE_CHECKING:  # edgeface status would wait for the import
    from edgeface.operations.context import Operation, Q, R

OPERATION_TIMEOUT = 660.0
"""Seconds until an operation must be done."""

Photos = Callable[[], Iterator[tuple[str, bytes]]]
"""Returns an iterator over the photos from the first on, each a label and the file's bytes."""


def perform(config: Config, operation: "Operation[Q, R]", request: "Q", photos: Photos | None = None) -> Iterator[Any]:
    """Have the daemon with these settings run an operation; yield its progress, and last of all its result.

    If the daemon takes new settings meanwhile, it is asked once more.

    Raises:
        EdgefaceError: no daemon answers, it refuses, or it goes away.
    """
    try:
        yield from _perform(config, operation, request, photos and photos())
    except AskAgainError:
        yield from _perform(config, operation, request, photos and photos())


def _perform(
    config: Config, operation: "Operation[Q, R]", request: "Q", photos: Iterator[tuple[str, bytes]] | None
) -> Iterator[Any]:
    with _connect(config) as client, client.makefile("rb") as lines:
        try:
            asked = {"verb": operation.name} | msgspec.to_builtins(request)
            client.sendall(msgspec.json.encode(asked) + b"\n")
            client.settimeout(OPERATION_TIMEOUT)
            while True:
                if photos is not None:
                    _send_next(client, photos)
                answer = msgspec.json.decode(lines.readline(), type=dict[str, Any])
                if "error" in answer:
                    raise (AskAgainError if answer.get("again") else EdgefaceError)(str(answer["error"]))
                if "told" not in answer:
                    yield msgspec.convert(answer.get("ok"), operation.response)
                    return
                yield msgspec.convert(answer["told"], operation.progress)
        except (OSError, msgspec.MsgspecError):  # the daemon was killed, or hangs
            raise EdgefaceError("the daemon went away before it was done; see systemctl status edgeface") from None


def _send_next(client: socket.socket, photos: Iterator[tuple[str, bytes]]) -> None:
    photo = next(photos, None)
    if photo is None:
        client.sendall(b'{"end": true}\n')
    else:
        client.sendall(msgspec.json.encode({"photo": photo[0], "bytes": len(photo[1])}) + b"\n" + photo[1])


def ask(config: Config, verb: str, **request: Any) -> Any:
    """Send a request to the daemon with these settings, and return its answer; raise ``EdgefaceError`` if there is none."""
    return _ask(_connect(config), verb, request)


def ask_the_only_one(verb: str) -> Any:
    """Send a request, as ``ask``, to the daemon that listens where a service does; ``None`` if there is not just one."""
    found = []
    for folder in dict.fromkeys((*folders(Config()), SERVICE_FOLDER, *SERVICE_FOLDER.parent.glob("edgeface-*"))):
        for path in folder.glob("edgeface-*.sock"):
            with contextlib.suppress(OSError):
                found.append(dial(path))
    if len(found) == 1:
        return _ask(found[0], verb, {})
    for client in found:
        client.close()
    return None


def _ask(client: socket.socket, verb: str, request: dict[str, Any]) -> Any:
    try:
        with client, client.makefile("rb") as lines:
            client.sendall(msgspec.json.encode({"verb": verb} | request) + b"\n")
            answer = msgspec.json.decode(lines.readline(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):  # the daemon hangs, or was killed this moment
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
    path = socket_path(config)
    raise EdgefaceError(f"no daemon with these settings is running (it would answer at {path}); see systemctl status edgeface")
