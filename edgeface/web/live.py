"""Shows the live picture and its faces, and streams the daemon's state to every view."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import astuple
from datetime import datetime
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from edgeface.operations.live_view import LivePicture
from edgeface.platform.text import duration
from edgeface.types import TrackedFace
from edgeface.vision.images import encode_jpeg
from edgeface.web.context import Known, PageContext
from edgeface.web.filters import capitalize_first, moment, number
from edgeface.web.language import _, current, said
from edgeface.web.visits import Wanted, read_visits

PICTURE_SIDE = 800
POLL, BETWEEN = 8.0, 5.0
"""Seconds that a request waits for a picture, and until the next request; the loop leaves its pictures for their sum."""
MAX_FACES = 20
MAX_STREAMS = 24
TICK, SILENCE = 1.0, 15.0
"""Seconds between two looks at the state, and without a message until one is sent to keep the connection."""
RECENT = 12
"""Visits beside the picture."""


async def live(context: PageContext, request: Request) -> Response:
    facts = describe(context.daemon.status(), context.camera(request).name)
    visits = await context.with_gallery(lambda gallery: read_visits(context, gallery, Wanted(), limit=RECENT)[0])
    first = not (await context.known()).names
    return context.render(request, "live.html", facts=facts, visits=visits, first=first)


async def recent(context: PageContext, request: Request) -> Response:
    visits = await context.with_gallery(lambda gallery: read_visits(context, gallery, Wanted(), limit=RECENT)[0])
    return context.render(request, "recent.html", visits=visits)


async def picture(context: PageContext, request: Request) -> Response:
    """Return the newest picture as a JPEG, once its number is not ``after``; the header ``x-view`` has its faces."""
    after = request.query_params.get("after", "")
    camera = context.camera(request)
    live = context.live(camera)

    def newer() -> LivePicture | bool | None:
        now = live.picture
        return now if now is not None and str(now.number) != after else context.closing or None

    live.watch(POLL + BETWEEN, context.news.wake)
    shown = await context.news.wait(newer, POLL)
    if not isinstance(shown, LivePicture):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    jpeg = await context.jpeg(camera.name, shown, lambda: encode_jpeg(shown.frame.image, PICTURE_SIDE)[0])
    known = await context.known()
    height, width = shown.frame.image.shape[:2]
    view = {
        "number": shown.number,
        "width": width,
        "height": height,
        "ms": round(1000 * shown.seconds),
        "faces": [describe_face(tracked, known, width, height) for tracked in shown.faces[:MAX_FACES]],
    }
    return Response(jpeg, media_type="image/jpeg", headers={"x-view": json.dumps(view)})


def describe_face(tracked: TrackedFace, people: Known, width: int, height: int) -> dict[str, Any]:
    """Describe a face for the page: its box in per cent of the picture, the name, the probability, and the quality."""
    box, match = tracked.seen.face.box, tracked.seen.match
    known = people.names.get(tracked.person_id or "")
    fits = match is not None and match.person_id == tracked.person_id
    return {
        "box": [round(100 * part / whole, 2) for part, whole in zip(astuple(box), (width, height) * 2, strict=True)],
        "name": known,
        "ignored": tracked.person_id in people.ignored,
        "state": "known" if known else "looking" if tracked.person_id is None else "unknown",
        "sure": round(match.probability, 3) if match is not None and known and fits else None,
        "score": round(match.score, 2) if match is not None else None,
        "quality": round(tracked.seen.quality, 2),
        "track": tracked.track_id,
    }


async def stream(context: PageContext, request: Request) -> Response:
    """Stream the daemon's state as server-sent events, once a second; a client that does not read holds up nobody else."""
    if context.streams >= MAX_STREAMS:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, _("Too many pages are open."))

    camera = context.camera(request).name

    async def events() -> AsyncIterator[str]:
        if context.streams >= MAX_STREAMS:  # other requests passed the first check meanwhile
            return
        context.streams += 1
        try:
            sent, sent_at, going = "", time.monotonic(), True
            while going:
                facts = describe(context.daemon.status(), camera)
                message = json.dumps({"facts": facts, "version": (await context.known()).version})
                if message != sent:
                    sent, sent_at = message, time.monotonic()
                    yield f"data: {message}\n\n"
                elif time.monotonic() - sent_at > SILENCE:
                    sent_at = time.monotonic()
                    yield ": still here\n\n"
                going = await context.pause(TICK) and request.scope["admitted"]()
        finally:
            context.streams -= 1

    return StreamingResponse(events(), media_type="text/event-stream")


def describe(status: Mapping[str, Any], name: str = "") -> dict[str, str]:
    """Describe the daemon's status in words, by fact; of several cameras, those of the one of that name.

    ``state`` is the whole in one word, ``trouble`` is what is wrong, ``lost`` is why there is no picture, and what helps.
    """
    broker = status["broker"]
    one = next((one for one in status.get("cameras", ()) if one["name"] == name), None)
    state, reason = (one["state"], one["reason"]) if one else (status["camera_state"], status["camera_reason"])
    links = {"none": _("none"), "up": _("connected"), "down": _("not connected"), "connecting": _("connecting")}
    lost = state == "lost"
    camera = {"ok": _("on"), "starting": _("starting"), "lost": _("no picture"), "paused": _("paused")}[state]
    return {
        "state": "trouble" if status["troubles"] else "well",
        "trouble": "; ".join(map(said, status["troubles"])),
        "camera": camera,
        "paused": _paused(**status["pause"]) if "pause" in status else "",
        "lost": _lost(reason or "it gives no frames") if lost else "",
        "broker": links[broker["state"]] + (f", {broker['address']}" if broker["address"] else ""),
        "fps": _("{rate} frames/s", rate=current().number(float((one or status)["fps"]), 1)),
        "dropped": _(
            "{part} of {whole}",
            part=number(status["frames_dropped"]),
            whole=number(status["frames_seen"] + status["frames_dropped"]),
        ),
        "uptime": duration(status["uptime"] // 60 * 60) if status["uptime"] >= 60 else _("less than a minute"),
        "memory": f"{status['rss_mb']:.0f} MB",
        "temperature": _("not measured") if status["temperature"] is None else f"{status['temperature']:.0f} °C",
    }


def _paused(since: str, until: str | None, why: str) -> str:
    end = until and moment(datetime.fromisoformat(until).timestamp())
    return (_("Paused until {moment}", moment=end) if end else _("Paused until you resume")) + (why and f": {why}")


def _lost(reason: str) -> str:
    return f"{capitalize_first(said(reason))}. " + _(
        "Check the camera's cable, power and network. edgeface tries again by itself."
    )
