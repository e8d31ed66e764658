"""Enrolls a person: from the camera, or from photos."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from edgeface.config.schema import CameraSettings
from edgeface.enrollment.assessment import assess
from edgeface.enrollment.enroller import Assessment, Enroller, Report
from edgeface.enrollment.guidance import Guidance
from edgeface.enrollment.session import EnrollmentSession
from edgeface.errors import ImageError
from edgeface.interfaces import Tick
from edgeface.operations.context import OperationContext, Steps
from edgeface.operations.pause import refuse_paused
from edgeface.types import Face, Frame
from edgeface.wire.commands import Enrolled, EnrollRequest, PhotosRequest, Refused


@dataclass(frozen=True, slots=True)
class PhotoJudged:
    """The verdict on one photo: ``reason`` says why it was refused, ``None`` that it was accepted."""

    photo: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Enrollment:
    """The person who was enrolled, and each image that was accepted or refused; ``id`` is ``None`` if all were refused."""

    id: str | None
    name: str
    templates: int
    accepted: list[str]
    refused: list[Refused]
    assessment: Assessment | None = None

    @property
    def enrolled(self) -> Enrolled:
        """Return who was enrolled, for senders elsewhere; raise ``ImageError`` if all images were refused."""
        if self.id is None:
            raise ImageError("nobody was enrolled: " + "; ".join(refused.reason for refused in self.refused))
        return Enrolled(self.id, self.name, self.templates, self.accepted, self.refused)


def from_camera(context: OperationContext, request: EnrollRequest) -> Steps[Enrollment]:
    """Take views of the person before the camera; yield each change of the guidance."""
    job, enroller, config = context.job, context.enroller, context.config.of_camera(request.camera)
    assert job is not None
    session = EnrollmentSession(
        enroller,
        context.gallery.check_name(request.name),
        most=request.count,
        timeout=request.timeout,
        force=request.force,
        varied=request.guided,
    )
    before: Guidance | None = None
    progress: Guidance | None = None
    while not (session.complete or (job.enough and session.views)):
        tick = yield progress
        progress = None
        if tick.camera not in (None, config.camera.name):
            continue
        refuse_paused(tick.moment)
        guidance = session.look(tick.moment, _faces(enroller, config.camera, tick))
        changed = before is None or (guidance.text, guidance.taken) != (before.text, before.taken)
        before, progress = guidance, guidance if changed else None
    if session.complete and progress:
        job.tell(progress)
    report = Report(accepted=[view.label for view in session.end()], views=session.views)
    return _keep(replace(context, config=config), enroller, report, session.name, request)


def _faces(enroller: Enroller, camera: CameraSettings, tick: Tick) -> Sequence[Face] | None:
    """Return the faces of a camera's frame, by its own masks and zones, though the loop did not search it."""
    if tick.seen.faces is None and isinstance(tick.moment, Frame):
        return enroller.pipeline.search(tick.moment.image, camera).faces
    return tick.seen.faces


def from_photos(context: OperationContext, request: PhotosRequest) -> Steps[Enrollment]:
    """Judge one photo a round and yield the verdict; enroll the good ones, all together, in the end."""
    job, enroller, report, name = context.job, context.enroller, Report(), context.gallery.check_name(request.name)
    assert job is not None
    for photo in job.photos:
        if photo is None:
            yield None
        else:
            yield PhotoJudged(photo[0], enroller.add(report, name, *photo, force=request.force))
    return _keep(context, enroller, report, name, request)


def _keep(
    context: OperationContext, enroller: Enroller, report: Report, name: str, request: EnrollRequest | PhotosRequest
) -> Enrollment:
    refused = [Refused(path, reason) for path, reason in report.refused]
    if not report.views:
        return Enrollment(None, name, 0, report.accepted, refused)
    if context.job:
        context.job.commit()
    person = enroller.keep(name, report.views, force=request.force)
    context.note("enroll", person=person.id, images=len(report.views), refused=len(refused), force=request.force)
    assessment = None
    if request.assess:
        with suppress(KeyboardInterrupt):  # the person is enrolled, and the answer must say so
            assessment = assess(enroller.pipeline, context.config, person, report.views)
    return Enrollment(person.id, person.name, person.templates, report.accepted, refused, assessment)
