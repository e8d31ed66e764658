"""What is done to the package in the guest, by its own Python at boot; each step says what is expected and what was seen.

``steps.py first`` runs before the reboot, ``steps.py second`` after it. A line of JSON a step goes to /guest/seen.jsonl.
"""

import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

GUEST = Path("/guest")
SEEN = GUEST / "seen.jsonl"
GALLERY = Path("/var/lib/edgeface/gallery.db")
SETTINGS = Path("/etc/edgeface/edgeface.toml")
DROP_INS = Path("/etc/systemd/system/edgeface.service.d")
EXAMPLES = ("/usr/share/doc/edgeface/examples/systemd", "/guest/clone/systemd")
INSTALLER = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/guest/wheels sh /guest/clone/deploy/install.sh"
PASSWORD = "open sesame"
PASSWORDED = f"-h 127.0.0.1 -u sub -P '{PASSWORD}'"
"""How mosquitto_sub gets in."""
PATIENCE = 120.0
T = TypeVar("T")
ME = pwd.getpwnam
BROKER = """\
listener 1883 127.0.0.1
allow_anonymous false
password_file /etc/mosquitto/passwd
"""
UNIT = """\
[Service]
ExecStart=/usr/bin/python3 /guest/camera.py /guest/pictures {port} {visit}
[Install]
WantedBy=multi-user.target
"""


def sh(command: str, user: str | None = None, code: int | None = None, wait: int = 300) -> str:
    """What a command prints, both streams; it must end with ``code`` if one is given."""
    words = ["runuser", "-u", user, "--", "sh", "-c", command] if user else ["sh", "-c", command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=wait)
    print(f"+ {command}\n{done.stdout}", flush=True)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{command}: ended with {done.returncode}: {done.stdout.strip()[-300:]}")
    return done.stdout.strip()


def show(name: str, unit: str = "edgeface.service") -> str:
    return sh(f"systemctl show -P {name} {unit}")


def until(what: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What ``what`` gives, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s")
        time.sleep(1)
    return found


def event(kind: str = "recognized", device: str = "door", wait: int = 90, access: str = PASSWORDED) -> dict[str, Any]:
    """The next event of a kind that a subscriber receives."""
    listen = f"mosquitto_sub {access} -t edgeface/{device}/event -W {wait}"
    with subprocess.Popen(["sh", "-c", f"exec {listen}"], stdout=subprocess.PIPE, text=True) as subscriber:
        try:
            assert subscriber.stdout
            for line in subscriber.stdout:
                told: dict[str, Any] = json.loads(line)
                print(line, flush=True)
                if told["event_type"] == kind:
                    return told
        finally:
            subscriber.kill()
    raise AssertionError(f"no {kind} within {wait} s")


def recognized(device: str = "door", wait: int = 90, access: str = PASSWORDED) -> str:
    told = event(device=device, wait=wait, access=access)
    return f"`recognized` {told['name']}, score {told['score']:.2f}"


def pid() -> int:
    return int(show("MainPID"))


def files(*places: str | Path) -> list[str]:
    return [str(path) for place in places for path in [Path(place)] if path.exists() or path.is_symlink()]


def install(command: str = "dpkg -i /guest/edgeface.deb") -> str:
    sh(command, code=0)
    user = ME("edgeface")
    groups = sh("id -nG edgeface").split()
    assert {"edgeface", "video", "render"} <= set(groups), groups
    found = []
    for path, mode in ((SETTINGS, 0o640), (SETTINGS.parent, 0o750), (GALLERY.parent, 0o700)):
        state = path.stat()
        assert stat.S_IMODE(state.st_mode) == mode, (path, oct(state.st_mode))
        assert path.group() == "edgeface"
        found.append(f"{path} {mode:04o}")
    assert user.pw_shell.endswith("nologin")
    # picamera2 comes from apt alone, and that is where it lies.
    Path("/usr/lib/python3/dist-packages/from_apt.py").write_text("")
    sh("/opt/edgeface/bin/python3 -c 'import from_apt, edgeface'", code=0)
    assert show("ActiveState") == "inactive"
    return f"user in {', '.join(groups)}; {', '.join(found)}; inactive; found"


def verify() -> str:
    told = sh("systemd-analyze verify --man=no edgeface.service edgeface@front.service")
    assert not told, told
    exposed = re.search(r"level for \S+ ([\d.]+)", sh("systemd-analyze security --no-pager edgeface.service"))
    assert exposed
    assert float(exposed[1]) <= 2.0
    return f"silent; exposure {exposed[1]}"


def settings(visit: int = 4) -> str:
    """The settings of a user, the broker's password as a credential, and who is who, from photos; visits of some seconds."""
    sh(f"mosquitto_passwd -b -c /etc/mosquitto/passwd sub '{PASSWORD}'")
    sh(f"mosquitto_passwd -b /etc/mosquitto/passwd door '{PASSWORD}'")
    sh("chown mosquitto: /etc/mosquitto/passwd")
    Path("/etc/mosquitto/conf.d/guest.conf").write_text(BROKER)
    for port in (8001, 8002):
        Path(f"/etc/systemd/system/camera-{port}.service").write_text(UNIT.format(port=port, visit=visit))
    sh("systemctl daemon-reload; systemctl enable -q --now camera-8001 camera-8002", code=0)
    sh("systemctl enable -q mosquitto; systemctl restart mosquitto", code=0)
    SETTINGS.write_text(configured("door", "front", 8001))
    Path("/etc/edgeface/mqtt-password").write_text(PASSWORD + "\n")
    Path("/etc/edgeface/mqtt-password").chmod(0o600)
    DROP_INS.mkdir(exist_ok=True)
    (example,) = (path for place in EXAMPLES for path in Path(place).glob("mqtt-password.conf"))
    shutil.copy(example, DROP_INS)
    sh("systemctl daemon-reload")
    return sh("edgeface enroll Barack --image /guest/portrait.jpg", user="edgeface", code=0).splitlines()[0]


def configured(device: str, camera: str, port: int) -> str:
    return f"""\
[device]
id = "{device}"
[camera]
name = "{camera}"
source = "http://127.0.0.1:{port}/"
fps = 5
[presence]
left_after = 2
[gallery]
path = "{GALLERY}"
[mqtt]
host = "127.0.0.1"
username = "door"
password_file = "mqtt-password"
"""


def start() -> str:
    sh("systemctl start edgeface", code=0)
    told = recognized()
    sh("useradd -m -G edgeface anna")
    sh("edgeface status", user="anna", code=0)
    return f"{show('ActiveState')}, {told}; edgeface status of a member of the group: 0"


def enroll() -> str:
    """Somebody without any right but the group's, while the service holds gallery and camera."""
    photo = sh("edgeface enroll Joe --image /guest/other.jpg", user="anna", code=0).splitlines()[0]
    camera = sh("edgeface enroll Barack --timeout 45", user="anna")
    assert "Barack: " in camera, camera
    return f"{photo}; from the camera: {next(line for line in camera.splitlines() if line.startswith('Barack: '))}"


def credential() -> str:
    """The gallery's key as systemd's credential, by the drop-in that is shipped, and back again."""
    sh("systemctl stop edgeface; install -d -m 700 /media/key; mv /var/lib/edgeface/gallery.key /media/key/gallery-key", code=0)
    shutil.copy("/usr/share/doc/edgeface/examples/systemd/gallery-key.conf", DROP_INS)
    sh("systemctl daemon-reload; systemctl start edgeface", code=0)
    told = recognized()
    assert not files("/var/lib/edgeface/gallery.key")
    command = "/opt/edgeface/bin/edgeface --config /etc/edgeface/edgeface.toml people list"
    run = "systemd-run --quiet --pipe --wait -p User=edgeface -p LoadCredential=gallery-key:/media/key/gallery-key"
    assert "Barack" in sh(f"{run} {command}", code=0)
    assert "Barack" in sh("edgeface people list", user="anna", code=0)  # by the service, which has the key
    sh("systemctl stop edgeface", code=0)
    assert "its key is missing" in sh("edgeface people list", user="edgeface")
    sh("mv /media/key/gallery-key /var/lib/edgeface/gallery.key", code=0)
    shutil.chown("/var/lib/edgeface/gallery.key", "edgeface", "edgeface")
    (DROP_INS / "gallery-key.conf").unlink()
    sh("systemctl daemon-reload; systemctl start edgeface", code=0)
    return f"{told} with no key on the disk; people list by the service and by systemd-run, not otherwise"


def kill() -> str:
    before, restarts = pid(), int(show("NRestarts"))
    os.kill(before, signal.SIGKILL)
    until(lambda: int(show("NRestarts")) == restarts + 1 and show("ActiveState") == "active" and pid() not in (0, before))
    return f"restarted {int(show('NRestarts')) - restarts} time, another process; {recognized()}"


def hang() -> str:
    before, restarts, started = pid(), int(show("NRestarts")), time.monotonic()
    os.kill(before, signal.SIGSTOP)
    until(lambda: int(show("NRestarts")) > restarts, 180)
    took = time.monotonic() - started
    until(lambda: show("ActiveState") == "active")
    assert "Watchdog timeout" in sh("journalctl -u edgeface --no-pager")
    return f"watchdog and restart after {took:.0f} s; {recognized()}"


def full() -> str:
    """A small file system of its own in the place of the card, filled to the last byte."""
    sh("systemctl stop edgeface; cp -a /var/lib/edgeface /guest/state", code=0)
    sh("mount -t tmpfs -o size=2M,mode=0700,uid=edgeface,gid=edgeface tmpfs /var/lib/edgeface", code=0)
    sh("cp -a /guest/state/. /var/lib/edgeface/; systemctl start edgeface", code=0)
    recognized()
    sh("dd if=/dev/zero of=/var/lib/edgeface/filler bs=4k")
    room = sh("df --output=avail /var/lib/edgeface | tail -1")
    told = recognized()
    refused = sh("edgeface enroll Jill --image /guest/third.jpg", user="edgeface", code=1).splitlines()[-1]
    assert "Traceback" not in refused
    os.kill(pid(), signal.SIGKILL)
    time.sleep(1)
    until(lambda: show("ActiveState") == "active")
    again = recognized()
    sh("systemctl stop edgeface; umount /var/lib/edgeface; systemctl start edgeface", code=0)
    return f'{room} bytes free: {told}; enrolling: "{refused}"; killed: {again}'


def cameras() -> str:
    """Two instances of the template, with one gallery."""
    sh("systemctl stop edgeface", code=0)
    for device, port in (("gate", 8001), ("yard", 8002)):
        Path(f"/etc/edgeface/{device}.toml").write_text(configured(device, device, port))
    drop_ins = Path("/etc/systemd/system/edgeface@.service.d")
    drop_ins.mkdir()
    shutil.copy(DROP_INS / "mqtt-password.conf", drop_ins)
    sh("systemctl daemon-reload; systemctl start edgeface@gate edgeface@yard", code=0)
    told = [f"{device}: {recognized(device)}" for device in ("gate", "yard")]
    for device in ("gate", "yard"):
        sh(f"edgeface --config /etc/edgeface/{device}.toml status", user="anna", code=0)
    folders = sorted(path.name for path in Path("/run").glob("edgeface*"))
    sh("systemctl stop edgeface@gate edgeface@yard; systemctl start edgeface", code=0)
    return f"{'; '.join(told)}; /run/{', /run/'.join(folders)}; edgeface status of each: 0"


def wrong() -> str:
    kept = SETTINGS.read_text()
    SETTINGS.write_text("[camera]\nsauce = 1\n")
    sh("systemctl restart edgeface")
    time.sleep(8)
    state = f"{show('ActiveState')}, exit status {show('ExecMainStatus')}, restarts {show('NRestarts')}"
    SETTINGS.write_text(kept)
    sh("systemctl reset-failed edgeface; systemctl start edgeface", code=0)
    assert state == "failed, exit status 2, restarts 0", state
    return state


def people() -> str:
    return sh("edgeface people list", user="edgeface", code=0)


def version() -> str:
    return sh("dpkg-query -W -f '${Version} ${Status}' edgeface")


def upgraded(command: str) -> str:
    """By what another version is installed."""
    before, kept = pid(), SETTINGS.read_text()
    sh(command, code=0)
    assert SETTINGS.read_text() == kept
    assert "Barack" in people()
    assert pid() not in (0, before)
    return f"settings and people kept; restarted, {recognized()}"


def upgrade() -> str:
    told = upgraded("dpkg -i /guest/next.deb")
    return f"{version()}; {told}"


def refused(package: str) -> str:
    """What dpkg says of a package that must not take over."""
    before, old = pid(), version()
    told = sh(f"dpkg -i /guest/{package}.deb", code=1)
    assert "FAIL" in told
    assert version() == old
    assert not sh("dpkg --audit")
    assert pid() == before
    sh("edgeface doctor --only runtime,model,config,gallery", user="edgeface", code=0)
    return told


def roll_back() -> str:
    refused("broken")
    return f"dpkg ends with 1, {version()}; the same process runs on, doctor: 0; {recognized()}"


def another_network() -> str:
    missing = re.search(r"no faces are kept of ([^:]*)", refused("other"))
    assert missing
    return f"dpkg ends with 1, {version()}; no faces are kept of {missing[1]}; the same process runs on, {recognized()}"


def keep_faces() -> str:
    """As a member of the group, while the old version runs: the same photos once more."""
    SETTINGS.write_text(SETTINGS.read_text().replace("[gallery]", "[gallery]\nkeep_faces = true"))
    sh("systemctl reload edgeface", code=0)
    for name, photo in (("Barack", "portrait"), ("Joe", "other")):
        sh(f"edgeface enroll {name} --image /guest/{photo}.jpg", user="anna", code=0)
    sh("dpkg -i /guest/other.deb", code=0)
    told = recognized()
    assert {"Barack", "Joe"} <= set(people().split())
    taken = re.search(r"\d+ templates made anew.*", sh("journalctl -u edgeface --no-pager"))
    assert taken
    return f"{version()}; {taken[0]}; {told}"


def reboot() -> str:
    sh("systemctl enable -q edgeface", code=0)
    return "powered off"


def booted() -> str:
    until(lambda: show("ActiveState") == "active")
    return f"active, {recognized()}"


def removed(command: str, *program: str) -> str:
    """By what the program goes, and settings and gallery stay."""
    sh(command, code=0)
    gone = files("/opt/edgeface", *program)
    assert not gone, gone
    assert not sh("pgrep -u edgeface")
    left = files(GALLERY, SETTINGS)
    assert len(left) == 2
    return f"stopped; left: {', '.join(left)}"


def remove() -> str:
    return removed("dpkg -r edgeface", "/usr/bin/edgeface", "/usr/lib/systemd/system/edgeface.service")


def again() -> str:
    sh("dpkg -i /guest/other.deb", code=0)
    assert "Barack" in people()
    sh("systemctl start edgeface", code=0)
    return f"people list has Barack; {recognized()}"


def purge() -> str:
    sh("dpkg -P edgeface", code=0)
    left = sh("find / -xdev \\( -path /guest -o -path /run \\) -prune -o -name '*edgeface*' -print")
    assert not [line for line in left.splitlines() if not line.startswith("/var/lib/systemd/")], left
    assert not sh("dpkg-query -W edgeface 2>/dev/null")
    return f"nothing is called edgeface but the user{': ' + left if left else ''}"


def from_clone() -> str:
    return install(INSTALLER)


def from_clone_again() -> str:
    return upgraded(INSTALLER)


def uninstall() -> str:
    told = removed(f"{INSTALLER} --uninstall", "/usr/local/bin/edgeface", "/etc/systemd/system/edgeface.service")
    sh(f"{INSTALLER} --uninstall --purge", code=0)
    assert not files(GALLERY.parent, SETTINGS.parent)
    return f"{told}; with --purge nothing"


FIRST = {
    "`dpkg -i`, with no network": (install, "user, modes; nothing started; modules from apt are found"),
    "`systemd-analyze verify`, `security`": (verify, "silent; at most 2.0"),
    "settings, password as a credential, `edgeface enroll --image`": (settings, "enrolled"),
    "`systemctl start edgeface`, `mosquitto_sub`": (start, "active, `recognized`"),
    "`edgeface enroll` as a member of the group, while it runs": (enroll, "from a photo, and from the camera"),
    "the gallery's key as a credential": (credential, "the same, with no key beside the gallery"),
    "`kill -9`": (kill, "restarted, `recognized`"),
    "SIGSTOP": (hang, "the watchdog, after 30 s, restarts it"),
    "disk full": (full, "goes on, refuses to enroll in one line, comes back after a kill"),
    "two cameras: `edgeface@gate`, `edgeface@yard`": (cameras, "both `recognized`, one gallery"),
    "wrong settings": (wrong, "failed, status 2, not tried again"),
    "upgrade": (upgrade, "the new version, gallery and settings kept"),
    "upgrade to a version with a damaged network": (roll_back, "refused, the old version runs on"),
    "upgrade to a version with another network": (another_network, "refused while no faces are kept, the old version runs on"),
    "the same with `keep_faces`": (keep_faces, "the new version, everybody is known"),
    "`systemctl enable`, reboot": (reboot, "powered off"),
}
SECOND = {
    "after the reboot": (booted, "active by itself, `recognized`"),
    "`dpkg -r`": (remove, "program gone, gallery and settings left"),
    "installed again": (again, "people are still known"),
    "`dpkg -P`": (purge, "nothing left"),
}


CLONE = {
    "`sh deploy/install.sh`, in a clone": (from_clone, "user, modes; nothing started; modules from apt are found"),
    "`systemd-analyze verify`, `security`": (verify, "silent; at most 2.0"),
    "settings, password as a credential, `edgeface enroll --image`": (settings, "enrolled"),
    "`systemctl start edgeface`, `mosquitto_sub`": (start, "active, `recognized`"),
    "`kill -9`": (kill, "restarted, `recognized`"),
    "`sh deploy/install.sh`, once more": (from_clone_again, "settings and people kept, restarted"),
    "`--uninstall`, then `--purge`": (uninstall, "program gone, gallery and settings left; then nothing"),
}


def take(steps: dict[str, tuple[Callable[[], str], str]]) -> None:
    """One after the other; the first that fails is the last."""
    for step, (do, expected) in steps.items():
        print(f"== {step}", flush=True)
        try:
            seen, ok = do(), True
        except Exception as error:
            print(sh("journalctl -u 'edgeface*' --no-pager -n 40"), flush=True)
            seen, ok = f"{type(error).__name__}: {error}", False
        with SEEN.open("a") as lines:
            lines.write(json.dumps({"step": step, "expected": expected, "seen": seen, "ok": ok}) + "\n")
        if not ok:
            sys.exit(1)


if __name__ == "__main__":
    take({"first": FIRST, "second": SECOND, "clone": CLONE}[sys.argv[1]])
