"""Lists, renames and forgets people, checks the gallery, and drops templates."""

from dataclasses import dataclass, replace

from msgspec import UNSET

from edgeface.enrollment.gallery_check import Finding, check
from edgeface.errors import GalleryError
from edgeface.gallery.backup import Backups
from edgeface.gallery.rules import NONE
from edgeface.operations.context import OperationContext
from edgeface.operations.rules import told
from edgeface.recognition.event_id import event_time
from edgeface.recognition.matching import Matcher
from edgeface.wire import commands as wire
from edgeface.wire.fields import NamedPerson, timestamp


@dataclass(frozen=True, slots=True)
class Checked:
    """The number of people in the gallery, and every fault found in it.

    ``threshold`` says that the gallery's threshold was not measured; it is empty where it was.
    """

    people: int
    findings: list[Finding]
    threshold: str


def list_people(context: OperationContext, _request: wire.PeopleRequest) -> wire.People:
    rules = {person_id: told(theirs) for person_id, theirs in context.gallery.rules().items() if theirs != NONE}
    listed = [
        wire.ListedPerson(one.id, one.name, one.templates, timestamp(one.enrolled), rules.get(one.id, UNSET))
        for one in context.gallery.people()
    ]
    return wire.People(listed)


def rename(context: OperationContext, request: wire.RenameRequest) -> NamedPerson:
    person = context.gallery.find(request.person)
    with context.noted("rename", person=person.id):
        person = context.gallery.rename(person.id, request.name)
    return NamedPerson(person.id, person.name)


def forget(context: OperationContext, request: wire.ForgetRequest) -> wire.Forgotten:
    """Erase a person; note it in the audit log even if a trace of them could not be wiped."""
    gallery = context.gallery
    person = gallery.find(request.person)
    try:
        gallery.forget(person.id)
    finally:
        context.note("forget", person=person.id, done=all(other.id != person.id for other in gallery.people()))
    left = [] if context.serving else left_in_backups(context)  # the daemon's backup task erases them there
    return wire.Forgotten(person.id, person.name, left) if left else wire.Forgotten(person.id, person.name)


def left_in_backups(context: OperationContext) -> list[str]:
    """Erase who was forgotten from the backups, and return those in which that fails, or their folder."""
    backups = Backups(context.config)
    try:
        return backups.erase_forgotten()
    except GalleryError:  # such as while the daemon makes a backup; it then erases them itself
        return [str(backups.folder)]


def check_gallery(context: OperationContext, _request: wire.Request) -> Checked:
    templates = context.gallery.templates().by_name()
    settings = context.config.matching
    findings = check(templates, Matcher(templates, context.card, settings), context.gallery.damage())
    learned = context.gallery.learned()
    for number, finding in enumerate(findings):
        if event := learned.get(finding.template or ""):
            findings[number] = replace(finding, event_id=event, ts=timestamp(event_time(event)))
    beyond = context.card.beyond_measured(settings.target_fpir, len(templates.vectors))
    return Checked(len(templates.people), findings, beyond)


def drop(context: OperationContext, request: wire.DropRequest) -> wire.Dropped:
    with context.noted("drop", template=request.template) as note:
        person, change = context.gallery.drop(request.template)
        note["person"] = person.id if person else ""
    return wire.Dropped(person.id, person.name, person.templates, change) if person else wire.Dropped()
