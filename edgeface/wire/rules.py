"""Defines the requests for people's rules, and their result."""

from typing import Annotated

from msgspec import Meta, field

from edgeface.wire.commands import AnEvent, Request, Who
from edgeface.wire.fields import NamedPerson, RulesPayload

Labels = Annotated[list[Annotated[str, Meta(max_length=40)]], Meta(max_length=16)]
Windows = Annotated[list[Annotated[str, Meta(max_length=60)]], Meta(max_length=32)]
Minutes = Annotated[
    Annotated[float, Meta(ge=0.01, le=3660 * 24 * 60)] | None, Meta(description="for how long", examples=[480.0])
]
Until = Annotated[
    Annotated[str, Meta(max_length=40)] | None,
    Meta(description="in place of `minutes`: a local time of day, or a date and time (RFC 3339)", examples=[None]),
]


class MuteRequest(Request, frozen=True, kw_only=True):
    """Send no events about a person, for some minutes, until a time, or until `unmute`; presence tells them as before."""

    person: Who
    minutes: Minutes = None
    until: Until = None


class UnmuteRequest(Request, frozen=True, kw_only=True):
    """Send events about a person again."""

    person: Who


class IgnoreRequest(Request, frozen=True, kw_only=True):
    """Never tell of a person, or of whom events without a name show, who is enrolled for that; known they are all the same."""

    person: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        Meta(description="a name, or better an id", examples=["p_f8e6d06ed6e2f474"]),
    ] = None
    event_ids: Annotated[
        list[AnEvent], Meta(max_length=500, description="in place of `person`: events that named nobody", examples=[[]])
    ] = field(default_factory=list)
    name: Annotated[str, Meta(max_length=200, description="who the events show", examples=["postman"])] = ""
    ignored: Annotated[bool, Meta(description="false tells of the person again", examples=[True])] = True


class HoursRequest(Request, frozen=True, kw_only=True):
    """Say in which hours of the week a person is expected; events then say whether they are `allowed`."""

    person: Who
    hours: Annotated[Windows, Meta(description="none for no such rule", examples=[["mon-fri 08:00-17:00"]])] = field(
        default_factory=list
    )


class GroupRequest(Request, frozen=True, kw_only=True):
    """Say in which groups a person is; events have them."""

    person: Who
    groups: Annotated[Labels, Meta(description="none for no groups", examples=[["family"]])] = field(default_factory=list)


class ExpireRequest(Request, frozen=True, kw_only=True):
    """Forget a person after some minutes or at a time; never, if neither is given."""

    person: Who
    minutes: Minutes = None
    until: Until = None


class PersonRules(NamedPerson, frozen=True):
    """The person, and the rules that hold for them now."""

    rules: RulesPayload
