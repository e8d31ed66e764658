"""Sends events by HTTP to one address, never late, signed, or as notifications of ntfy."""

import http.client
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event as Flag
from threading import RLock, Thread, Timer
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from edgeface.config import paths, schema, sources
from edgeface.config.tls import client_context
from edgeface.errors import ConfigError
from edgeface.health import BrokerStatus, Health
from edgeface.interfaces import EventPublisher
from edgeface.platform.secret_files import SecretFile
from edgeface.platform.translation import translation
from edgeface.types import Image, Person
from edgeface.vision.pictures import face_jpeg
from edgeface.wire.events import Event, event_payload
from edgeface.wire.posts import FORMATS, Message

log = logging.getLogger(__name__)
FOR_LATER = frozenset({408, 425, 429})
"""Refusals of HTTP that may pass, besides those of 500 and more."""


class RefusedError(Exception):
    """The receiver does not want the event, now or later."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    event: Event
    picture: bytes | None


class WebhookPublisher(EventPublisher):
    """Posts events from a thread of its own, the oldest first.

    At most ``QUEUE`` events wait, and none for longer than ``webhook.max_event_age`` seconds; ``link`` counts the others as
    dropped. A receiver that fails is tried again within that time. ``_lock`` guards the queue and the state.
    """

    QUEUE = 100
    FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
    GOODBYE = 2.0
    """Seconds that ``close`` may take to deliver what waits."""

    def __init__(self, settings: schema.Config, model: str) -> None:
        self._settings, self._device, self._model = settings.webhook, settings.device, model
        hook = self._settings
        encrypted = hook.url.startswith("https:")
        self._secret = _secret(hook)  # this and the next raise here, not in the thread
        self._tls = client_context(hook.ca_file, "webhook.ca_file") if encrypted else None
        self._address = urlsplit(self._settings.url)
        self._lock = RLock()
        self._waiting: deque[_Waiting] = deque()
        self._closing, self._wake = Flag(), Flag()
        self._dropped = 0
        self._state: Literal["connecting", "up", "down"] = "connecting"
        self._reason: str | None = None
        self._confirmed: float | None = None
        self._thread = Thread(target=self._serve, name="webhook", daemon=True)

    @property
    def link(self) -> BrokerStatus:
        with self._lock:
            place = sources.shown(self._settings.url)
            return BrokerStatus(self._state, place, self._reason, len(self._waiting), self._dropped, self._confirmed)

    def open(self, people: Sequence[Person] = ()) -> None:
        self._thread.start()

    def people(self, people: Sequence[Person]) -> None:
        """Drop the waiting events of people who are known no more."""
        known = {person.id for person in people}
        with self._lock:
            kept = [one for one in self._waiting if one.event.person_id is None or one.event.person_id in known]
            self._drop(len(self._waiting) - len(kept))
            self._waiting = deque(kept)

    def publish(self, event: Event, image: Image | None = None) -> None:
        if event.event_type not in self._settings.events:
            return
        shown = image if self._settings.images else None
        picture = None if shown is None or event.box is None else face_jpeg(shown, event.box)
        with self._lock:
            self._waiting.append(_Waiting(event, picture))
            while len(self._waiting) > self.QUEUE:
                self._waiting.popleft()
                self._drop(1)
        self._wake.set()

    def health(self, health: Health) -> None:
        """Send nothing: health is for MQTT, ``edgeface status`` and the metrics."""

    def close(self, heir: EventPublisher | None = None) -> None:
        """Deliver what still waits within ``GOODBYE`` seconds, and stop; an heir takes over the rest."""
        deadline = time.monotonic() + self.GOODBYE
        while self._thread.is_alive() and self.link.queue and time.monotonic() < deadline:
            time.sleep(0.02)
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(max(0.1, deadline - time.monotonic()))
        if isinstance(heir, WebhookPublisher):
            with self._lock:
                heir._waiting.extend(self._waiting)
                heir._dropped = self._dropped
                self._waiting.clear()

    def _serve(self) -> None:
        pause = self.FIRST_PAUSE
        while not self._closing.is_set():
            one = self._next()
            if one is None:
                self._wake.wait()
                self._wake.clear()
                continue
            try:
                self._send(one)
            except RefusedError as error:
                self._complain(str(error))
                self._done(one, dropped=True)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._complain(getattr(error, "strerror", None) or str(error) or type(error).__name__)
                pause = min(self.LONGEST_PAUSE, pause * 2)
                self._closing.wait(min(pause * random.uniform(0.25, 0.75), max(0.1, self._left(one.event))))
            else:
                pause = self.FIRST_PAUSE
                self._done(one, dropped=False)

    def _next(self) -> _Waiting | None:
        """Drop the events that are too old, and return the oldest that is left."""
        with self._lock:
            while self._waiting and self._left(self._waiting[0].event) <= 0:
                self._waiting.popleft()
                self._drop(1)
            return self._waiting[0] if self._waiting else None

    def _left(self, event: Event) -> float:
        """Return for how many seconds an event may still be delivered."""
        return event.time + self._settings.max_event_age - time.monotonic()

    def _send(self, one: _Waiting) -> None:
        """Post one event; raise ``RefusedError`` if it is not wanted, another error if it may be tried again."""
        message = Message(
            one.event, event_payload(one.event, self._device.id, self._model), one.picture, translation(self._device.language)
        )
        headers, body = FORMATS[self._settings.format](self._settings, self._secret, message)
        limit = min(self._settings.timeout, self._left(one.event))
        connection = _connection(self._address, limit, self._tls)
        try:
            connection.connect()
            limit = min(limit, self._left(one.event))
            if limit <= 0:
                raise TimeoutError("to connect took longer than the event may wait")
            # A timeout of the socket begins anew at each byte.
            cut = Timer(limit, _cut, [connection])
            cut.daemon = True
            cut.start()
            try:
                connection.request("POST", _path(self._address), body, headers)
                status = connection.getresponse().status
            finally:
                cut.cancel()
        finally:
            connection.close()
        if status >= 500 or status in FOR_LATER:
            raise OSError(f"the receiver answers {status}")
        if not 200 <= status < 300:
            moved = "; redirects are not followed" if 300 <= status < 400 else ""
            raise RefusedError(f"the receiver refuses events with {status}{moved}")

    def _done(self, one: _Waiting, *, dropped: bool) -> None:
        with self._lock:
            if self._waiting and self._waiting[0] is one:  # else it was dropped meanwhile, and counted
                self._waiting.popleft()
                self._dropped += dropped
            if not dropped:
                self._state, self._reason, self._confirmed = "up", None, time.monotonic()

    def _drop(self, count: int) -> None:
        self._dropped += count

    def _complain(self, reason: str) -> None:
        """Log a fault once, not at each attempt."""
        told = f"webhook: {sources.shown(self._settings.url)}: {reason}"
        with self._lock:
            new, self._state, self._reason = told != self._reason, "down", told
        if new:
            log.error("%s", told)


def _connection(address: SplitResult, timeout: float, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    host = address.hostname or ""
    if tls is None:
        return http.client.HTTPConnection(host, address.port, timeout=timeout)
    return http.client.HTTPSConnection(host, address.port, timeout=timeout, context=tls)


def _path(address: SplitResult) -> str:
    return (address.path or "/") + (f"?{address.query}" if address.query else "")


def _cut(connection: http.client.HTTPConnection) -> None:
    if sock := connection.sock:
        try:
            sock.shutdown(2)
        except OSError:
            return


def _secret(settings: schema.WebhookSettings) -> str:
    if not settings.secret_file:
        return ""
    path = paths.secret_path(settings.secret_file, "webhook.secret_file")
    file = SecretFile(path, "the secret", ConfigError, "webhook.secret_file", shared=True)
    secret = file.first_line()
    if not (secret and secret.isascii() and secret.isprintable()):
        raise file.refusal("its first line needs printable ASCII")
    return secret
