"""A sync transport without a broker: devices share a gallery through a folder that all of them see."""

from copied import Copy

PLUGIN = '''
"""Keeps the shared gallery in a folder that all devices see: a file for each person."""

from pathlib import Path

from edgeface.config import schema
from edgeface.config.paths import expand
from edgeface.errors import BrokerError
from edgeface.platform.files import write_whole


class SharedFolder:
    """The folder of ``folder://PATH``.

    Raises:
        BrokerError: it is not there.
    """

    def __init__(self, settings: schema.Config) -> None:
        self._folder = expand(settings.sync.topic.partition("://")[2], "sync.topic")
        self._seen: dict[Path, tuple[int, int]] = {}
        if not self._folder.is_dir():
            raise BrokerError(f"sync.topic: there is no folder {self._folder}")

    def shared(self, connection: int = -1) -> tuple[int, dict[str, bytes]]:
        """Return 1 and the files that have changed since the last call, unless ``connection`` is 1."""
        found: dict[str, bytes] = {}
        for path in self._folder.glob("*.json") if connection != 1 else ():
            stamp = path.stat().st_mtime_ns, path.stat().st_ino
            if self._seen.get(path) != stamp:
                self._seen[path], found[path.stem] = stamp, path.read_bytes()
        return 1, found

    def share(self, name: str, payload: bytes) -> None:
        """Write a file, whole."""
        write_whole(self._folder / f"{name}.json", payload)

    def close(self) -> None:
        """Nothing is open."""
'''


def apply(copy: Copy) -> None:
    copy.create("edgeface/sync/folder.py", PLUGIN)
    copy.replace(
        "edgeface/sync/transports.py",
        'TRANSPORTS = {"": "edgeface.sync.broker:SharedTopic"}',
        'TRANSPORTS = {"": "edgeface.sync.broker:SharedTopic", "folder": "edgeface.sync.folder:SharedFolder"}',
    )
