"""Makes and lists backups, and restores a person from one, in a thread of its own while the loop goes on."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from edgeface.gallery import restore
from edgeface.gallery.backup import Backups, Gentle, Listed
from edgeface.gallery.copies import Pause, go_on
from edgeface.operations.context import OperationContext, Steps
from edgeface.wire import commands as wire
from edgeface.wire.fields import timestamp

T = TypeVar("T")


def back_up(context: OperationContext, _request: wire.Request) -> Steps[wire.BackedUp]:
    backups = Backups(context.config)
    made = yield from in_thread(lambda: backups.make(_pause(context)))
    if made is None:
        return wire.BackedUp(None, [])
    context.note("backup", copy=made.new.copy.path.name, people=made.people)
    return wire.BackedUp(_listed(made.new), list(made.damaged))


def list_backups(context: OperationContext, _request: wire.Request) -> Steps[wire.Backups]:
    """List the backups, without opening the gallery, which may be damaged."""
    backups = Backups(context.config)
    listing = yield from in_thread(lambda: backups.listing(_pause(context)))
    return wire.Backups(str(backups.folder), [_listed(one) for one in listing])


def restore_person(context: OperationContext, request: wire.RestoreRequest) -> Steps[wire.RestoredPerson]:
    backups = Backups(context.config)
    copy, document = yield from in_thread(lambda: restore.person(backups, context.card, request.copy, request.person))
    (done,) = context.gallery.import_(document)
    context.note("restore", copy=copy, person=done.person.id, added=done.added)
    return wire.RestoredPerson(done.person.id, done.person.name, done.new, done.added, copy)


def _pause(context: OperationContext) -> Pause:
    return Gentle(rest=1.0) if context.serving else go_on


def in_thread(call: Callable[[], T]) -> Steps[T]:
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="operation", daemon=True).start()
    while not done.done():
        yield None
    return done.result()


def _listed(one: Listed) -> wire.ListedBackup:
    contents = one.contents
    return wire.ListedBackup(
        number=one.copy.number,
        file=one.copy.path.name,
        date=timestamp(one.copy.wall),
        bytes=one.size,
        people=contents.people if contents else None,
        templates=contents.templates if contents else None,
        model=contents.model if contents else None,
        state=one.state,
    )
