"""Reads and writes settings.toml beside the gallery: the settings that were changed on the device, read after edgeface.toml."""

import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from edgeface.errors import ConfigError
from edgeface.platform.files import read_small, write_whole

Given: TypeAlias = dict[str, dict[str, Any]]
ADJUSTABLE = frozenset(
    {
        "matching.target_fpir",
        "presence.min_votes",
        "presence.unknown_after",
        "presence.left_after",
        "events.keep_days",
        "events.keep_strangers",
        "device.language",
        "mqtt.images",
        "web.pictures",
        "web.unknown",
        "web.keep_hours",
        "web.language",
    }
)
"""The settings that may be changed on the device: none leads to another file, address or key."""
WORDS = frozenset({"device.language", "web.language"})
"""Those of them whose value is a word, which may stand without quotes."""
HOME = frozenset({"web.enabled", "web.address", "web.hosts", "web.tls_cert", "web.tls_key"})
"""The settings that edgeface web tls, and nothing else, writes into the file."""
HEAD = "# Settings that were changed on the device. They are read after edgeface.toml; edgeface config reset takes one back.\n"


def adjusted_path(gallery: Path) -> Path:
    """Return the file for a gallery's file."""
    return gallery.parent / "settings.toml"


def read_bytes(path: Path) -> bytes | None:
    """Return what is in the file; ``None`` if it is not there, or in a folder that is the service's alone."""
    try:
        return read_small(path)[0]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None


def read(path: Path) -> Given:
    """Return the settings in the file, by section. Raise ``ConfigError`` if it is not valid, or has others."""
    try:
        given: Any = tomllib.loads((read_bytes(path) or b"").decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}; remove it, and change the settings again") from None
    for section, values in given.items():
        for name in values if isinstance(values, dict) else [""]:
            refuse(f"{section}.{name}".rstrip("."), path, ADJUSTABLE | HOME)
    found: Given = given
    return found


def refuse(setting: str, where: object, allowed: Collection[str] = ADJUSTABLE) -> None:
    """Raise ``ConfigError`` if a setting is not one of those that are ``allowed``."""
    if setting in allowed:
        return
    if near := get_close_matches(setting, allowed, 1, 0.9):
        raise ConfigError(f"{where}: there is no setting {setting!r}; did you mean {near[0]}?")
    raise ConfigError(f"{where}: {setting!r} can be set in edgeface.toml alone; here are {', '.join(sorted(ADJUSTABLE))}")


def merged(given: Mapping[str, Any], adjusted: Given) -> dict[str, Any]:
    """Return settings with others over them."""
    return dict(given) | {section: given.get(section, {}) | values for section, values in adjusted.items()}


def changed(before: Given, values: Mapping[str, str | None], allowed: Collection[str] = ADJUSTABLE) -> Given:
    """Return the settings with new ``values``, each as TOML writes it, or a word; ``None`` takes one back."""
    after = {section: dict(rest) for section, rest in before.items()}
    for setting, text in values.items():
        refuse(setting, "settings", allowed)
        section, _, name = setting.partition(".")
        if text is None:
            after.get(section, {}).pop(name, None)
            continue
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            if setting not in WORDS:
                raise ConfigError(f"{setting}: {text[:40]!r} is neither a number nor true or false") from None
            value = text
        after.setdefault(section, {})[name] = value
    return {section: rest for section, rest in after.items() if rest}


def write(path: Path, adjusted: Given) -> None:
    """Replace the file; without settings there is none. Raise ``ConfigError`` if it cannot be written."""
    lines = [HEAD]
    for section, values in sorted(adjusted.items()):
        lines += [f"[{section}]", *(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items()), ""]
    restore(path, "\n".join(lines).encode() if adjusted else None)


def restore(path: Path, data: bytes | None) -> None:
    """Have the file hold what ``read_bytes`` returned before. Raise ``ConfigError`` if it cannot be written."""
    try:
        if data is None:
            with suppress(FileNotFoundError):
                path.unlink()
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, data, 0o600)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
