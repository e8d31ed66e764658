"""The dashboard and the alert rules, tried by Prometheus itself: on series that are made up, and on a daemon that runs."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.broker import Broker, broker, eventually, free_port, needs_broker
from fixtures.commandline import Cli
from fixtures.receiver import Receiver
from prometheus_client import CollectorRegistry, ProcessCollector

from edgeface.daemon.metrics import HealthCollector
from edgeface.health import BackupStatus, BrokerStatus, Health, SharedGallery

__all__ = ["broker"]
ROOT = Path(__file__).parent.parent.parent
MONITORING = ROOT / "deploy/monitoring"
ALERTS = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
CASES = [Path(__file__).with_name(name) for name in ("alerts_test.yml", "alerts_days_test.yml")]
PAGE = (ROOT / "docs/monitoring.md").read_text()
HEALTH = Health("0.1.0", 1.0, 1.0, 1, 0, "front", "ok", None, "sha256:1f", 0, 0, 1.0, 0.0, None, None)
HARDWARE = {"edgeface_temperature_celsius", "edgeface_throttled"}
"""Metrics that not every machine has."""
METRIC = re.compile(r"\b(?:edgeface|process)_\w+|\bup\b")

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def exposed() -> set[str]:
    """The names of all that a daemon can tell, with a sensor and with all that is optional."""
    link = BrokerStatus("up")
    health = replace(
        HEALTH,
        temperature=50.0,
        throttled=False,
        link=link,
        webhook=link,
        sharing=SharedGallery("edgeface/gallery/home", 0, 0, 0, 0, None),
        backed=BackupStatus(wanted=True),
    )
    registry = CollectorRegistry()
    registry.register(HealthCollector(lambda: health))
    ProcessCollector(registry=registry)
    return {sample.name for family in registry.collect() for sample in family.samples}


def test_dashboard_and_alerts_ask_for_what_a_daemon_tells_and_the_dashboard_for_all_of_it() -> None:
    told = exposed()
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert asked - {"up"} <= told
    assert {name for name in told if name.startswith("edgeface_")} <= asked
    assert {name for rule in ALERTS for name in METRIC.findall(rule["expr"])} - {"up"} <= told


def test_every_panel_asks_the_chosen_prometheus_about_the_chosen_devices() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert {target["datasource"]["uid"] for target in (panel, *panel["targets"]) if "datasource" in target} == {
            "${datasource}"
        }
    for expression in expressions():
        assert expression.count("{") == expression.count('instance=~"$instance"'), expression


def test_the_page_says_of_every_alert_what_to_do() -> None:
    assert re.findall(r"^\| `(Edgeface\w+)` \|", PAGE, re.M) == [rule["alert"] for rule in ALERTS]


@needs_promtool
@pytest.mark.parametrize("what", [("check", "config", MONITORING / "prometheus.yml"), ("test", "rules", *CASES)])
def test_prometheus_takes_the_rules_and_they_fire_when_they_should(what: tuple[str | Path, ...]) -> None:
    done = subprocess.run(["promtool", *what], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire() -> None:
    cases = [case for file in CASES for case in yaml.safe_load(file.read_text())["tests"]]
    fired = {one["alertname"] for case in cases for one in case.get("alert_rule_test", ()) if one.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in ALERTS}


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """The address of a Prometheus with the settings that are shipped, but for the port, and a look each second."""
    port = free_port()
    text = (MONITORING / "prometheus.yml").read_text().replace("127.0.0.1:9100", f"127.0.0.1:{target}")
    folder.mkdir()
    (folder / "prometheus.yml").write_text(text.replace("interval: 15s", "interval: 1s"))
    shutil.copy(MONITORING / "alerts.yml", folder)
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://127.0.0.1:{port}/api/v1/"
        finally:
            process.kill()


def asked(address: str, path: str, **values: str) -> Any:
    """The data of an answer; nothing where there is none yet."""
    try:
        with urllib.request.urlopen(f"{address}{path}?{urllib.parse.urlencode(values)}", timeout=60) as answer:
            return json.load(answer)["data"]
    except urllib.error.URLError:
        return {}


def result(address: str, query: str) -> Any:
    return asked(address, "query", query=query).get("result")


@pytest.mark.slow
@needs_broker
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_every_panel_has_data_of_a_daemon_that_runs(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any], broker: Broker, tmp_path: Path
) -> None:
    port, receiver = free_port(), Receiver()
    cli.set(
        camera=scene | {"hold": 600.0},
        mqtt=broker.settings(),
        sync={"enabled": True},
        webhook={"url": receiver.url},
        metrics={"port": port},
    )
    cli("gallery", "key")
    cli("gallery", "backup")
    cli.start("run")
    with prometheus(tmp_path / "prometheus", port) as address:
        for expression in expressions():
            if HARDWARE & set(METRIC.findall(expression)):
                continue
            query = expression.replace("$instance", ".*").replace("$__rate_interval", "1m")
            assert eventually(partial(result, address, query), 120), query
        for query in ('edgeface_events_total{type="recognized"} == 1', "edgeface_people == 1"):
            assert eventually(partial(result, address, query)), query
        assert {rule["health"] for group in asked(address, "rules")["groups"] for rule in group["rules"]} == {"ok"}
        assert [one["labels"] for one in asked(address, "alerts")["alerts"] if one["state"] == "firing"] == []
    receiver.close()
