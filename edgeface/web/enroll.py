"""Enroll: told what to do beside the live picture, or from photos."""

import time
from concurrent.futures import Future
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgeface.enrollment.enroller import Report
from edgeface.enrollment.guidance import Guidance
from edgeface.errors import EdgefaceError
from edgeface.gallery.names import clean_name
from edgeface.web.context import Site
from edgeface.web.filters import capitalize_first
from edgeface.web.people import how_known, read_people
from edgeface.web.session import Session

POLL = 8.0
"""Seconds that a question waits for something new to tell."""


async def enroll(request: Request) -> Response:
    """The view."""
    site: Site = request.app.state.site
    people = await site.with_gallery(lambda gallery: gallery.people())
    return site.page(request, "enroll.html", people=people, name=request.query_params.get("name", "")[:100])


async def start(request: Request) -> Response:
    """Begin a sitting; one at a time."""
    site: Site = request.app.state.site
    try:
        force = request.query_params.get("force") == "yes"
        session = Session(clean_name(request.query_params.get("name", "")), site.config, site.moved.ring, force)
        session.outcome = site.daemon.window.sit(session.work)
        session.outcome.add_done_callback(lambda _: site.moved.ring())
    except EdgefaceError as error:
        return JSONResponse({"ok": False, "text": f"{error}."}, 409)
    site.sitting = session
    return JSONResponse({"ok": True, "id": session.key})


async def state(request: Request) -> Response:
    """What to tell the sitter, once it is something else than step ``after``; in the end, what became of it."""
    site: Site = request.app.state.site
    session, after = site.sitting, request.query_params.get("after", "")
    if session is None or session.outcome is None or request.query_params.get("id") != session.key:
        return JSONResponse({"done": True, "ok": False, "text": "This sitting is over."})
    outcome, session.asked = session.outcome, time.monotonic()

    def news() -> bool | None:
        told = session.guidance
        return site.closing or outcome.done() or (told is not None and step(told) != after) or None

    await site.moved.wait(news, POLL)
    if outcome.done():
        return JSONResponse({"done": True, **await _outcome(site, outcome)})
    told = session.guidance
    if told is None:
        return JSONResponse({"done": False, "step": "", "text": "Waiting for the camera", "taken": 0, "most": 9})
    return JSONResponse({"done": False, "step": step(told), "text": told.text, "taken": told.taken, "most": told.most})


def step(told: Guidance) -> str:
    """What tells one step of a sitting from the next."""
    return f"{told.taken} {told.text}"


async def finish(request: Request) -> Response:
    """End a sitting with the views that there are; with ``?cancel`` nobody is enrolled."""
    site: Site = request.app.state.site
    session = site.sitting
    if session is not None and session.outcome is not None and request.query_params.get("id") == session.key:
        if "cancel" in request.query_params and not session.keeping:
            session.outcome.cancel()
        session.enough = True
    return JSONResponse({"ok": True})


async def _outcome(site: Site, outcome: "Future[Report]") -> dict[str, Any]:
    if outcome.cancelled():
        return {"ok": False, "text": "Cancelled. Nothing was kept."}
    if error := outcome.exception():
        return {"ok": False, "text": f"Nothing was kept: {error}."}
    person, assessment = outcome.result().person, outcome.result().assessment
    if person is None:
        return {"ok": False, "text": "Nothing was kept."}
    cards = await site.with_gallery(lambda gallery: read_people(site, gallery))
    told = [how_known(card) for card in cards if card.id == person.id]
    if assessment is not None and assessment.told:
        told.append(f"{capitalize_first(assessment.told)}.")
    return {"ok": True, "text": " ".join(told)}


ROUTES = [
    Route("/enroll", enroll),
    Route("/enroll/start", start, methods=["POST"]),
    Route("/enroll/state", state),
    Route("/enroll/finish", finish, methods=["POST"]),
]
