"""``edgeface run``: the daemon as a service, which can be asked how it is, has a page, and takes new settings while it runs."""

import gc
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edgeface.config.load import load
from edgeface.control.discovery import refuse_another, socket_path
from edgeface.control.server import ControlServer
from edgeface.daemon import assembly
from edgeface.daemon.loop import Daemon
from edgeface.daemon.signals import Signals
from edgeface.daemon.status import report
from edgeface.errors import CameraError, EdgefaceError
from edgeface.health import Health
from edgeface.operations.registry import Counter, steps

log = logging.getLogger(__name__)


class Service:
    """A daemon with its control socket, its metrics and its page."""

    def __init__(self, file: Path | None, model: Path) -> None:
        self._file, self._model = file, model
        self._signals = Signals()
        self._settings = load(file)
        self._refused: str | None = None
        self._unserved: str | None = None
        self._control: ControlServer | None = None
        self._metrics: Any = None
        self._page: Any = None
        self._page_trouble: str | None = None
        self._daemon: Daemon

    def run(self) -> None:
        """Run until the camera ends or a signal asks for it.

        Raises:
            EdgefaceError: a part cannot be built, another daemon runs with these settings, or a recording has no picture.
        """
        self._signals.listen()
        refuse_another(self._settings)  # before anything of the gallery is changed
        self._daemon = assembly.daemon(self._settings, self._model, signals=self._signals)
        try:
            self._open_control()
            self._open_metrics()
            self._open_page()
            self._daemon.open()
            self._daemon.watch()
            while self._signals.reload and not self._signals.stop:
                self._signals.reload = False
                self._reload()
                self._daemon.watch()
            if not self._signals.stop:
                log.info("the recording has ended")
                if not self._health().frames_seen:
                    raise CameraError("camera.source: no picture of it could be read")
        finally:
            self._daemon.close()
            for server in (self._control, self._metrics, self._page):
                if server:
                    server.close()

    def _reload(self) -> None:
        self._daemon.reporter.reloading()
        before = self._settings
        try:
            now = load(self._file)
            moved = self._control is None or self._control.path != socket_path(now)
            if moved:
                refuse_another(now)
            self._daemon = assembly.rebuilt(self._daemon, before, now)
        except EdgefaceError as error:
            self._refused = str(error)
            log.error("settings not taken, the old ones hold: %s", error)
        else:
            self._settings, self._refused = now, None
            log.info("settings read again, changed: %s", ", ".join(sorted(assembly.changed(before, now))) or "nothing")
            if moved:
                self._open_control()
            if before.metrics != now.metrics:
                self._open_metrics()
            if before.web != now.web or before.gallery != now.gallery:
                self._open_page()
        gc.collect()  # of what was replaced: Python does not know how large the frames are that it holds
        self._daemon.reporter.ready()

    def _health(self) -> Health:
        return self._daemon.reporter.health

    def _report(self) -> dict[str, Any]:
        page = self._settings.web.enabled and self._page_trouble is None
        settings, health = self._settings, self._health()
        beyond = self._daemon.pipeline.embedder.card.beyond_measured(settings.matching.target_fpir, health.templates)
        return report(
            settings, health, self._refused, self._unserved, page=page, page_trouble=self._page_trouble, threshold=beyond
        )

    def _have_done(self, errand: Callable[[Counter], Any], tell: Callable[[Any], None], sitting: bool) -> "Future[Any]":
        """Have the loop do what was asked through the socket."""
        window = self._daemon.window
        return (window.sit if sitting else window.ask)(steps(errand, self._settings, self._daemon.pipeline.embedder.card, tell))

    def _open_control(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        try:
            self._control = ControlServer(
                self._settings,
                {"status": lambda _request: self._report()},
                self._have_done,
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
        from edgeface.daemon.metrics import MetricsServer

        try:
            self._metrics = MetricsServer(wanted.address, wanted.port, self._health)
        except (OSError, ValueError, TypeError) as error:  # what is no address can be any of them
            reason = getattr(error, "strerror", None) or error
            self._unserved = f"no metrics at {wanted.address!r}, port {wanted.port}: {reason}"
            log.error("%s", self._unserved)

    def _open_page(self) -> None:
        if self._page:
            self._page.close()
            self._page = None
        self._page_trouble = None
        wanted = self._settings.web
        if not wanted.enabled:
            return
        from edgeface.web.context import Daemon as Served
        from edgeface.web.context import Site
        from edgeface.web.server import PageServer
        from edgeface.web.token import Token, address

        served = Served(
            settings=lambda: self._settings,
            report=self._report,
            window=self._daemon.window,
            card=self._daemon.pipeline.embedder.card,
            file=self._file,
            model=self._model,
        )
        try:
            self._page = PageServer(wanted, Site(served), Token(self._settings.token_path))
            log.info("the page is at %s; edgeface web url prints its address with the token", address(wanted))
        except (OSError, EdgefaceError) as error:
            reason = getattr(error, "strerror", None) or error
            self._page_trouble = f"no page at {wanted.address!r}, port {wanted.port}: {reason}"
            log.error("%s", self._page_trouble)
