"""Serves the page from a thread of its own, and cuts off clients that are slow."""

import asyncio
import logging
import ssl
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgeface.config.schema import WebSettings
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.platform.files import read_small
from edgeface.web.api import Api
from edgeface.web.app import application
from edgeface.web.auth import AccessMiddleware
from edgeface.web.certificate import HomeCertificate
from edgeface.web.context import PageContext
from edgeface.web.exposure import refuse_exposure
from edgeface.web.language import speaking
from edgeface.web.listener import MAX_BATCH, Listener
from edgeface.web.sessions import Sessions
from edgeface.web.token import Token

log = logging.getLogger(__name__)
MAX_HEAD = 16 * 1024
REQUEST_TIMEOUT = 10.0
"""Seconds that a client has for the TLS handshake, for the head of a request, and until its next request."""
BETWEEN_RENEWALS = 3600.0
"""Seconds between two looks at whether the page's own certificate is to be renewed."""


class PageServer:
    """Serves the page until it is closed.

    Raises:
        ConfigError: as ``refuse_exposure``, or the certificate cannot be read.
        OSError: the address cannot be bound.
    """

    def __init__(self, web: WebSettings, context: PageContext, token: Token) -> None:
        refuse_exposure(web)
        own = HomeCertificate.of(context.config)
        self._own = own if own.serves(web) else None
        self._context, self._web = context, web
        self._renew()
        _read_certificate(web)
        sessions = Sessions(token, token.path.with_name("web.sessions") if web.tls_cert else None)
        with ExitStack() as undo:
            self._socket = undo.enter_context(Listener(web.address, web.port))
            trusted = self._own.trusted if self._own else None
            page = AccessMiddleware(application(context), web, token, sessions, self._socket.has_room, trusted)
            settings = uvicorn.Config(
                Api(speaking(page, lambda: context.config.web.language), context, self._socket.has_room),
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=MAX_BATCH,
                timeout_keep_alive=int(REQUEST_TIMEOUT),
                timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=MAX_HEAD,
                ssl_certfile=web.tls_cert or None,
                ssl_keyfile=web.tls_key or None,
            )
            try:
                settings.load()
            except ssl.SSLError as error:
                raise ConfigError(f"web.tls_cert, web.tls_key: {error.reason or error}") from None
            undo.pop_all()
        self._server = uvicorn.Server(settings)
        self._thread = Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        renewing = asyncio.create_task(self._keep_valid())
        await self._server.serve([self._socket])
        renewing.cancel()

    async def _keep_valid(self) -> None:
        """Renew the page's own certificate before it ends; new connections get the one that is in the file then."""
        context = self._server.config.ssl
        while self._own and context:
            await asyncio.sleep(BETWEEN_RENEWALS)
            await asyncio.to_thread(self._renew)
            try:
                context.load_cert_chain(self._own.path)
            except OSError as error:  # ssl.SSLError is one
                log.error("%s: %s; the page keeps the certificate that it has", self._own.path, error.strerror or error)

    def _renew(self) -> None:
        try:
            if self._own and self._own.keep(self._context.config.device.id, self._web.hosts):
                log.info("%s: renewed", self._own.path)
        except EdgefaceError as error:
            log.error("the page's certificate is not renewed: %s", error)

    def close(self) -> None:
        """Stop serving, and end the streams."""
        self._server.should_exit = True
        self._context.end()
        self._thread.join(timeout=3.0)
        self._socket.close()
        self._context.close()


class _Loop(asyncio.SelectorEventLoop):
    """A loop that limits the start and the end of TLS to ``REQUEST_TIMEOUT``, for which uvicorn has no setting."""

    async def create_server(self, *words: Any, **named: Any) -> asyncio.Server:  # type: ignore[override]
        if named.get("ssl"):
            named |= {"ssl_handshake_timeout": REQUEST_TIMEOUT, "ssl_shutdown_timeout": REQUEST_TIMEOUT}
        return await super().create_server(*words, **named)


class Connection(H11Protocol):
    """A connection that is cut off if no request is complete within ``REQUEST_TIMEOUT`` seconds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no HTTP, without mixing this response with one that is under way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            if self.cycle.response_started:
                self.transport.close()
                return
        super().send_400_response(msg)

    def _expect(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(REQUEST_TIMEOUT, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def _read_certificate(web: WebSettings) -> None:
    """Check that the files of the certificate can be read; OpenSSL would wait for a pipe."""
    for name, file in (("tls_cert", web.tls_cert), ("tls_key", web.tls_key)):
        try:
            if file:
                read_small(Path(file))
        except OSError as error:
            raise ConfigError(f"web.{name} {file}: {error.strerror or error}") from None
