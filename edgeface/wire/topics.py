"""Lists the topics below the base."""

from typing import NamedTuple


class Topic(NamedTuple):
    """A topic below the base; braces stand for one level."""

    name: str
    qos: int
    retained: bool
    payload: str


TOPICS = (
    Topic("availability", 1, True, "`online`; `offline` on a clean stop and as the last will"),
    Topic("event", 1, False, "one [event](#event)"),
    Topic(
        "person/{person id}/state", 1, False, "`ON` while that person is there, else `OFF`; all told when the daemon connects"
    ),
    Topic("{camera}/presence", 1, True, "who is there now: [presence](#presence)"),
    Topic("presence/all", 1, True, "who is there at any camera: [presence](#presence); only with `[[cameras]]`"),
    Topic("health", 0, True, "how the daemon is: [health](#health)"),
    Topic("image/{camera}/info", 0, False, "to which event the next picture belongs: [pictures](#pictures)"),
    Topic("image/{camera}", 0, False, "a JPEG of the face that caused an event, just before it; only with `mqtt.images`"),
    Topic("frame/{camera}", 0, False, "a JPEG of the whole frame, the face boxed and named; only with `mqtt.frames`"),
    Topic("cmd/{verb}", 1, False, "a request to the daemon: [commands](#commands)"),
    Topic("resp/{verb}", 1, False, "the answer to it"),
)
