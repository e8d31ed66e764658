"""The changes to the gallery that can be asked for by commands, MQTT and the page, each with its line in the audit log."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeface.config import schema
from edgeface.enrollment.enroller import Enroller, Report, View
from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery import migration, restore
from edgeface.gallery.audit import Audit, Scalar
from edgeface.gallery.backup import Backups, Made
from edgeface.gallery.copies import Pause
from edgeface.gallery.migration import Reembedded
from edgeface.gallery.restore import Restored
from edgeface.gallery.store import Gallery, Imported
from edgeface.operations import verdicts
from edgeface.operations.verdicts import Outcome
from edgeface.types import Image, Person
from edgeface.vision.model_card import ModelCard

By = Mapping[str, Scalar] | None
"""Who did it; none is the user of this process."""
MQTT: By = {"mqtt": True}
"""Somebody who may publish on the broker: it does not tell who."""
WEB: By = {"web": True}
"""Somebody who has the token of the page."""


def enroll(
    audit: Audit,
    enroller: Enroller,
    name: str,
    images: Iterable[tuple[str, Image | EdgefaceError]],
    *,
    force: bool,
    by: By = None,
) -> Report:
    """As ``Enroller.enroll``."""
    report = enroller.enroll(name, images, force=force)
    if report.person:
        counts = {"images": len(report.accepted), "refused": len(report.refused)}
        audit.note("enroll", by=by, person=report.person.id, **counts, force=force)
    return report


def enroll_views(
    audit: Audit, enroller: Enroller, name: str, views: Sequence[View], *, force: bool, by: By = None, refused: int = 0
) -> Report:
    """Enroll views that were judged already; as ``Enroller.keep``."""
    person = enroller.keep(name, views, force=force)
    audit.note("enroll", by=by, person=person.id, images=len(views), refused=refused, force=force)
    return Report(person, [view.label for view in views], views=list(views))


def take_over(
    audit: Audit,
    settings: schema.Config,
    model: Path,
    *,
    drop: bool = False,
    names: bool = True,
    alive: Callable[[], None] = lambda: None,
) -> Reembedded | None:
    """As ``reembed.reembed``, for the gallery of these settings."""
    done = migration.reembed(settings.gallery_path, settings.key_path, model, drop=drop, names=names, alive=alive)
    if done:
        audit.note("reembed", people=done.people, templates=done.templates, dropped=len(done.dropped))
    return done


def rename(audit: Audit, gallery: Gallery, reference: str, name: str, *, by: By = None) -> Person:
    """As ``Gallery.rename``."""
    with _noted(audit, "rename", by, person=gallery.find(reference).id):
        return gallery.rename(reference, name)


def forget(audit: Audit, gallery: Gallery, reference: str, *, by: By = None) -> Person:
    """As ``Gallery.forget``; what was erased is noted though a trace of it could not be wiped."""
    person = gallery.find(reference)
    try:
        gallery.forget(person.id)
    finally:
        done = all(other.id != person.id for other in gallery.people())
        audit.note("forget", by=by, person=person.id, done=done)
    return person


def drop(audit: Audit, gallery: Gallery, template: str, *, by: By = None) -> Person | None:
    """As ``Gallery.drop``."""
    with _noted(audit, "drop", by, template=template) as note:
        person = gallery.drop(template)
        note["person"] = person.id if person else ""
    return person


@contextmanager
def _noted(audit: Audit, what: str, by: By, **values: Scalar) -> Iterator[dict[str, Scalar]]:
    """Note a change once it is done, though a trace of what it erased could not be wiped."""
    try:
        yield values
    except TraceError:
        audit.note(what, by=by, **values)
        raise
    audit.note(what, by=by, **values)


def reject(
    audit: Audit, gallery: Gallery, settings: schema.MatchingSettings, event_id: str, *, force: bool = False, by: By = None
) -> Outcome:
    """As ``feedback.reject``."""
    outcome = verdicts.reject(gallery, settings, event_id, force=force)
    audit.note("rejected", by=by, event=outcome.event_id, person=outcome.person.id, added=outcome.added)
    return outcome


def confirm(
    audit: Audit,
    gallery: Gallery,
    card: ModelCard,
    settings: schema.MatchingSettings,
    event_id: str,
    reference: str | None = None,
    *,
    by: By = None,
) -> Outcome:
    """As ``feedback.confirm``."""
    outcome = verdicts.confirm(gallery, card, settings, event_id, reference)
    audit.note("confirmed", by=by, event=outcome.event_id, person=outcome.person.id, added=outcome.added)
    return outcome


def introduce(
    audit: Audit,
    gallery: Gallery,
    card: ModelCard,
    settings: schema.MatchingSettings,
    event_ids: Sequence[str],
    name: str,
    *,
    by: By = None,
) -> Person:
    """As ``feedback.introduce``."""
    person = verdicts.introduce(gallery, card, settings, event_ids, name)
    audit.note("introduced", by=by, person=person.id, events=len(event_ids))
    return person


def backup(audit: Audit, backups: Backups, pause: Pause, *, by: By = None) -> Made | None:
    """As ``Backups.make``."""
    made = backups.make(pause)
    if made:
        audit.note("backup", by=by, copy=made.new.copy.path.name, people=made.people)
    return made


def restore_whole(audit: Audit, settings: schema.Config, model: Path, reference: str | None, *, by: By = None) -> Restored:
    """As ``restore.whole``."""
    done = restore.whole(settings, model, reference)
    audit.note("restore", by=by, copy=done.copy, people=done.people, kept_aside=done.kept_aside)
    return done


def restore_person(audit: Audit, gallery: Gallery, copy: str, document: bytes, *, by: By = None) -> Imported:
    """Import somebody whom ``restore.person`` found in a copy."""
    (done,) = gallery.import_(document)
    audit.note("restore", by=by, copy=copy, person=done.person.id, added=done.added)
    return done
