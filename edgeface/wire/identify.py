"""Defines the request and result of ``identify``: who is in photos."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.types import MAX_REQUEST_BYTES, Decision, Observation
from edgeface.wire.commands import Request
from edgeface.wire.events import DIGITS, Cosine, Share, whole_pixels
from edgeface.wire.fields import Count, NamedPerson, PersonId

Pixel = Annotated[float, Meta(description="pixels")]


class IdentifyRequest(Request, frozen=True, kw_only=True):
    """Say who is in the photos that come with the request. Nothing of them is kept."""


class MqttIdentifyRequest(IdentifyRequest, frozen=True, kw_only=True):
    """Say who is in a photo. Nothing of it is kept."""

    image: Annotated[
        str,
        Meta(max_length=MAX_REQUEST_BYTES, description="a JPEG in base64, as for [enroll](#enroll)", examples=["/9j/4AAQ"]),
    ]


class IdentifiedFace(Struct, frozen=True, kw_only=True):
    """A face: who it is only if it was accepted, and in any case who is ``nearest``."""

    box: Annotated[tuple[int, int, int, int], Meta(description="left, top, width, height in pixels")]
    landmarks: Annotated[
        list[tuple[Pixel, Pixel]],
        Meta(description="right eye, left eye, nose, right and left mouth corner, on the subject's sides, as x, y in pixels"),
    ]
    quality: Annotated[Share, Meta(description="size, sharpness, exposure, pose")]
    decision: Annotated[Decision, Meta(description="whether the score is enough for a name")]
    person_id: Annotated[PersonId | None, Meta(description="the person; null unless accepted")]
    name: Annotated[str | None, Meta(description="the person's name; null unless accepted")]
    nearest: Annotated[NamedPerson | None, Meta(description="the most similar person; null if nobody is enrolled")]
    score: Annotated[Cosine, Meta(description="similarity to the nearest person, a mean cosine")]
    threshold: Annotated[Cosine, Meta(description="what the score has to reach for a name")]
    margin: Annotated[float, Meta(description="lead of the score over that of the second person")]
    probability: Annotated[Share, Meta(description="for people to read: the chance that it is that person, at even odds")]
    liveness: Annotated[Share, Meta(description="how live the face looks in this picture: 0 is a screen or a print")]


class IdentifiedImage(Struct, frozen=True, kw_only=True):
    """The faces of a photo, or the reason why it could not be looked at."""

    path: Annotated[str, Meta(description="name of the photo")]
    error: Annotated[str, Meta(description="why it could not be looked at")] | UnsetType = UNSET
    size: (
        Annotated[
            tuple[Count, Count],
            Meta(
                description="width, height of the picture that boxes and landmarks are on: a photo that is sent is scaled to "
                "2048 pixels a side"
            ),
        ]
        | UnsetType
    ) = UNSET
    faces: list[IdentifiedFace]


class Identified(Struct, frozen=True):
    """Who is in each photo."""

    images: Annotated[
        list[IdentifiedImage],
        Meta(
            description="each photo with its faces",
            examples=[
                [
                    {
                        "path": "image",
                        "size": [640, 480],
                        "faces": [
                            {
                                "box": [198, 70, 224, 310],
                                "landmarks": [[262.1, 190.4], [361.9, 188.2], [315.0, 245.3], [270.2, 300.8], [357.7, 298.9]],
                                "quality": 0.86,
                                "decision": "accept",
                                "person_id": "p_f8e6d06ed6e2f474",
                                "name": "Anna",
                                "nearest": {"id": "p_f8e6d06ed6e2f474", "name": "Anna"},
                                "score": 0.54,
                                "threshold": 0.47,
                                "margin": 0.24,
                                "probability": 0.997,
                                "liveness": 0.98,
                            }
                        ],
                    }
                ]
            ],
        ),
    ]


def identified_face(seen: Observation) -> IdentifiedFace:
    """Return a face of a still picture, which was matched and scored for liveness whatever its quality."""
    match = seen.match
    assert match is not None
    assert seen.passive is not None
    known = match.decision is Decision.ACCEPT
    return IdentifiedFace(
        box=whole_pixels(seen.face.box),
        landmarks=[(round(float(x), 1), round(float(y), 1)) for x, y in seen.face.landmarks],
        quality=round(seen.quality, DIGITS["quality"]),
        decision=match.decision,
        person_id=match.person_id if known else None,
        name=match.name if known else None,
        nearest=NamedPerson(match.person_id, match.name or "") if match.person_id else None,
        **{name: round(getattr(match, name), DIGITS[name]) for name in ("score", "threshold", "margin", "probability")},
        liveness=round(seen.passive.live, DIGITS["liveness"]),
    )
