"""The daemon's pulse: systemd's watchdog, and health for whoever listens."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil
import sdnotify

from edgeface import __version__
from edgeface.gallery import Templates
from edgeface.interfaces import Camera, Publisher
from edgeface.types import Frame, Gap, Health

INTERVAL = 30.0
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")


class Heartbeat:
    """Beats once a frame or gap; no beat, no watchdog message, and systemd restarts the service."""

    def __init__(self, publisher: Publisher, camera: Camera, name: str, model: str, gallery: Callable[[], Templates]) -> None:
        self._publisher, self._camera, self._name, self._model, self._gallery = publisher, camera, name, model, gallery
        self._systemd = sdnotify.SystemdNotifier()
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._started = time.monotonic()
        self._seen = 0
        self._recent: deque[float] = deque(maxlen=30)
        self._state: Literal["starting", "ok", "lost"] = "starting"
        self._reason: str | None = None
        self._told = -INTERVAL
        self._known = gallery()

    def ready(self) -> None:
        """Everything is built: the service is up, whether or not the camera is."""
        self._systemd.notify("READY=1")

    def stopping(self) -> None:
        """The service is on its way down."""
        self._systemd.notify("STOPPING=1")

    def beat(self, moment: Frame | Gap) -> None:
        """The loop has come round."""
        state, reason = self._state, self._reason
        if isinstance(moment, Frame):
            self._seen += 1
            self._recent.append(moment.time)
            state, reason = "ok", None
        elif moment.lost is not None:
            state, reason = "lost", moment.lost
            self._recent.clear()
        if not (isinstance(moment, Gap) and moment.stuck):
            self._systemd.notify("WATCHDOG=1")
        known = self._gallery()
        changed = state != self._state or known is not self._known
        if known is not self._known:
            self._publisher.people(known.people)
        self._state, self._reason, self._known = state, reason, known
        if changed or moment.time - self._told >= INTERVAL:
            self._told = moment.time
            self._publisher.health(self._health(moment.time))
            self._systemd.notify(f"STATUS=camera {state}, {self._fps():.1f} frames/s, {len(known.people)} people")

    def _fps(self) -> float:
        recent = self._recent
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0

    def _health(self, now: float) -> Health:
        return Health(
            version=__version__,
            uptime=now - self._started,
            fps=self._fps(),
            frames_seen=self._seen,
            frames_dropped=self._camera.dropped,
            camera=self._name,
            camera_state=self._state,
            camera_reason=self._reason,
            model=self._model,
            people=len(self._known.people),
            templates=len(self._known.vectors),
            rss_mb=self._process.memory_info().rss / 1e6,
            cpu=self._process.cpu_percent() / 100.0,
            temperature=_temperature(),
            throttled=_throttled(),
        )


def _temperature() -> float | None:
    """The hottest sensor, in degrees Celsius, where there is one."""
    readings = [sensor.current for sensors in getattr(psutil, "sensors_temperatures", dict)().values() for sensor in sensors]
    return max(readings, default=None)


def _throttled() -> bool | None:
    """Whether a Raspberry Pi is slowed down by heat or low voltage now (bits 0 to 3 of its firmware's word)."""
    try:
        return bool(int(THROTTLED.read_text().strip(), 16) & 0xF)
    except (OSError, ValueError):
        return None
