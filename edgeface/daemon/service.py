"""Runs the daemon as a service, with its socket, metrics and page, and reloads its settings."""

import gc
import logging
from pathlib import Path
from typing import Any

from edgeface.config import adjusted
from edgeface.config.load import load
from edgeface.config.schema import Config
from edgeface.control.discovery import refuse_another, socket_path
from edgeface.control.server import ControlServer
from edgeface.daemon.assembly import assemble
from edgeface.daemon.loop import Daemon, Signals
from edgeface.daemon.parts import differ
from edgeface.daemon.status import report
from edgeface.errors import CameraError, EdgefaceError

log = logging.getLogger(__name__)
SERVED_BY = ("enabled", "address", "port", "tls_cert", "tls_key", "behind_proxy", "hosts")
SERVERS = {
    "control": ("device.id", "camera.name", "gallery.path"),
    "metrics": ("metrics",),
    "page": (*(f"web.{name}" for name in SERVED_BY), "gallery"),
}
"""The settings that each server reads; it is opened anew when they change. The daemon goes on without one that fails."""
READ_AT_USE = ("web.unknown", "web.api_per_minute", "web.language")
"""The settings that the page reads for each request, so that nothing is built anew when they change."""


class Service:
    def __init__(self, file: Path | None, model: Path) -> None:
        self._file, self._model = file, model
        self._refused: str | None = None
        self._adjusted: bytes | None = None
        self._servers: dict[str, Any] = {}
        self._unserved: dict[str, str] = {}
        self._daemon: Daemon

    def run(self) -> None:
        """Run until the camera ends or a signal asks for it.

        Raises:
            EdgefaceError: a part cannot be built, another daemon has these settings, or a recording has no readable picture.
        """
        config, signals = load(self._file), Signals()
        signals.listen()
        refuse_another(config)  # before the gallery is changed
        self._daemon = assemble(config, model=self._model, file=self._file, signals=signals)
        self._adjusted = adjusted.read_bytes(adjusted.adjusted_path(config.gallery_path))
        try:
            for name in SERVERS:
                self._open(name)
            self._daemon.open()
            self._daemon.watch()
            while signals.reload and not signals.stop:
                signals.reload = False
                self._reload()
                self._daemon.watch()
            if not signals.stop:
                log.info("the recording has ended")
                if not self._daemon.reporter.health.frames_seen:
                    raise CameraError("camera.source: no picture of it could be read")
        finally:
            self._daemon.close()
            for server in self._servers.values():
                server.close()

    def _reload(self) -> None:
        self._daemon.reporter.reloading()
        before = self._daemon.config
        try:
            now = load(self._file)
            if "control" in self._unserved or socket_path(before) != socket_path(now):
                refuse_another(now)
            self._daemon = assemble(now, self._daemon)
        except EdgefaceError as error:
            self._refused = str(error)
            log.error("settings not taken, the old ones hold: %s", error)
            self._take_back(adjusted.adjusted_path(before.gallery_path))
        else:
            self._refused = None
            self._adjusted = adjusted.read_bytes(adjusted.adjusted_path(now.gallery_path))
            changed = sorted(name for name in Config.__struct_fields__ if differ((name,), before, now))
            log.info("settings read again, changed: %s", ", ".join(changed) or "nothing")
            for name, reads in SERVERS.items():
                if name in self._unserved or differ(reads, before, now):
                    self._open(name)
        gc.collect()  # Python does not know how large the frames are that replaced parts hold
        self._daemon.reporter.ready()

    def _take_back(self, path: Path) -> None:
        """Take back what was changed on the device since the settings that hold were read."""
        try:
            if adjusted.read_bytes(path) != self._adjusted:
                adjusted.restore(path, self._adjusted)
                log.error("%s: changed back", path)
        except EdgefaceError as error:
            log.error("%s", error)

    def _status(self) -> dict[str, Any]:
        config, health = self._daemon.config, self._daemon.reporter.health
        beyond = self._daemon.embedder.card.beyond_measured(config.matching.target_fpir, health.templates)
        return report(config, health, self._refused, self._unserved, threshold=beyond, home=self._daemon.publisher.home)

    def _open(self, name: str) -> None:
        """Open a server, in the place of an open one."""
        if server := self._servers.pop(name, None):
            server.close()
        self._unserved.pop(name, None)
        config = self._daemon.config
        build, lacking = {
            "control": (self._control, f"edgeface status will not work: {socket_path(config)}"),
            "metrics": (self._metrics, f"no metrics at {config.metrics.address!r}, port {config.metrics.port}"),
            "page": (self._page, f"no page at {config.web.address!r}, port {config.web.port}"),
        }[name]
        try:
            if server := build():
                self._servers[name] = server
        except (OSError, ValueError, TypeError, EdgefaceError) as error:  # an invalid address raises any of them
            self._unserved[name] = f"{lacking}: {getattr(error, 'strerror', None) or error}"
            log.error("%s", self._unserved[name])

    def _control(self) -> ControlServer:
        return ControlServer(self._daemon.config, {"status": lambda _request: self._status()}, self._daemon.jobs)

    def _metrics(self) -> Any:
        wanted = self._daemon.config.metrics
        if not wanted.port:
            return None
        from edgeface.daemon.metrics import MetricsServer

        return MetricsServer(wanted.address, wanted.port, lambda: self._daemon.reporter.health)

    def _page(self) -> Any:
        daemon, web = self._daemon, self._daemon.config.web
        if not web.enabled:
            return None
        from edgeface.web.context import PageContext, ServedDaemon
        from edgeface.web.server import PageServer
        from edgeface.web.token import Token

        served = ServedDaemon(
            lambda: self._daemon.config,
            self._status,
            daemon.jobs,
            daemon.live,
            daemon.embedder.card,
            self._file,
            self._model,
            lambda: {name: one.live for name, one in self._daemon.beside.items()},
            lambda: self._daemon.publisher.home,
        )
        page = PageServer(web, PageContext(served), Token(daemon.config.token_path))
        log.info("the page is at %s; edgeface web url prints its address with the token", web.url)
        return page
