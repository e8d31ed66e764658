"""Start edgeface as Home Assistant's app: write its settings, give up root's rights, run daemon and ingress until told to end.

Home Assistant sets SUPERVISOR_TOKEN. EDGEFACE_APP_... put a test's folder, addresses and ports in place of its own.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import ingress
from options import password, settings, to_toml

USER = 10001
PAGE_PORT = 8480
CAMERAS = ("video*", "media*", "dma_heap/*", "vchiq")


def main() -> None:
    """Run until the daemon ends, or the app is stopped."""
    data = Path(os.environ.get("EDGEFACE_APP_DATA", "/data"))
    folder = data / "edgeface"
    options = json.loads((data / "options.json").read_bytes())
    offered = broker_offered()
    folder.mkdir(mode=0o700, exist_ok=True)
    sections = settings(options, offered, folder)
    sections["web"]["port"] = int(os.environ.get("EDGEFACE_APP_PAGE", PAGE_PORT))
    write(folder / "edgeface.toml", to_toml(sections))
    write(folder / "mqtt-password", password(options, offered) + "\n")
    if os.geteuid() == 0:
        data.chmod(data.stat().st_mode | 0o111)  # to be passed through
        give_up_root(folder)
    os.umask(0o077)
    daemon = subprocess.Popen([sys.executable, "-m", "edgeface", "--config", str(folder / "edgeface.toml"), "run"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.terminate())
    host, _, at = os.environ.get("EDGEFACE_APP_INGRESS", f":{ingress.PORT}").rpartition(":")
    page = ingress.Page(sections["web"]["port"], folder / "web.token")
    server = ingress.serve(page, (host, int(at)), os.environ.get("EDGEFACE_APP_TRUSTED", ingress.SUPERVISOR))
    Thread(target=server.serve_forever, daemon=True).start()
    sys.exit(daemon.wait())


def broker_offered() -> dict[str, Any] | None:
    """Host, port, user and password of the broker that Home Assistant knows; None if it knows none."""
    token = os.environ.pop("SUPERVISOR_TOKEN", "")
    address = os.environ.get("EDGEFACE_APP_SUPERVISOR", "http://supervisor")
    request = urllib.request.Request(f"{address}/services/mqtt", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.load(answer)["data"]
    except (OSError, ValueError, KeyError) as error:
        print(f"app: no broker from Home Assistant: {error}", file=sys.stderr)
        return None
    return found if found.get("host") else None


def write(file: Path, text: str) -> None:
    """Write a file that its owner alone reads."""
    with suppress(FileNotFoundError):
        file.unlink()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


def give_up_root(folder: Path) -> None:
    """Go on as the image's user, who may use cameras; what is kept becomes that user's."""
    devices = (device for pattern in CAMERAS for device in Path("/dev").glob(pattern))
    groups = {device.stat().st_gid for device in devices} - {0}
    for file in (folder, *folder.rglob("*")):
        os.chown(file, USER, USER, follow_symlinks=False)
    os.setgroups(sorted(groups))
    os.setgid(USER)
    os.setuid(USER)
    os.environ["HOME"] = str(folder)


if __name__ == "__main__":
    main()
