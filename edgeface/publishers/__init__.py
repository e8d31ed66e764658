"""Builds publishers by name; each is imported only when it is needed."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from edgeface.config import schema
from edgeface.errors import ConfigError
from edgeface.interfaces import EventPublisher

PUBLISHERS = {
    "mqtt": "edgeface.mqtt.publisher:MqttPublisher",
    "lines": "edgeface.publishers.lines:LinePublisher",
    "webhook": "edgeface.publishers.webhook:WebhookPublisher",
}


def need_broker(settings: schema.Config) -> None:
    """Raise ``ConfigError`` if the settings need a broker and name none, or would have the device pause itself."""
    needs = {
        "sync.enabled": settings.shared_topic,
        "home.enabled": settings.home.enabled,
        "homeassistant.enabled": settings.homeassistant.enabled,
        "pause.topic": settings.pause.topic,
    }
    for name, wanted in needs.items():
        if wanted and not settings.mqtt.host:
            raise ConfigError(f"{name} needs a broker: set mqtt.host in the configuration")
    if f"{settings.pause.topic}/".startswith(f"{settings.base}/"):
        raise ConfigError(
            f"pause.topic: {settings.pause.topic} is this device's own; what closes its camera comes from elsewhere"
        )


def create(name: str, settings: schema.Config, model: str) -> EventPublisher:
    """Build a publisher; ``model`` is the digest that its payloads carry."""
    module, _, attribute = PUBLISHERS[name].partition(":")
    return cast(Callable[[schema.Config, str], EventPublisher], getattr(import_module(module), attribute))(settings, model)
