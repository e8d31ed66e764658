"""Says that the faces of strangers are not kept, and how they are."""

from msgspec import UNSET, UnsetType

from edgeface.config.schema import Config
from edgeface.errors import GalleryError
from edgeface.gallery.event_store import KeptEvent
from edgeface.types import EventType

SWITCH = "edgeface config set events.keep_strangers true, or the page's settings, keeps those of later visits"
OFF = f"the faces of strangers are not kept; {SWITCH}"
THEN = "keeping was off then"


def switched_off(config: Config) -> str | UnsetType:
    """Return that strangers are not kept and how they are, if so."""
    return UNSET if config.events.keep_strangers else OFF


def why_not_kept(event: KeptEvent, config: Config) -> str | UnsetType:
    """Return why the face of an event was not kept, and how those of later ones are, if that is why it shows none."""
    if not was_taken(event):
        return UNSET
    return f"this face was not kept: {THEN}" if config.events.keep_strangers else OFF


def with_face(event: KeptEvent, config: Config) -> KeptEvent:
    """Return an event that shows a face. Raise ``GalleryError``, with the reason, if it does not."""
    if event.shows_face:
        return event
    if was_taken(event):
        raise GalleryError(f"the face of {event.event_id} was not kept: {THEN if config.events.keep_strangers else OFF}")
    raise GalleryError(f"no view of {event.event_id} was good enough to tell a face by; see edgeface events explain")


def was_taken(event: KeptEvent) -> bool:
    """Return whether the event shows no face because strangers are not kept, and not because no view was good."""
    good = event.doubt is not None and event.doubt.good > 0
    return not event.shows_face and (event.event_type != EventType.UNSURE or good)
