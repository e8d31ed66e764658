"""Leads whoever opens the page first through three steps: the camera, the first person, what comes next."""

from starlette.requests import Request
from starlette.responses import Response

from edgeface.web.context import PageContext
from edgeface.web.live import describe


async def welcome(context: PageContext, request: Request) -> Response:
    status = context.daemon.status()
    people = await context.with_gallery(lambda gallery: gallery.people())
    done = {"camera": status["camera_state"] == "ok", "person": bool(people)}
    step = next((name for name, over in done.items() if not over), "next")
    return context.render(
        request,
        "welcome.html",
        facts=describe(status, context.camera(request).name),
        done=done,
        step=step,
        people=people,
        broker=status["broker"],
    )
