"""The page of a whole daemon in this process, before whose camera a test puts what it likes, and a client without manners."""

import http.client
import socket
import ssl
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

import msgspec
from broker import eventually, free_port
from theatre import Stage

from edgeface.config.schema import Config
from edgeface.daemon import assembly
from edgeface.daemon.status import report
from edgeface.enrollment.enroller import Enrolment, read_images
from edgeface.gallery.open import open_gallery
from edgeface.vision.model_card import SHIPPED
from edgeface.web.context import Daemon, Site
from edgeface.web.server import PageServer
from edgeface.web.token import Token


def settings(folder: Path, **web) -> Config:
    given = {
        "device": {"id": "door"},
        "camera": {"name": "front"},
        "gallery": {"path": str(folder / "gallery.db")},
        "presence": {"left_after": 0.5},
        "web": {"enabled": True, "port": free_port(), "pictures": True, "unknown": True} | web,
    }
    return msgspec.convert(given, Config)


class Page:
    """A served page; ``stage`` is what the camera shows, ``beats`` how many moments the loop has seen."""

    def __init__(self, config: Config) -> None:
        self.config, self.stage, self.beats = config, Stage(), 0
        self.port, self.token = config.web.port, Token(config.token_path)
        self._thread = Thread(target=self._live, daemon=True)
        self._thread.start()
        assert eventually(lambda: hasattr(self, "server"), 30)

    def _live(self) -> None:
        daemon = assembly.daemon(self.config, camera=self.stage)
        beat = daemon.heartbeat.beat

        def counted(*words):
            self.beats += 1
            beat(*words)

        daemon.heartbeat.beat = counted
        served = Daemon(
            lambda: self.config,
            lambda: report(self.config, daemon.heartbeat.health, None, None),
            daemon.window,
            daemon.pipeline.embedder.card,
            None,
            SHIPPED,
        )
        self.window, self.site = daemon.window, Site(served)
        self.server = PageServer(self.config.web, self.site, self.token)
        daemon.run()

    def close(self) -> None:
        self.server.close()
        self.stage.close()
        assert eventually(lambda: not self._thread.is_alive(), 30)

    @cached_property
    def session(self) -> tuple[str, str]:
        """The path and the cookie of somebody who has signed in."""
        return self.sign_in()

    def sign_in(self, **headers: str) -> tuple[str, str]:
        """The path and the cookie of a new session."""
        status, given, _ = self.ask("GET", f"/?token={self.token.text()}", signed=False, **headers)
        assert status == 303
        return given["location"].rstrip("/"), given["set-cookie"].partition(";")[0]

    def ask(self, method: str, path: str, body=None, *, signed: bool = True, **headers: str):
        """Status, headers and body of an answer; a browser's headers unless others are given, ``None`` leaves one out."""
        origin = f"http{'s' if self.config.web.tls_cert else ''}://127.0.0.1:{self.port}"
        sent = {"host": f"127.0.0.1:{self.port}", "origin": origin, "sec-fetch-site": "same-origin"}
        if signed:
            root, sent["cookie"] = self.session
            path = path if path.startswith(root) else root + path
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body, sent["content-type"] = urlencode(body), "application/x-www-form-urlencoded"
        connection = self.connect()
        try:
            connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def admits(self) -> bool:
        """Whether who is signed in is let in, over a connection of their own."""
        return self.ask("GET", "/people")[0] == 200

    def get(self, path: str, **more) -> str:
        """The text of a view that must be there."""
        status, _, body = self.ask("GET", path, **more)
        assert status == 200, (path, status, body[:500])
        return body.decode()

    def post(self, path: str, body=None, **more) -> str:
        """The text of the view to which a change leads."""
        status, headers, told = self.ask("POST", path, {} if body is None else body, **more)
        assert status == 303, (path, status, told[:500])
        return self.get(headers["location"])

    def raw(self, data: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
        """A connection over which something was sent."""
        client = socket.create_connection(("127.0.0.1", self.port), 30, (source, 0))
        client.sendall(data)
        return client

    def connect(self) -> http.client.HTTPConnection:
        """A connection that speaks HTTP, encrypted if the page is."""
        if not self.config.web.tls_cert:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        trust = ssl.create_default_context(cafile=Path(self.config.web.tls_cert).with_name("ca.pem"))
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT  # such an authority as people make lacks what Python 3.13 asks for
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=trust, timeout=30)

    def stream(self) -> socket.socket:
        """A connection that asked for the stream of events."""
        root, cookie = self.session
        head = f"GET {root}/stream HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {cookie}\r\n\r\n"
        return self.raw(head.encode())

    def enroll(self, name: str, photo: Path) -> str:
        """Enrol somebody as another process would; gives the id."""
        from edgeface.vision.embedding import Embedder

        embedder = Embedder()
        gallery = open_gallery(self.config, embedder.card)
        try:
            enrolment = Enrolment(assembly.pipeline(self.config, embedder, gallery), gallery)
            return enrolment.enroll(name, read_images([photo])).person.id
        finally:
            gallery.close()

    def with_gallery(self, work):
        """What some work on the gallery gives, done as another process would."""
        from edgeface.vision.model_card import load_card

        gallery = open_gallery(self.config, load_card(SHIPPED))
        try:
            return work(gallery)
        finally:
            gallery.close()


@contextmanager
def serving(folder: Path, **web):
    """A page, while it lasts."""
    page = Page(settings(folder, **web))
    try:
        yield page
    finally:
        page.close()
