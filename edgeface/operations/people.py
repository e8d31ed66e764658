"""Lists, renames, forgets and checks people, and drops templates."""

from dataclasses import dataclass

from edgeface.enrollment.gallery_check import Finding, check
from edgeface.errors import GalleryError
from edgeface.gallery.backup import Backups
from edgeface.operations.context import OperationContext
from edgeface.recognition.matching import Matcher
from edgeface.wire.commands import (
    CheckRequest,
    Dropped,
    DropRequest,
    ForgetRequest,
    Forgotten,
    ListedPerson,
    People,
    PeopleRequest,
    RenameRequest,
)
from edgeface.wire.fields import NamedPerson, timestamp


@dataclass(frozen=True, slots=True)
class Checked:
    """How many people were checked, and every fault that was found.

    ``threshold`` says that the gallery's threshold was not measured; it is empty where it was.
    """

    people: int
    findings: list[Finding]
    threshold: str


def list_people(context: OperationContext, _request: PeopleRequest) -> People:
    """List everybody, by name."""
    people = context.gallery.people()
    return People([ListedPerson(one.id, one.name, one.templates, timestamp(one.enrolled)) for one in people])


def rename(context: OperationContext, request: RenameRequest) -> NamedPerson:
    """Give a person another name."""
    person = context.gallery.find(request.person)
    with context.noted("rename", person=person.id):
        person = context.gallery.rename(person.id, request.name)
    return NamedPerson(person.id, person.name)


def forget(context: OperationContext, request: ForgetRequest) -> Forgotten:
    """Erase a person; that is noted even if a trace of them could not be wiped."""
    gallery = context.gallery
    person = gallery.find(request.person)
    try:
        gallery.forget(person.id)
    finally:
        context.note("forget", person=person.id, done=all(other.id != person.id for other in gallery.people()))
    left = [] if context.serving else _left_in_backups(context)  # the daemon sees to its backups by itself
    return Forgotten(person.id, person.name, left) if left else Forgotten(person.id, person.name)


def _left_in_backups(context: OperationContext) -> list[str]:
    backups = Backups(context.config)
    try:
        return backups.erase_forgotten()
    except GalleryError:  # such as while the daemon makes one, which erases them in the end
        return [str(backups.folder)]


def check_gallery(context: OperationContext, _request: CheckRequest) -> Checked:
    """Look for what makes people be mistaken or missed."""
    templates = context.gallery.templates().by_name()
    settings = context.config.matching
    findings = check(templates, Matcher(templates, context.card, settings), context.gallery.damage())
    beyond = context.card.beyond_measured(settings.target_fpir, len(templates.vectors))
    return Checked(len(templates.people), findings, beyond)


def drop(context: OperationContext, request: DropRequest) -> Dropped:
    """Erase a template, or a damaged record."""
    with context.noted("drop", template=request.template) as note:
        person = context.gallery.drop(request.template)
        note["person"] = person.id if person else ""
    return Dropped(person.id, person.name, person.templates) if person else Dropped()
