"""Makes the ids of events."""

from ulid_transform import ulid_at_time


def new_event_id(wall: float) -> str:
    """Return a ULID: unique, and sorted by time."""
    return ulid_at_time(max(0.0, wall))
