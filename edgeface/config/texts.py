"""Defines what texts in the settings may hold, and says so in plain words."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

_CONTROL = r"\x00-\x1f\x7f-\x9f"
# One level of an MQTT topic, limited to characters that are safe in file names and entity ids, too.
_SLUG = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z"
# Brokers close the connection on control characters and noncharacters, and keep topics with $ to themselves.
_LEVELS = rf"[^+#{_CONTROL}\ufdd0-\ufdef\ufffe\uffff]{{0,200}}\Z"
_BASE = rf"^(?!/*\$){_LEVELS}"
_TOPIC = rf"^(?=/*[^/$]){_LEVELS}"
_LINE = rf"^[^{_CONTROL}]*\Z"

Slug = Annotated[str, Meta(pattern=_SLUG)]
Base = Annotated[str, Meta(pattern=_BASE)]  # a topic, or none
Topic = Annotated[str, Meta(pattern=_TOPIC)]
Line = Annotated[str, Meta(pattern=_LINE, max_length=4000)]  # a path, a username, a camera's source

_TOPIC_WORDS = "it needs a topic without +, # and control characters, of 200 characters at most, that does not begin with $"
WORDS = {  # pattern -> what a text needs that does not match it
    _SLUG: "it needs letters, digits, - and _, 64 at most, and a letter or digit first",
    _BASE: _TOPIC_WORDS,
    _TOPIC: f"{_TOPIC_WORDS} and is more than slashes",
    _LINE: "it may hold no control characters, such as a line break",
}


def is_host(text: str) -> bool:
    """Tell whether a text can be the name or the address of a machine."""
    try:
        if ":" in text:
            return bool(ipaddress.ip_address(text))
        return bool(re.fullmatch(r"[\w.-]{1,253}", text) and text.encode("idna"))
    except ValueError:  # UnicodeError is one
        return False


def is_url(text: str) -> bool:
    """Tell whether a text is an address of HTTP, in ASCII and without user and password."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and "@" not in parts.netloc and is_host(parts.hostname or "")
        return good and parts.port != 0 and bool(re.fullmatch(r"[!-~]+", text)) and not parts.fragment
    except ValueError:
        return False
