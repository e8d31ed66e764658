"""Defines what is told of everything that is kept of a face, and the request that erases it."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from edgeface.types import MAX_REQUEST_BYTES
from edgeface.wire.commands import AnEvent, FoundEvent, Refused, Request, SwitchedOff
from edgeface.wire.fields import Count, Name, NamedPerson, PersonId, RulesPayload, Time

Score = Annotated[float, Meta(description="similarity of the two faces", examples=[0.71])]
Sure = Annotated[bool, Meta(description="whether the score is enough; else it may be somebody alike", examples=[True])]
FaceId = Annotated[str, Meta(max_length=100, description="eight digits that tell the face", examples=["5c1f09ae"])]


Changes = Annotated[
    list[Annotated[str, Meta(max_length=100)]],
    Meta(max_length=10_000, description="changes that can be undone and hold the face", examples=[["c_5b0e91d7"]]),
]


class AboutRequest(Request, frozen=True, kw_only=True):
    """Say everything that is kept of the face of the photos that come with the request."""


class MqttAboutRequest(AboutRequest, frozen=True, kw_only=True):
    """Say everything that is kept of the face of a photo."""

    image: Annotated[
        str,
        Meta(
            max_length=MAX_REQUEST_BYTES,
            description="a JPEG in base64 that shows one person alone, as for [enroll](#enroll)",
            examples=["/9j/4AAQ"],
        ),
    ]


class EraseRequest(Request, frozen=True, kw_only=True):
    """Erase people, events and rejected faces at once, as an answer of `about` names them."""

    people: Annotated[list[PersonId], Meta(max_length=100, description="those to forget", examples=[["p_f8e6d06ed6e2f474"]])]
    event_ids: Annotated[
        list[AnEvent], Meta(max_length=10_000, description="events, named or not", examples=[["01M86GTN766HKSFCZ15NNMEFKP"]])
    ]
    rejected: Annotated[list[FaceId], Meta(max_length=10_000, description="rejected faces", examples=[["5c1f09ae"]])]
    changes: Changes = field(default_factory=list)


class KnownPerson(NamedPerson, frozen=True, kw_only=True):
    """Somebody enrolled who has this face, or may have it."""

    score: Score
    sure: Sure
    templates: Annotated[Count, Meta(description="templates of the person", examples=[5])]
    faces: Annotated[Count, Meta(description="those of which the face is kept, too", examples=[0])]
    enrolled: Annotated[Time, Meta(description="since when")]
    rules: Annotated[RulesPayload | UnsetType, Meta(description="what holds for the person; absent if nothing does")] = UNSET


class RejectedFace(Struct, frozen=True, kw_only=True):
    """A face that somebody rejected as the person, and that is or may be this one."""

    id: FaceId
    person_id: PersonId
    name: Name
    score: Score
    sure: Sure


class KnownEvent(FoundEvent, frozen=True, kw_only=True):
    """A kept event that shows the face, or that is of the same person or stranger."""

    picture: Annotated[bool, Meta(description="whether a picture of the face is kept", examples=[False])]


class KnownStranger(Struct, frozen=True, kw_only=True):
    """A stranger to whom some of the events are."""

    stranger_id: Annotated[str, Meta(description="random, the same for all of the visits", examples=["s_3f0c95d1b2a86e47"])]
    visits: Annotated[Count, Meta(description="visits that are kept", examples=[2])]
    first: Annotated[Time, Meta(description="when the first of them was")]
    last: Annotated[Time, Meta(description="when the last of them was")]


class About(Struct, frozen=True, kw_only=True):
    """Everything that is kept of a face on this device, and the request of `erase` that erases it."""

    people: Annotated[list[KnownPerson], Meta(description="who has the face, the most similar first", examples=[[]])]
    rejected: Annotated[list[RejectedFace], Meta(description="rejected faces, the most similar first", examples=[[]])]
    events: Annotated[list[KnownEvent], Meta(description="events, the newest first", examples=[[]])]
    strangers: Annotated[list[KnownStranger], Meta(description="the strangers of these events", examples=[[]])]
    changes: Changes = field(default_factory=list)
    backups: Annotated[
        list[str],
        Meta(description="backups that hold somebody of whom this tells, or cannot be read, or their folder", examples=[[]]),
    ]
    erase: Annotated[
        EraseRequest,
        Meta(
            description="what `erase` is to be sent; people who may only be alike, and their events, are not in it",
            examples=[{"people": ["p_f8e6d06ed6e2f474"], "event_ids": ["01M86GTN766HKSFCZ15NNMEFKP"], "rejected": []}],
        ),
    ]
    refused: Annotated[list[Refused], Meta(description="photos that were not used, with the reason of each", examples=[[]])]
    switched_off: SwitchedOff = UNSET


class Erased(Struct, frozen=True, kw_only=True):
    """What was erased, of what was asked for."""

    people: Annotated[list[NamedPerson], Meta(description="who was forgotten", examples=[[]])]
    events: Annotated[Count, Meta(description="events that were erased", examples=[2])]
    rejected: Annotated[Count, Meta(description="rejected faces that were erased", examples=[0])]
    left_in: (
        Annotated[list[str], Meta(description="backups that may still hold some of it; absent if there are none")] | UnsetType
    ) = UNSET
