"""Defines the requests and results of operations, and how MQTT carries them."""

from typing import Annotated, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.types import MAX_REQUEST_BYTES, Reason
from edgeface.wire.fields import Camera, Count, Name, NamedPerson, PersonId, RulesPayload, Schema, Time

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

SwitchedOff = Annotated[
    str | UnsetType, Meta(description="that the faces of strangers are not kept, and how they are; absent if they are kept")
]


class Request(Struct, frozen=True, kw_only=True):
    """Ask for an operation that needs to know nothing more."""


Which = Annotated[
    Annotated[str, Meta(max_length=64)] | None,
    Meta(description="a name, of `camera` or of `cameras`; without it, the first camera", examples=[None]),
]


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
    camera: Which = None


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

    camera: Which = None


class EventsRequest(Request, frozen=True, kw_only=True):
    """List the kept events, of one person or of all."""

    person: Annotated[Who | None, Meta(description="a name, or better an id; without it, of all", examples=[None])] = None


class ExplainRequest(Request, frozen=True, kw_only=True):
    """Say why a visit has no name, and what helps: of an event, or of the latest visit without a name."""

    event_id: Annotated[AnEvent | None, Meta(description="a kept event")] = None


class FindRequest(Request, frozen=True, kw_only=True):
    """Say when a face was here: that of the photos that come with the request, or that of a kept event."""

    event_id: Annotated[AnEvent | None, Meta(description="a kept event")] = None


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


class PauseRequest(Request, frozen=True, kw_only=True):
    """Close the camera for some minutes, until a time, or until `resume`: nobody is looked at meanwhile."""

    minutes: Annotated[
        Annotated[float, Meta(ge=0.01, le=366 * 24 * 60)] | None, Meta(description="for how long", examples=[120.0])
    ] = None
    until: Annotated[
        Annotated[str, Meta(max_length=40)] | None,
        Meta(description="in place of `minutes`: a local time of day, or a date and time (RFC 3339)", examples=[None]),
    ] = None
    reason: Annotated[
        str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z", description="`health` tells it", examples=["guests"])
    ] = ""
    paused: Annotated[bool, Meta(description="false resumes, for a switch that has one topic", examples=[True])] = True


class ResumeRequest(Request, frozen=True, kw_only=True):
    """Open the camera again after `pause`; during `pause.hours`, until these come again."""


class ConfigureRequest(Request, frozen=True, kw_only=True):
    """Change settings on the device, by their dotted names: each value as TOML writes it, or null to take the change back."""

    values: Annotated[dict[str, Annotated[str, Meta(max_length=100)] | None], Meta(min_length=1, max_length=64)]


class Configured(Struct, frozen=True):
    """The settings that were changed."""

    settings: list[str]


class Refused(Struct, frozen=True):
    """An image that was not used."""

    path: str
    reason: str


class ListedPerson(NamedPerson, frozen=True):
    """A person as in ``edgeface people list``."""

    templates: Count
    enrolled: Time
    rules: Annotated[RulesPayload | UnsetType, Meta(description="what holds for the person; absent if nothing does")] = UNSET


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


class PauseState(Struct, frozen=True, kw_only=True):
    """Whether the camera is paused."""

    paused: Annotated[bool, Meta(description="whether it is", examples=[True])]
    since: Annotated[Time | None, Meta(description="since when", examples=["2026-11-24T10:15:07.238Z"])]
    until: Annotated[Time | None, Meta(description="until when; null until `resume`", examples=["2026-11-24T12:15:07.238Z"])]
    why: Annotated[str | None, Meta(description="the reason that was given", examples=["guests"])]


class ListedEvent(Struct, frozen=True, kw_only=True):
    """A kept event, without its embedding; without a name, the ``reason``, and ``why``, the same in a few words."""

    event_id: str
    event_type: str
    ts: Time
    camera: str
    person_id: str | None
    name: str | None
    score: float
    quality: float
    verdict: str | None
    reason: str | None = None
    why: str | None = None


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
    switched_off: SwitchedOff = UNSET


class Explained(Struct, frozen=True, kw_only=True):
    """Why a visit has no name."""

    event_id: AnEvent
    event_type: Annotated[str, Meta(description="of the event", examples=["unsure"])]
    ts: Time
    camera: Camera
    name: Annotated[str | None, Meta(description="whom the event names, or a verdict said", examples=[None])]
    reason: Annotated[
        Reason | None,
        Meta(description="null for an event with a name, and for one of an older edgeface", examples=["doubtful"]),
    ]
    told: Annotated[
        str, Meta(description="the reason in words", examples=["most like Anna, but not enough: score 0.43, a name needs 0.47"])
    ]
    cure: Annotated[str, Meta(description="what helps", examples=["say who it was, or enroll Anna once more at this camera"])]
    nearest: Annotated[str | None, Meta(description="the name of the nearest person", examples=["Anna"])]
    second: Annotated[str | None, Meta(description="the name of the other of two who are alike", examples=[None])]
    score: Annotated[float, Meta(description="similarity to the nearest person", examples=[0.43])]
    threshold: Annotated[float | None, Meta(description="the score that a name needed", examples=[0.47])]
    good_views: Annotated[int | None, Meta(description="views that were good enough", examples=[6])]
    views: Annotated[int | None, Meta(description="views of the face", examples=[40])]
    usable: Annotated[bool, Meta(description="whether there is a face that can be confirmed", examples=[True])]
    switched_off: Annotated[
        str | UnsetType, Meta(description="that the face was not kept, and how later ones are; absent if it was")
    ] = UNSET


class FoundEvent(Struct, frozen=True, kw_only=True):
    """A kept event that shows the face."""

    event_id: AnEvent
    event_type: Annotated[str, Meta(description="of the event", examples=["unknown"])]
    ts: Time
    camera: Camera
    score: Annotated[float, Meta(description="similarity of the two faces, a cosine", examples=[0.71])]
    sure: Annotated[bool, Meta(description="whether the score reaches the threshold; else it may be somebody alike")]
    person_id: str | None
    name: Annotated[str | None, Meta(description="whom the event names, or a verdict said", examples=[None])]
    stranger_id: Annotated[str | None, Meta(description="of an unknown event", examples=["s_3f0c95d1b2a86e47"])]


class Found(Struct, frozen=True, kw_only=True):
    """The events that show the face, the newest first, of how many that were ``compared``."""

    events: Annotated[list[FoundEvent], Meta(description="the events that show the face, the newest first", examples=[[]])]
    compared: Annotated[Count, Meta(description="events that are kept and show a face", examples=[212])]
    threshold: Annotated[float, Meta(description="the score from which on it is sure", examples=[0.62])]
    refused: Annotated[list[Refused], Meta(description="photos that were not used, with the reason of each", examples=[[]])]
    switched_off: SwitchedOff = UNSET


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
    """The person whose template was erased, and how many they have left; nobody for a damaged record.

    ``change`` is the id by which ``undo`` brings the template back, if the settings keep it.
    """

    id: str | None = None
    name: str | None = None
    templates: int = 0
    change: str | None = None


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
    camera: Which = None


class MqttFindRequest(FindRequest, frozen=True, kw_only=True):
    """Say when a face was here: that of a photo, or that of a kept event."""

    image: Annotated[
        Annotated[str, Meta(max_length=MAX_REQUEST_BYTES)] | None,
        Meta(description="a JPEG in base64 that shows one person alone, as for [enroll](#enroll)", examples=[None]),
    ] = None


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
