"""Defines the commands of ``edgeface people`` that set a person's rules."""

import re
from collections.abc import Iterator
from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, show
from edgeface.cli.completion import Who
from edgeface.cli.operations import perform
from edgeface.cli.pause import read_minutes
from edgeface.errors import ConfigError
from edgeface.operations.registry import EXPIRE, GROUP, HOURS, IGNORE, MUTE, UNMUTE
from edgeface.platform.text import local
from edgeface.wire.fields import ULID, RulesPayload
from edgeface.wire.rules import (
    ExpireRequest,
    GroupRequest,
    HoursRequest,
    IgnoreRequest,
    MuteRequest,
    PersonRules,
    UnmuteRequest,
)

app = typer.Typer()


@app.command()
def mute(
    context: typer.Context,
    person: Who,
    duration: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long, such as 8h or 1d12h.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until when, such as 18:00 or 2026-12-24T18:00.")] = None,
    json: Json = False,
) -> None:
    """Send no events about a person, until unmuted or the end given. Presence tells them as before.

    \b
    Examples: edgeface people mute Anna
              edgeface people mute Anna --for 8h
    """
    minutes = None if duration is None else read_minutes(duration, "--for")
    _print(perform(context.obj, MUTE, MuteRequest(person=person, minutes=minutes, until=until)), json)


@app.command()
def unmute(context: typer.Context, person: Who, json: Json = False) -> None:
    """Send events about a person again.

    \b
    Example: edgeface people unmute Anna
    """
    _print(perform(context.obj, UNMUTE, UnmuteRequest(person=person)), json)


@app.command()
def ignore(
    context: typer.Context,
    who: Annotated[
        list[str],
        typer.Argument(
            metavar="PERSON|EVENT_ID...", help="A person, or events without a name.", autocompletion=completion.people
        ),
    ],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="What to call whom the events show.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Tell of the person again.")] = False,
    json: Json = False,
) -> None:
    """Never tell of a person, who stays known. There is no event, no presence, no "unknown".

    With the ids of events that named nobody (edgeface events list), whom they show is enrolled, and ignored.

    \b
    Examples: edgeface people ignore Bert
              edgeface people ignore 01M86GTN766HKSFCZ15NNMEFKP 01M86H0V3Q8T5W2X4Y6Z7A9BCD --as postman
              edgeface people ignore postman --undo
    """
    events = [one.upper() for one in who if re.fullmatch(ULID, one.upper(), re.ASCII)]
    if (events and len(events) < len(who)) or (not events and len(who) > 1):
        raise ConfigError("give one person, or events and nothing else")
    if name and not events:
        raise ConfigError("--as names whom events show; the person has a name already")
    request = IgnoreRequest(person=None if events else who[0], event_ids=events, name=name, ignored=not undo)
    _print(perform(context.obj, IGNORE, request), json)


@app.command()
def hours(
    context: typer.Context,
    person: Who,
    windows: Annotated[
        list[str] | None, typer.Argument(metavar="[HOURS]...", help="Hours of the week; none ends the rule.")
    ] = None,
    json: Json = False,
) -> None:
    """Say in which hours of the week a person is expected. Events then tell whether they are allowed.

    \b
    Examples: edgeface people hours Clara "mon-fri 08:00-12:00" "sat 10:00-11:00"
              edgeface people hours Clara
    """
    _print(perform(context.obj, HOURS, HoursRequest(person=person, hours=windows or [])), json)


@app.command()
def group(
    context: typer.Context,
    person: Who,
    groups: Annotated[
        list[str] | None, typer.Argument(metavar="[GROUP]...", help="All groups of the person; none for no group.")
    ] = None,
    json: Json = False,
) -> None:
    """Say in which groups a person is: events have them.

    \b
    Example: edgeface people group Anna family
    """
    _print(perform(context.obj, GROUP, GroupRequest(person=person, groups=groups or [])), json)


@app.command()
def expire(
    context: typer.Context,
    person: Who,
    duration: Annotated[str | None, typer.Option("--in", metavar="TIME", help="After how long, such as 3d or 12h.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="When, such as 18:00 or 2026-12-24T18:00.")] = None,
    never: Annotated[bool, typer.Option("--never", help="Keep the person.")] = False,
    json: Json = False,
) -> None:
    """Forget a guest by itself at a time, as people forget does. The daemon does it.

    \b
    Examples: edgeface people expire Guest --in 3d
              edgeface people expire Guest --at 2026-12-24T18:00
              edgeface people expire Guest --never
    """
    if (duration is not None) + (at is not None) + never != 1:
        raise typer.BadParameter("give one of the three", param_hint="--in / --at / --never")
    minutes = None if duration is None else read_minutes(duration, "--in")
    _print(perform(context.obj, EXPIRE, ExpireRequest(person=person, minutes=minutes, until=at)), json)


def in_words(rules: RulesPayload) -> str:
    return ", ".join(_words(rules))


def _words(rules: RulesPayload) -> Iterator[str]:
    if rules.ignored:
        yield "ignored"
    if rules.muted:
        yield f"muted until {local(rules.muted_until)}" if rules.muted_until else "muted"
    if rules.groups:
        yield f"groups {' + '.join(rules.groups)}"
    if rules.hours:
        yield f"expected {' + '.join(rules.hours)}"
    if rules.expires:
        yield f"forgotten at {local(rules.expires)}"


def _print(person: PersonRules, json: bool) -> None:
    show(person, [f"{person.name}: {in_words(person.rules) or 'no rules'}"], json=json)
