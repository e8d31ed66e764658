"""What everything that speaks MQTT here shares: a client made from the settings, and errors in plain words."""

import os
import ssl
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgeface import config
from edgeface.errors import ConfigError


def new_client(settings: config.Mqtt, client_id: str, *, reconnect: bool = True) -> paho.Client:
    """A client that is ready to connect, with a clean session; ``reconnect`` lets paho connect again by itself.

    Raises:
        ConfigError: the password or certificate file cannot be read.
    """
    version = MQTTProtocolVersion.MQTTv5 if settings.protocol == "5" else MQTTProtocolVersion.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, reconnect_on_failure=reconnect)
    client.connect_timeout = 5.0
    if settings.password_file and not settings.username:
        raise ConfigError("mqtt.password_file is set, but no mqtt.username")
    if settings.username:
        client.username_pw_set(settings.username, read_password(settings))
    if settings.tls:
        try:
            context = ssl.create_default_context(cafile=_ca_file(settings))
            # From Python 3.13 on, the default refuses authorities made as mosquitto's manual shows, for a missing extension.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            client.tls_set_context(context)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"mqtt.ca_file {settings.ca_file}: {getattr(error, 'strerror', None) or error}") from None
    return client


def _ca_file(settings: config.Mqtt) -> Path | None:
    return config.expand(settings.ca_file, "mqtt.ca_file") if settings.ca_file else None


def read_password(settings: config.Mqtt) -> str | None:
    """The first line of ``password_file``, or none.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not settings.password_file:
        return None
    try:
        lines = password_path(settings).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"mqtt.password_file {settings.password_file}: {getattr(error, 'strerror', None) or error}") from None
    return lines[0] if lines else ""


def password_path(settings: config.Mqtt) -> Path:
    """Where the password is; a relative name is one of systemd's credentials, where there are any."""
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / config.expand(settings.password_file, "mqtt.password_file")


def port(settings: config.Mqtt) -> int:
    """The port as set, or the usual one."""
    return settings.port or (8883 if settings.tls else 1883)


def address(settings: config.Mqtt) -> str:
    """``host:port``, for messages."""
    return f"{settings.host}:{port(settings)}"
