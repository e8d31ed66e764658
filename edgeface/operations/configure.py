"""Changes settings on the device."""

from edgeface.config import load
from edgeface.operations.context import OperationContext
from edgeface.wire import commands as wire


def configure(context: OperationContext, request: wire.ConfigureRequest) -> wire.Configured:
    """Change settings, and have the daemon take them between two frames; if it refuses, it takes the change back.

    Raises:
        ConfigError: a setting cannot be changed on the device, or has no such value; nothing is changed then.
    """
    names = sorted(request.values)
    load.adjust(context.file, request.values)
    context.note("configure", settings=", ".join(names))
    context.reload()
    return wire.Configured(names)
