"""An operation: ``count`` says how many people are enrolled, at every door."""

from copied import Copy

HANDLER = '''
"""Counts people and templates."""

from typing import Annotated

from msgspec import Meta, Struct

from edgeface.operations.context import OperationContext
from edgeface.wire.commands import Request
from edgeface.wire.fields import Count


class CountRequest(Request, frozen=True, kw_only=True):
    """Count people and templates."""

    least: Annotated[int, Meta(ge=1, description="only people with so many templates", examples=[1])] = 1


class Counted(Struct, frozen=True):
    """How many there are."""

    people: Annotated[Count, Meta(description="people", examples=[2])]
    templates: Annotated[Count, Meta(description="templates of them", examples=[10])]


def count(context: OperationContext, request: CountRequest) -> Counted:
    """Count."""
    found = [one.templates for one in context.gallery.people() if one.templates >= request.least]
    return Counted(len(found), sum(found))
'''


def apply(copy: Copy) -> None:
    copy.create("edgeface/operations/count.py", HANDLER)
    path = "edgeface/operations/registry.py"
    copy.insert(path, after="    configure,\n", text="    count,\n")
    copy.insert(
        path,
        after='RENAME = Operation("rename", wire.RenameRequest, NamedPerson, people.rename)\n',
        text='COUNT = Operation("count", count.CountRequest, count.Counted, count.count, command="people count")\n',
    )
    copy.replace(path, "*(INTRODUCE, ", "*(COUNT, INTRODUCE, ")
