"""Says the page's texts in the language of the browser that asks, unless the settings name one."""

import re
from collections.abc import Callable
from contextvars import ContextVar

import jinja2
import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edgeface.platform.translation import ENGLISH, LANGUAGES, Translation, translation
from edgeface.wire import messages

AUTO = "auto"
RANGE = re.compile(r"(?P<language>[a-z]{2,8})(?:-[a-z0-9-]+)?(?:;q=(?P<weight>[01](?:\.[0-9]{0,3})?))?", re.ASCII)
MAX_RANGES = 20
SCRIPT_TEXTS = (
    "Close",
    "Copied.",
    "In view: {people}",
    "Look at the camera",
    "Looking…",
    "No connection",
    "Nobody in view",
    "OK",
    "Paused",
    "Problem",
    "Selected: copy it with the keyboard.",
    "The device did not answer.",
    "Unknown person",
    "You are signed out.",
    "ignored",
    "over {share}",
    "picture quality {share}",
    "{share} sure",
)
"""The texts of the scripts in static/, which the page hands to them."""
_current: ContextVar[Translation] = ContextVar("translation", default=ENGLISH)


def speaking(app: ASGIApp, setting: Callable[[], str]) -> ASGIApp:
    """Have an app speak the language that is set, as ``web.language``, or the best of each request's ``Accept-Language``."""

    async def spoken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = setting()
            _current.set(translation(preferred(Headers(scope=scope).get("accept-language", "")) if name == AUTO else name))
        await app(scope, receive, send)

    return spoken


def preferred(accepted: str) -> str:
    """Return the language of the catalogues that a header ``Accept-Language`` wants most, else English."""
    found = [RANGE.fullmatch(part.strip().replace("; ", ";")) for part in accepted.lower().split(",")[:MAX_RANGES]]
    weighed = [(float(one["weight"] or 1), one["language"]) for one in found if one]
    wanted = sorted((one for one in weighed if one[0] > 0), key=lambda one: -one[0])
    return next((language for _, language in wanted if language in LANGUAGES), ENGLISH.language)


def current() -> Translation:
    return _current.get()


def _(text: str, /, **fields: object) -> str:
    return current().say(text, **fields)


def plural(one: str, many: str, count: float, /, **fields: object) -> str:
    return current().say_count(one, many, count, **fields)


def said(text: object) -> str:
    """Say a message of edgeface, as ``messages.said``."""
    return messages.said(text, current())


def install(pages: jinja2.Environment) -> None:
    """Have templates say their texts in the language of the request that they answer."""
    pages.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension jinja2.ext.i18n
        _gettext,
        _ngettext,
        newstyle=True,
    )
    pages.globals["script_texts"] = script_texts


def _gettext(text: str) -> str:
    return current().catalogue.gettext(text)


def _ngettext(one: str, many: str, count: int) -> str:
    return current().catalogue.ngettext(one, many, count)


def script_texts() -> str:
    """Return the texts of the scripts as JSON, from English to the language of this request."""
    return msgspec.json.encode({text: _(text) for text in SCRIPT_TEXTS}).decode()
