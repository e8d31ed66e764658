"""Answers programs that show a token: ``/api/NAME`` runs an operation, and the answer is its result as JSON."""

import logging
import time
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edgeface.errors import FAILED_INSIDE, AskAgainError, EdgefaceError
from edgeface.platform.rate_limit import RateLimit
from edgeface.web.api_tokens import ApiToken, ApiTokens
from edgeface.web.auth import HEADERS, TRIES_PER_MINUTE, is_ours, our_names
from edgeface.web.calls import CALLS, PREFIX, READ
from edgeface.web.context import PageContext
from edgeface.web.openapi import document
from edgeface.web.operations import run

log = logging.getLogger(__name__)
POLICY = {"content-security-policy": "default-src 'none'; frame-ancestors 'none'"}


class Api:
    """Answers requests for ``/api/...``; passes every other on to the ``page``.

    A request needs the header ``Authorization: Bearer TOKEN``: browsers send no such header for a foreign page. What a token
    may call, ``api_tokens.GRANTS`` says. ``has_room`` is the page's, for signed-in clients.
    """

    def __init__(self, page: ASGIApp, context: PageContext, has_room: Callable[[Any], bool]) -> None:
        self._page, self._context, self._has_room = page, context, has_room
        self._hosts = our_names(context.config.web)
        self._tokens = ApiTokens(context.config.api_tokens_folder)
        self._wrong, self._rates = RateLimit(TRIES_PER_MINUTE), dict[str, RateLimit]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._page(scope, receive, send)
            return
        try:
            response = Response(await self._answer(Request(scope, receive)), media_type="application/json")
        except HTTPException as error:
            response = _refusal(error.status_code, error.detail, error.headers)
        except AskAgainError as error:
            response = _refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"retry-after": "5"})
        except EdgefaceError as error:
            response = _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except Exception:  # no request may break the page
            log.exception("a request of the API failed")
            response = _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED_INSIDE)
        for name, value in (HEADERS | POLICY).items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> bytes:
        if not is_ours(request.headers.get("host", ""), self._hosts):
            raise _closing(HTTPStatus.MISDIRECTED_REQUEST, "this is not its address; web.hosts has the names that it goes by")
        call = request.scope["path"].removeprefix(PREFIX)
        if call == "openapi.json" and request.method == "GET":
            return _document()
        token = self._admitted(request)
        if not token.may(call):
            raise HTTPException(HTTPStatus.FORBIDDEN, f"the scope of this token, {token.scope}, does not allow it")
        if call != "status" and call not in CALLS:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no such call; there are status, {', '.join(CALLS)}")
        methods = [*(["GET"] if call in READ else []), *(["POST"] if call in CALLS else [])]
        if request.method not in methods:
            told = f"{call} takes {' and '.join(methods)}"
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, told, {"allow": ", ".join(methods), "connection": "close"})
        if call == "status":
            return msgspec.json.encode(self._context.daemon.status())
        return msgspec.json.encode(await run(self._context, request, CALLS[call], {"token": token.name}))

    def _admitted(self, request: Request) -> ApiToken:
        """Return the token of a request; raise ``HTTPException`` if it has none, or calls too often."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        token = self._tokens.find(given.strip()) if scheme.lower() == "bearer" else None
        now = time.monotonic()
        if token is None:
            if not self._wrong.allows(now):
                raise _closing(HTTPStatus.TOO_MANY_REQUESTS, "too many tries; wait a minute", {"retry-after": "60"})
            told = "a token is needed, as Authorization: Bearer TOKEN; edgeface web token add makes one"
            raise _closing(HTTPStatus.UNAUTHORIZED, told, {"www-authenticate": 'Bearer realm="edgeface"'})
        per_minute = self._context.config.web.api_per_minute
        rate = self._rates.setdefault(token.name, RateLimit(per_minute))
        rate.per_minute = per_minute
        if not rate.allows(now):
            told = f"too many requests: web.api_per_minute is {per_minute}"
            raise _closing(HTTPStatus.TOO_MANY_REQUESTS, told, {"retry-after": str(-(-60 // per_minute))})
        if not self._has_room(request.scope["client"]):
            raise _closing(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open", {"retry-after": "5"})
        return token


@cache
def _document() -> bytes:
    return msgspec.json.encode(document())


def _closing(status: HTTPStatus, told: str, headers: dict[str, str] | None = None) -> HTTPException:
    """Return a refusal after which the connection is closed, which makes room for the next client."""
    return HTTPException(status, told, {"connection": "close", **(headers or {})})


def _refusal(status: int, told: str, headers: Any = None) -> Response:
    return Response(msgspec.json.encode({"error": " ".join(told.split())}), status, headers, "application/json")
