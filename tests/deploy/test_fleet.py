"""The playbook of deploy/ansible; tests/fleet/run plays it for real."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest

from edgeface.config import schema
from edgeface.config.load import load
from edgeface.mqtt.trackers import tracker_topic

ANSIBLE = Path(__file__).parent.parent.parent / "deploy" / "ansible"
PLAYBOOK = shutil.which("ansible-playbook")


def rendered(role: str, template: str, **values: Any) -> str:
    source = (ANSIBLE / "roles" / role / "templates" / template).read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    return environment.from_string(source).render(ansible_managed="Ansible managed", **values)


def test_the_settings_of_a_device_are_settings(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "device_folder": "/etc/edgeface",
        "device_state": "/var/lib/edgeface",
        "device_topic": "edgeface/gallery/home",
    }
    values |= {
        "inventory_hostname": "door",
        "device_camera": "picamera",
        "edgeface_broker": "broker.local",
        "device_port": 8883,
    }
    file = tmp_path / "edgeface.toml"
    file.write_text(rendered("device", "edgeface.toml.j2", **values, device_more="[metrics]\nport = 9100"))
    given = load(file)
    assert (given.device.id, given.sync.enabled, given.metrics.port) == ("door", True, 9100)
    assert given.mqtt.cert_file == "/etc/edgeface/mqtt.pem"


def test_each_device_has_its_own_topics_and_the_shared_ones() -> None:
    values = {
        "groups": {"devices": ["door", "gate"]},
        "broker_topic": schema.SyncSettings().topic,
        "broker_readers": ["homeassistant"],
    }
    lines = rendered("broker", "acl.j2", **values).splitlines()
    assert "pattern readwrite edgeface/%u/#" in lines
    for device in ("door", "gate"):
        given = lines[lines.index(f"user {device}") + 1 :][:3]
        assert given == [
            "topic readwrite edgeface/gallery/home/#",
            f"topic readwrite {schema.HomeSettings().topic}/#",
            f"topic write {tracker_topic(schema.Config(), '+')}",
        ]
    assert not [line for line in lines if "write #" in line]


@pytest.mark.skipif(not PLAYBOOK, reason="ansible-core is not installed")
def test_ansible_understands_the_playbook() -> None:
    assert PLAYBOOK
    words = [PLAYBOOK, "--syntax-check", "-i", "inventory.example.yml", "site.yml"]
    subprocess.run(words, cwd=ANSIBLE, check=True, capture_output=True, timeout=120)
