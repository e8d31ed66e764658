"""Turn the app's options, and the broker that Home Assistant offers, into edgeface.toml."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def settings(options: Mapping[str, Any], offered: Mapping[str, Any] | None, folder: Path) -> dict[str, dict[str, Any]]:
    """The settings by section; ``offered`` is what Supervisor tells of its MQTT service, ``folder`` is edgeface's own."""
    broker = _broker(options, offered, folder)
    return {
        "device": {"id": options["device_id"]},
        "camera": {"name": options["camera_name"], "source": options["camera"], "fps": options["fps"]},
        "gallery": {"path": str(folder / "gallery.db"), "keep_faces": options["keep_faces"]},
        "matching": {"target_fpir": options["stranger_passes"]},
        "liveness": {"mode": options["photos"]},
        "mqtt": broker | {"images": options["event_images"], "frames": options["event_frames"]},
        "commands": {"allow": options["commands"]},
        "homeassistant": {"enabled": bool(broker)},
        "home": {"enabled": bool(broker) and options["who_is_home"]},
        "events": {"keep_strangers": options["unknown"]},
        "web": {"enabled": True, "pictures": options["pictures"], "unknown": options["unknown"]},
    }


def password(options: Mapping[str, Any], offered: Mapping[str, Any] | None) -> str:
    """The password at the broker, or nothing."""
    given = options.get("mqtt_password") if options.get("mqtt_host") else (offered or {}).get("password")
    return str(given or "")


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Write sections of texts, numbers, truths and lists of texts: JSON's forms of these are TOML's too."""
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _broker(options: Mapping[str, Any], offered: Mapping[str, Any] | None, folder: Path) -> dict[str, Any]:
    if options.get("mqtt_host"):
        found = {"host": options["mqtt_host"], "port": options.get("mqtt_port") or 0}
        user = options.get("mqtt_username")
    elif offered:
        found = {"host": offered["host"], "port": int(offered["port"]), "tls": bool(offered.get("ssl"))}
        user = offered.get("username")
    else:
        return {}
    if user:
        found["username"] = user
    if password(options, offered):
        found["password_file"] = str(folder / "mqtt-password")
    return found
