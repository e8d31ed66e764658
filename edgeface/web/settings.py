"""Shows every setting with its origin, and changes those that can be changed on the device."""

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgeface.config import load
from edgeface.config.adjusted import adjusted_path
from edgeface.config.load import Setting
from edgeface.errors import EdgefaceError
from edgeface.operations.registry import CONFIGURE
from edgeface.web.context import PageContext, form
from edgeface.web.language import _, said
from edgeface.wire.commands import ConfigureRequest

WAIT, BETWEEN = 10.0, 0.1
"""Seconds that the daemon has to take new settings, and between two looks whether it has."""


@dataclass(frozen=True, slots=True)
class Input:
    """A setting as the form asks for it: a choice of values, a number with its ``unit``, or a switch."""

    setting: str
    title: str
    help: str
    unit: str = ""
    choices: tuple[tuple[float | str, str], ...] = ()

    @property
    def kind(self) -> str:
        return "choice" if self.choices else "number" if self.unit else "switch"


STRICTNESS = (
    (0.01, "Relaxed: 1 in 100 visits of strangers may get a name"),
    (0.001, "Normal: 1 in 1,000"),
    (0.0001, "Strict: 1 in 10,000; people are missed more often"),
)
NAMES = (("en", "English"), ("de", "Deutsch"), ("es", "Español"), ("fr", "Français"), ("nl", "Nederlands"))
"""Each language as those call it who speak it."""
FORM = {
    "Recognition": (
        Input("matching.target_fpir", "Strictness", "How sure it must be before somebody is named.", choices=STRICTNESS),
        Input("presence.min_votes", "Views before a name is said", "More is slower and surer.", "views"),
        Input("presence.unknown_after", "Views before somebody is called unknown", "Good views that fit nobody.", "views"),
        Input("presence.left_after", "Left after", "How long somebody must be out of sight to have left.", "seconds"),
    ),
    "What is kept": (
        Input("web.pictures", "Keep pictures of visits", "Encrypted, on this device. Switching it off erases them."),
        Input(
            "events.keep_strangers", "Keep faces of strangers", "Of whoever is not recognized. Switching it off erases them."
        ),
        Input("web.unknown", "Show unknown visitors", "So that you can name or dismiss them, if their faces are kept."),
        Input("web.keep_hours", "Keep pictures and unknown visitors for", "They are erased after that.", "hours"),
        Input("events.keep_days", "Keep visits for", "0 keeps none.", "days"),
    ),
    "Language": (
        Input(
            "web.language",
            "Language of the page",
            "Of every browser that opens it.",
            choices=(("auto", "As each browser asks"), *NAMES),
        ),
        Input("device.language", "Language of notifications", "And of names in Home Assistant.", choices=NAMES),
    ),
    "What is sent": (
        Input("mqtt.images", "Send faces over MQTT", "Whoever reads the topics at the broker sees the face of each event."),
    ),
}
INPUTS = {one.setting: one for group in FORM.values() for one in group}


async def settings(context: PageContext, request: Request) -> Response:
    try:
        rows = load.settings(context.daemon.file)
    except EdgefaceError:  # the file is broken; status says so after a reload, and the checks before it
        rows = []
    shown = [replace(row, value=msgspec.json.encode(row.value).decode()) for row in rows]
    return context.render(
        request,
        "settings.html",
        groups=FORM,
        rows={f"{row.section}.{row.name}": row for row in rows},
        changed=str(adjusted_path(context.config.gallery_path)),
        refused=context.daemon.status()["settings_refused"],
        sections=[(name, list(some)) for name, some in groupby(shown, key=lambda row: row.section)],
    )


async def change(context: PageContext, request: Request) -> Response:
    """Change the settings of the form that differ from those in effect, or take one back."""
    fields = await form(request)
    try:
        if reset := fields.get("reset"):
            values: dict[str, str | None] = {reset: None}
        else:
            values = _differing(fields, {f"{row.section}.{row.name}": row for row in load.settings(context.daemon.file)})
        if not values:
            return context.redirect("/settings", _("Nothing was changed."))
        await configure(context, values)
    except EdgefaceError as error:
        return context.redirect("/settings", _("Not changed: {reason}.", reason=said(error)), good=False)
    return context.redirect("/settings", _("The change is in effect."))


def _differing(fields: dict[str, str], rows: dict[str, Setting]) -> dict[str, str | None]:
    """Return the values that a form gives other than those in effect, as TOML writes them."""
    given = {name: _given(one, fields) for name, one in INPUTS.items()}
    return {name: text for name, text in given.items() if text is not None and _value(text) != rows[name].value}


def _given(one: Input, fields: dict[str, str]) -> str | None:
    if one.kind == "switch":
        return "true" if fields.get(one.setting) == "on" else "false"
    return fields.get(one.setting, "").strip().replace(",", ".") or None


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


async def configure(context: PageContext, values: dict[str, str | None]) -> None:
    """Change settings, and wait until the daemon has taken them. Raise ``EdgefaceError`` if it refuses them."""
    await context.perform(CONFIGURE, ConfigureRequest(values=values))
    for _attempt in range(round(WAIT / BETWEEN)):
        if refused := context.daemon.status()["settings_refused"]:
            raise EdgefaceError(refused)
        if load.load(context.daemon.file) == context.config or not await context.pause(BETWEEN):
            return
    raise EdgefaceError("the daemon did not take the change in time")
