"""Reads and writes the topic of the shared gallery at the broker, over a connection of its own."""

from edgeface.config import schema
from edgeface.mqtt.dialogue import Dialogue


class SharedTopic:
    """The topic of these settings, for a command; the daemon has its publisher's connection.

    Making one raises ``ConfigError`` if no broker is set. Everything raises ``BrokerError`` if the broker does not answer, or
    does not let this user read or write the topic.
    """

    def __init__(self, settings: schema.Config) -> None:
        self._topic = settings.sync.topic.strip("/")
        self._broker = Dialogue(settings)
        try:
            self._broker.subscribe(f"{self._topic}/+")
        except BaseException:
            self.close()
            raise

    def shared(self, connection: int = -1) -> tuple[int, dict[str, bytes]]:
        """Return 1 and the newest payload of each name that came since the last call, unless ``connection`` is 1."""
        mine = f"{self._topic}/"
        came = [] if connection == 1 else self._broker.collect()
        return 1, {one.topic.removeprefix(mine): bytes(one.payload) for one in came if one.topic.startswith(mine)}

    def share(self, name: str, payload: bytes) -> None:
        """Let the broker keep a payload; an empty one is not kept."""
        self._broker.publish(f"{self._topic}/{name}", payload, retain=True)

    def close(self) -> None:
        self._broker.__exit__()
