"""Sets people's rules from a form."""

import time
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError
from edgeface.gallery.rules import NONE, Rules
from edgeface.operations.context import Operation
from edgeface.operations.registry import EXPIRE, GROUP, HOURS, IGNORE, MUTE, UNMUTE
from edgeface.web.context import PageContext, form
from edgeface.web.filters import form_time
from edgeface.web.language import _, said
from edgeface.wire.rules import ExpireRequest, GroupRequest, HoursRequest, IgnoreRequest, MuteRequest, UnmuteRequest

Step = tuple[Operation[Any, Any], Any]


async def rules(context: PageContext, request: Request) -> Response:
    """Do what differs between a form and a person's rules, each by its operation."""
    who, fields = request.path_params["person"], await form(request)
    before = (await context.with_gallery(lambda gallery: gallery.rules())).get(who, NONE)
    try:
        for operation, wanted in _steps(who, fields, before):
            await context.perform(operation, wanted)
    except EdgefaceError as error:
        return context.redirect(f"/people/{who}", f"{said(error)}.", good=False)
    return context.redirect(f"/people/{who}", _("The rules are saved."))


def _steps(who: str, fields: dict[str, str], before: Rules) -> Iterator[Step]:
    hours = [line.strip() for line in fields.get("hours", "").splitlines() if line.strip()]
    groups = [label.strip() for label in fields.get("groups", "").split(",") if label.strip()]
    if ("ignored" in fields) != before.ignored:
        yield IGNORE, IgnoreRequest(person=who, ignored="ignored" in fields)
    muted, until = before.muted(time.time()), fields.get("muted_until", "")
    if "muted" in fields and (not muted or until != form_time(before.muted_until)):
        yield MUTE, MuteRequest(person=who, until=until or None)
    elif muted and "muted" not in fields:
        yield UNMUTE, UnmuteRequest(person=who)
    if hours != list(before.hours):
        yield HOURS, HoursRequest(person=who, hours=hours)
    if sorted(groups) != list(before.groups):
        yield GROUP, GroupRequest(person=who, groups=groups)
    if (end := fields.get("expires", "")) != form_time(before.expires):
        yield EXPIRE, ExpireRequest(person=who, until=end or None)
