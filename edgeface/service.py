"""``edgeface run``: the daemon as a service, which can be asked how it is and takes new settings while it runs."""

import logging
from pathlib import Path
from typing import Any

from edgeface import build, config
from edgeface.control import ControlServer, refuse_another, socket_path
from edgeface.daemon import Daemon, Wishes
from edgeface.errors import EdgefaceError
from edgeface.status import report
from edgeface.types import Health

log = logging.getLogger(__name__)


class Service:
    """A daemon with its control socket and its metrics."""

    def __init__(self, file: Path | None, model: Path) -> None:
        self._file, self._model = file, model
        self._wishes = Wishes()
        self._settings = config.load(file)
        self._refused: str | None = None
        self._unserved: str | None = None
        self._control: ControlServer | None = None
        self._metrics: Any = None
        self._daemon: Daemon

    def run(self) -> None:
        """Run until the camera ends or a signal asks for it.

        Raises:
            EdgefaceError: a part cannot be built, or another daemon runs with these settings.
        """
        self._wishes.listen()
        self._daemon = build.daemon(self._settings, self._model, wishes=self._wishes)
        try:
            refuse_another(self._settings)
            self._open_control()
            self._open_metrics()
            self._daemon.open()
            self._daemon.watch()
            while self._wishes.reload and not self._wishes.stop:
                self._wishes.reload = False
                self._reload()
                self._daemon.watch()
        finally:
            self._daemon.close()
            for server in (self._control, self._metrics):
                if server:
                    server.close()

    def _reload(self) -> None:
        self._daemon.heartbeat.reloading()
        before = self._settings
        try:
            now = config.load(self._file)
            moved = self._control is None or self._control.path != socket_path(now)
            if moved:
                refuse_another(now)
            self._daemon = build.rebuilt(self._daemon, before, now)
        except EdgefaceError as error:
            self._refused = str(error)
            log.error("settings not taken, the old ones hold: %s", error)
        else:
            self._settings, self._refused = now, None
            log.info("settings read again, changed: %s", ", ".join(sorted(build.changed(before, now))) or "nothing")
            if moved:
                self._open_control()
            if before.metrics != now.metrics:
                self._open_metrics()
        self._daemon.heartbeat.ready()

    def _health(self) -> Health:
        return self._daemon.heartbeat.health

    def _open_control(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        try:
            self._control = ControlServer(
                self._settings,
                {"status": lambda _request: report(self._settings, self._health(), self._refused, self._unserved)},
            )
        except (OSError, EdgefaceError) as error:
            reason = getattr(error, "strerror", None) or error
            log.error("edgeface status will not work: %s: %s", socket_path(self._settings), reason)

    def _open_metrics(self) -> None:
        if self._metrics:
            self._metrics.close()
            self._metrics = None
        self._unserved = None
        wanted = self._settings.metrics
        if not wanted.port:
            return
        from edgeface.metrics import MetricsServer

        try:
            self._metrics = MetricsServer(wanted.address, wanted.port, self._health)
        except (OSError, ValueError, TypeError) as error:  # what is no address can be any of them
            reason = getattr(error, "strerror", None) or error
            self._unserved = f"no metrics at {wanted.address!r}, port {wanted.port}: {reason}"
            log.error("%s", self._unserved)
