"""Defines the requests and results of operations, and how MQTT carries them."""

from typing import Annotated, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.types import MAX_REQUEST_BYTES
from edgeface.wire.fields import Camera, Count, Name, NamedPerson, PersonId, Schema, Time

T = TypeVar("T")
Who = Annotated[str, Meta(max_length=200, description="a name, or better an id", examples=["p_f8e6d06ed6e2f474"])]
NewName = Annotated[str, Meta(max_length=200, description="the new name", examples=["Anna B."])]
Force = Annotated[
    bool, Meta(description="though the face is known under another name, or unlike the person's templates", examples=[False])
]
AnEvent = Annotated[
    str, Meta(max_length=100, description="`event_id` of an event that is kept", examples=["01M86GTN766HKSFCZ15NNMEFKP"])
]

SomeEvents = Annotated[
    list[AnEvent], Meta(max_length=500, description="those of events that are kept", examples=[["01M86GTN766HKSFCZ15NNMEFKP"]])
]


class Request(Struct, frozen=True, kw_only=True):
    """Ask for an operation that needs to know nothing more."""


class EnrollRequest(Request, frozen=True, kw_only=True):
    """Enroll whoever stands before the camera.

    With ``guided`` they read the hints, and views that differ are asked for; else each good view counts. With ``assess`` the
    result tells how well they are known.
    """

    name: Annotated[str, Meta(max_length=200)]
    count: Annotated[int, Meta(ge=1, le=20)] = 9
    timeout: Annotated[float, Meta(ge=1, le=600)] = 60.0
    force: bool = False
    guided: bool = True
    assess: bool = True


class PhotosRequest(Request, frozen=True, kw_only=True):
    """Enroll a person from the photos that come with the request. With ``assess`` the result tells how well they are known."""

    name: Annotated[str, Meta(max_length=200)]
    force: bool = False
    assess: bool = True


class PeopleRequest(Request, frozen=True, kw_only=True):
    """Say who is enrolled."""


class RenameRequest(Request, frozen=True, kw_only=True):
    """Give a person another name."""

    person: Who
    name: NewName


class ForgetRequest(Request, frozen=True, kw_only=True):
    """Erase a person and all their templates."""

    person: Who


class SnapshotRequest(Request, frozen=True, kw_only=True):
    """Take a picture."""


class EventsRequest(Request, frozen=True, kw_only=True):
    """List the kept events, of one person or of all."""

    person: Annotated[Who | None, Meta(description="a name, or better an id; without it, of all", examples=[None])] = None


class RejectRequest(Request, frozen=True, kw_only=True):
    """Say that the face of an event is not the person that the event names."""

    event_id: AnEvent
    force: bool = False


class ConfirmRequest(Request, frozen=True, kw_only=True):
    """Say that the face of an event is the person that the event names, or another one."""

    event_id: AnEvent
    person: Who | None = None


class IntroduceRequest(Request, frozen=True, kw_only=True):
    """Say whose the faces of events without a name are."""

    event_ids: SomeEvents
    name: Annotated[str, Meta(max_length=200, description="who it is", examples=["Anna"])]


class DismissRequest(Request, frozen=True, kw_only=True):
    """Erase kept events that name nobody."""

    event_ids: SomeEvents


class DropRequest(Request, frozen=True, kw_only=True):
    """Erase a template, or a damaged record."""

    template: Annotated[str, Meta(max_length=100)]


class RestoreRequest(Request, frozen=True, kw_only=True):
    """Take a person back from a backup: of this name or number, or the newest."""

    person: Who
    copy: Annotated[str, Meta(max_length=100, pattern=r"^[^/]*\Z")] | None = None


class Refused(Struct, frozen=True):
    """An image that was not used."""

    path: str
    reason: str


class ListedPerson(NamedPerson, frozen=True):
    """A person as in ``edgeface people list``."""

    templates: Count
    enrolled: Time


class People(Struct, frozen=True):
    """Who is enrolled."""

    people: Annotated[
        list[ListedPerson],
        Meta(
            description="everybody, by name",
            examples=[[{"id": "p_f8e6d06ed6e2f474", "name": "Anna", "templates": 5, "enrolled": "2026-11-24T10:15:07.238Z"}]],
        ),
    ]


class Forgotten(NamedPerson, frozen=True):
    """The person who was forgotten."""

    left_in: (
        Annotated[list[str], Meta(description="backups that may still hold them; absent if there are none")] | UnsetType
    ) = UNSET


class Snapshot(Struct, frozen=True, kw_only=True):
    """What the camera sees."""

    camera: Camera
    taken: Time
    width: Annotated[Count, Meta(description="pixels; larger frames are scaled to 1280", examples=[640])]
    height: Annotated[Count, Meta(description="pixels", examples=[480])]
    image: Annotated[str, Meta(description="a JPEG in base64", examples=["/9j/4AAQ"])]


class ListedEvent(Struct, frozen=True, kw_only=True):
    """A kept event, without its embedding."""

    event_id: str
    event_type: str
    ts: Time
    camera: str
    person_id: str | None
    name: str | None
    score: float
    quality: float
    verdict: str | None


class Events(Struct, frozen=True):
    """The kept events, the newest last."""

    events: Annotated[
        list[ListedEvent],
        Meta(
            description="each with the `verdict` on it, `confirmed`, `rejected` or null",
            examples=[
                [
                    {
                        "event_id": "01M86GTN766HKSFCZ15NNMEFKP",
                        "event_type": "unknown",
                        "ts": "2026-11-24T10:15:07.238Z",
                        "camera": "front",
                        "person_id": None,
                        "name": None,
                        "score": 0.21,
                        "quality": 0.86,
                        "verdict": None,
                    }
                ]
            ],
        ),
    ]


class Verdict(Struct, frozen=True, kw_only=True):
    """What a verdict came to: whether the person gained a template, and ``told``, the same in words."""

    event_id: Annotated[str, Meta(description="of the request", examples=["01M86GTN766HKSFCZ15NNMEFKP"])]
    verdict: Annotated[str, Meta(description="`confirmed` or `rejected`", examples=["confirmed"])]
    person_id: PersonId
    name: Name
    added: Annotated[bool, Meta(description="whether the face became a template, or a negative one", examples=[True])]
    told: Annotated[str, Meta(description="the same in words", examples=["Anna, a new template"])]


class Dismissed(Struct, frozen=True):
    """How many events were erased."""

    events: Annotated[Count, Meta(description="of those asked for, the kept ones that named nobody", examples=[1])]


class Dropped(Struct, frozen=True):
    """The person whose template was erased, and how many they have left; nobody for a damaged record."""

    id: str | None = None
    name: str | None = None
    templates: int = 0


class ListedBackup(Struct, frozen=True, kw_only=True):
    """A backup; without people, templates and model if it cannot be read."""

    number: int
    file: str
    date: Time
    bytes: int
    people: int | None
    templates: int | None
    model: str | None
    state: str


class Backups(Struct, frozen=True):
    """The backups, the newest first, and the folder that they are in."""

    folder: str
    backups: list[ListedBackup]


class BackedUp(Struct, frozen=True):
    """The new backup, if anybody is enrolled, and those of before that cannot be read to their end."""

    backup: ListedBackup | None
    damaged: list[str]


class RestoredPerson(NamedPerson, frozen=True):
    """A person from a backup: whether they are ``new``, or gained templates that were ``added``."""

    new: bool
    added: int
    copy: str


class BareRequest(Struct, frozen=True, kw_only=True):
    """What every request over MQTT has."""

    id: Annotated[
        str, Meta(pattern="^[ -~]{1,64}$", description="any text of printable ASCII; the answer repeats it", examples=["7f3a"])
    ]


class MqttEnrollRequest(Request, frozen=True, kw_only=True):
    """Enroll who stands before the camera, or the one face of a photo."""

    name: Annotated[str, Meta(max_length=200, description="the person; who is enrolled gains templates", examples=["Anna"])]
    image: Annotated[
        Annotated[str, Meta(max_length=MAX_REQUEST_BYTES)] | None,
        Meta(
            description="a JPEG in base64, of 16 megapixels and 6 MB with all else at most, scaled to 2048 pixels; without "
            "it, views of the camera",
            examples=[None],
        ),
    ] = None
    count: Annotated[int, Meta(ge=1, le=20, description="views to take of the camera", examples=[5])] = 5
    timeout: Annotated[float, Meta(ge=1, le=300, description="seconds to wait for them", examples=[60.0])] = 60.0
    force: Force = False


class MqttRejectRequest(Request, frozen=True, kw_only=True):
    """Say that the face of an event is not the person that the event names."""

    event_id: AnEvent


class MqttConfirmRequest(Request, frozen=True, kw_only=True):
    """Say that the face of an event is the person that the event names."""

    event_id: AnEvent


class Enrolled(NamedPerson, frozen=True):
    """The person, and what became of each image."""

    templates: Annotated[Count, Meta(description="templates of the person in all", examples=[5])]
    accepted: Annotated[list[str], Meta(description="images that were used", examples=[["view 1", "view 2"]])]
    refused: Annotated[list[Refused], Meta(description="images that were not, with the reason of each", examples=[[]])]


class Answer(Struct, Generic[T], frozen=True, kw_only=True):
    """The answer to a request: ``ok`` with its ``result``, or not ``ok`` with the ``error``."""

    schema: Schema
    ts: Time
    id: Annotated[str | None, Meta(description="that of the request; null if it had none to be read", examples=["7f3a"])]
    ok: Annotated[bool, Meta(description="whether it was done", examples=[True])]
    result: T | UnsetType = UNSET
    error: Annotated[str, Meta(description="why not, in one line")] | UnsetType = UNSET
