"""Serve edgeface's page to Home Assistant's ingress, which has asked who it is that looks.

Ingress gives the page a path of its own (X-Ingress-Path) and a frame. So this stands between them: it signs in at the page with
the page's token, keeps the session to itself, and has every address of the page begin with that path. Nobody but Supervisor may
ask it, and of Home Assistant's users only those whom it names (X-Remote-User-Id).
"""

import http.client
import re
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import quote

SUPERVISOR = "172.30.32.2"
PORT = 8099
MAX_BODY = 64 * 2**20
PREFIX = re.compile(r"(?:/[\w.~-]+)*", re.ASCII)
PASSED_ON = ("accept", "accept-language", "content-type", "user-agent")
KEPT_BACK = {"connection", "transfer-encoding", "content-length", "set-cookie", "x-frame-options", "keep-alive"}
PATIENCE = 60.0
FOR_A_PHONE = re.compile(rb'<link rel="(?:manifest|apple-touch-icon)"[^>]*>')
"""Links that make an app of the page. Their addresses are not below a session's, and Home Assistant needs no such app."""


class Session(NamedTuple):
    """Of ours at the page: the start of its addresses, and its cookie."""

    root: str
    cookie: str


class Page:
    """The page of the daemon on this machine, opened with the token in a file."""

    def __init__(self, port: int, token: Path) -> None:
        self.host, self._port, self._token = f"127.0.0.1:{port}", port, token
        self._session: Session | None = None
        self._lock = Lock()

    def session(self, ended: Session | None = None) -> Session:
        """Our session, a new one in place of one that has ended.

        Raises:
            OSError: the page is not there.
        """
        with self._lock:
            if self._session is None or self._session == ended:
                self._session = self._sign_in()
            return self._session

    def connect(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)

    def _sign_in(self) -> Session:
        connection = self.connect()
        try:
            token = quote(self._token.read_text().strip())
            connection.request("GET", f"/?token={token}", headers={"host": self.host})
            answer = connection.getresponse()
            where, cookie = answer.headers.get("location"), answer.headers.get("set-cookie")
        except http.client.HTTPException as error:
            raise OSError(error) from None
        finally:
            connection.close()
        if answer.status != HTTPStatus.SEE_OTHER or not where or not cookie:
            raise OSError(f"the page answered its token with {answer.status}")
        return Session(where.rstrip("/"), cookie.partition(";")[0])


class Handler(BaseHTTPRequestHandler):
    """One connection of Supervisor's."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    page: Page
    trusted: str

    def do_GET(self) -> None:
        """Pass a question on."""
        self._pass_on()

    def do_HEAD(self) -> None:
        """Pass on a question whose answer has no body."""
        self._pass_on()

    def do_POST(self) -> None:
        """Pass a change on."""
        self._pass_on()

    def _pass_on(self) -> None:
        prefix = self.headers.get("x-ingress-path", "")
        if refusal := self._refusal(prefix):
            self._refuse(*refusal)
            return
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        connection = self.page.connect()
        try:
            session = self.page.session()
            answer = self._ask(connection, session, body)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                connection.close()
                session = self.page.session(session)
                connection = self.page.connect()
                answer = self._ask(connection, session, body)
        except (OSError, http.client.HTTPException):
            self._refuse(HTTPStatus.BAD_GATEWAY, "edgeface does not answer yet: its log says why.")
        else:
            self._answer(answer, session.root, prefix)
        finally:
            connection.close()

    def _refusal(self, prefix: str) -> tuple[HTTPStatus, str] | None:
        length = self.headers.get("content-length", "0")
        if self.client_address[0] != self.trusted:
            return HTTPStatus.FORBIDDEN, "This is for Home Assistant's ingress alone."
        if not self.headers.get("x-remote-user-id") or not prefix or not PREFIX.fullmatch(prefix):
            return HTTPStatus.FORBIDDEN, "Ingress does not say who asks, or under which path."
        if "transfer-encoding" in self.headers or not length.isdecimal() or int(length) > MAX_BODY:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A body has its length told, 64 MB at most."
        if self.command == "POST" and not self._is_from_here():
            return HTTPStatus.FORBIDDEN, "Another page asked for this change. Nothing was changed."
        return None

    def _is_from_here(self) -> bool:
        """Whether a page of Home Assistant's own address asks: a browser says so in one of two ways."""
        if site := self.headers.get("sec-fetch-site"):
            return site == "same-origin"
        host = self.headers.get("x-forwarded-host") or self.headers.get("host") or ""
        return self.headers.get("origin", "").lower().partition("://")[2] == host.lower() != ""

    def _ask(self, connection: http.client.HTTPConnection, session: Session, body: bytes) -> http.client.HTTPResponse:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        headers |= {"host": self.page.host, "cookie": session.cookie, "connection": "close"}
        if self.command == "POST":
            headers |= {"origin": f"http://{self.page.host}", "content-length": str(len(body))}
        path = self.path if self.path.startswith("/") else f"/{self.path}"
        connection.request(self.command, session.root + path, body or None, headers)
        return connection.getresponse()

    def _answer(self, answer: http.client.HTTPResponse, root: str, prefix: str) -> None:
        is_text = answer.headers.get_content_type().startswith(("text/", "application/json"))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in KEPT_BACK:
                self.send_header(name, value.replace(root, prefix).replace("frame-ancestors 'none'", "frame-ancestors 'self'"))
        self.send_header("connection", "close")
        self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        # A line at a time: a stream's lines are not to wait for one another.
        read: Callable[[], bytes] = answer.readline if is_text else lambda: answer.read1(2**16)
        try:
            while part := read():
                if is_text:
                    part = FOR_A_PHONE.sub(b"", part).replace(root.encode(), prefix.encode())
                self.wfile.write(part)
        except (OSError, http.client.HTTPException):
            return  # one of the two has gone

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.close_connection = True
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing: addresses of the page are nobody's business."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def serve(page: Page, address: tuple[str, int] = ("", PORT), trusted: str = SUPERVISOR) -> ThreadingHTTPServer:
    """A server that passes on to the page what Supervisor asks; the caller runs it."""
    return _Server(address, type("Ingress", (Handler,), {"page": page, "trusted": trusted}))
