"""The daemon in a control group of 400 MB, as the service has, before a camera that sends more: it goes on, or says why.

``large.264`` is 40 grey frames of 5,000 x 5,000 pixels with 16 reference frames, ``grows.264`` 20 of 1,920 x 1,080 before the
same, ``fits.264`` 40 of 2,592 x 1,944 with 16 reference frames: x264's presets, with an unlimited level.
"""

import json
import lzma
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from itertools import chain, cycle, repeat
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.broker import eventually
from fixtures.commandline import Cli, Running

from .test_squeeze import Group, grouped

pytestmark = pytest.mark.slow
MEMORY = 400 * 2**20
TOO_MANY = "camera.max_pixels allows 5100000"

Sender = Callable[[BufferedIOBase], None]


@contextmanager
def serving(send: Sender) -> Iterator[str]:
    """A camera at an address; ``send`` is given what it may write to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            send(self.wfile)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a reader that went away
            pass

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


MIXED = "multipart/x-mixed-replace; boundary=frame"
HEAD = b"--frame\r\nContent-Type: image/jpeg\r\n"


def answer(kind: str, *pieces: bytes) -> Sender:
    """An HTTP answer of this media type; its last piece is sent for ever."""

    def send(stream: BufferedIOBase) -> None:
        stream.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
        for piece in chain(pieces, repeat(pieces[-1])):
            stream.write(piece)

    return send


def shown(*pictures: bytes) -> Sender:
    """Pictures as MJPEG, ten a second, over and over."""

    def send(stream: BufferedIOBase) -> None:
        stream.write(f"HTTP/1.1 200 OK\r\nContent-Type: {MIXED}\r\n\r\n".encode())
        for data in cycle(pictures):
            stream.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
            time.sleep(0.1)

    return send


def jpeg(width: int, height: int, *options: int, colours: tuple[int, ...] = (3,)) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, *colours), 127, np.uint8), options)[1].tobytes()


def png(width: int, height: int) -> bytes:
    """A black PNG of any size, made without its pixels."""
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 + 3 * width)) for _ in range(height)) + packed.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def webp(width: int, height: int) -> bytes:
    return cv2.imencode(".webp", np.zeros((height, width, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 1])[1].tobytes()


def film(name: str) -> bytes:
    return lzma.decompress(Path(__file__).with_name(f"{name}.264.xz").read_bytes())


def endless_head(stream: BufferedIOBase) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10**9):
        stream.write(b"Set-Cookie: a%d=%s\r\n" % (number, b"x" * 1000))


SMALL = jpeg(640, 480)
SEEN: dict[str, Callable[[], Sender]] = {
    "JPEGs of 8,000 x 6,000": lambda: shown(jpeg(8000, 6000)),
    "JPEGs that grow and shrink": lambda: shown(*[SMALL] * 10, *[jpeg(8000, 6000)] * 5),
    "H.264 of 5 megapixels, 16 reference frames": lambda: answer("video/h264", film("fits")),
}
REFUSED: dict[str, tuple[Callable[[], Sender], str]] = {
    "JPEGs of 16,000 x 16,000": (lambda: shown(jpeg(16000, 16000, colours=())), "64 megapixels"),
    "progressive JPEGs": (lambda: shown(jpeg(8000, 6000, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), "cannot be scaled down"),
    "H.264 of 5,000 x 5,000": (lambda: answer("video/h264", film("large")), f"5000 x 5000 pixels; {TOO_MANY}"),
    "H.264 that grows": (lambda: answer("video/h264", film("grows"), film("large")), TOO_MANY),
    "a PNG": (lambda: answer("image/png", png(20000, 20000)), "."),
    "PNGs as JPEGs": (lambda: shown(png(8000, 8000)), "."),
    "a WebP": (lambda: answer("image/webp", webp(8000, 8000)), "."),
    "headers without end": (lambda: endless_head, "cannot be opened"),
    "a part's headers without end": (lambda: answer(MIXED, b"--frame\r\n", b"X: " + b"x" * 1000), "."),
    "a picture without end": (lambda: answer(MIXED, HEAD + b"\r\n", SMALL), "."),
    "a picture that says it has 2 GB": (lambda: answer(MIXED, HEAD + b"Content-Length: 2000000000\r\n\r\n", SMALL), "."),
}


@pytest.fixture
def group() -> Iterator[Group]:
    with grouped(MEMORY, 2.0) as made:
        yield made


def started(cli: Cli, group: Group, source: str, **camera: Any) -> Running:
    cli.set(camera={"source": source, "fps": 10} | camera)
    with group.inside():
        return cli.start("run")


def status(cli: Cli) -> dict[str, Any]:
    """What ``edgeface status`` tells, or nothing while nobody answers."""
    told = subprocess.run(cli.command("status", "--json"), capture_output=True, cwd=cli.folder, env=cli.environment, timeout=60)
    status: dict[str, Any] = json.loads(told.stdout) if told.stdout else {}
    return status


def survives(cli: Cli, group: Group, daemon: Running, name: str) -> dict[str, Any]:
    """It is the process that was started, and none was killed; it ends when it is asked to."""
    told = status(cli)
    assert group.killed == 0
    assert daemon.process.poll() is None
    print(f"{name}: {group.most:.0f} MB at most in the group; {told['camera_reason']}")
    assert daemon.stop() == 0
    return told


@pytest.mark.parametrize("name", SEEN)
def test_what_can_be_made_small_is_looked_at(cli: Cli, group: Group, name: str) -> None:
    with serving(SEEN[name]()) as url:
        daemon = started(cli, group, url)
        assert eventually(lambda: status(cli).get("frames_seen", 0) > 20 or daemon.process.poll() is not None, 60)
        assert survives(cli, group, daemon, name)["camera_state"] == "ok"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_large_is_refused_in_one_line(cli: Cli, group: Group, name: str) -> None:
    send, reason = REFUSED[name]
    with serving(send()) as url:
        daemon = started(cli, group, url)
        line = daemon.line()
        assert '"camera_lost"' in line
        assert reason in line
        eventually(lambda: daemon.process.poll() is not None, 5)  # it is tried again
        survives(cli, group, daemon, name)
    # A stream that is small at first is found to be back each time.
    assert sum("trying again" in line for line in daemon.told) <= (3 if "grows" in name else 1)
