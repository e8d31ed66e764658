"""Live: the picture and whom it shows, how the daemon is, and the stream that keeps every view up to date."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from edgeface.operations.live_view import LivePicture
from edgeface.platform.text import duration
from edgeface.types import TrackedFace
from edgeface.vision.images import encode_jpeg
from edgeface.web.context import Site
from edgeface.web.visits import read_visits

PICTURE_SIDE = 800
POLL, BETWEEN = 8.0, 5.0
"""Seconds that a request waits for a picture, and until the next request; so long the loop leaves its pictures."""
MAX_FACES = 20
MAX_STREAMS = 24
TICK, SILENCE = 1.0, 15.0
RECENT = 5


async def live(request: Request) -> Response:
    """The view."""
    site: Site = request.app.state.site
    facts = describe(site.daemon.report())
    visits = await site.with_gallery(lambda gallery: read_visits(site, gallery, limit=RECENT)[0])
    return site.page(request, "live.html", facts=facts, visits=visits)


async def recent(request: Request) -> Response:
    """The last visits, as a part of the view."""
    site: Site = request.app.state.site
    visits = await site.with_gallery(lambda gallery: read_visits(site, gallery, limit=RECENT)[0])
    return site.page(request, "recent.html", visits=visits)


async def picture(request: Request) -> Response:
    """The newest picture as a JPEG, once it is another than number ``after``; whom it shows stands in the header ``x-view``."""
    site: Site = request.app.state.site
    after = request.query_params.get("after", "")
    live = site.daemon.live

    def newer() -> LivePicture | bool | None:
        shown = live.picture
        return shown if shown is not None and str(shown.number) != after else site.closing or None

    live.watch(POLL + BETWEEN, site.moved.ring)
    found = await site.moved.wait(newer, POLL)
    return await _drawn(site, found) if isinstance(found, LivePicture) else Response(status_code=HTTPStatus.NO_CONTENT)


async def _drawn(site: Site, shown: LivePicture) -> Response:
    jpeg = await site.jpeg(shown, lambda: encode_jpeg(shown.frame.image, PICTURE_SIDE)[0])
    names = (await site.known()).names
    height, width = shown.frame.image.shape[:2]
    told = {
        "number": shown.number,
        "width": width,
        "height": height,
        "ms": round(1000 * shown.seconds),
        "faces": [describe_face(tracked, names, width, height) for tracked in shown.faces[:MAX_FACES]],
    }
    return Response(jpeg, media_type="image/jpeg", headers={"x-view": json.dumps(told)})


def describe_face(tracked: TrackedFace, names: Mapping[str, str], width: int, height: int) -> dict[str, Any]:
    """Describe a face for the page: its box in per cent of the picture, who it is, how sure that is, how good the view is."""
    box, match = tracked.seen.face.box, tracked.seen.match
    known = names.get(tracked.person_id or "")
    fits = match is not None and match.person_id == tracked.person_id
    return {
        "box": [round(100 * part / whole, 2) for part, whole in zip(
            (box.left, box.top, box.width, box.height), (width, height, width, height), strict=True
        )],
        "name": known,
        "state": "known" if known else "looking" if tracked.person_id is None else "unknown",
        "sure": round(match.probability, 3) if match is not None and known and fits else None,
        "score": round(match.score, 2) if match is not None else None,
        "quality": round(tracked.seen.quality, 2),
        "track": tracked.track_id,
    }  # fmt: skip


async def stream(request: Request) -> Response:
    """How the daemon is, once a second, as server-sent events; a client that does not read waits for itself alone."""
    site: Site = request.app.state.site
    if site.streams >= MAX_STREAMS:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are open.")

    async def events() -> AsyncIterator[str]:
        if site.streams >= MAX_STREAMS:  # others were as quick
            return
        site.streams += 1
        try:
            told, told_at, going = "", time.monotonic(), True
            while going:
                facts = describe(site.daemon.report())
                message = json.dumps({"facts": facts, "version": (await site.known()).version})
                if message != told:
                    told, told_at = message, time.monotonic()
                    yield f"data: {message}\n\n"
                elif time.monotonic() - told_at > SILENCE:
                    told_at = time.monotonic()
                    yield ": still here\n\n"
                going = await site.pause(TICK) and request.scope["admitted"]()
        finally:
            site.streams -= 1

    return StreamingResponse(events(), media_type="text/event-stream")


def describe(told: Mapping[str, Any]) -> dict[str, str]:
    """How the daemon is, in words: by fact, and under ``state`` in one word, under ``trouble`` what is wrong."""
    broker = told["broker"]
    camera = {"ok": "on", "starting": "starting", "lost": "no picture"}[told["camera_state"]]
    link = {"none": "none", "up": "connected", "down": "away", "connecting": "connecting"}[broker["state"]]
    return {
        "state": "trouble" if told["troubles"] else "well",
        "trouble": "; ".join(told["troubles"]),
        "camera": camera,
        "broker": link + (f", {broker['address']}" if broker["address"] else ""),
        "fps": f"{told['fps']:.1f} a second",
        "dropped": f"{told['frames_dropped']:,} of {told['frames_seen'] + told['frames_dropped']:,}",
        "uptime": duration(told["uptime"] // 60 * 60) if told["uptime"] >= 60 else "less than a minute",
        "memory": f"{told['rss_mb']:.0f} MB",
        "temperature": "not measured" if told["temperature"] is None else f"{told['temperature']:.0f} °C",
    }


ROUTES = [Route("/", live), Route("/live/recent", recent), Route("/live/picture", picture), Route("/stream", stream)]
