"""Hides possible passwords in a camera's source: of a network address only scheme, host and port are shown."""

import re

NETWORK = frozenset({"rtsp", "rtsps", "http", "https"})
LOCAL = frozenset({"picamera", "v4l2", "video", "folder"})
HIDDEN = "***"
_AUTHORITY = re.compile(r"(?P<user>.*@)?(?P<place>(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(?P<port>\d{1,5}))?)")


def shown(source: str) -> str:
    """Return a source for messages, with hidden parts as ``***``."""
    scheme, _, rest = source.partition(":")
    if (scheme in LOCAL and "://" not in rest) or re.fullmatch(r"[\w-]*", source):
        return source
    if scheme not in NETWORK or not rest.startswith("//"):
        return HIDDEN
    authority, _, after = re.sub(r"[/?#;\\]", "\0", rest[2:], count=1).partition("\0")
    found = _AUTHORITY.fullmatch(authority)
    # With an @ further on, the start of a password that holds a slash would pass for the host.
    if not found or "@" in after or int(found["port"] or 0) > 65535:
        return f"{scheme}://{HIDDEN}"
    user = f"{HIDDEN}@" if found["user"] else ""
    return f"{scheme}://{user}{found['place']}" + (f"/{HIDDEN}" if after else "")
