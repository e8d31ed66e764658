"""Shows the status and the doctor's checks."""

import asyncio
import sys

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgeface.config import load
from edgeface.doctor import CHECKS, Check
from edgeface.web.context import PageContext, ServedDaemon
from edgeface.web.language import current
from edgeface.web.live import describe
from edgeface.wire.doubt import counted

DOCTOR_TIMEOUT = 60.0
"""Seconds for the checks."""


async def health(context: PageContext, request: Request) -> Response:
    """Show the view; with ``?check`` run the checks first."""
    status = context.daemon.status()
    checks: list[Check] = []
    if "check" in request.query_params and not context.checking:
        context.checking = True
        try:
            checks = await run_doctor(context.daemon)
        finally:
            context.checking = False
    of_cameras = {one["name"]: describe(status, one["name"]) for one in status.get("cameras", ())}
    told = {"status": status, "facts": describe(status), "of_cameras": of_cameras, "checks": checks}
    return context.render(request, "health.html", **told, unnamed=counted(status.get("unnamed", {}), current()))


async def run_doctor(daemon: ServedDaemon) -> list[Check]:
    """Run ``edgeface doctor``, but for the camera, which is in use, and return its checks.

    It runs in a process of its own: closing its copy of the gallery in this one would end our locks on the file; see sqlite.py.
    """
    file = load.find(daemon.file)
    words = ["-m", "edgeface", *(["--config", str(file)] if file else []), "--model", str(daemon.model), "doctor", "--json"]
    only = ",".join(name for name in CHECKS if name != "camera")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, "--only", only, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(DOCTOR_TIMEOUT):
            output, _ = await process.communicate()
        return msgspec.json.decode(output, type=dict[str, list[Check]])["checks"]
    except (TimeoutError, msgspec.MsgspecError, KeyError):
        return [Check("doctor", False, "it gave no answer", "run edgeface doctor on the device")]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
