"""Grants a lock what it asks for: a signature that somebody is before a camera, alive and expected."""

import logging
import time

from edgeface.errors import EdgefaceError
from edgeface.gallery.rules import NONE
from edgeface.operations.context import OperationContext
from edgeface.types import LivenessClass
from edgeface.wire.grant import Granted, GrantRequest

log = logging.getLogger(__name__)
REFUSED = "no grant; the device's log says why"


def grant(context: OperationContext, request: GrantRequest) -> Granted:
    """Sign a grant; raise ``EdgefaceError``, which tells a stranger nothing, if the person is not there, alive and expected."""
    if context.grants is None:
        raise EdgefaceError("this device gives no grants: [grant] groups lists none")
    wall, here = time.time(), context.grants.find(request.person_id)
    rules = context.gallery.rules().get(request.person_id, NONE)
    reason = None
    if here is None:
        reason = "is not before a camera"
    elif here.kind is not LivenessClass.LIVE:
        reason = "does not look alive"
    elif not set(rules.groups) & set(context.config.grant.groups) or rules.ignored:
        reason = "is in none of grant.groups"
    elif rules.allowed(wall) is False:
        reason = "is not expected at this hour"
    if reason or here is None:
        log.warning("no grant for %s: %s %s", request.lock, request.person_id, reason)
        raise EdgefaceError(REFUSED)
    granted = context.grants.sign(request, here, wall)
    context.note("grant", person=request.person_id, event=here.arrival.event_id, lock=request.lock)
    return granted
