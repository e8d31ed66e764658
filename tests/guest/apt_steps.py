"""What apt and unattended-upgrades do with the repository of deploy/apt-repository, by the lines that docs/install.md has.

Run by the guest's own Python at boot; a line of JSON a step goes to /guest/seen.jsonl.
"""

import platform
import re
import shutil
from pathlib import Path

from steps import install, pid, settings, sh, start, take, upgraded, version

ADDRESS = "http://127.0.0.1:8900"
OFFER = Path("/guest/offer")
PAGE = Path("/guest/install.md").read_text()
UNATTENDED = Path("/etc/apt/apt.conf.d/52edgeface")
KEEP = 'Dpkg::Options { "--force-confold"; };\n'


def told(pattern: str) -> str:
    """A block of code of the page, for this Debian and the address that is tried."""
    found = re.search(rf"^```\w*\n({pattern}.*?)^```", PAGE, re.M | re.S)
    assert found, pattern
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    return found[1].replace("https://ADDRESS", ADDRESS).replace("Suites: trixie", f"Suites: {release}")


def offer(name: str) -> None:
    """Put a repository in the place of the one before, and forget what apt knew of it."""
    OFFER.unlink(missing_ok=True)
    OFFER.symlink_to(f"/guest/repositories/{name}/public")
    for kept in ("/var/lib/apt/lists", "/var/cache/apt/archives"):
        shutil.rmtree(kept, ignore_errors=True)


def begin() -> str:
    """The key, the source and the package, as a user has them."""
    Path("/etc/apt/sources.list").unlink(missing_ok=True)  # Debian's own, which is not to be reached
    offer("first")
    sh(f"systemd-run -q python3 -m http.server --bind 127.0.0.1 --directory {OFFER} 8900", code=0)
    sh(f"for n in $(seq 60); do curl -sf {ADDRESS}/edgeface.asc >/dev/null && break; sleep 1; done")
    sh(told("sudo curl").replace("sudo ", "").partition("\n")[0], code=0)
    Path("/etc/apt/sources.list.d/edgeface.sources").write_text(told("Types: deb"))
    found = install("apt-get update && apt-get install -y edgeface")
    origin = sh("apt-cache policy edgeface", code=0)
    assert ADDRESS in origin, origin
    return f"{version()}; {found}"


def run() -> str:
    return f"{settings()}; {start()}"


def refused(name: str, command: str, reason: str) -> str:
    """The line of apt that refuses, while the old version runs on."""
    before, process = version(), pid()
    offer(name)
    said = sh(command, code=100)
    assert (version(), pid()) == (before, process)
    (line, *_) = (line for line in said.splitlines() if re.search(reason, line))
    return re.sub(r"\s+", " ", line)


def stranger() -> str:
    return refused("stranger", "apt-get update", r"^E: .*not signed")


def unsigned() -> str:
    return refused("unsigned", "apt-get update", r"^E: .*not signed")


def index() -> str:
    return refused("index", "apt-get update", r"^E: .*Hash Sum mismatch")


def file() -> str:
    return refused("file", "apt-get update && apt-get install -y edgeface", r"^E: .*Hash Sum mismatch")


def unattended(conf: str) -> str:
    offer("second")
    UNATTENDED.write_text(conf)
    sh("apt-get update", code=0)
    return sh("unattended-upgrade --dry-run --verbose", wait=900)


def asks() -> str:
    """Without the option of dpkg, a package whose edited settings file has a newer default is left to its owner."""
    before, conf = version(), told("Unattended-Upgrade::Origins")
    assert KEEP in conf
    said = unattended(conf.replace(KEEP, ""))
    sh("unattended-upgrade", wait=900)
    assert version() == before
    return next(line for line in said.splitlines() if "conffile" in line)


def upgrades() -> str:
    said = unattended(told("Unattended-Upgrade::Origins"))
    planned = next(line for line in said.splitlines() if line.startswith("Packages that will be upgraded"))
    assert planned.split() == ["Packages", "that", "will", "be", "upgraded:", "edgeface"], said
    found = upgraded("unattended-upgrade")
    assert version().startswith("9.")
    return f"{version()}; {found}"


APT = {
    "key, source, `apt-get install edgeface`": (begin, "the first version; user, modes; nothing started"),
    "settings, `systemctl start edgeface`": (run, "active, `recognized`"),
    "the repository signed by another key": (stranger, "refused, the old version runs on"),
    "its signatures gone": (unsigned, "the same"),
    "its index changed": (index, "the same"),
    "the package in it changed by a bit": (file, "the same"),
    "`unattended-upgrade` without `--force-confold`": (asks, "not upgraded, as the settings file was edited"),
    "`unattended-upgrade`": (upgrades, "the second version, settings kept, restarted"),
}

if __name__ == "__main__":
    take(APT)
