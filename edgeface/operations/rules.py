"""Mutes, ignores and labels people, and says in which hours they are expected and when they are to be forgotten."""

import time
from collections.abc import Callable
from itertools import count

import msgspec
from msgspec import UNSET

from edgeface.config.hours import WeeklyHours
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.names import clean_name
from edgeface.gallery.rules import NONE, Rules, changed
from edgeface.operations.context import OperationContext
from edgeface.operations.events import introduced
from edgeface.operations.pause import end
from edgeface.wire import rules as wire
from edgeface.wire.fields import RulesPayload, timestamp

YEARS = 10 * 366 * 86400.0
"""Seconds until an expiry or the end of a mute, at most."""


def mute(context: OperationContext, request: wire.MuteRequest) -> wire.PersonRules:
    now = time.time()
    until = end(request.minutes, request.until, now, longest=YEARS)
    return _change(context, request.person, "mute", lambda rules: changed(rules, muted_since=now, muted_until=until))


def unmute(context: OperationContext, request: wire.UnmuteRequest) -> wire.PersonRules:
    return _change(context, request.person, "unmute", lambda rules: changed(rules, muted_since=None, muted_until=None))


def ignore(context: OperationContext, request: wire.IgnoreRequest) -> wire.PersonRules:
    """Ignore a person, or whom events show.

    Raises:
        ConfigError: neither or both are given.
        GalleryError: as ``introduce``, or the name is that of somebody who is enrolled and not ignored.
    """
    if bool(request.event_ids) == (request.person is not None):
        raise ConfigError("give either a person to ignore, or events")
    if request.person is not None:
        action = "ignore" if request.ignored else "unignore"
        return _change(context, request.person, action, lambda rules: changed(rules, ignored=request.ignored))
    if not request.ignored:
        raise ConfigError("say which person is no longer ignored")
    gallery = context.gallery
    ids = {person.name: person.id for person in gallery.people()}
    name = clean_name(request.name) if request.name.strip() else next(one for one in _names() if one not in ids)
    before = gallery.rules().get(ids.get(name, ""), NONE)
    if name in ids and not before.ignored:
        raise GalleryError(f"{name!r} is enrolled and not ignored; if it is them, ignore the person")
    rules = changed(before, ignored=True)
    person = introduced(context, request.event_ids, name, rules)
    context.note("ignore", person=person.id, events=len(request.event_ids))
    return wire.PersonRules(person.id, person.name, told(rules))


def hours(context: OperationContext, request: wire.HoursRequest) -> wire.PersonRules:
    try:
        WeeklyHours.of(request.hours)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return _change(context, request.person, "hours", lambda rules: changed(rules, hours=tuple(request.hours)))


def group(context: OperationContext, request: wire.GroupRequest) -> wire.PersonRules:
    labels = tuple(sorted({clean_name(label) for label in request.groups}))
    return _change(context, request.person, "group", lambda rules: changed(rules, groups=labels))


def expire(context: OperationContext, request: wire.ExpireRequest) -> wire.PersonRules:
    until = end(request.minutes, request.until, time.time(), longest=YEARS)
    return _change(context, request.person, "expire", lambda rules: changed(rules, expires=until))


def told(rules: Rules) -> RulesPayload:
    muted = rules.muted(time.time())
    return RulesPayload(
        ignored=rules.ignored or UNSET,
        muted=muted or UNSET,
        muted_until=timestamp(rules.muted_until) if muted and rules.muted_until is not None else UNSET,
        hours=list(rules.hours) or UNSET,
        groups=list(rules.groups) or UNSET,
        expires=UNSET if rules.expires is None else timestamp(rules.expires),
    )


def _change(context: OperationContext, who: str, action: str, change: Callable[[Rules], Rules]) -> wire.PersonRules:
    gallery = context.gallery
    with context.noted(action, person=gallery.find(who).id):
        try:
            person, rules = gallery.rule(who, change)
        except msgspec.ValidationError as error:
            raise ConfigError(str(error)) from None
    return wire.PersonRules(person.id, person.name, told(rules))


def _names() -> "map[str]":
    return map("ignored {}".format, count(1))
