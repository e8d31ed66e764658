"""Pauses the camera, and resumes."""

import time

from edgeface.errors import EdgefaceError
from edgeface.operations.context import OperationContext
from edgeface.operations.pause import Pause, end
from edgeface.types import Paused
from edgeface.wire import commands as wire
from edgeface.wire.fields import timestamp


def pause(context: OperationContext, request: wire.PauseRequest) -> wire.PauseState:
    if not request.paused:
        return resume(context, request)
    until = end(request.minutes, request.until, time.time())
    state = context.pause or Pause(context.config)
    paused = state.begin(until, " ".join(request.reason.split()), timed=request.until is not None)
    context.note("pause", until=None if until is None else timestamp(until))
    return _told(state, paused)


def resume(context: OperationContext, _request: wire.Request) -> wire.PauseState:
    state = context.pause or Pause(context.config)
    state.resume()
    context.note("resume")
    return _told(state, None)


def _told(state: Pause, paused: Paused | None) -> wire.PauseState:
    if state.trouble:
        raise EdgefaceError(state.trouble)
    if paused is None:
        return wire.PauseState(paused=False, since=None, until=None, why=None)
    until = None if paused.until is None else timestamp(paused.until)
    return wire.PauseState(paused=True, since=timestamp(paused.since), until=until, why=paused.why)
