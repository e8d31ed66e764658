"""Commands over MQTT: a request that anybody may have sent -> work between two frames -> one answer."""

import base64
import binascii
import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from edgeface.config import schema
from edgeface.enrollment.enroller import Enroller, Report
from edgeface.enrollment.session import EnrollmentSession
from edgeface.errors import FAILED_INSIDE, CameraError, EdgefaceError, ImageError
from edgeface.gallery.audit import Audit
from edgeface.gallery.store import Gallery
from edgeface.interfaces import CommandTransport
from edgeface.operations import audited
from edgeface.operations.jobs import SOMEBODY_ELSE
from edgeface.platform.rate_limit import RateLimit
from edgeface.types import MAX_REQUEST_BYTES, Frame, Image, NoFrame, Request
from edgeface.vision.images import decode_photo, encode_jpeg
from edgeface.wire.commands import (
    Answer,
    BareRequest,
    Enrolled,
    EnrollRequest,
    ForgetRequest,
    ListedPerson,
    People,
    PeopleRequest,
    Refused,
    RenameRequest,
    Snapshot,
    SnapshotRequest,
)
from edgeface.wire.fields import SCHEMA, NamedPerson, timestamp

log = logging.getLogger(__name__)

MAX_WAITING_BYTES = 4 * MAX_REQUEST_BYTES
"""Of photos that wait to be looked at, one after the other."""
SNAPSHOT_SIDE = 1280
PATIENCE = 10.0
"""Seconds that a snapshot waits for a frame."""


Moment: TypeAlias = Frame | NoFrame
Work: TypeAlias = Generator[None, Any, Struct]
"""Work that needs the camera: sent every moment until it returns its result."""


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be asked for: how it is asked, what comes back, and the work, done at once or over moments."""

    request: type[BareRequest]
    result: type[Struct]
    work: Callable[["Commands", Any], Struct | Work]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    verb: str
    id: str | None
    work: Work


class Commands:
    """Serves the commands that the settings allow, in the daemon's loop.

    A request that is malformed, too large, not allowed or one too many is answered with its error; nothing that a request
    holds ends the loop.
    """

    def __init__(
        self,
        settings: schema.CommandsSettings,
        transport: CommandTransport,
        enroller: Enroller,
        gallery: Gallery,
        camera: str,
        audit: Audit,
        session: Lock,
    ) -> None:
        self._allow, self._transport = settings.allow, transport
        self._enroller, self._gallery, self._camera, self._audit = enroller, gallery, camera, audit
        self._rate = RateLimit(settings.per_minute)
        self._session = session
        self._jobs: list[_Job] = []
        self._photos: deque[EnrollRequest] = deque()
        self._decoder = ThreadPoolExecutor(1, "mqtt-photo")

    def serve(self, moment: Moment) -> None:
        """Take up what came in, and go on with what takes several moments."""
        for request in self._transport.requests():
            self._start(request)
        for job in tuple(self._jobs):
            self._go_on(job, moment)

    def close(self, reason: str = "the daemon is stopping") -> None:
        """Tell those who still wait that nothing comes any more, and why."""
        for job in self._jobs:
            job.work.close()
            self._answer(job.verb, job.id, error=reason)
        self._jobs.clear()
        self._decoder.shutdown(wait=False, cancel_futures=True)

    def _start(self, request: Request) -> None:
        request_id = _id(request.payload)
        if not self._rate.allows(time.monotonic()):  # not worth a line in the log: there may be many
            self._respond(request.verb, request_id, error=f"too many requests: commands.per_minute is {self._rate.per_minute}")
            return
        with self._refusing(request.verb, request_id):
            verb = VERBS.get(request.verb)
            if verb is None:
                raise EdgefaceError(f"there is no such command; there are {', '.join(VERBS)}")
            if request.verb not in self._allow:
                raise EdgefaceError("not allowed: commands.allow in the settings does not name it")
            outcome = verb.work(self, _decode(request.payload, verb.request))
            if isinstance(outcome, Generator):
                job = _Job(request.verb, request_id, outcome)
                self._jobs.append(job)
                self._go_on(job, None)
            else:
                self._answer(request.verb, request_id, result=outcome)

    def _go_on(self, job: _Job, moment: Moment | None) -> None:
        with self._refusing(job.verb, job.id):
            try:
                job.work.send(moment)  # none is the first
            except StopIteration as end:
                self._jobs.remove(job)
                self._answer(job.verb, job.id, result=end.value)
            except BaseException:
                self._jobs.remove(job)
                raise

    @contextmanager
    def _refusing(self, verb: str, request_id: str | None) -> Generator[None, None, None]:
        """Let an error be the answer."""
        try:
            yield
        except EdgefaceError as error:
            self._answer(verb, request_id, error=" ".join(str(error).split()))
        except Exception:  # a stranger's bytes must not stop the daemon, whatever they have found
            log.exception("the command %r failed", verb)
            self._answer(verb, request_id, error=FAILED_INSIDE)

    def _answer(
        self, verb: str, request_id: str | None, *, result: Struct | UnsetType = UNSET, error: str | UnsetType = UNSET
    ) -> None:
        """The one place that knows how every command ended. Errors have names in them, which stay out of the log."""
        log.info("command %r: %s", verb, "done" if error is UNSET else "refused, as its answer says")
        self._respond(verb, request_id, result=result, error=error)

    def _respond(
        self, verb: str, request_id: str | None, *, result: Struct | UnsetType = UNSET, error: str | UnsetType = UNSET
    ) -> None:
        answer = Answer(schema=SCHEMA, ts=timestamp(time.time()), id=request_id, ok=error is UNSET, result=result, error=error)
        self._transport.respond(verb, msgspec.json.encode(answer))

    def _enroll(self, request: EnrollRequest) -> Struct | Work:
        if request.image is None:
            return self._sit(request)
        if sum(len(waiting.image or "") for waiting in (*self._photos, request)) > MAX_WAITING_BYTES:
            raise EdgefaceError("busy: other photos wait to be looked at; ask again")
        self._photos.append(request)
        return self._look_at(request)

    def _look_at(self, request: EnrollRequest) -> Work:
        """Enroll the face of a photo, once those before it are done; it is decoded elsewhere, for that takes its time."""
        try:
            while self._photos[0] is not request:
                yield
            decoding = self._decoder.submit(_photo, request.image or "")
            while not decoding.done():
                yield
            images = [("image", decoding.result())]
            return self._enrolled(
                audited.enroll(self._audit, self._enroller, request.name, images, force=request.force, by=audited.MQTT)
            )
        finally:
            self._photos.remove(request)

    def _sit(self, request: EnrollRequest) -> Work:
        if not self._session.acquire(blocking=False):
            raise EdgefaceError(SOMEBODY_ELSE)
        try:
            sitting = EnrollmentSession(
                self._enroller, request.name, most=request.count, timeout=request.timeout, force=request.force, varied=False
            )
            while not sitting.complete:
                sitting.look((yield))
        finally:
            self._session.release()
        return self._enrolled(
            audited.enroll_views(self._audit, self._enroller, request.name, sitting.end(), force=request.force, by=audited.MQTT)
        )

    def _enrolled(self, report: Report) -> Enrolled:
        if report.person is None:
            raise ImageError("nobody was enrolled: " + "; ".join(reason for _, reason in report.refused))
        refused = [Refused(path, reason) for path, reason in report.refused]
        return Enrolled(report.person.id, report.person.name, report.person.templates, report.accepted, refused)

    def _rename(self, request: RenameRequest) -> Struct:
        person = audited.rename(self._audit, self._gallery, request.person, request.name, by=audited.MQTT)
        return NamedPerson(person.id, person.name)

    def _forget(self, request: ForgetRequest) -> Struct:
        person = audited.forget(self._audit, self._gallery, request.person, by=audited.MQTT)
        return NamedPerson(person.id, person.name)

    def _people(self, _request: BareRequest) -> Struct:
        people = self._gallery.people()
        return People([ListedPerson(one.id, one.name, one.templates, timestamp(one.enrolled)) for one in people])

    def _snapshot(self, _request: BareRequest) -> Work:
        moment = yield
        deadline = moment.time + PATIENCE
        while isinstance(moment, NoFrame):
            if moment.lost or moment.time > deadline:
                raise CameraError(f"no frame: {moment.lost or 'the camera is silent'}")
            moment = yield
        jpeg, (width, height) = encode_jpeg(moment.image, SNAPSHOT_SIDE)
        image = base64.b64encode(jpeg).decode()
        return Snapshot(camera=self._camera, taken=timestamp(moment.wall), width=width, height=height, image=image)


VERBS = {
    "enroll": Verb(EnrollRequest, Enrolled, Commands._enroll),
    "rename": Verb(RenameRequest, NamedPerson, Commands._rename),
    "forget": Verb(ForgetRequest, NamedPerson, Commands._forget),
    "people": Verb(PeopleRequest, People, Commands._people),
    "snapshot": Verb(SnapshotRequest, Snapshot, Commands._snapshot),
}


def _decode(payload: bytes, shape: type[BareRequest]) -> BareRequest:
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
