import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgeface.daemon import metrics
from edgeface.daemon.metrics import MetricsServer
from edgeface.health import BrokerStatus, GalleryHealth, Health, Histogram
from edgeface.types import LivenessClass, Reason

HEALTH = Health(
    "0.1.0", 60.0, 9.5, 600, 7, "front", "ok", None, "sha256:1f", 2, 9, 120.0, 0.3, 51.5, False,
    faces_seen=80, events={"recognized": 3},
    observe=Histogram((0.1, 1.0), (500, 90, 10), 42.0), link=BrokerStatus("up", "b:1883", None, 1, 4),
)  # fmt: skip


@pytest.fixture
def served() -> Iterator[tuple[list[Health], int]]:
    """What the server tells of a health that the test may change."""
    told = [HEALTH]
    server = MetricsServer("127.0.0.1", 0, lambda: told[0])
    yield told, server.port
    server.close()


def scraped(port: int) -> dict[tuple[str, ...], float]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_everything_is_told_by_its_name(served: tuple[list[Health], int]) -> None:
    values = scraped(served[1])
    expected: dict[tuple[str, ...], float] = {
        ("edgeface_frames_total",): 600,
        ("edgeface_frames_dropped_total",): 7,
        ("edgeface_faces_total",): 80,
        ("edgeface_faces_masked_total",): 0,
        ("edgeface_events_dropped_total",): 4,
        ("edgeface_events_total", "recognized"): 3,
        ("edgeface_events_total", "unknown"): 0,
        ("edgeface_events_total", "unsure"): 0,
        ("edgeface_events_total", "left"): 0,
        ("edgeface_events_total", "presentation_attack"): 0,
        **{("edgeface_unnamed_total", str(reason)): 0 for reason in Reason},
        **{("edgeface_liveness_total", str(shown)): 0 for shown in LivenessClass},
        ("edgeface_events_total", "camera_lost"): 0,
        ("edgeface_events_total", "camera_back"): 0,
        ("edgeface_frames_per_second",): 9.5,
        ("edgeface_events_waiting",): 1,
        ("edgeface_camera_up",): 1,
        ("edgeface_paused",): 0,
        ("edgeface_events_withheld_total",): 0,
        ("edgeface_broker_up",): 1,
        ("edgeface_people",): 2,
        ("edgeface_templates",): 9,
        ("edgeface_events_kept",): 1,
        ("edgeface_gallery_state", "ok"): 1,
        **{("edgeface_gallery_state", state): 0 for state in ("damaged", "stale", "read_only", "full", "unreadable")},
        ("edgeface_uptime_seconds",): 60,
        ("edgeface_temperature_celsius",): 51.5,
        ("edgeface_throttled",): 0,
        ("edgeface_observe_seconds_bucket", "0.1"): 500,
        ("edgeface_observe_seconds_bucket", "1.0"): 590,
        ("edgeface_observe_seconds_bucket", "+Inf"): 600,
        ("edgeface_observe_seconds_count",): 600,
        ("edgeface_observe_seconds_sum",): 42,
    }
    assert {name: value for name, value in values.items() if name[0].startswith("edgeface_")} == expected
    assert values["process_resident_memory_bytes",] > 1e6
    assert values["process_cpu_seconds_total",] > 0


def test_what_is_lost_is_told_and_what_there_is_not_is_left_out(served: tuple[list[Health], int]) -> None:
    told, port = served
    told[0] = replace(HEALTH, camera_state="lost", link=BrokerStatus("down"), temperature=None, throttled=None)
    values = scraped(port)
    assert values["edgeface_camera_up",] == values["edgeface_broker_up",] == 0
    told[0] = replace(HEALTH, link=BrokerStatus())
    assert ("edgeface_broker_up",) not in scraped(port)
    assert not {"edgeface_temperature_celsius", "edgeface_throttled"} & {name for name, *_ in values}


def test_what_is_wrong_with_the_gallery_is_told(served: tuple[list[Health], int]) -> None:
    told, port = served
    told[0] = replace(HEALTH, gallery=GalleryHealth("stale", "disk I/O error"), events_unkept="disk I/O error")
    values = scraped(port)
    assert values["edgeface_gallery_state", "stale"] == 1
    assert values["edgeface_gallery_state", "ok"] == values["edgeface_events_kept",] == 0


def test_a_silent_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REQUEST_TIMEOUT", 1.0)
    server = MetricsServer("127.0.0.1", 0, lambda: HEALTH)
    with socket.create_connection(("127.0.0.1", server.port), 10) as silent:
        assert scraped(server.port)["edgeface_people",] == 2
        assert silent.recv(1) == b""
    server.close()


def test_a_client_that_drips_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REQUEST_TIMEOUT", 1.0)
    server = MetricsServer("127.0.0.1", 0, lambda: HEALTH)
    with socket.create_connection(("127.0.0.1", server.port), 10) as dripping:

        def drip() -> None:
            with suppress(OSError):
                while True:
                    dripping.send(b"x")
                    time.sleep(0.1)

        Thread(target=drip, daemon=True).start()
        assert scraped(server.port)["edgeface_people",] == 2
        server.close()


def test_a_port_that_is_taken_is_an_error_and_one_that_is_given_back_is_not(served: tuple[list[Health], int]) -> None:
    with pytest.raises(OSError, match="in use"):
        MetricsServer("127.0.0.1", served[1], lambda: HEALTH)


def test_ipv6_is_served_too() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", 9)) not in (0, 111):
            pytest.skip("no IPv6 on this machine")
    server = MetricsServer("::1", 0, lambda: HEALTH)
    with urlopen(f"http://[::1]:{server.port}/metrics", timeout=10) as answer:
        assert b"edgeface_people 2.0" in answer.read()
    server.close()


def test_a_webhook_is_told_where_there_is_one(served: tuple[list[Health], int]) -> None:
    told, port = served
    names = "edgeface_webhook_waiting", "edgeface_webhook_dropped_total", "edgeface_webhook_up"
    assert not {(name,) for name in names} & scraped(port).keys()
    told[0] = replace(HEALTH, webhook=BrokerStatus("down", "http://a", "webhook: http://a: refused", 3, 2))
    assert [scraped(port)[name,] for name in names] == [3, 2, 0]
