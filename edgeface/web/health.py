"""Health: what status and doctor say, and every setting with its origin."""

import asyncio
import re
from dataclasses import replace
from itertools import groupby

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgeface import config
from edgeface.doctor import CHECKS, Check, examine
from edgeface.errors import EdgefaceError
from edgeface.web.live import describe
from edgeface.web.site import Site


async def health(request: Request) -> Response:
    """The view; with ``?check`` every precondition is checked first."""
    site: Site = request.app.state.site
    told = site.daemon.report()
    checks: list[Check] = []
    if "check" in request.query_params and not site.checking:
        site.checking = True
        try:
            checks = await asyncio.to_thread(
                lambda: list(examine(site.daemon.file, site.daemon.model, CHECKS.keys() - {"camera"}))
            )
        finally:
            site.checking = False
    try:
        settings = [shown(row) for row in config.settings(site.daemon.file)]
    except EdgefaceError:  # the file is broken now; status says so after a reload, and check before it
        settings = []
    sections = [(name, list(rows)) for name, rows in groupby(settings, key=lambda row: row.section)]
    return site.page(request, "health.html", told=told, facts=describe(told), checks=checks, sections=sections)


def shown(row: config.Setting) -> config.Setting:
    """A setting as it may be read on a screen: its value as TOML, without a password in an address."""
    value = re.sub(r"(?<=://)[^/@\s]*@", "…@", row.value) if isinstance(row.value, str) else row.value
    return replace(row, value=msgspec.json.encode(value).decode())


ROUTES = [Route("/health", health)]
