"""Decides which requests may see and change the page, by token, session and origin."""

import base64
import hashlib
import ipaddress
import logging
import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeface.config import schema
from edgeface.errors import EdgefaceError
from edgeface.platform.rate_limit import RateLimit
from edgeface.web import trust
from edgeface.web.installable import open_to_all
from edgeface.web.invitations import Invitations
from edgeface.web.language import _, current
from edgeface.web.sessions import Session, Sessions
from edgeface.web.token import Token

log = logging.getLogger(__name__)
LIFETIME, LIFETIME_ENCRYPTED = 12 * 3600, 30 * 24 * 3600
"""Seconds without a request after which a session ends, in the clear and encrypted."""
HOST = re.compile(r"(?:(?P<name>[a-z0-9._-]+)|\[(?P<six>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII | re.IGNORECASE)
KEYED = re.compile(r"/~(?P<key>[\w-]+)(?P<path>/.*)", re.ASCII | re.DOTALL)
TRIES_PER_MINUTE = 10
STYLE = """
:root { color-scheme: light dark } body { font: 1.1rem/1.6 system-ui, sans-serif }
main { max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } code { font-size: 1rem }
dt { font-weight: 650 } dd { margin: 0 0 .6rem }
"""
CLOSED = """<!doctype html><html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>edgeface</title>{head}<style>{style}</style><main><h1>{title}</h1><p>{text}</p>{more}</main></html>
"""
SCRIPT = """
try {
  const root = localStorage.getItem("session"), here = location.pathname;
  if (root && here.startsWith(root + "/")) localStorage.removeItem("session");
  else if (root) location.replace(root + (here.replace(/^\\/~[\\w-]+/, "") || "/") + location.search + location.hash);
} catch {}
"""
"""Leads a browser to its session, whatever address it opened, and forgets the session once it has ended."""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


LEAD = f"<script>{SCRIPT}</script>"
CLOSED_POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class AccessMiddleware:
    """Passes a request on to ``app`` if it has a session and comes from the page itself.

    ``/?token=...`` opens a session: a key in the path of all its addresses, and a cookie. A header Host with a foreign name is
    refused, for a stranger's domain may point here (DNS rebinding); so is a change that another page asks for (CSRF).
    ``trusted`` is the file of the certificate that browsers are to trust, which everybody may have.
    ``has_room`` counts a client's connection among those signed in, and returns whether there was room.
    """

    def __init__(
        self,
        app: ASGIApp,
        web: schema.WebSettings,
        token: Token,
        sessions: Sessions,
        has_room: Callable[[Any], bool],
        trusted: Path | None = None,
    ) -> None:
        self._app, self._web, self._token, self._sessions, self._has_room = app, web, token, sessions, has_room
        self._hosts = our_names(web)
        self._tries = RateLimit(TRIES_PER_MINUTE)
        self._invitations, self._trusted = Invitations(token), trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        keyed = KEYED.fullmatch(scope["path"])
        key, path = (keyed["key"], keyed["path"]) if keyed else ("", scope["path"])
        session = Session(key, self._secret(request))
        root = ""
        added: dict[str, str] = {}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (HEADERS | added).items():
                    headers.setdefault(name, value)
                if root and "location" in headers:
                    headers["location"] = root + headers["location"]
            await send(message)

        try:
            refusal = self._refusal(request, session, path)
            if refusal is None and self._sessions.renew(session, self._lifetime(request)):
                added["set-cookie"] = self._cookie(request, session)
        except EdgefaceError as error:
            log.error("%s", error)
            refusal = _closed(
                HTTPStatus.SERVICE_UNAVAILABLE, _("The page cannot be opened"), _("The log of edgeface says why.")
            )
        if refusal:
            added["connection"] = "close"  # makes room for the next client
            await refusal(scope, receive, guarded)
        else:
            root, admitted = session.root, partial(self._still_admits, session)
            added_scope = {"path": path, "root": root, "admitted": admitted, "invite": self._invitations.make}
            await self._app({**scope, **added_scope}, receive, guarded)

    def _still_admits(self, session: Session) -> bool:
        with suppress(EdgefaceError):
            return self._sessions.admits(session)
        return False

    def _foreign(self, request: Request) -> Response | None:
        """Refuse a request that names a foreign host, or a change that comes from another page."""
        host = request.headers.get("host", "")
        if not is_ours(host, self._hosts):
            return _closed(
                HTTPStatus.MISDIRECTED_REQUEST,
                _("This is not its address"),
                _(
                    "If you reach this device by that name on purpose, add it to <code>hosts</code> under <code>[web]</code> "
                    "in its settings."
                ),
            )
        if request.method not in ("GET", "HEAD") and not self._is_from_here(request, host):
            return _closed(
                HTTPStatus.FORBIDDEN, _("Not from here"), _("Another page asked for this change. Nothing was changed.")
            )
        return None

    def _refusal(self, request: Request, session: Session, path: str) -> Response | None:
        if answer := self._foreign(request) or open_to_all(request) or trust.certificate(request, self._trusted):
            return answer
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/":
            return self._sign_in(request, given)
        if not self._sessions.admits(session):
            return _locked(request, session, trust.locked() if self._trusted else "")
        if (request.method, path) == ("POST", "/signout"):
            self._sessions.end(session)
            return _closed(HTTPStatus.OK, _("You are signed out"), _reopen(), LEAD)
        if not self._has_room(request.scope["client"]):
            return _closed(HTTPStatus.SERVICE_UNAVAILABLE, _("Too many pages are open"), _("Close some, then try again."))
        return None

    def _sign_in(self, request: Request, given: str) -> Response:
        # The right token or code, which nobody can guess, passes however many wrong ones are tried.
        if not (self._invitations.accept(given) or self._token.opens(given)):
            if not self._tries.allows(time.monotonic()):
                return _closed(
                    HTTPStatus.TOO_MANY_REQUESTS, _("Too many tries"), _("Wait a minute, then open the address again.")
                )
            return _closed(
                HTTPStatus.UNAUTHORIZED,
                _("This address is out of date"),
                _("Open the one that <code>edgeface web url</code> prints on the device now."),
            )
        session = self._sessions.open(self._lifetime(request))
        where = {"location": f"{session.root}/", "set-cookie": self._cookie(request, session)}
        return Response(status_code=HTTPStatus.SEE_OTHER, headers=where)

    def _is_encrypted(self, request: Request) -> bool:
        return bool(self._web.tls_cert) or request.headers.get("x-forwarded-proto") == "https"

    def _lifetime(self, request: Request) -> int:
        return LIFETIME_ENCRYPTED if self._is_encrypted(request) else LIFETIME

    def _cookie(self, request: Request, session: Session) -> str:
        """Return the header that gives a browser its secret.

        Without encryption the cookie is for the session's path alone, which no other port knows; ``__Host-`` needs the path
        ``/``.
        """
        encrypted = self._is_encrypted(request)
        scope = "Path=/; Secure" if encrypted else f"Path={session.root}/"
        age = self._lifetime(request)
        return f"{self._cookie_name(encrypted)}={session.secret}; Max-Age={age}; {scope}; HttpOnly; SameSite=Strict"

    def _cookie_name(self, encrypted: bool) -> str:
        return f"{'__Host-' if encrypted else ''}edgeface-{self._web.port}"

    def _secret(self, request: Request) -> str:
        """Return the secret that a browser sends: the first cookie of this name, which is that of the longest path."""
        start = f"{self._cookie_name(self._is_encrypted(request))}="
        parts = (part.strip() for part in request.headers.get("cookie", "").split(";"))
        return next((part.removeprefix(start) for part in parts if part.startswith(start)), "")

    def _is_from_here(self, request: Request, host: str) -> bool:
        """Return whether the browser says that this page asks; without such a header the request is refused."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site not in (None, "same-origin"):
            return False
        if site and origin in (None, "null"):  # the referrer policy hides a form's origin too
            return True
        scheme, _, came = (origin or "").lower().partition("://")
        if scheme not in ("http", "https"):
            return False
        return came == host.lower() or (self._web.behind_proxy and is_ours(came, self._hosts - {"localhost"}, addresses=False))


def our_names(web: schema.WebSettings) -> set[str]:
    """Return the names by which clients may reach the page, besides bare addresses."""
    return {"localhost", web.address.lower(), *(name.lower() for name in web.hosts)} - {""}


def is_ours(host: str, names: Collection[str], *, addresses: bool = True) -> bool:
    """Return whether a Host header is one of our names, or an IP address, which no stranger's domain can be."""
    parts = HOST.fullmatch(host)
    if not parts or int(parts["port"] or 0) > 65535:
        return False
    name, six = (parts["name"] or "").lower(), parts["six"]
    if name in names:
        return True
    try:
        ipaddress.IPv6Address(six) if six else ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return addresses


def _locked(request: Request, session: Session, more: str) -> Response:
    headers = request.headers
    if session.key and (headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")) == ("cross-site", "navigate"):
        # A link from another site comes without the cookie, which is for requests of this page alone: reload from here.
        return _closed(
            HTTPStatus.OK, _("One moment"), f'<a href="">{_("Go on")}</a>', '<meta http-equiv="refresh" content="0">'
        )
    return _closed(HTTPStatus.UNAUTHORIZED, _("This page is locked"), _reopen(), LEAD, more)


def _reopen() -> str:
    return _("Open it with the address that <code>edgeface web url</code> prints on the device.")


def _closed(status: HTTPStatus, title: str, text: str, head: str = "", more: str = "") -> Response:
    page = CLOSED.format(language=current().language, style=STYLE, title=title, text=text, head=head, more=more)
    return HTMLResponse(page, status, {"content-security-policy": CLOSED_POLICY})
