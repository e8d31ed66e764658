"""Makes the ids of events, and reads the time of one."""

from ulid_transform import ulid_at_time, ulid_to_timestamp


def new_event_id(wall: float) -> str:
    """Return a ULID: unique, and sorted by time."""
    return ulid_at_time(max(0.0, wall))


def event_time(event_id: str) -> float:
    """Return when an event with this id was made, in seconds since the Unix epoch."""
    return ulid_to_timestamp(event_id) / 1000
