"""Takes requests for operations over MQTT, from senders who are not trusted, and answers each."""

import base64
import binascii
import logging
import time
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from edgeface.config.schema import CommandsSettings
from edgeface.errors import ConfigError, EdgefaceError, ImageError
from edgeface.interfaces import CommandTransport
from edgeface.operations.context import Actor, Door, Job, Photos
from edgeface.operations.enroll import Enrollment
from edgeface.operations.jobs import JobQueue
from edgeface.operations.registry import ABOUT, ENROLL, FIND, IDENTIFY, PHOTOS, at
from edgeface.platform.rate_limit import RateLimit
from edgeface.types import MAX_REQUEST_BYTES, Image
from edgeface.types import Request as Message
from edgeface.vision.images import decode_photo
from edgeface.wire.about import About, AboutRequest, MqttAboutRequest
from edgeface.wire.commands import (
    Answer,
    BareRequest,
    ConfirmRequest,
    Enrolled,
    EnrollRequest,
    FindRequest,
    Found,
    MqttConfirmRequest,
    MqttEnrollRequest,
    MqttFindRequest,
    MqttRejectRequest,
    PhotosRequest,
    RejectRequest,
    Request,
    Verdict,
)
from edgeface.wire.fields import SCHEMA, timestamp
from edgeface.wire.identify import Identified, IdentifyRequest, MqttIdentifyRequest
from edgeface.wire.moves import (
    MergeRequest,
    Moved,
    MoveRequest,
    MqttMergeRequest,
    MqttMoveRequest,
    MqttSplitRequest,
    SplitRequest,
)

log = logging.getLogger(__name__)
S = TypeVar("S", bound=Struct)
WithPhoto: TypeAlias = MqttEnrollRequest | MqttFindRequest | MqttIdentifyRequest | MqttAboutRequest

ACTOR: Actor = {"mqtt": True}
"""A client of the broker; MQTT does not tell which."""
MAX_WAITING_BYTES = 4 * MAX_REQUEST_BYTES
"""Bytes of photos that may wait to be judged."""
COMMANDS: dict[str, tuple[type[Request], type[Struct]]] = {
    name: (one.request, one.response) for name, one in at(Door.MQTT).items()
} | {
    "enroll": (MqttEnrollRequest, Enrolled),
    "find": (MqttFindRequest, Found),
    "about": (MqttAboutRequest, About),
    "identify": (MqttIdentifyRequest, Identified),
    "reject": (MqttRejectRequest, Verdict),
    "confirm": (MqttConfirmRequest, Verdict),
    "merge": (MqttMergeRequest, Moved),
    "move": (MqttMoveRequest, Moved),
    "split": (MqttSplitRequest, Moved),
}
"""The types of each command's request, without ``id``, and of its result."""
WHOLE: dict[type[Request], type[Request]] = {
    MqttRejectRequest: RejectRequest,
    MqttConfirmRequest: ConfirmRequest,
    MqttMergeRequest: MergeRequest,
    MqttMoveRequest: MoveRequest,
    MqttSplitRequest: SplitRequest,
}
"""Of requests that may say less over MQTT, those that the handlers take."""


def check_allowed(settings: CommandsSettings) -> None:
    """Raise ``ConfigError`` if the settings allow a command that is not there."""
    for name in settings.allow:
        if name not in COMMANDS:
            raise ConfigError(f"commands.allow: there is no command {name!r}; it is one of {', '.join(COMMANDS)}")


class Commands:
    """Submits the commands that the settings allow, and answers with their results. For the daemon's loop.

    A request that is malformed, too large, not allowed or one too many is answered with an error.
    """

    def __init__(self, settings: CommandsSettings, transport: CommandTransport, jobs: JobQueue) -> None:
        self._allow, self._transport, self._jobs = settings.allow, transport, jobs
        self._rate = RateLimit(settings.per_minute)
        self._arrived: deque[Message] = deque()
        self._pending: set[Future[Any]] = set()
        self._photos: deque[WithPhoto] = deque()
        self._decoder = ThreadPoolExecutor(1, "mqtt-photo")
        self._closed_because = ""

    def serve(self) -> None:
        """Submit the requests that came in, as far as the job queue has room."""
        for message in self._transport.requests():
            if self._rate.allows(time.monotonic()):
                self._arrived.append(message)
            else:  # without a line in the log: there may be many
                error = f"too many requests: commands.per_minute is {self._rate.per_minute}"
                self._respond(message.verb, _id(message.payload), error=error)
        while self._arrived and not self._jobs.full:
            message = self._arrived.popleft()
            request_id = _id(message.payload)
            try:
                self._submit(message, request_id)
            except EdgefaceError as error:
                self._answer(message.verb, request_id, error=_one_line(error))

    def close(self, reason: str = "the daemon is stopping") -> None:
        """Answer the requests that still wait with the reason why they are dropped."""
        self._closed_because = reason
        for result in tuple(self._pending):
            result.cancel()
        self._decoder.shutdown(wait=False, cancel_futures=True)

    def _submit(self, message: Message, request_id: str | None) -> None:
        if message.verb not in COMMANDS:
            raise EdgefaceError(f"there is no such command; there are {', '.join(COMMANDS)}")
        if message.verb not in self._allow:
            raise EdgefaceError("not allowed: commands.allow in the settings does not name it")
        if request_id is None:
            _decode(message.payload, BareRequest)  # raises with what is wrong with the id
        request = _decode(message.payload, COMMANDS[message.verb][0])
        result: Future[Any]
        if whole := WHOLE.get(type(request)):
            request = msgspec.convert(msgspec.structs.asdict(request), whole)
        if isinstance(request, WithPhoto) and request.image is not None:
            result = self._submit_photo(request)
        elif isinstance(request, MqttFindRequest):
            result = self._jobs.submit(Job(FIND, FindRequest(event_id=request.event_id), ACTOR)).result
        elif not isinstance(request, MqttEnrollRequest):
            result = self._jobs.submit(Job(at(Door.MQTT)[message.verb], request, ACTOR)).result
        else:
            given = {name: getattr(request, name) for name in ("name", "count", "timeout", "force", "camera")}
            result = self._jobs.submit(Job(ENROLL, EnrollRequest(**given, guided=False, assess=False), ACTOR)).result
        self._pending.add(result)
        result.add_done_callback(partial(self._ended, message.verb, request_id))

    def _submit_photo(self, request: WithPhoto) -> "Future[Any]":
        """Submit a photo, which a thread decodes once those before it are judged; raise ``EdgefaceError`` if too many wait."""
        if sum(len(waiting.image or "") for waiting in (*self._photos, request)) > MAX_WAITING_BYTES:
            raise EdgefaceError("busy: other photos wait to be looked at; ask again")
        job: Job[Any, Any]
        if isinstance(request, MqttFindRequest):
            job = Job(FIND, FindRequest(event_id=request.event_id), ACTOR, self._arriving(request))
        elif isinstance(request, MqttAboutRequest):
            job = Job(ABOUT, AboutRequest(), ACTOR, self._arriving(request))
        elif isinstance(request, MqttIdentifyRequest):
            job = Job(IDENTIFY, IdentifyRequest(), ACTOR, self._arriving(request))
        else:
            photo = PhotosRequest(name=request.name, force=request.force, assess=False)
            job = Job(PHOTOS, photo, ACTOR, self._arriving(request))
        result = self._jobs.submit(job).result
        self._photos.append(request)
        result.add_done_callback(lambda _: self._photos.remove(request))
        return result

    def _arriving(self, request: WithPhoto) -> Photos:
        while self._photos[0] is not request:
            yield None
        decoding = self._decoder.submit(_photo, request.image or "")
        while not decoding.done():
            yield None
        yield "image", decoding.result()

    def _ended(self, verb: str, request_id: str | None, result: "Future[Struct | Enrollment]") -> None:
        self._pending.discard(result)
        try:
            done = result.result()
            done = done.enrolled if isinstance(done, Enrollment) else done
        except CancelledError:
            self._answer(verb, request_id, error=self._closed_because)
        except EdgefaceError as error:
            self._answer(verb, request_id, error=_one_line(error))
        else:
            self._answer(verb, request_id, result=done)

    def _answer(
        self, verb: str, request_id: str | None, *, result: Struct | UnsetType = UNSET, error: str | UnsetType = UNSET
    ) -> None:
        """Answer, and log that the command ended. Errors may name people, so they stay out of the log."""
        log.info("command %r: %s", verb, "done" if error is UNSET else "refused, as its answer says")
        self._respond(verb, request_id, result=result, error=error)

    def _respond(
        self, verb: str, request_id: str | None, *, result: Struct | UnsetType = UNSET, error: str | UnsetType = UNSET
    ) -> None:
        answer = Answer(schema=SCHEMA, ts=timestamp(time.time()), id=request_id, ok=error is UNSET, result=result, error=error)
        self._transport.respond(verb, msgspec.json.encode(answer))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _decode(payload: bytes, shape: type[S]) -> S:
    if len(payload) > MAX_REQUEST_BYTES:
        raise EdgefaceError(f"the request is over {MAX_REQUEST_BYTES // 2**20} MB")
    try:
        return msgspec.json.decode(payload, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise EdgefaceError(f"malformed request: {error}") from None


def _id(payload: bytes) -> str | None:
    try:
        return _decode(payload, BareRequest).id
    except EdgefaceError:
        return None


def _photo(text: str) -> Image:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("image is not base64") from None
    if not data.startswith(b"\xff\xd8\xff"):
        raise ImageError("image is not a JPEG")
    return decode_photo(data, "image")
