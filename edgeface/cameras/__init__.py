"""Builds cameras by the scheme of their source; each plug-in is imported only when it is needed."""

from collections.abc import Callable
from difflib import get_close_matches
from pkgutil import resolve_name

from edgeface.cameras.adjusted import AdjustedCamera, adjustment
from edgeface.config import schema, sources
from edgeface.errors import ConfigError
from edgeface.interfaces import Camera

__all__ = ["CAMERAS", "adjustment", "create", "others", "plugin"]

CAMERAS = {
    "folder": "edgeface.cameras.recording:open_folder",
    "video": "edgeface.cameras.recording:open_video",
    "v4l2": "edgeface.cameras.opencv:open_device",
    "rtsp": "edgeface.cameras.opencv:open_url",
    "rtsps": "edgeface.cameras.opencv:open_url",
    "http": "edgeface.cameras.opencv:open_url",
    "https": "edgeface.cameras.opencv:open_url",
    "picamera": "edgeface.cameras.picamera:open_picamera",
}
"""Scheme of the source -> a function from the camera's settings to a ``Camera``."""
LISTS = {"picamera": "edgeface.cameras.picamera:list_cameras"}
"""Scheme of the source -> a function that lists the cameras of this kind that are there."""


def plugin(settings: schema.CameraSettings) -> str:
    """Return the entry of ``CAMERAS`` that ``settings.source`` names. Raise ``ConfigError`` if it names none."""
    scheme, _, place = settings.source.partition(":")
    if scheme not in CAMERAS:
        near = get_close_matches(scheme, CAMERAS, 1)
        advice = f"; did you mean {near[0]}?" if near else ""
        told = f"{sources.shown(settings.source)!r} starts with none of {', '.join(sorted(CAMERAS))}"
        raise ConfigError(f"camera.source: {told}{advice}")
    if scheme != "picamera" and not place.strip("/"):
        raise ConfigError(f"camera.source: {settings.source!r} does not say which")
    if scheme in sources.NETWORK and not place.startswith("//"):
        raise ConfigError(f"camera.source: {scheme}: needs an address, {scheme}://...")
    if scheme in sources.LOCAL and "://" in place:
        raise ConfigError(f"camera.source: {scheme}: needs the name of a file; an address stands without it")
    return CAMERAS[scheme]


def others(settings: schema.CameraSettings) -> list[str]:
    """Return the cameras among which ``settings.source`` chooses, as text; none where they cannot be listed."""
    place = LISTS.get(settings.source.partition(":")[0])
    listed: list[str] = resolve_name(place)() if place else []
    return listed


def create(settings: schema.CameraSettings) -> Camera:
    """Build the camera that ``settings.source`` names; ``frames()`` opens a live one.

    Raise ``ConfigError`` if the source names no camera, ``CameraError`` if a recording cannot be read.
    """
    build: Callable[[schema.CameraSettings], Camera] = resolve_name(plugin(settings))
    camera = build(settings)
    return AdjustedCamera(camera, settings) if adjustment(settings) else camera
