"""The daemon's local socket: a client sends one line of JSON, ``{"verb": ...}``, and gets one line back.

The answer is ``{"ok": ...}`` or ``{"error": "..."}``. The socket is for the daemon's own user and group.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from hashlib import blake2s
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec

from edgeface.config import Config
from edgeface.errors import EdgefaceError

SERVICE_FOLDER = Path("/run/edgeface")
"""Of the service edgeface; its instances for several cameras have one each, beside it, such as edgeface-front."""
MAX_LINE = 64 * 1024
MAX_CLIENTS = 16
PATIENCE = 2.0

Verb = Callable[[dict[str, Any]], Any]
"""From a request to what the answer holds as ``ok``; an ``EdgefaceError`` becomes ``error``."""


class ControlServer:
    """Answers on a socket from a thread of its own, so that no client can hold up the daemon; so verbs must be quick.

    Raises:
        EdgefaceError: another daemon with these settings answers already, wherever it listens.
        OSError: there can be no socket.
    """

    def __init__(self, config: Config, verbs: Mapping[str, Verb]) -> None:
        self.path, self._verbs = socket_path(config), verbs
        refuse_another(config)
        self._socket = _listen(self.path)
        self._clients = 0
        self._runner, self._ended = asyncio.Runner(), asyncio.Event()
        self._loop = self._runner.get_loop()
        self._thread = Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(timeout=1.0)
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        with self._runner as runner:
            runner.run(self._answer_all())

    async def _answer_all(self) -> None:
        server = await asyncio.start_unix_server(self._answer, sock=self._socket, limit=MAX_LINE)
        await self._ended.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MAX_CLIENTS:
                async with asyncio.timeout(PATIENCE):
                    writer.write(msgspec.json.encode(self._reply(await reader.readline())) + b"\n")
                    await writer.drain()
        except (TimeoutError, ValueError, OSError):  # silent, endless, or gone
            pass
        finally:
            self._clients -= 1
            writer.close()

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            verb = self._verbs.get(str(request.get("verb")))
            if verb is None:
                return {"error": f"the verbs are {', '.join(self._verbs)}"}
            return {"ok": verb(request)}
        except (msgspec.MsgspecError, RecursionError) as error:
            return {"error": f"not a JSON object: {error}"}
        except EdgefaceError as error:
            return {"error": str(error)}


def ask(config: Config, verb: str, **request: Any) -> Any:
    """What the daemon with these settings answers.

    Raises:
        EdgefaceError: no daemon answers, or it refuses.
    """
    try:
        with _connect(config) as client:
            client.sendall(msgspec.json.encode({"verb": verb} | request) + b"\n")
            with client.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):  # it is hung, or was killed this moment
        raise EdgefaceError("the daemon does not answer") from None
    if "error" in answer:
        raise EdgefaceError(f"the daemon refuses: {answer['error']}")
    return answer.get("ok")


def refuse_another(config: Config) -> None:
    """Make sure that no daemon with these settings answers, wherever it listens.

    Raises:
        EdgefaceError: one does.
    """
    client, _ = _reach(config)
    if client:
        with client:
            raise EdgefaceError(f"another daemon with these settings is running: it answers at {client.getpeername()}")


def _connect(config: Config) -> socket.socket:
    client, closed = _reach(config)
    if client:
        return client
    if closed:
        raise EdgefaceError(
            f"you may not ask the daemon ({closed} is closed to you); do it as its user: sudo -u edgeface edgeface ..."
        )
    place = socket_path(config)
    raise EdgefaceError(f"no daemon with these settings is running (it would answer at {place}); see systemctl status edgeface")


def _reach(config: Config) -> tuple[socket.socket | None, Path | None]:
    """A connection to the daemon with these settings; else a folder that is closed to us, where it may be."""
    closed = None
    for folder in (*_folders(config), SERVICE_FOLDER, *sorted(SERVICE_FOLDER.parent.glob("edgeface-*"))):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE + 1)
        try:
            client.connect(str(folder / _name(config)))
        except OSError as error:
            client.close()
            closed = folder if isinstance(error, PermissionError) else closed
        else:
            return client, None
    return None, closed


def socket_path(config: Config) -> Path:
    """Where the daemon with these settings listens: its file name is its own, so that several share a folder."""
    return _folders(config)[0] / _name(config)


def _folders(config: Config) -> list[Path]:
    given = [os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0], os.environ.get("XDG_RUNTIME_DIR", "")]
    return [*(Path(folder) for folder in given if folder), config.gallery_path.parent]


def _name(config: Config) -> str:
    gallery = config.gallery.path and str(config.gallery_path.absolute())
    key = "\0".join((config.device.id, config.camera.name, gallery))
    return f"edgeface-{blake2s(key.encode(), digest_size=6).hexdigest()}.sock"


def _listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            path.unlink()  # of a daemon that was killed
        server.bind(str(path))
        path.chmod(0o660)
        server.listen(MAX_CLIENTS)
    except BaseException:
        server.close()
        raise
    return server
