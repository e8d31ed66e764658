"""Answers requests on the daemon's local socket, which is open to the daemon's user and group.

A client sends one line of JSON, ``{"verb": ...}``, and gets one line back: ``{"ok": ...}`` or ``{"error": "..."}``, with
``"again": true`` if the client may simply ask again. Before that line, an operation may send its progress in lines
``{"told": ...}``: guidance, or the verdict on a photo. A photo is a line ``{"photo": LABEL, "bytes": N}`` and N bytes. The
client sends the next one after that verdict, and ``{"end": true}`` after the last. An operation ends when its client goes away.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from edgeface.config.schema import Config
from edgeface.control.client import OPERATION_TIMEOUT
from edgeface.control.discovery import TIMEOUT, refuse_another, socket_address, socket_path, user_name
from edgeface.errors import FAILED_INSIDE, AskAgainError, EdgefaceError, ImageError
from edgeface.operations.context import Door, Job, Operation, Photo, Photos
from edgeface.operations.jobs import JobQueue
from edgeface.operations.registry import at, read
from edgeface.types import Image
from edgeface.vision.images import decode_photo

log = logging.getLogger(__name__)
MAX_LINE = 64 * 1024
CLIENTS, OPERATIONS, UPLOADS = (32, 8), (8, 2), (3, 1)
"""Connections, operations, and operations with photos that may run at once: of all users, and of each user."""
PHOTO_TIMEOUT = 20.0
"""Seconds that a client may take to send its next photo."""
MAX_PHOTOS, MAX_PHOTO_BYTES = 1000, 8 * 2**20
Inbox = SimpleQueue[Photo | None]
"""The photos that a client has sent, and ``None`` after the last."""
Verb = Callable[[dict[str, Any]], Any]
"""Turns a request into the answer's ``ok``; an ``EdgefaceError`` becomes the answer's ``error``."""
Outbox = asyncio.Queue[dict[str, Any] | None]
"""The lines to send to a client, and ``None`` once the client is gone."""


class _Sent(Struct, frozen=True, forbid_unknown_fields=True):
    """The line before a photo's bytes, or after the last photo."""

    photo: Annotated[str, Meta(max_length=1000)] = ""
    bytes: Annotated[int, Meta(ge=0, le=MAX_PHOTO_BYTES)] = 0
    end: bool = False


class _Quota:
    """Limits how much runs at once, of all users and of each, so that nobody takes the share of others."""

    def __init__(self, limits: tuple[int, int]) -> None:
        self._most, self._each = limits
        self._taken: dict[int, int] = defaultdict(int)

    @contextlib.contextmanager
    def use(self, user: int) -> Iterator[None]:
        """Count one more for a user; raise ``EdgefaceError`` if the limit of the user, or of all users, is reached."""
        if self._taken[user] >= self._each:
            raise EdgefaceError(f"the daemon does as much for user {user_name(user) or user} already as it may; ask again")
        if sum(self._taken.values()) >= self._most:
            raise EdgefaceError("the daemon is busy; ask again")
        self._taken[user] += 1
        try:
            yield
        finally:
            self._taken[user] -= 1


class ControlServer:
    """Answers on a socket from a thread of its own, so that no client can hold up the daemon.

    ``verbs`` are answered in that thread and must be quick; operations are submitted to the daemon's loop.

    Raises:
        EdgefaceError: another daemon with these settings runs already, wherever it listens.
        OSError: the socket cannot be made.
    """

    def __init__(self, config: Config, verbs: Mapping[str, Verb], jobs: JobQueue) -> None:
        self.path, self._verbs, self._jobs = socket_path(config), verbs, jobs
        refuse_another(config)
        self._socket = _listen(self.path)
        self._operations = at(Door.SOCKET)
        self._clients_quota, self._operations_quota, self._uploads_quota = _Quota(CLIENTS), _Quota(OPERATIONS), _Quota(UPLOADS)
        self._runner, self._ended = asyncio.Runner(), asyncio.Event()
        self._loop = self._runner.get_loop()
        self._thread = Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(timeout=1.0)
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        with self._runner as runner:
            runner.run(self._answer_all())

    async def _answer_all(self) -> None:
        # From 3.13 on, asyncio removes the socket by the name that it was bound to, which may be gone: close() removes it.
        kept: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        server = await asyncio.start_unix_server(self._answer, sock=self._socket, limit=MAX_LINE, **kept)
        await self._ended.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(TimeoutError, ConnectionError):  # the client is silent, or gone
            try:
                with self._clients_quota.use(_user(writer)):
                    await self._reply(await _line(reader), reader, writer)
            except (TimeoutError, ConnectionError):
                raise
            except (msgspec.MsgspecError, RecursionError) as error:
                await _send(writer, {"error": f"not a JSON object: {error}"})
            except EdgefaceError as error:
                await _send(writer, {"error": str(error)})
            except Exception:  # this client must get an answer, and the others too
                log.exception("what was asked through the socket failed")
                await _send(writer, {"error": FAILED_INSIDE})

    async def _reply(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = msgspec.json.decode(line, type=dict[str, Any])
        name = str(request.pop("verb", None))
        if name in self._verbs:
            await _send(writer, {"ok": self._verbs[name](request)})
        elif operation := self._operations.get(name):
            user = _user(writer)
            upload = self._uploads_quota.use(user) if operation.photos else contextlib.nullcontext()
            with self._operations_quota.use(user), upload:
                await self._operate(operation, request, reader, writer)
        else:
            raise EdgefaceError(f"the verbs are {', '.join([*self._verbs, *self._operations])}")

    async def _operate(
        self, operation: Operation[Any, Any], fields: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Submit an operation, and send its progress and result, unless the client goes away before."""
        outbox: Outbox = asyncio.Queue()
        inbox: Inbox | None = SimpleQueue() if operation.photos else None

        def post(message: dict[str, Any]) -> None:  # from the daemon's thread
            with contextlib.suppress(RuntimeError):  # this loop has ended meanwhile
                self._loop.call_soon_threadsafe(outbox.put_nowait, message)

        def end(result: Future[Any]) -> None:
            if result.cancelled():
                return
            if error := result.exception():
                post({"error": " ".join(str(error).split()), "again": isinstance(error, AskAgainError)})
            else:
                post({"ok": result.result()})

        photos = _arriving(inbox) if inbox else iter(())
        request = read(fields, operation.request)
        actor = {"uid": _user(writer), "user": user_name(_user(writer)), "socket": True}
        job = self._jobs.submit(Job(operation, request, actor, photos, lambda progress: post({"told": progress})))
        job.result.add_done_callback(end)
        ready = asyncio.Semaphore(1)
        receiving = asyncio.create_task(_receive(reader, inbox, ready, outbox))
        try:
            async with asyncio.timeout(OPERATION_TIMEOUT):
                while (message := await outbox.get()) is not None:
                    await _send(writer, message)
                    if "told" not in message:
                        break
                    ready.release()
        except TimeoutError:
            error = f"not done after {OPERATION_TIMEOUT / 60:.0f} minutes; nothing was kept"
            writer.write(msgspec.json.encode({"error": error}) + b"\n")
        except asyncio.CancelledError:  # close() was called
            writer.write(msgspec.json.encode({"error": "the daemon stops or takes new settings; start again"}) + b"\n")
            raise
        finally:
            job.result.cancel()
            receiving.cancel()


def _arriving(inbox: Inbox) -> Photos:
    while True:
        try:
            photo = inbox.get_nowait()
        except Empty:
            yield None
        else:
            if photo is None:
                return
            yield photo


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Read a request; raise ``TimeoutError`` after ``TIMEOUT``, and ``EdgefaceError`` if it is longer than ``MAX_LINE``."""
    async with asyncio.timeout(TIMEOUT):
        try:
            return await reader.readline()
        except ValueError:
            raise EdgefaceError(f"a request is one line of {MAX_LINE // 1024} KB at most") from None


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Send a line; raise ``TimeoutError`` if the client does not read it within ``TIMEOUT``, ``OSError`` if it is gone."""
    async with asyncio.timeout(TIMEOUT):
        writer.write(msgspec.json.encode(message) + b"\n")
        await writer.drain()


async def _receive(reader: asyncio.StreamReader, inbox: Inbox | None, ready: asyncio.Semaphore, outbox: Outbox) -> None:
    """Read photos into the inbox, each once the one before is judged, until the client goes; then put None into the outbox."""
    try:
        for _ in range(MAX_PHOTOS + 1 if inbox is not None else 0):
            await ready.acquire()
            async with asyncio.timeout(PHOTO_TIMEOUT):
                line = await reader.readline()
                if not line:
                    return
                sent = msgspec.json.decode(line, type=_Sent)
                data = b"" if sent.end else await reader.readexactly(sent.bytes)
            if inbox is None or sent.end:
                break
            image = await asyncio.to_thread(_photo, sent.photo, data)
            inbox.put((sent.photo, image))
        else:
            if inbox is not None:
                outbox.put_nowait({"error": f"over {MAX_PHOTOS} photos; nothing was kept"})
        if inbox is not None:
            inbox.put(None)
        while await reader.read(MAX_LINE):
            pass
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        outbox.put_nowait({"error": f"not a photo: {error}"})
    except TimeoutError:
        outbox.put_nowait({"error": f"no photo came for {PHOTO_TIMEOUT:.0f} s; nothing was kept"})
    except (ValueError, OSError, EOFError):  # a line without end, or the client is gone
        pass
    finally:
        outbox.put_nowait(None)


def _photo(label: str, data: bytes) -> Image | EdgefaceError:
    try:
        return decode_photo(data, label)
    except ImageError as error:
        return error


def _user(writer: asyncio.StreamWriter) -> int:
    """Return the number of a client's user, from the kernel."""
    connection = writer.get_extra_info("socket")
    user: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1]
    return user


def _listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            path.unlink()  # left by a daemon that was killed
        with socket_address(path) as address:
            server.bind(address)
        path.chmod(0o660)
        server.listen(CLIENTS[0])
    except BaseException:
        server.close()
        raise
    return server
