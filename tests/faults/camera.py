"""A live camera on the network, MJPEG over HTTP, that misbehaves on demand."""

import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from itertools import count
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
from fixtures.broker import free_port

from edgeface.types import Image
from edgeface.vision.images import load_image

WIDTH, HEIGHT = 640, 480
PHASES = 8


class Server(ThreadingHTTPServer):
    daemon_threads = True
    up = True

    def handle_error(self, *_: object) -> None:  # a reader that went away
        pass


class Camera:
    """Shows ``scene`` to whoever connects, at ``fps``; ``fault`` is "", "stall" or "corrupt"."""

    def __init__(self, photo: Path, fps: float = 10.0) -> None:
        self.port, self.fps = free_port(), fps
        noise = np.random.default_rng(0)
        views = [view(load_image(photo), phase / PHASES) for phase in range(PHASES)]
        nobody = [noise.normal(100, 4, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8) for _ in range(PHASES)]
        sizes = [(320, 240), (640, 480), (1280, 720), (800, 600)]
        self.scenes = {
            "face": jpegs(views),
            "nobody": jpegs(nobody),
            "black": jpegs([np.zeros_like(nobody[0])]),
            "white": jpegs([np.full_like(nobody[0], 255)]),
            "sizes": jpegs(np.asarray(cv2.resize(view, size), np.uint8) for view, size in zip(views, sizes * 2, strict=True)),
        }
        self.scene, self.fault = "nobody", ""
        self.instead: str | None = None
        self.sent = 0
        self._damage = np.random.default_rng(1)
        self._server: Server | None = None
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def open(self) -> None:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                camera.play(self.wfile, server)

            def log_message(self, *_: object) -> None:
                pass

        server = self._server = Server(("127.0.0.1", self.port), Handler)
        Thread(target=server.serve_forever, daemon=True).start()

    def play(self, stream: BufferedIOBase, server: Server) -> None:
        for number in count():
            while self.fault == "stall" and server.up:
                time.sleep(0.05)
            if not server.up:
                return
            jpegs = self.scenes[self.instead or self.scene]
            data = self._jpeg(jpegs[number % len(jpegs)])
            stream.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
            self.sent += 1
            time.sleep(1 / self.fps)

    def _jpeg(self, data: bytes) -> bytes:
        if self.fault != "corrupt":
            return data
        damaged = bytearray(data[: self._damage.integers(2, len(data))])
        for place in self._damage.integers(0, len(damaged), 20):
            damaged[place] = self._damage.integers(0, 256)
        return bytes(damaged)

    def close(self) -> None:
        if self._server:
            self._server.up = False
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def view(photo: Image, phase: float) -> Image:
    """The photo filling the frame, moved a little."""
    height, width = photo.shape[:2]
    scale = 1.1 * max(WIDTH / width, HEIGHT / height)
    x, y = (WIDTH - scale * width) / 2, -0.02 * scale * height
    angle = 2 * np.pi * phase
    matrix = np.array([[scale, 0, x + 12 * np.sin(angle)], [0, scale, y + 6 * np.cos(angle)]])
    return np.asarray(cv2.warpAffine(photo, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA), np.uint8)


def jpegs(images: Iterable[Image]) -> list[bytes]:
    return [cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes() for image in images]
