"""Who may see the page and change what it shows: token, cookie, and where a request came from."""

import base64
import hashlib
import ipaddress
import logging
import time
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeface import config
from edgeface.commands import Rate
from edgeface.errors import EdgefaceError
from edgeface.web.token import Token

log = logging.getLogger(__name__)
COOKIE_AGE = 180 * 24 * 3600
TRIES_PER_MINUTE = 10
STYLE = """
:root { color-scheme: light dark } body { font: 1.1rem/1.6 system-ui, sans-serif }
main { max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.5rem } code { font-size: 1rem }
"""
CLOSED = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>edgeface</title>{head}<style>{style}</style><main><h1>{title}</h1><p>{text}</p></main></html>
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Gate:
    """Lets a request through to ``app`` if it has the cookie and comes from the page itself.

    ``/?token=...`` gives the cookie. Names in the header Host that are not ours are refused, or a stranger's page could have
    its name point here (DNS rebinding); so are changes that another page asks for (CSRF).
    """

    def __init__(self, app: ASGIApp, web: config.Web, token: Token) -> None:
        self._app, self._web, self._token = app, web, token
        self._hosts = {"localhost", web.address.lower(), *(name.lower() for name in web.hosts)} - {""}
        self._tries = Rate(TRIES_PER_MINUTE)
        self._cookie = f"edgeface-{web.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refusal = self._refusal(Request(scope))
        except EdgefaceError as error:
            log.error("%s", error)
            refusal = _closed(HTTPStatus.SERVICE_UNAVAILABLE, "The page cannot be opened", "The log of edgeface says why.")
        scope["admitted"] = lambda: self._still_admits(Request(scope))
        await (refusal or self._app)(scope, receive, guarded)

    def _still_admits(self, request: Request) -> bool:
        """Whether a request that goes on has not been shut out since."""
        with suppress(EdgefaceError):
            return self._token.admits(request.cookies.get(self._cookie, ""))
        return False

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return _closed(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This is not its address",
                "If you reach this device by that name on purpose, add it to <code>hosts</code> under <code>[web]</code> "
                "in its settings.",
            )
        if request.method not in ("GET", "HEAD") and not self._is_from_here(request, host):
            return _closed(HTTPStatus.FORBIDDEN, "Not from here", "Another page asked for this change. Nothing was changed.")
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/":
            return self._sign_in(request, given)
        if self._token.admits(request.cookies.get(self._cookie, "")):
            return None
        if request.headers.get("sec-fetch-site") == "cross-site" and request.headers.get("sec-fetch-mode") == "navigate":
            # A link from elsewhere comes without the cookie, which is for requests of this page alone: ask once more from here.
            return _closed(HTTPStatus.OK, "One moment", '<a href="">Go on</a>', '<meta http-equiv="refresh" content="0">')
        return _closed(
            HTTPStatus.UNAUTHORIZED,
            "This page is locked",
            "Open it with the address that <code>edgeface web url</code> prints on the device. This browser then stays "
            "signed in.",
        )

    def _sign_in(self, request: Request, given: str) -> Response:
        if not self._token.opens(given):  # which nobody can guess: whoever has it is let in, however many try others
            if not self._tries.allows(time.monotonic()):
                return _closed(HTTPStatus.TOO_MANY_REQUESTS, "Too many tries", "Wait a minute, then open the address again.")
            return _closed(
                HTTPStatus.UNAUTHORIZED,
                "This address is out of date",
                "Open the one that <code>edgeface web url</code> prints on the device now.",
            )
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        secure = bool(self._web.tls_cert) or request.headers.get("x-forwarded-proto") == "https"
        response.set_cookie(
            self._cookie, self._token.cookie, max_age=COOKIE_AGE, path="/", secure=secure, httponly=True, samesite="strict"
        )
        return response

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names us: by an address, which no stranger's domain can be, or by a name of the settings."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)

    def _is_from_here(self, request: Request, host: str) -> bool:
        """Whether this page asks, as its browser says; one that says nothing is no browser, or no friend."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is None and origin is None:
            return False
        if site is not None and site != "same-origin":
            return False
        if site is not None and origin == "null":  # a form's origin is kept back together with the referrer
            return True
        try:
            came = urlsplit(origin or f"//{host}")
            return came.netloc.lower() == host.lower() or (
                self._web.behind_proxy and came.hostname in self._hosts - {"localhost"}
            )
        except ValueError:
            return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _closed(status: HTTPStatus, title: str, text: str, head: str = "") -> Response:
    page = CLOSED.format(style=STYLE, title=title, text=text, head=head)
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(page, status, {"content-security-policy": policy})
