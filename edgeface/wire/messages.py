"""Says in another language what parts of edgeface have said in English: errors, reasons, troubles.

The command line and the log have the same texts, and theirs stay English.
"""

import re
from functools import cache

from edgeface.platform.translation import ENGLISH, Translation

MAX_LENGTH = 1000
ADVICE = re.compile(r"(?:; --|: edgeface |; (?:see )?edgeface |; force (?:merges|moves|splits) ).*", re.DOTALL)
MESSAGES = (
    # Faces and photos
    "no face was found",
    "{count} faces were found, it must show one person alone",
    "the face is too small: {pixels} pixels between the eyes, {needed} are needed",
    "the face is too blurred, dark or turned away: quality {quality} (needs {needed})",
    "this face is already enrolled as {name} (score {score}); force enrolls it anyway",
    "this face is not like that of {name}: score {score} (needs {needed}); force enrolls it anyway",
    "this face was enrolled as {name} meanwhile; force enrolls it anyway",
    "{name} was enrolled with another face meanwhile: score {score} (needs {needed}); force enrolls it anyway",
    "the file is empty",
    "not a JPEG, PNG, WebP or BMP image",
    "the image is damaged",
    "{width} x {height} pixels is too large, the limit is {limit} megapixels",
    "no usable view within {seconds} s; last: {hint}",
    "no usable view within {seconds} s; last: {hint}; force enrolls it anyway",
    "view {number} taken",
    "score {score} (needs {needed})",
    "one view alone cannot tell from how far they will be recognized",
    "will hardly be recognized: half of the views are not, each held against the others",
    "will be recognized from about {metres} m ({pixels} pixels between the eyes, "
    "if the camera sees {degrees} degrees on {width} pixels)",
    # Names and people
    "the name is not valid UTF-8",
    "{name} is no name: it needs 1 to {count} printable characters",
    "{name} is already enrolled",
    "{name} is no longer enrolled",
    "nobody called {name} is enrolled; see the list of people",
    "nobody called {name} is enrolled; did you mean {meant}?",
    "{name} is enrolled and not ignored; if it is them, ignore the person",
    "{record} is the only template",
    "there is no template {record}",
    # Visits
    "no event {event} is kept",
    "the event {event} is no longer kept",
    "{name}'s own templates are nearer to this face than to each other: it seems to be {again}; force rejects it anyway",
    "this face passes for {name}, who is enrolled; if it is them, name it so",
    "this face is nearer to {nearer} than to {name}; if it named the wrong one, reject it first",
    "this face is nearer to one that was rejected as {name} than to {again}",
    "no view of {event} was good enough to tell a face by",
    "{done}, but {file}-wal keeps a trace until the program that reads it now ends",
    "{old} is {name} now",
    "{name} is forgotten",
    "{record} is erased",
    "the face of {event} was not kept: the faces of strangers are not kept",
    "the face of {event} was not kept: keeping was off then",
    # Merging, moving and undoing
    "that is one person, {name}, already",
    "{name} and {other} do not look alike, score {score} (needs {needed})",
    "they are views of {name} already",
    "these are all views of {name}: merge the two",
    "these are all views of {name}: rename them",
    "this view is nearer to {nearer} than to {name}",
    "this view passes for {name}",
    "there is no view {record}",
    "{name} has no view {record}",
    "{name}'s views are not what they were; look again",
    "something of {name} is damaged",
    "there is nothing to undo",
    "there is no change {change} to undo",
    "a later change concerns the same people: undo {change} first",
    "what {change} changed has been changed again since: nothing of it can be undone",
    "{name} is enrolled anew meanwhile; rename that person first",
    "{name} is merged into {other}",
    "{name} was merged into {other}",
    "1 view of {name} moved",
    "{count} views of {name} moved",
    "1 view of {name} moved to {other}",
    "{count} views of {name} moved to {other}",
    "1 view of {name} split off as {other}",
    "{count} views of {name} split off as {other}",
    "1 view of {name} deleted",
    "{count} views of {name} deleted",
    "{done}; {name} has 1 view",
    "{done}; {name} has {count} views",
    "undone: {done}",
    "undone: {done}; {count} had been changed since",
    # Rules
    "{time} is no time, such as 18:00 or 2026-12-24T18:00",
    "{time} is over already",
    "{time} is over {days} days away",
    '{hours} is not like "mon-fri 08:00-17:00", "sat,sun 10:00-12:00" or "22:00-06:00"',
    "{hours}: times are from 00:00 to 24:00",
    "{hours} begins and ends at one time; a whole day is 00:00-24:00",
    # The device
    "somebody else is being enrolled now",
    "the device is busy; try again in a moment",
    "other photos are being looked at; try again in a moment",
    "the device did not answer in time; is the camera well?",
    "the daemon did not take the change in time",
    "the daemon is stopping",
    "the daemon took new settings; ask again",
    "it failed inside; the log has more",
    "the camera is paused: edgeface resume opens it",
    "the loop hangs: no beat for {seconds} s",
    "camera {camera} is lost: {reason}",
    "a frame takes {milliseconds} ms, and {count} are to come a second",
    "memory is tight: {used} of {limit} MB in use",
    "memory is tight: {left} MB left",
    "{camera}: {reason}",
    "it gives no frames",
    "no frame for {seconds} s",
    "{camera} cannot be opened",
    "{camera} cannot be opened: {reason}",
    "{camera} gives no more frames",
    "no broker at {address}",
    "nobody is recognized, for the gallery cannot be read: {reason}",
    "the gallery cannot be read, people are known as they were before: {reason}",
    "gallery: {reason}",
    "the disk is full: people are recognized, but nothing can be changed until there is room",
    "events are not kept: {reason}",
    "under-voltage: the power supply, or its cable, is too weak",
    "the settings read last were not taken: {reason}",
)


def said(text: object, language: Translation) -> str:
    """Say a message of edgeface, without its advice for the command line; a text that is none stays as it is."""
    plain = str(text)
    if language is ENGLISH or len(plain) > MAX_LENGTH:
        return plain
    for message, pattern in _patterns():
        if found := pattern.fullmatch(plain) or pattern.fullmatch(ADVICE.sub("", plain)):
            return language.say(message, **{name: _field(name, value, language) for name, value in found.groupdict().items()})
    return plain


def _field(name: str, value: str, language: Translation) -> str:
    """Say a field that is a message itself; others are names and figures."""
    if name == "hint":
        return language.say(value)
    return said(value, language) if name in ("reason", "done") else value


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Return each message with a pattern that matches it.

    First come those that begin or end with another message, then those with the most words of their own.
    """
    ordered = sorted(MESSAGES, key=lambda message: ("{done}" not in message, -len(re.sub(r"\{\w+\}", "", message))))
    return [(message, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(message)))) for message in ordered]
