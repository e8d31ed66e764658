"""Serves the daemon's health to Prometheus, over HTTP."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread, Timer
from typing import get_args

from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgeface.health import Health
from edgeface.types import EventType, GalleryState, LivenessClass, Reason

REQUEST_TIMEOUT = 2.0
"""Seconds for a whole request."""


class MetricsServer:
    """Serves what ``health`` returns from a thread of its own, to one client at a time.

    Raises:
        OSError: the address cannot be bound.
    """

    # Not prometheus_client's start_http_server: it has a thread for each client, without a limit, and cuts off no slow one.

    def __init__(self, address: str, port: int, health: Callable[[], Health]) -> None:
        registry = CollectorRegistry()
        registry.register(HealthCollector(health))
        ProcessCollector(registry=registry)
        handler = type("Handler", (_InTime, MetricsHandler.factory(registry)), {})
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = type("Server", (TCPServer,), {"allow_reuse_address": True, "address_family": family})
        self._server: TCPServer = server((address, port), handler)
        self.port = int(self._server.server_address[1])
        Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _InTime(BaseRequestHandler):
    """Cuts off a client after ``REQUEST_TIMEOUT``, even one that sends a byte now and then."""

    def handle(self) -> None:
        timer = Timer(REQUEST_TIMEOUT, self._cut_off)
        timer.start()
        try:
            super().handle()
        finally:
            timer.cancel()

    def _cut_off(self) -> None:
        with suppress(OSError):  # the client has gone meanwhile
            self.request.shutdown(socket.SHUT_RDWR)


class HealthCollector(Collector):
    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        health = self._health()
        for name, (meaning, count) in _counters(health).items():
            yield CounterMetricFamily(f"edgeface_{name}", meaning, count)
        for name, (meaning, value) in _gauges(health).items():
            yield GaugeMetricFamily(f"edgeface_{name}", meaning, value)
        gallery = GaugeMetricFamily("edgeface_gallery_state", "1 for the state that the gallery is in.", labels=["state"])
        for state in get_args(GalleryState):
            gallery.add_metric([state], health.gallery.state == state)
        yield gallery
        events = CounterMetricFamily("edgeface_events", "Events by type.", labels=["type"])
        for kind in EventType:
            events.add_metric([str(kind)], health.events.get(str(kind), 0))
        yield events
        unnamed = CounterMetricFamily("edgeface_unnamed", "Visits that ended without a name, by reason.", labels=["reason"])
        for reason in Reason:
            unnamed.add_metric([str(reason)], health.unnamed.get(str(reason), 0))
        yield unnamed
        liveness = CounterMetricFamily("edgeface_liveness", "Visits that ended, by what showed the face.", labels=["class"])
        for shown in LivenessClass:
            liveness.add_metric([str(shown)], health.liveness.get(str(shown), 0))
        yield liveness
        if health.cameras:
            up = GaugeMetricFamily("edgeface_each_camera_up", "Whether a camera gives frames.", labels=["camera"])
            rate = GaugeMetricFamily("edgeface_each_frames_per_second", "Rate of a camera's last 30 frames.", labels=["camera"])
            for one in health.cameras:
                up.add_metric([one.name], one.state == "ok")
                rate.add_metric([one.name], one.fps)
            yield from (up, rate)
        times = health.observe
        buckets = list(zip([*map(str, times.bounds), "+Inf"], accumulate(times.counts), strict=True))
        yield HistogramMetricFamily("edgeface_observe_seconds", "Time to look at a frame.", buckets, times.total)


def _counters(health: Health) -> dict[str, tuple[str, int]]:
    counters = {
        "frames": ("Frames that were looked at.", health.frames_seen),
        "frames_dropped": ("Frames that a newer one replaced before they were looked at.", health.frames_dropped),
        "faces": ("Faces seen, counted once a frame.", health.faces_seen),
        "faces_masked": ("Faces left out because they are in a mask, counted once a frame.", health.faces_masked),
        "events_dropped": ("Events that were too old, or too many, when the broker was away.", health.link.dropped),
    }
    counters["events_withheld"] = ("Events of muted or ignored people, or outside their hours.", health.events_withheld)
    if health.sharing:
        counters["shared_received"] = ("Changes that came from other devices.", health.sharing.received)
        counters["shared_ignored"] = ("Messages of the shared gallery that were damaged or hostile.", health.sharing.ignored)
    if health.webhook.state != "none":
        counters["webhook_dropped"] = ("Events too old, too many or refused to be posted.", health.webhook.dropped)
    return counters


def _gauges(health: Health) -> dict[str, tuple[str, float]]:
    link, sharing, backed = health.link, health.sharing, health.backed
    gauges: dict[str, tuple[str, float]] = {
        "frames_per_second": ("Rate of the last 30 frames.", health.fps),
        "events_waiting": ("Events that the broker has not confirmed.", link.queue),
        "camera_up": ("Whether the camera gives frames.", health.camera_state == "ok"),
        "paused": ("Whether the camera is paused.", health.paused is not None),
        "people": ("People enrolled.", health.people),
        "templates": ("Templates in the gallery.", health.templates),
        "events_kept": ("Whether events can be kept for a verdict.", health.events_unkept is None),
        "uptime_seconds": ("Seconds since the start.", health.uptime),
    }
    if link.state != "none":
        gauges["broker_up"] = ("Whether there is a broker's connection.", link.state == "up")
    if sharing:
        gauges["shared_people"] = ("People in the shared gallery.", sharing.people)
        gauges["shared_waiting"] = ("People that the broker does not have as they are here.", sharing.waiting)
        gauges["shared_up"] = ("Whether the shared gallery is well.", sharing.trouble is None)
    if backed.wanted:
        gauges["backup_copies"] = ("Good copies of the gallery.", backed.copies)
        gauges["backup_latest_timestamp_seconds"] = ("When the newest was made; 0 is never.", backed.latest or 0.0)
        gauges["backup_up"] = ("Whether copies can be made and read.", backed.trouble is None)
    if health.webhook.state != "none":
        gauges["webhook_waiting"] = ("Events that wait to be posted.", health.webhook.queue)
        gauges["webhook_up"] = ("Whether the latest post was taken.", health.webhook.reason is None)
    if health.temperature is not None:
        gauges["temperature_celsius"] = ("The hottest sensor.", health.temperature)
    if health.throttled is not None:
        gauges["throttled"] = ("Whether the processor is slowed down by heat or low voltage.", health.throttled)
    return gauges
