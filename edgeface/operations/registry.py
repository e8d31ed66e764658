"""What can be asked of a gallery: by the command line of it directly, and of the daemon through its socket."""

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from edgeface.config.schema import Config
from edgeface.enrollment.assessment import assess
from edgeface.enrollment.enroller import Enroller, Report
from edgeface.enrollment.gallery_check import check
from edgeface.enrollment.guidance import Guidance
from edgeface.enrollment.session import MOST, EnrollmentSession
from edgeface.errors import EdgefaceError, GalleryError
from edgeface.gallery import restore
from edgeface.gallery.audit import Audit
from edgeface.gallery.backup import Backups, Gentle, Listed
from edgeface.gallery.copies import Pause, go_on
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.names import clean_name
from edgeface.gallery.store import Gallery
from edgeface.operations import audited
from edgeface.operations.audited import By
from edgeface.operations.jobs import Desk, Steps
from edgeface.operations.verdicts import Outcome
from edgeface.recognition.matching import Matcher
from edgeface.types import Frame, Image, NoFrame
from edgeface.vision.model_card import ModelCard
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import timestamp

Text = Annotated[str, Meta(max_length=400)]
Photo = tuple[str, Image | EdgefaceError]
Inbox = SimpleQueue[Photo | None]
"""The photos of somebody, each with its label, and in the end None."""


Work = Generator[Any, Frame | NoFrame, Any]
"""Work that takes several moments: sent each of them, it yields what is to be told or None, and returns its result."""


@dataclass(frozen=True, slots=True, eq=False)
class Counter:
    """What the work is done with. Without an enrollment nobody can be enrolled."""

    settings: Config
    card: ModelCard
    gallery: Gallery
    audit: Audit
    enroller: Enroller | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What every request may have: nothing."""


class EnrollRequest(Request, frozen=True):
    """Enroll who sits before the camera."""

    name: Text
    most: Annotated[int, Meta(ge=1, le=20)] = MOST
    timeout: Annotated[float, Meta(ge=1, le=600)] = 60.0
    force: bool = False


class PhotosRequest(Request, frozen=True):
    """Enroll somebody from the photos that follow."""

    name: Text
    force: bool = False


class PersonRequest(Request, frozen=True):
    """Somebody, by id or name."""

    person: Text


class RenameRequest(PersonRequest, frozen=True):
    """Give a person another name."""

    name: Text


class EventsRequest(Request, frozen=True):
    """The events that are kept, of one person or of all."""

    person: Text | None = None


class RejectRequest(Request, frozen=True):
    """The face of an event is not whom it named."""

    event_id: Text
    force: bool = False


class ConfirmRequest(Request, frozen=True):
    """The face of an event is that person."""

    event_id: Text
    person: Text | None = None


class RestoreRequest(PersonRequest, frozen=True):
    """Take a person back from a backup: of a name or number, or the newest."""

    copy: Annotated[str, Meta(max_length=100, pattern=r"^[^/]*\Z")] | None = None


class DropRequest(Request, frozen=True):
    """Erase a template, or a damaged record."""

    template: Text


def _enroll(counter: Counter, request: EnrollRequest, by: By, _inbox: Inbox) -> Work:
    """A sitting; it tells its guidance at every change."""
    enroller = _enroller(counter)
    sitting = EnrollmentSession(enroller, request.name, most=request.most, timeout=request.timeout, force=request.force)
    told: dict[str, Any] | None = None
    last: Guidance | None = None
    while not sitting.complete:
        moment = yield told
        guidance = sitting.look(moment)
        fresh = last is None or (guidance.text, guidance.taken) != (last.text, last.taken)
        told, last = (asdict(guidance) if fresh else None), guidance
    report = audited.enroll_views(counter.audit, enroller, request.name, sitting.end(), force=request.force, by=by)
    return _assessed(counter, enroller, report, request.name)


def _photos(counter: Counter, request: PhotosRequest, by: By, inbox: Inbox) -> Work:
    """One photo a moment; it tells what became of each, and keeps all in the end, or nothing."""
    enroller, report, name = _enroller(counter), Report(), clean_name(request.name)
    told = None
    while True:
        yield told
        told = None
        try:
            photo = inbox.get_nowait()
        except Empty:
            continue
        if photo is None:
            break
        reason = enroller.add(report, name, *photo, force=request.force)
        told = {"photo": photo[0], "reason": reason}
    if report.views:
        kept = audited.enroll_views(
            counter.audit, enroller, name, report.views, force=request.force, by=by, refused=len(report.refused)
        )
        report.person = kept.person
    return _assessed(counter, enroller, report, name)


def _people(counter: Counter, _request: Request, _by: By, _inbox: Inbox) -> Any:
    people = counter.gallery.people()
    return {"people": [{**asdict(person), "enrolled": timestamp(person.enrolled)} for person in people]}


def _rename(counter: Counter, request: RenameRequest, by: By, _inbox: Inbox) -> Any:
    person = audited.rename(counter.audit, counter.gallery, request.person, request.name, by=by)
    return {"id": person.id, "name": person.name}


def _forget(counter: Counter, request: PersonRequest, by: By, _inbox: Inbox) -> Any:
    person = audited.forget(counter.audit, counter.gallery, request.person, by=by)
    told: dict[str, Any] = {"id": person.id, "name": person.name}
    if counter.enroller is None:  # else the daemon sees to its backups by itself
        backups = Backups(counter.settings)
        try:
            left = backups.erase_forgotten()
        except GalleryError:  # such as while the daemon makes one, which erases them in the end
            left = [str(backups.folder)]
        told |= {"left_in": left} if left else {}
    return told


def _events(counter: Counter, request: EventsRequest, _by: By, _inbox: Inbox) -> Any:
    gallery = counter.gallery
    wanted = gallery.find(request.person).id if request.person else None
    names = {known.id: known.name for known in gallery.people()}
    kept = [event for event in gallery.events.all() if wanted in (None, event.person_id)]
    return {"events": [kept_event_payload(event, names) for event in kept]}


def kept_event_payload(event: KeptEvent, names: Mapping[str, str]) -> dict[str, Any]:
    """An event that waits for a verdict, without its embedding; ``names`` are those of the people by id."""
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "ts": timestamp(event.wall),
        "camera": event.camera,
        "person_id": event.person_id,
        "name": names.get(event.person_id or ""),
        "score": round(event.score, DIGITS["score"]),
        "quality": round(event.quality, DIGITS["quality"]),
        "verdict": event.verdict,
    }


def _reject(counter: Counter, request: RejectRequest, by: By, _inbox: Inbox) -> Any:
    settings = counter.settings.matching
    return _judged(
        "rejected", audited.reject(counter.audit, counter.gallery, settings, request.event_id, force=request.force, by=by)
    )


def _confirm(counter: Counter, request: ConfirmRequest, by: By, _inbox: Inbox) -> Any:
    settings = counter.settings.matching
    return _judged(
        "confirmed",
        audited.confirm(counter.audit, counter.gallery, counter.card, settings, request.event_id, request.person, by=by),
    )


def _check(counter: Counter, _request: Request, _by: By, _inbox: Inbox) -> Any:
    templates = counter.gallery.templates().by_name()
    matcher = Matcher(templates, counter.card, counter.settings.matching)
    findings = check(templates, matcher, counter.gallery.damage())
    beyond = counter.card.beyond_measured(counter.settings.matching.target_fpir, len(templates.vectors))
    return {"people": len(templates.people), "findings": [asdict(finding) for finding in findings], "threshold": beyond}


def _drop(counter: Counter, request: DropRequest, by: By, _inbox: Inbox) -> Any:
    person = audited.drop(counter.audit, counter.gallery, request.template, by=by)
    if person is None:
        return {"id": None, "name": None, "templates": 0}
    return {"id": person.id, "name": person.name, "templates": person.templates}


def _backup(counter: Counter, _request: Request, by: By, _inbox: Inbox) -> Work:
    backups = Backups(counter.settings)
    made = yield from _elsewhere(lambda: audited.backup(counter.audit, backups, _pause(counter), by=by))
    return {"backup": made and _copy_payload(made.new), "damaged": list(made.damaged) if made else []}


def _backups(counter: Counter, _request: Request, _by: By, _inbox: Inbox) -> Work:
    return (yield from _elsewhere(lambda: listed(counter.settings, _pause(counter))))


def _restore(counter: Counter, request: RestoreRequest, by: By, _inbox: Inbox) -> Work:
    backups = Backups(counter.settings)
    copy, document = yield from _elsewhere(lambda: restore.person(backups, counter.card, request.copy, request.person))
    done = audited.restore_person(counter.audit, counter.gallery, copy, document, by=by)
    return {"id": done.person.id, "name": done.person.name, "new": done.new, "added": done.added, "copy": copy}


def _pause(counter: Counter) -> Pause:
    return Gentle(rest=1.0) if counter.enroller else go_on  # beside the daemon's loop, or alone


def _elsewhere(work: Callable[[], Any]) -> Work:
    """Have something done that takes its time, in a thread, while the moments go on."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="errand", daemon=True).start()
    while not done.done():
        yield None
    return done.result()


def listed(settings: Config, pause: Pause = go_on) -> dict[str, Any]:
    """The backups, the newest first, for people and programs."""
    backups = Backups(settings)
    return {"folder": str(backups.folder), "backups": [_copy_payload(one) for one in backups.listing(pause)]}


def _copy_payload(one: Listed) -> dict[str, Any]:
    contents = one.contents
    return {
        "number": one.copy.number,
        "file": one.copy.path.name,
        "date": timestamp(one.copy.wall),
        "bytes": one.size,
        "people": contents and contents.people,
        "templates": contents and contents.templates,
        "model": contents and contents.model,
        "state": one.state,
    }


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be asked for: the shape of the request, and the work, done at once or over moments."""

    request: type[Request]
    work: Callable[[Counter, Any, By, Inbox], Any | Work]


VERBS = {
    "enroll": Verb(EnrollRequest, _enroll),
    "photos": Verb(PhotosRequest, _photos),
    "people": Verb(Request, _people),
    "rename": Verb(RenameRequest, _rename),
    "forget": Verb(PersonRequest, _forget),
    "events": Verb(EventsRequest, _events),
    "reject": Verb(RejectRequest, _reject),
    "confirm": Verb(ConfirmRequest, _confirm),
    "check": Verb(Request, _check),
    "drop": Verb(DropRequest, _drop),
    "backup": Verb(Request, _backup),
    "backups": Verb(Request, _backups),
    "restore": Verb(RestoreRequest, _restore),
}


def prepare(verb: str, fields: dict[str, Any], by: By = None, inbox: Inbox | None = None) -> Callable[[Counter], Any | Work]:
    """The work of a request, checked before anything is done.

    Raises:
        EdgefaceError: there is no such verb, or the request has not its shape.
    """
    if verb not in VERBS:
        raise EdgefaceError(f"the verbs are {', '.join(VERBS)}")
    try:
        request = msgspec.convert(fields, VERBS[verb].request)
    except msgspec.ValidationError as error:
        raise EdgefaceError(f"malformed request: {error}") from None
    return lambda counter: VERBS[verb].work(counter, request, by, inbox or SimpleQueue())


def steps(
    work: Callable[[Counter], Any | Work], settings: Config, card: ModelCard, tell: Callable[[Any], None]
) -> Callable[[Desk], Steps]:
    """The work for the daemon's loop, whose thread calls ``tell``."""

    def run(desk: Desk) -> Steps:
        outcome = work(Counter(settings, card, desk.gallery, desk.audit, desk.enroller))
        if not isinstance(outcome, Generator):
            return outcome
        try:
            next(outcome)
            while True:
                told = outcome.send((yield))
                if told is not None:
                    tell(told)
        except StopIteration as end:
            return end.value
        finally:
            outcome.close()

    return run


def _enroller(counter: Counter) -> Enroller:
    if counter.enroller is None:
        raise EdgefaceError("nobody can be enrolled here")
    return counter.enroller


def _assessed(counter: Counter, enroller: Enroller, report: Report, name: str) -> dict[str, Any]:
    if report.person:
        report.assessment = assess(enroller.pipeline, counter.settings, report.person, report.views)
    return report.payload(name)


def _judged(verdict: str, outcome: Outcome) -> dict[str, Any]:
    person = outcome.person
    return {
        "event_id": outcome.event_id,
        "verdict": verdict,
        "person_id": person.id,
        "name": person.name,
        "added": outcome.added,
        "told": outcome.told,
    }
