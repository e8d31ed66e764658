"""What deploy/ansible does to a Debian: broker and device are this guest, reached by ssh as a user who may use sudo.

Run by its own Python at boot; a line of JSON a step goes to /guest/seen.jsonl.
"""

import re
import shutil
from pathlib import Path

from steps import UNIT, recognized, sh, show, take, until

HOME = Path("/home/pi")
FLEET = HOME / "ansible"
LISTED = FLEET / "inventory.yml"
PLAYBOOK = f"cd {FLEET} && ansible-playbook -i inventory.yml site.yml"
INVENTORY = """\
all:
  vars:
    ansible_user: pi
    ansible_host: localhost
    edgeface_broker: localhost
    edgeface_deb: /guest/edgeface.deb
    edgeface_camera: "http://127.0.0.1:8001/"
  children:
    brokers: { hosts: { broker: {} } }
    devices: { hosts: { door: {} } }
"""
READER = r"""
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=homeassistant \
  -keyout reader.key -out reader.csr &&
openssl x509 -req -in reader.csr -CA ca.pem -CAkey ca.key -days 825 -out reader.pem"""
"""As docs/fleet.md has it."""
SERVICES = ("mosquitto.service", "edgeface.service")


def pi(command: str, code: int = 0) -> str:
    return sh(f"export HOME={HOME} ANSIBLE_NOCOLOR=1; cd && {command}", user="pi", code=code, wait=900)


def processes() -> list[str]:
    return [show("MainPID", unit) for unit in SERVICES]


def play(more: str = "") -> tuple[str, list[str]]:
    """What Ansible counts; and the processes of broker and device then."""
    told = pi(f"{PLAYBOOK} {more}")
    counted = re.findall(r"^(\w+) +: ok=\d+ +(changed=\d+) .*(failed=\d+)", told, re.MULTILINE)
    until(lambda: all(show("ActiveState", unit) == "active" for unit in SERVICES))
    return "; ".join(" ".join(host) for host in counted), processes()


def begin() -> str:
    """A user as Raspberry Pi OS has one, with a key for ssh; and somebody before a camera."""
    sh("useradd -m -s /bin/bash pi; systemctl start ssh", code=0)
    Path("/etc/sudoers.d/pi").write_text("pi ALL=(ALL) NOPASSWD: ALL\n")
    pi("mkdir -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519 && cp .ssh/id_ed25519.pub .ssh/authorized_keys")
    pi("ssh-keyscan -t ed25519 localhost > .ssh/known_hosts")
    shutil.copytree("/guest/ansible", FLEET)
    LISTED.write_text(INVENTORY)
    sh(f"chown -R pi: {FLEET}", code=0)
    Path("/etc/systemd/system/camera-8001.service").write_text(UNIT.format(port=8001, visit=4))
    sh("systemctl daemon-reload; systemctl enable -q --now camera-8001", code=0)
    counted, _ = play()
    told = [f"{unit} {sh(f'systemctl is-enabled {unit}', code=0)} and {show('ActiveState', unit)}" for unit in SERVICES]
    return "; ".join([counted, *told])


def again() -> str:
    before = processes()
    counted, after = play()
    assert counted.count("changed=0") == len(SERVICES), counted
    assert after == before
    return f"{counted}; the same processes"


def reader() -> str:
    """The events, to somebody whom the authority has made a certificate as the documentation says."""
    sh("edgeface enroll Barack --image /guest/portrait.jpg", user="edgeface", code=0)
    pi(f"cd {FLEET}/authority && {READER}")
    folder = FLEET / "authority"
    certificate = f"--cafile {folder}/ca.pem --cert {folder}/reader.pem --key {folder}/reader.key"
    return recognized(access=f"-h localhost -p 8883 {certificate}")


def setting() -> str:
    broker, device = processes()
    LISTED.write_text(INVENTORY.replace("door: {}", 'door: { device_camera_name: "porch" }'))
    counted, after = play()
    assert after[0] == broker
    assert after[1] != device
    return f"{counted}; edgeface restarted, mosquitto not"


def mistake() -> str:
    """A setting that there is not: the device's own check refuses it, and the file is as it was."""
    before, kept, settings = processes(), LISTED.read_text(), Path("/etc/edgeface/edgeface.toml")
    good = settings.read_text()
    LISTED.write_text(kept.replace('"porch"', '"porch", device_more: "[presence]\\nleft_afetr = 2"'))
    told = pi(PLAYBOOK, code=2)
    LISTED.write_text(kept)
    assert settings.read_text() == good
    assert processes() == before
    refusal = re.search(r"unknown setting[^\"\\]*|left_afetr[^\"\\]*", told)
    assert refusal
    return refusal[0]


def renewal() -> str:
    before = processes()
    ends = sh("openssl x509 -in /etc/edgeface/mqtt.pem -noout -serial")
    counted, after = play("-e authority_renew_days=900")
    assert not set(before) & set(after)
    assert sh("openssl x509 -in /etc/edgeface/mqtt.pem -noout -serial") != ends
    return f"{counted}; both have new certificates, and were restarted"


FLEET_STEPS = {
    "`ansible-playbook -i inventory.yml site.yml`, by ssh": (begin, "package, certificates, both services enabled and active"),
    "once more": (again, "nothing changed, nothing restarted"),
    "`openssl` as docs/fleet.md has it, `mosquitto_sub` with that certificate": (reader, "`recognized`"),
    "a camera's name is changed": (setting, "edgeface is restarted, mosquitto is not"),
    "a setting that there is not": (mistake, "refused, the settings and the process are as they were"),
    "certificates that do not last": (renewal, "new ones, both services restarted"),
}

if __name__ == "__main__":
    take(FLEET_STEPS)
