"""Lists every operation; a row here opens an operation at all its doors."""

from collections.abc import Mapping
from typing import Any, get_origin, get_type_hints

import msgspec

from edgeface.enrollment.guidance import Guidance
from edgeface.errors import EdgefaceError
from edgeface.operations import (
    backups,
    configure,
    enroll,
    events,
    explain,
    find,
    moves,
    pausing,
    people,
    rules,
    snapshot,
)
from edgeface.operations.context import EVERYWHERE, Door, Operation, Q
from edgeface.wire import commands as wire
from edgeface.wire import moves as of_moves
from edgeface.wire import rules as of_rules
from edgeface.wire.fields import NamedPerson

WITHIN = EVERYWHERE - {Door.MQTT}
"""The doors on this device: all but MQTT."""

ENROLL = Operation("enroll", wire.EnrollRequest, enroll.Enrollment, enroll.from_camera, camera=True, progress=Guidance)
PHOTOS = Operation(
    "photos", wire.PhotosRequest, enroll.Enrollment, enroll.from_photos, WITHIN, photos=True, progress=enroll.PhotoJudged
)
PEOPLE = Operation("people", wire.PeopleRequest, wire.People, people.list_people)
RENAME = Operation("rename", wire.RenameRequest, NamedPerson, people.rename)
FORGET = Operation("forget", wire.ForgetRequest, wire.Forgotten, people.forget)
SNAPSHOT = Operation("snapshot", wire.SnapshotRequest, wire.Snapshot, snapshot.take_snapshot, frozenset({Door.MQTT}))
EVENTS = Operation("events", wire.EventsRequest, wire.Events, events.list_events)
EXPLAIN = Operation("explain", wire.ExplainRequest, wire.Explained, explain.explain)
FIND = Operation("find", wire.FindRequest, wire.Found, find.find, photos=True, progress=enroll.PhotoJudged)
REJECT = Operation("reject", wire.RejectRequest, wire.Verdict, events.reject)
CONFIRM = Operation("confirm", wire.ConfirmRequest, wire.Verdict, events.confirm)
INTRODUCE = Operation(
    "introduce",
    wire.IntroduceRequest,
    NamedPerson,
    events.introduce,
    command="events introduce",
    told=events.introduced_in_words,
)
DISMISS = Operation(
    "dismiss", wire.DismissRequest, wire.Dismissed, events.dismiss, command="events dismiss", told=events.dismissed_in_words
)
CHECK = Operation("check", wire.Request, people.Checked, people.check_gallery, WITHIN)
DROP = Operation("drop", wire.DropRequest, wire.Dropped, people.drop, WITHIN)
BACKUP = Operation("backup", wire.Request, wire.BackedUp, backups.back_up, WITHIN)
BACKUPS = Operation("backups", wire.Request, wire.Backups, backups.list_backups, WITHIN)
RESTORE = Operation("restore", wire.RestoreRequest, wire.RestoredPerson, backups.restore_person, WITHIN)
PAUSE = Operation("pause", wire.PauseRequest, wire.PauseState, pausing.pause, daemon=True)
RESUME = Operation("resume", wire.ResumeRequest, wire.PauseState, pausing.resume, daemon=True)
MUTE = Operation("mute", of_rules.MuteRequest, of_rules.PersonRules, rules.mute)
UNMUTE = Operation("unmute", of_rules.UnmuteRequest, of_rules.PersonRules, rules.unmute)
IGNORE = Operation("ignore", of_rules.IgnoreRequest, of_rules.PersonRules, rules.ignore)
HOURS = Operation("hours", of_rules.HoursRequest, of_rules.PersonRules, rules.hours)
GROUP = Operation("group", of_rules.GroupRequest, of_rules.PersonRules, rules.group)
EXPIRE = Operation("expire", of_rules.ExpireRequest, of_rules.PersonRules, rules.expire)
MERGE = Operation("merge", of_moves.MergeRequest, of_moves.Moved, moves.merge)
MOVE = Operation("move", of_moves.MoveRequest, of_moves.Moved, moves.move)
SPLIT = Operation("split", of_moves.SplitRequest, of_moves.Moved, moves.split)
UNDO = Operation("undo", of_moves.UndoRequest, of_moves.UndoneChange, moves.undo)
VIEWS = Operation("views", of_moves.ViewsRequest, of_moves.Views, moves.list_views)
BIN = Operation("bin", of_moves.BinRequest, of_moves.Bin, moves.list_bin)
EMPTY_BIN = Operation("empty_bin", of_moves.EmptyBinRequest, of_moves.Emptied, moves.empty_bin)
CONFIGURE = Operation("configure", wire.ConfigureRequest, wire.Configured, configure.configure, WITHIN)

OPERATIONS: dict[str, Operation[Any, Any]] = {
    one.name: one
    for one in (
        *(ENROLL, PHOTOS, RENAME, FORGET, PEOPLE, SNAPSHOT, EVENTS, EXPLAIN, FIND, REJECT, CONFIRM),
        *(MERGE, MOVE, SPLIT, UNDO, VIEWS, BIN, EMPTY_BIN),
        *(PAUSE, RESUME, MUTE, UNMUTE, IGNORE, HOURS, GROUP, EXPIRE),
        *(INTRODUCE, DISMISS, CHECK, DROP, BACKUP, BACKUPS, RESTORE, CONFIGURE),
    )
}


def at(door: Door) -> dict[str, Operation[Any, Any]]:
    return {name: operation for name, operation in OPERATIONS.items() if door in operation.doors}


def read(fields: object, request: type[Q], *, strict: bool = True) -> Q:
    """Convert decoded JSON to a request, or raise ``EdgefaceError``; unless ``strict``, numbers and truth may be texts."""
    try:
        converted = msgspec.convert(fields, request, strict=strict)
    except msgspec.ValidationError as error:
        raise EdgefaceError(f"malformed request: {error}") from None
    if isinstance(fields, dict) and (unknown := set(fields) - set(request.__struct_fields__)):
        raise EdgefaceError(f"malformed request: there is no field {', '.join(sorted(unknown))}")
    return converted


def read_texts(fields: Mapping[str, list[str]], request: type[Q]) -> Q:
    """Read a request, as ``read``, of which each field is given as texts: of a list any number, else the last one counts."""
    hints = get_type_hints(request)
    values = {name: texts if get_origin(hints.get(name)) is list else texts[-1] for name, texts in fields.items()}
    return read(values, request, strict=False)
