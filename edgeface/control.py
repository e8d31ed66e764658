"""The daemon's local socket: a client sends one line of JSON, ``{"verb": ...}``, and gets one line back.

The answer is ``{"ok": ...}`` or ``{"error": "..."}``, with ``"again": true`` where one may just ask again. Before it, an errand
that takes its time sends lines ``{"told": ...}``: the guidance of a sitting, or what became of a photo. A photo is a line
``{"photo": LABEL, "bytes": N}`` and N bytes; the next one comes when it was told, and after the last one ``{"end": true}``. A
client that goes away ends its errand.

The socket is for the daemon's own user and group.
"""

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2s
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from edgeface.config import Config
from edgeface.errors import FAILED_INSIDE, AskAgainError, EdgefaceError, ImageError

if TYPE_CHECKING:  # what a client need not wait for
    from concurrent.futures import Future

    from edgeface.changes import By
    from edgeface.errands import Counter, Inbox
    from edgeface.types import Image

    HaveDone = Callable[[Callable[[Counter], Any], Callable[[Any], None], bool], Future[Any]]
    """Have the loop do an errand that tells what happens; the last one says whether somebody sits before the camera."""

log = logging.getLogger(__name__)
SERVICE_FOLDER = Path("/run/edgeface")
"""Of the service edgeface; its instances for several cameras have one each, beside it, such as edgeface-front."""
MAX_LINE = 64 * 1024
MAX_ADDRESS = 107
PATIENCE = 2.0
CLIENTS, TALKS, SENDERS = (32, 8), (8, 2), (3, 1)
"""Connections, errands, and those of them that are sent photos, at once: of all users, and of each."""
LONGEST_TALK = 660.0
PHOTO_PATIENCE = 20.0
"""Seconds that a client may take for its next photo."""
MAX_PHOTOS, MAX_PHOTO_BYTES = 1000, 8 * 2**20

Photos = Callable[[], Iterator[tuple[str, bytes]]]
"""Each with its label, from the first on."""
Verb = Callable[[dict[str, Any]], Any]
"""From a request to what the answer holds as ``ok``; an ``EdgefaceError`` becomes ``error``."""


class _Sent(Struct, frozen=True, forbid_unknown_fields=True):
    """A photo that follows, or the end of them."""

    photo: Annotated[str, Meta(max_length=1000)] = ""
    bytes: Annotated[int, Meta(ge=0, le=MAX_PHOTO_BYTES)] = 0
    end: bool = False


class _Shares:
    """Places of which each user has a few, so that nobody takes those of the others."""

    def __init__(self, places: tuple[int, int]) -> None:
        self._most, self._each = places
        self._taken: dict[int, int] = defaultdict(int)

    @contextlib.contextmanager
    def place(self, user: int) -> Iterator[None]:
        """One of them.

        Raises:
            EdgefaceError: there is none for this user now.
        """
        if self._taken[user] >= self._each:
            raise EdgefaceError(f"the daemon does as much for user {_user_name(user) or user} already as it may; ask again")
        if sum(self._taken.values()) >= self._most:
            raise EdgefaceError("the daemon is busy; ask again")
        self._taken[user] += 1
        try:
            yield
        finally:
            self._taken[user] -= 1


class ControlServer:
    """Answers on a socket from a thread of its own, so that no client can hold up the daemon.

    ``verbs`` are answered in that thread and must be quick; errands are done by the daemon's loop, through ``have_done``.

    Raises:
        EdgefaceError: another daemon with these settings answers already, wherever it listens.
        OSError: there can be no socket.
    """

    def __init__(self, config: Config, verbs: Mapping[str, Verb], have_done: "HaveDone | None" = None) -> None:
        self.path, self._verbs, self._have_done = socket_path(config), verbs, have_done
        refuse_another(config)
        self._socket = _listen(self.path)
        self._errands: Mapping[str, Any] = {}
        if have_done:
            from edgeface.errands import VERBS

            self._errands = VERBS
        self._clients, self._talks, self._senders = _Shares(CLIENTS), _Shares(TALKS), _Shares(SENDERS)
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
        # From 3.13 on asyncio removes the socket by the name that it was bound to, which may be no more: close does it.
        kept: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        server = await asyncio.start_unix_server(self._answer, sock=self._socket, limit=MAX_LINE, **kept)
        await self._ended.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                with self._clients.place(_user(writer)):
                    await self._reply(await _line(reader), reader, writer)
            except (TimeoutError, ConnectionError):  # silent, or gone
                pass
            except (msgspec.MsgspecError, RecursionError) as error:
                await _send(writer, {"error": f"not a JSON object: {error}"})
            except EdgefaceError as error:
                await _send(writer, {"error": str(error)})
            except Exception:  # a client must hear of it, and the others be answered, whatever it has found
                log.exception("what was asked through the socket failed")
                await _send(writer, {"error": FAILED_INSIDE})
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = msgspec.json.decode(line, type=dict[str, Any])
        name = str(request.pop("verb", None))
        if name in self._verbs:
            await _send(writer, {"ok": self._verbs[name](request)})
        elif self._have_done and name in self._errands:
            user = _user(writer)
            with self._talks.place(user), self._senders.place(user) if name == "photos" else contextlib.nullcontext():
                await self._talk(self._have_done, name, request, reader, writer)
        else:
            raise EdgefaceError(f"the verbs are {', '.join([*self._verbs, *self._errands])}")

    async def _talk(
        self,
        have_done: "HaveDone",
        verb: str,
        request: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Have an errand done, and tell the client of it until the end of either."""
        from edgeface.errands import prepare

        inbox: Inbox = SimpleQueue()
        start = prepare(verb, request, _peer(writer), inbox)
        mail: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

        def post(message: dict[str, Any]) -> None:  # from the daemon's thread
            with contextlib.suppress(RuntimeError):  # this loop has ended meanwhile
                self._loop.call_soon_threadsafe(mail.put_nowait, message)

        def end(future: "Future[Any]") -> None:
            if not future.cancelled():
                error = future.exception()
                if error is None:
                    post({"ok": future.result()})
                else:
                    post({"error": " ".join(str(error).split()), "again": isinstance(error, AskAgainError)})

        future = have_done(start, lambda told: post({"told": told}), verb == "enroll")
        future.add_done_callback(end)
        ready = asyncio.Semaphore(1)
        hearing = asyncio.create_task(_hear(reader, inbox if verb == "photos" else None, ready, mail))
        try:
            async with asyncio.timeout(LONGEST_TALK):
                while (message := await mail.get()) is not None:
                    await _send(writer, message)
                    if "told" not in message:
                        break
                    ready.release()
        except TimeoutError:
            writer.write(
                msgspec.json.encode({"error": f"not done after {LONGEST_TALK / 60:.0f} minutes; nothing was kept"}) + b"\n"
            )
        except asyncio.CancelledError:  # close() was called
            writer.write(msgspec.json.encode({"error": "the daemon stops or takes new settings; start again"}) + b"\n")
            raise
        finally:
            future.cancel()
            hearing.cancel()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """What a client asks for.

    Raises:
        TimeoutError: it did not say in good time.
        EdgefaceError: its line does not end.
    """
    async with asyncio.timeout(PATIENCE):
        try:
            return await reader.readline()
        except ValueError:
            raise EdgefaceError(f"a request is one line of {MAX_LINE // 1024} KB at most") from None


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Send one line to a client that must take it in good time.

    Raises:
        TimeoutError: it did not.
        OSError: it is gone.
    """
    async with asyncio.timeout(PATIENCE):
        writer.write(msgspec.json.encode(message) + b"\n")
        await writer.drain()


async def _hear(
    reader: asyncio.StreamReader,
    inbox: "Inbox | None",
    ready: asyncio.Semaphore,
    mail: asyncio.Queue[dict[str, Any] | None],
) -> None:
    """Take photos into the inbox, each when the one before was told, until the client goes; then None goes to the mail."""
    try:
        for _ in range(MAX_PHOTOS + 1 if inbox is not None else 0):
            await ready.acquire()
            async with asyncio.timeout(PHOTO_PATIENCE):
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
                mail.put_nowait({"error": f"over {MAX_PHOTOS} photos; nothing was kept"})
        if inbox is not None:
            inbox.put(None)
        while await reader.read(MAX_LINE):
            pass
    except msgspec.MsgspecError as error:
        mail.put_nowait({"error": f"not a photo: {error}"})
    except TimeoutError:
        mail.put_nowait({"error": f"no photo came for {PHOTO_PATIENCE:.0f} s; nothing was kept"})
    except (ValueError, OSError, EOFError):  # endless, or gone
        pass
    finally:
        mail.put_nowait(None)


def _photo(label: str, data: bytes) -> "Image | EdgefaceError":
    """An image, or what is wrong with it."""
    from edgeface.imaging import decode_photo

    try:
        return decode_photo(data, label)
    except ImageError as error:
        return error


def _peer(writer: asyncio.StreamWriter) -> "By":
    """Who is at the other end, for the audit log."""
    return {"uid": _user(writer), "user": _user_name(_user(writer)), "socket": True}


def _user(writer: asyncio.StreamWriter) -> int:
    """The user at the other end, as the kernel says."""
    connection = writer.get_extra_info("socket")
    user: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1]
    return user


def talk(config: Config, verb: str, photos: Photos | None = None, **request: Any) -> Iterator[Any]:
    """Have the daemon with these settings do an errand: what it tells meanwhile, and last of all the result.

    It is asked once more where it takes new settings meanwhile.

    Raises:
        EdgefaceError: no daemon answers, it refuses, or it goes away.
    """
    try:
        yield from _talk(config, verb, photos and photos(), request)
    except AskAgainError:
        yield from _talk(config, verb, photos and photos(), request)


def _talk(config: Config, verb: str, photos: Iterator[tuple[str, bytes]] | None, request: dict[str, Any]) -> Iterator[Any]:
    with _connect(config) as client, client.makefile("rb") as lines:
        try:
            client.sendall(msgspec.json.encode({"verb": verb} | request) + b"\n")
            client.settimeout(LONGEST_TALK)
            if photos is not None:
                _send_next(client, photos)
            while True:
                answer = msgspec.json.decode(lines.readline(), type=dict[str, Any])
                if "error" in answer:
                    raise (AskAgainError if answer.get("again") else EdgefaceError)(str(answer["error"]))
                yield answer.get("told", answer.get("ok"))
                if "told" not in answer:
                    return
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
    for folder in dict.fromkeys((*_folders(Config()), SERVICE_FOLDER, *SERVICE_FOLDER.parent.glob("edgeface-*"))):
        for place in folder.glob("edgeface-*.sock"):
            with contextlib.suppress(OSError):
                there.append(_dial(place))
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


def _dial(place: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE + 1)
    try:
        with _address(place) as address:
            client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


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
        raise EdgefaceError(closed_to_us(closed))
    place = socket_path(config)
    raise EdgefaceError(f"no daemon with these settings is running (it would answer at {place}); see systemctl status edgeface")


def answers(config: Config, *, strict: bool = False) -> bool:
    """Whether a daemon with these settings answers.

    Raises:
        EdgefaceError: there may be one that this user must not ask (if ``strict``).
    """
    client, closed = _reach(config)
    if client:
        client.close()
    elif closed and strict and _for_a_group(closed):
        raise EdgefaceError(closed_to_us(closed))
    return client is not None


def closed_to_us(folder: Path) -> str:
    """What to do about a folder of the daemon that is closed to this user."""
    as_its_user = "do it as its user: sudo -u edgeface edgeface ..."
    if not _for_a_group(folder):
        return f"you may not ask the daemon ({folder} is closed to you); {as_its_user}"
    group, user = folder.stat().st_gid, _user_name(os.geteuid()) or os.geteuid()
    with contextlib.suppress(KeyError):
        return (
            f"you may not ask the daemon ({folder} is for the group {grp.getgrgid(group).gr_name}): "
            f"sudo usermod -aG {grp.getgrgid(group).gr_name} {user}, and log in anew; or {as_its_user}"
        )
    return f"you may not ask the daemon ({folder} is for the group {group}); {as_its_user}"


def _for_a_group(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & 0o010)
    except OSError:
        return False


def _user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _reach(config: Config) -> tuple[socket.socket | None, Path | None]:
    """A connection to the daemon with these settings; else a folder that is closed to us, where it may be."""
    closed = None
    for folder in (*_folders(config), SERVICE_FOLDER, *sorted(SERVICE_FOLDER.parent.glob("edgeface-*"))):
        try:
            return _dial(folder / _name(config)), None
        except OSError as error:
            if isinstance(error, PermissionError) and (closed is None or _for_a_group(folder)):
                closed = folder
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


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """What the system takes as the address of a socket, however long its path is: 107 bytes are the most."""
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            path.unlink()  # of a daemon that was killed
        with _address(path) as address:
            server.bind(address)
        path.chmod(0o660)
        server.listen(CLIENTS[0])
    except BaseException:
        server.close()
        raise
    return server
