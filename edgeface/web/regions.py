"""Shows the view in which a mask or a zone is drawn on the live picture."""

from starlette.requests import Request
from starlette.responses import Response

from edgeface.web.context import PageContext
from edgeface.web.live import describe


async def regions(context: PageContext, request: Request) -> Response:
    return context.render(request, "regions.html", facts=describe(context.daemon.status(), context.camera(request).name))
