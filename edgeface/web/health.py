"""Health: what status and doctor say, and every setting with its origin."""

import asyncio
import sys
from dataclasses import replace
from itertools import groupby

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgeface.config import load
from edgeface.doctor import CHECKS, Check
from edgeface.errors import EdgefaceError
from edgeface.web.context import Daemon, Site
from edgeface.web.live import describe

PATIENCE = 60.0
"""Seconds for the checks."""


async def health(request: Request) -> Response:
    """The view; with ``?check`` every precondition is checked first."""
    site: Site = request.app.state.site
    told = site.daemon.report()
    checks: list[Check] = []
    if "check" in request.query_params and not site.checking:
        site.checking = True
        try:
            checks = await examined(site.daemon)
        finally:
            site.checking = False
    try:
        settings = [shown(row) for row in load.settings(site.daemon.file)]
    except EdgefaceError:  # the file is broken now; status says so after a reload, and check before it
        settings = []
    sections = [(name, list(rows)) for name, rows in groupby(settings, key=lambda row: row.section)]
    return site.page(request, "health.html", told=told, facts=describe(told), checks=checks, sections=sections)


async def examined(daemon: Daemon) -> list[Check]:
    """What ``edgeface doctor`` finds, but for the camera, which is in use: as a process, which may take time and memory.

    Its copy of the gallery, made in this process, would cost us our locks on the file; see sqlite.py.
    """
    file = load.find(daemon.file)
    words = ["-m", "edgeface", *(["--config", str(file)] if file else []), "--model", str(daemon.model), "doctor", "--json"]
    only = ",".join(name for name in CHECKS if name != "camera")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, "--only", only, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
        return msgspec.json.decode(output, type=dict[str, list[Check]])["checks"]
    except (TimeoutError, msgspec.MsgspecError, KeyError):
        return [Check("doctor", False, "it gave no answer", "run edgeface doctor on the device")]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def shown(row: load.Setting) -> load.Setting:
    """A setting as it may be read on a screen: its value as TOML."""
    return replace(row, value=msgspec.json.encode(row.value).decode())


ROUTES = [Route("/health", health)]
