"""Says who is home, and where everybody was seen last, as the daemon has merged it."""

from edgeface.errors import EdgefaceError
from edgeface.operations.context import OperationContext
from edgeface.wire.home import Home, HomeRequest, LastSight


def home(context: OperationContext, _request: HomeRequest) -> Home:
    if not context.serving:
        raise EdgefaceError("no daemon runs with these settings, and only the daemon knows who is home")
    told = context.home()
    if told is None:
        raise EdgefaceError("nobody keeps who is home: set home.enabled = true, and mqtt.host")
    return Home(
        [LastSight(one.person_id, one.name, one.state, one.present, one.last_seen, one.device, one.camera) for one in told]
    )
