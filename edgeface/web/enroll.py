"""Enrolls a person whom the page tells what to do beside the live picture."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgeface.enrollment.guidance import Guidance
from edgeface.errors import EdgefaceError
from edgeface.gallery.names import clean_name
from edgeface.operations.context import Job
from edgeface.operations.enroll import Enrollment
from edgeface.operations.registry import ENROLL
from edgeface.web.context import ACTOR, Site
from edgeface.web.enrolling import Enrolling
from edgeface.web.filters import capitalize_first
from edgeface.web.people import how_known, read_people
from edgeface.wire.commands import EnrollRequest

POLL = 8.0
"""Seconds that a question waits for something new to tell."""
LONGEST = 120.0
"""Seconds that an enrollment lasts at most."""


async def enroll(request: Request) -> Response:
    """The view."""
    site: Site = request.app.state.site
    people = await site.with_gallery(lambda gallery: gallery.people())
    return site.page(request, "enroll.html", people=people, name=request.query_params.get("name", "")[:100])


async def start(request: Request) -> Response:
    """Begin; one at a time."""
    site: Site = request.app.state.site
    enrolling = Enrolling(site.moved.ring)
    try:
        name, force = clean_name(request.query_params.get("name", "")), request.query_params.get("force") == "yes"
        wanted = EnrollRequest(name=name, timeout=LONGEST, force=force)
        job = enrolling.job = site.daemon.jobs.submit(ENROLL, wanted, ACTOR, tell=enrolling.guide)
    except EdgefaceError as error:
        return JSONResponse({"ok": False, "text": f"{error}."}, 409)
    job.result.add_done_callback(lambda _: site.moved.ring())
    enrolling.heard(job)
    site.enrolling = enrolling
    return JSONResponse({"ok": True, "id": enrolling.key})


async def state(request: Request) -> Response:
    """Tell what to do, once it is something else than step ``after``; in the end, what became of it."""
    site: Site = request.app.state.site
    found, after = _asked(site, request), request.query_params.get("after", "")
    if found is None:
        return JSONResponse({"done": True, "ok": False, "text": "This enrollment is over."})
    enrolling, job = found
    enrolling.heard(job)

    def news() -> bool | None:
        told = enrolling.guidance
        return site.closing or job.result.done() or (told is not None and step(told) != after) or None

    await site.moved.wait(news, POLL)
    if job.result.done():
        return JSONResponse({"done": True, **await _outcome(site, job)})
    told = enrolling.guidance
    if told is None:
        return JSONResponse({"done": False, "step": "", "text": "Waiting for the camera", "taken": 0, "most": 9})
    return JSONResponse({"done": False, "step": step(told), "text": told.text, "taken": told.taken, "most": told.most})


def step(told: Guidance) -> str:
    """Return what differs from one step of an enrollment to the next."""
    return f"{told.taken} {told.text}"


async def finish(request: Request) -> Response:
    """End with the views that there are; with ``?cancel`` nobody is enrolled."""
    if found := _asked(request.app.state.site, request):
        _, job = found
        if "cancel" in request.query_params:
            job.result.cancel()
        job.enough = True
    return JSONResponse({"ok": True})


def _asked(site: Site, request: Request) -> tuple[Enrolling, Job[EnrollRequest, Enrollment]] | None:
    """Return the enrollment that a request is about, if it is the one under way."""
    enrolling = site.enrolling
    if enrolling is None or enrolling.job is None or request.query_params.get("id") != enrolling.key:
        return None
    return enrolling, enrolling.job


async def _outcome(site: Site, job: Job[EnrollRequest, Enrollment]) -> dict[str, Any]:
    if job.result.cancelled():
        return {"ok": False, "text": "Cancelled. Nothing was kept."}
    if error := job.result.exception():
        return {"ok": False, "text": f"Nothing was kept: {error}."}
    done = job.result.result()
    cards = await site.with_gallery(lambda gallery: read_people(site, gallery))
    told = [how_known(card) for card in cards if card.id == done.id]
    if done.assessment is not None and done.assessment.told:
        told.append(f"{capitalize_first(done.assessment.told)}.")
    return {"ok": True, "text": " ".join(told)}


ROUTES = [
    Route("/enroll", enroll),
    Route("/enroll/start", start, methods=["POST"]),
    Route("/enroll/state", state),
    Route("/enroll/finish", finish, methods=["POST"]),
]
