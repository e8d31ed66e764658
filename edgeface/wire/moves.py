"""Defines the requests for merging and splitting people, moving views and undoing that, and their results."""

from typing import Annotated

from msgspec import Meta, Struct

from edgeface.wire.commands import NewName, Request, Who
from edgeface.wire.fields import Count, NamedPerson, Time

ViewId = Annotated[str, Meta(max_length=100, description="`id` of a view, as `views` lists it", examples=["3f9a12cd"])]
SomeViews = Annotated[
    list[ViewId], Meta(min_length=1, max_length=500, description="views of one person", examples=[["3f9a12cd"]])
]
ChangeId = Annotated[str, Meta(description="`change` of a result, or as `bin` lists it", examples=["c_5b0e91d7"])]
Into = Annotated[
    str, Meta(max_length=200, description="who keeps name, id and rules: a name, or better an id", examples=["Anna"])
]


class MergeRequest(Request, frozen=True, kw_only=True):
    """Say that two people are one: the second gets all that is the first's."""

    person: Who
    into: Into
    force: bool = False


class MqttMergeRequest(Request, frozen=True, kw_only=True):
    """Say that two people who look alike are one: the second gets all that is the first's."""

    person: Who
    into: Into


class MqttMoveRequest(Request, frozen=True, kw_only=True):
    """Say that views of one person are another, who must look like them."""

    views: SomeViews
    to: Who


class MoveRequest(MqttMoveRequest, frozen=True, kw_only=True):
    """Say that views of one person are another."""

    force: bool = False


class MqttSplitRequest(Request, frozen=True, kw_only=True):
    """Say that views of one person are somebody new, who must look like nobody enrolled."""

    views: SomeViews
    name: NewName


class SplitRequest(MqttSplitRequest, frozen=True, kw_only=True):
    """Say that views of one person are somebody new."""

    force: bool = False


class UndoRequest(Request, frozen=True, kw_only=True):
    """Undo a merge, a split, a move or a deletion of a view; the latest one, if none is named."""

    change: Annotated[
        Annotated[str, Meta(max_length=100)] | None, Meta(description="without it, the latest", examples=[None])
    ] = None


class ViewsRequest(Request, frozen=True, kw_only=True):
    """List the views (templates) of a person."""

    person: Who


class BinRequest(Request, frozen=True, kw_only=True):
    """List the changes that can be undone."""


class EmptyBinRequest(Request, frozen=True, kw_only=True):
    """Erase what is kept so that changes can be undone, at once."""


class Moved(NamedPerson, frozen=True, kw_only=True):
    """The person whose views they are now."""

    templates: Annotated[Count, Meta(description="views of the person in all", examples=[9])]
    change: Annotated[
        ChangeId | None,
        Meta(description="by which `undo` takes it back; null if nothing is kept for that", examples=["c_5b0e91d7"]),
    ]
    told: Annotated[str, Meta(description="the same in words", examples=["Anna B. is Anna now, with 9 views"])]


class UndoneChange(NamedPerson, frozen=True, kw_only=True):
    """The person whose views are back."""

    back: Annotated[Count, Meta(description="views and rejected faces that are back", examples=[4])]
    lost: Annotated[Count, Meta(description="those that somebody has changed since", examples=[0])]
    told: Annotated[str, Meta(description="the same in words", examples=["undone: 4 views of Anna B. are back"])]


class ListedView(Struct, frozen=True, kw_only=True):
    """A view of a person."""

    id: ViewId
    quality: Annotated[float, Meta(description="from 0 to 1", examples=[0.82])]
    score: Annotated[
        float | None, Meta(description="similarity to the person's other views; null for the only one", examples=[0.71])
    ]
    event_id: Annotated[
        str | None, Meta(description="the event that it came from; null for one of an enrollment", examples=[None])
    ]
    like: Annotated[NamedPerson | None, Meta(description="another person whom the view is more like", examples=[None])]


class Views(NamedPerson, frozen=True, kw_only=True):
    """A person with every view, the oldest first."""

    views: Annotated[
        list[ListedView],
        Meta(
            description="with the `score` of each against the others, the event that it came from, and who it is more `like`",
            examples=[[{"id": "3f9a12cd", "quality": 0.82, "score": 0.71, "event_id": None, "like": None}]],
        ),
    ]


class ListedChange(Struct, frozen=True, kw_only=True):
    """A change that can be undone."""

    change: ChangeId
    ts: Time
    until: Annotated[Time, Meta(description="when it is erased", examples=["2026-12-24T10:15:07.238Z"])]
    told: Annotated[str, Meta(description="what was changed", examples=["Anna B. was merged into Anna"])]
    people: Annotated[list[str], Meta(description="ids of the people whom it concerns", examples=[["p_f8e6d06ed6e2f474"]])]


class Bin(Struct, frozen=True):
    """The changes that can be undone, the latest last, and for how many days each can be."""

    changes: Annotated[list[ListedChange], Meta(description="the latest last", examples=[[]])]
    days: Annotated[float, Meta(description="`gallery.bin_days` of the settings", examples=[30.0])]


class Emptied(Struct, frozen=True):
    """How many changes can be undone no longer."""

    changes: Annotated[Count, Meta(description="changes that were erased", examples=[2])]
