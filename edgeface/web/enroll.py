"""Enrolls a person from the camera, with guidance beside the live picture."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgeface.enrollment.guidance import Guidance
from edgeface.errors import EdgefaceError
from edgeface.gallery.names import clean_name
from edgeface.operations.context import Job
from edgeface.operations.enroll import Enrollment
from edgeface.operations.registry import ENROLL
from edgeface.web.context import ACTOR, Enrolling, PageContext
from edgeface.web.filters import capitalize_first
from edgeface.web.language import _, said
from edgeface.web.live import describe
from edgeface.web.person import how_known, read_card
from edgeface.wire.commands import EnrollRequest

POLL = 8.0
"""Seconds that a request for the state waits for a change."""
TIMEOUT = 120.0
"""Seconds that an enrollment lasts at most."""


async def enroll(context: PageContext, request: Request) -> Response:
    people = await context.with_gallery(lambda gallery: gallery.people())
    facts = describe(context.daemon.status(), context.camera(request).name)
    return context.render(request, "enroll.html", people=people, facts=facts, name=request.query_params.get("name", "")[:100])


async def start(context: PageContext, request: Request) -> Response:
    try:
        name, force = clean_name(request.query_params.get("name", "")), request.query_params.get("force") == "yes"
        camera = context.camera(request).name
        job = Job(ENROLL, EnrollRequest(name=name, timeout=TIMEOUT, force=force, camera=camera), ACTOR)
        enrolling = Enrolling(job, context.news.wake)
        context.daemon.jobs.submit(job)
    except EdgefaceError as error:
        return JSONResponse({"ok": False, "text": f"{said(error)}."}, 409)
    job.result.add_done_callback(lambda _: context.news.wake())
    enrolling.keep_alive()
    context.enrolling = enrolling
    return JSONResponse({"ok": True, "id": enrolling.key})


async def state(context: PageContext, request: Request) -> Response:
    """Return the guidance once it differs from step ``after``, and the result in the end."""
    enrolling, after = _current(context, request), request.query_params.get("after", "")
    if enrolling is None:
        return JSONResponse({"done": True, "ok": False, "text": _("This enrollment is over.")})
    job = enrolling.job
    enrolling.keep_alive()

    def changed() -> bool | None:
        now = enrolling.guidance
        return context.closing or job.result.done() or (now is not None and step(now) != after) or None

    await context.news.wait(changed, POLL)
    if job.result.done():
        return JSONResponse({"done": True, **await _outcome(context, job)})
    if now := enrolling.guidance:
        return JSONResponse({"done": False, "step": step(now), "text": instruction(now), "taken": now.taken, "most": now.most})
    return JSONResponse(
        {"done": False, "step": "", "text": capitalize_first(_("waiting for the camera")), "taken": 0, "most": 9}
    )


def instruction(guidance: Guidance) -> str:
    """Say the guidance in the page's language: an instruction, and the reason for it, if there is one."""
    words = guidance.hint.words
    _words, colon, reason = guidance.text.partition(f"{words}: ")
    return _(words) + (f": {said(reason)}" if colon else "") if guidance.text.startswith(words) else said(guidance.text)


def step(guidance: Guidance) -> str:
    return f"{guidance.taken} {guidance.text}"


async def finish(context: PageContext, request: Request) -> Response:
    """End an enrollment with the views taken until now; with ``?cancel`` nobody is enrolled."""
    if enrolling := _current(context, request):
        if "cancel" in request.query_params:
            enrolling.job.result.cancel()
        enrolling.job.enough = True
    return JSONResponse({"ok": True})


def _current(context: PageContext, request: Request) -> Enrolling | None:
    """Return the enrollment that a request names, if it is the current one."""
    enrolling = context.enrolling
    return enrolling if enrolling and request.query_params.get("id") == enrolling.key else None


async def _outcome(context: PageContext, job: Job[EnrollRequest, Enrollment]) -> dict[str, Any]:
    if job.result.cancelled():
        return {"ok": False, "text": _("Cancelled. Nothing was kept.")}
    if error := job.result.exception():
        return {"ok": False, "text": _("Nothing was kept: {reason}.", reason=said(error))}
    done = job.result.result()
    card = await context.with_gallery(lambda gallery: read_card(context, gallery, done.id or ""))
    sentences = [how_known(card)] if card else []
    if done.assessment is not None and done.assessment.told:
        sentences.append(f"{capitalize_first(said(done.assessment.told))}.")
    return {"ok": True, "text": " ".join(sentences)}
