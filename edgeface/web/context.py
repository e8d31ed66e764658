"""Gives views of the page the gallery, operations, HTML templates, notes, and the enrollment that a browser follows."""

import asyncio
import contextvars
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from edgeface.config.schema import CameraSettings, Config
from edgeface.enrollment.guidance import Guidance
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.operations.context import Actor, Job, Operation, Photos, Q, R
from edgeface.operations.enroll import Enrollment
from edgeface.operations.jobs import JobQueue
from edgeface.operations.live_view import LivePicture, LiveView
from edgeface.vision.images import decode_image, encode_jpeg
from edgeface.vision.model_card import ModelCard
from edgeface.web import language
from edgeface.web.filters import FILTERS
from edgeface.web.language import _
from edgeface.web.wakeup import Wakeup
from edgeface.wire.commands import EnrollRequest
from edgeface.wire.home import PersonHome

T = TypeVar("T")
ACTOR: Actor = {"web": True}
"""A browser that is signed in; the page does not know whose."""
MAX_FORM = 16 * 1024
MAX_QUEUE = 32
"""Requests that wait for the gallery, at most."""
MAX_NOTES = 64
SMALL_SIDE = 112
"""Pixels of a picture in a list."""
FRESH = 1.0
"""Seconds for which the names of people are not read again."""
BODY_TIMEOUT, OPERATION_TIMEOUT = 20.0, 30.0
"""Seconds for the body of a request, and for an operation."""
ABANDONED = 15.0
"""Seconds without a request from its browser after which an enrollment is cancelled."""
VIEWS = {
    "/": "Live",
    "/people": "People",
    "/visits": "Visits",
    "/unknown": "Unknown",
    "/enroll": "Enroll",
    "/health": "Health",
    "/settings": "Settings",
}


@dataclass(frozen=True, slots=True)
class ServedDaemon:
    """The daemon, as far as the page knows it; each call is quick, and any thread may make it."""

    settings: Callable[[], Config]
    status: Callable[[], dict[str, Any]]
    jobs: JobQueue
    live: LiveView
    card: ModelCard
    file: Path | None
    model: Path
    beside: Callable[[], Mapping[str, LiveView]] = dict
    """Returns the live views of all cameras but the first, by name."""
    home: Callable[[], Sequence[PersonHome] | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Known:
    """The names of all people by id, and who is ignored; ``version`` changes whenever people or events do."""

    version: tuple[int, ...]
    names: Mapping[str, str]
    ignored: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Enrolling:
    """An enrollment that a browser follows; the loop writes ``guidance``, and then calls ``tell``."""

    job: Job[EnrollRequest, Enrollment]
    tell: Callable[[], None]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    guidance: Guidance | None = None
    _end: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.job.tell = self._guide

    def _guide(self, guidance: Guidance) -> None:
        self.guidance = guidance
        self.tell()

    def keep_alive(self) -> None:
        """Put off the end of the enrollment, as the browser is still there."""
        if self._end:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(ABANDONED, self.job.result.cancel)


class PageContext:
    """The state that the views share.

    A thread of the page reads the gallery through a connection of its own. Changes are operations, which the loop runs.
    """

    def __init__(self, daemon: ServedDaemon) -> None:
        self.daemon = daemon
        self._gallery: Gallery | None = None
        self._gallery_thread = ThreadPoolExecutor(1, "page-gallery")
        self._picture_thread = ThreadPoolExecutor(1, "page-picture")
        self._waiting = self._changes = 0
        self.streams, self.uploads, self.checking, self.closing = 0, 0, False, False
        self.uploading, self.news, self._ended = asyncio.Lock(), Wakeup(), Wakeup()
        self._known, self._known_at, self._reading = Known((), {}), -math.inf, asyncio.Lock()
        self._drawn: dict[str, tuple[LivePicture, bytes]] = {}
        self._drawing = asyncio.Lock()
        self.enrolling: Enrolling | None = None
        self._notes: OrderedDict[str, tuple[str, bool, Mapping[str, str] | None]] = OrderedDict()
        loader = jinja2.PackageLoader("edgeface.web", "pages")
        self._pages = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, extensions=["jinja2.ext.i18n"]
        )
        language.install(self._pages)
        self._pages.filters |= FILTERS

    def end(self) -> None:
        """End the requests that wait; any thread may call this."""
        self.closing = True
        self.news.wake()
        self._ended.wake()

    def close(self) -> None:
        self._gallery_thread.submit(self._shut)
        self._gallery_thread.shutdown(wait=False)
        self._picture_thread.shutdown(wait=False, cancel_futures=True)

    async def pause(self, seconds: float) -> bool:
        """Wait; return false if the server is about to close."""
        return not await self._ended.wait(lambda: self.closing or None, seconds)

    @property
    def config(self) -> Config:
        return self.daemon.settings()

    async def with_gallery(self, call: Callable[[Gallery], T]) -> T:
        """Run a quick call with the gallery in its thread; raise ``EdgefaceError`` if ``MAX_QUEUE`` requests wait for it."""
        if self._waiting >= MAX_QUEUE:
            raise EdgefaceError("the device is busy; try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._gallery_thread, contextvars.copy_context().run, lambda: call(self._opened())
            )
        finally:
            self._waiting -= 1

    async def known(self) -> Known:
        """Return the names of all people; at most ``FRESH`` seconds old, and read once for all requests."""
        async with self._reading:
            if time.monotonic() - self._known_at > FRESH:
                self._known = await self.with_gallery(self._read_known)
                self._known_at = time.monotonic()
            return self._known

    def _read_known(self, gallery: Gallery) -> Known:
        version = self._changes, *gallery.version
        if version == self._known.version:
            return self._known
        ignored = frozenset(person_id for person_id, rules in gallery.rules().items() if rules.ignored)
        return Known(version, {person.id: person.name for person in gallery.people()}, ignored)

    def camera(self, request: Request) -> CameraSettings:
        """Return the camera that a request names, else the first; raise ``HTTPException`` if there is none of that name."""
        try:
            return self.config.of_camera(request.query_params.get("camera") or None).camera
        except ConfigError:
            raise HTTPException(HTTPStatus.NOT_FOUND, _("There is no such camera.")) from None

    def live(self, camera: CameraSettings) -> LiveView:
        return self.daemon.beside().get(camera.name, self.daemon.live)

    async def jpeg(self, camera: str, picture: LivePicture, encode: Callable[[], bytes]) -> bytes:
        """Return a picture of a camera, encoded once for all who watch."""
        async with self._drawing:
            drawn = self._drawn.get(camera)
            if drawn is None or drawn[0] is not picture:
                drawn = self._drawn[camera] = picture, await self.on_picture_thread(encode)
            return drawn[1]

    async def small_picture(self, image: bytes | None) -> Response:
        """Return a kept picture at the size of the page's lists, or the status 404 if there is none."""
        if image is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        small = await self.on_picture_thread(lambda: encode_jpeg(decode_image(image, "picture"), SMALL_SIDE)[0])
        return Response(small, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    async def on_picture_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._picture_thread, call)

    async def perform(self, operation: Operation[Q, R], request: Q, photos: Photos | None = None, actor: Actor = ACTOR) -> R:
        """Have the loop run an operation, and return its result; raise ``EdgefaceError`` after ``OPERATION_TIMEOUT``."""
        job = self.daemon.jobs.submit(Job(operation, request, actor, photos or iter(())))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job.result), OPERATION_TIMEOUT)
        except TimeoutError:
            raise EdgefaceError("the device did not answer in time; is the camera well?") from None

    def _opened(self) -> Gallery:
        if self._gallery is None:
            self._gallery = open_gallery(self.config, self.daemon.card, serving=True)
        return self._gallery

    def _shut(self) -> None:
        if self._gallery is not None:
            self._gallery.close()

    def render(self, request: Request, name: str, status: int = HTTPStatus.OK, /, **values: Any) -> Response:
        """Render a view as HTML, with the note that the request before it left."""
        note = self._notes.pop(request.query_params.get("note", ""), None)
        root, path = request.scope["root"], request.url.path
        camera = self.camera(request) if status == HTTPStatus.OK else self.config.camera
        of_all = {"config": self.config, "camera": camera, "views": VIEWS, "root": root, "path": path}
        known = of_all | {"note": note, "now": time.time(), "language": language.current().language}
        return HTMLResponse(self._pages.get_template(name).render(known | values), status)

    def redirect(
        self,
        path: str,
        text: str,
        /,
        query: Mapping[str, str] | None = None,
        *,
        good: bool = True,
        undo: Mapping[str, str] | None = None,
    ) -> Response:
        """Redirect to another view, which shows a note about this request, and a button to undo it, which sends ``undo``."""
        self._changes += 1
        key = secrets.token_urlsafe(9)
        self._notes[key] = text, good, undo
        while len(self._notes) > MAX_NOTES:
            self._notes.popitem(last=False)
        return RedirectResponse(f"{path}?{urlencode({**(query or {}), 'note': key})}", HTTPStatus.SEE_OTHER)


async def body(request: Request, limit: int) -> bytes:
    """Read the body of a request; raise ``HTTPException`` if it is over ``limit`` bytes, or takes over ``BODY_TIMEOUT``."""
    too_large = HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _("That is over {size} MB.", size=f"{limit / 2**20:.2g}"), {"connection": "close"}
    )
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limit:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, _("It came too slowly.")) from None
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _("It broke off.")) from None
    return b"".join(parts)


async def form(request: Request) -> dict[str, str]:
    """Read the fields of a form, each once; raise ``HTTPException`` as ``body`` does, or if the body is no form."""
    try:
        fields = parse_qs((await body(request, MAX_FORM)).decode(), keep_blank_values=True, max_num_fields=64)
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _("That is no form.")) from None
    return {name: values[-1] for name, values in fields.items()}
