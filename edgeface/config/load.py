"""Finds, reads and checks edgeface.toml, and writes one with every default."""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from edgeface.config import adjusted
from edgeface.config.adjusted import adjusted_path
from edgeface.config.schema import MAX_BYTES, Config, shown
from edgeface.config.texts import WORDS
from edgeface.errors import ConfigError, SettingsError
from edgeface.platform import environment

UNKNOWN = "Object contains unknown field"
MOST_FAULTS = 20
SYSTEM_FILE = Path("/etc/edgeface/edgeface.toml")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as ``config show`` prints it; ``origin`` is a file or "default"."""

    section: str
    name: str
    value: Any
    origin: str
    description: str


def find(path: Path | None) -> Path | None:
    """Return the file to read: ``path``, else that of ``EDGEFACE_CONFIG``, else the system's, else ``None``."""
    if path is not None:
        return path
    if named := environment.path("EDGEFACE_CONFIG"):
        return named
    try:
        return SYSTEM_FILE if SYSTEM_FILE.exists() else None
    except OSError:  # its folder is closed to us: reading it will say so
        return SYSTEM_FILE


def load(path: Path | None = None) -> Config:
    """Read the settings; without a file, return the defaults. Raise ``ConfigError`` if they cannot be read, or are wrong.

    Those that were changed on the device go before those of the file.
    """
    file = find(path)
    given = _read(file) if file else {}
    config = _converted(given, file)
    changed = adjusted_path(config.gallery_path)
    more = adjusted.read(changed)
    return _converted(adjusted.merged(given, more), changed) if more else config


def adjust(path: Path | None, values: Mapping[str, str | None], allowed: Collection[str] = adjusted.ADJUSTABLE) -> bool:
    """Change settings on the device, each given as TOML writes it; ``None`` takes a change back. Return whether any changed.

    Raises:
        ConfigError: one is not ``allowed``, or has no such value; nothing is changed then.
    """
    file = find(path)
    given = _read(file) if file else {}
    changed = adjusted_path(_converted(given, file).gallery_path)
    before = adjusted.read(changed)
    after = adjusted.changed(before, values, allowed)
    _converted(adjusted.merged(given, after), changed)
    adjusted.write(changed, after)
    return after != before


def settings(path: Path | None = None) -> list[Setting]:
    """Return every setting in effect and the origin of its value, with possible passwords hidden. Raise as ``load`` does."""
    file = find(path)
    config = load(path)
    changed = adjusted_path(config.gallery_path)
    origins = [(str(changed), adjusted.read(changed)), (str(file), _read(file) if file else {})]
    rows = []
    for section in msgspec.structs.fields(Config):
        values = getattr(config, section.name)
        for field in msgspec.structs.fields(values):
            origin = next((origin for origin, given in origins if field.name in given.get(section.name, {})), "default")
            value = shown(section.name, field.name, getattr(values, field.name))
            rows.append(Setting(section.name, field.name, value, origin, _description(field.type)))
    return rows


def default_toml() -> str:
    """Return a configuration file with every setting, its default and its meaning, all commented out."""
    lines = ["# edgeface's settings. A line without its # takes effect; the values shown are the defaults.", ""]
    for section in msgspec.structs.fields(Config):
        lines += [f"# {section.type.__doc__}", f"[{section.name}]"]
        for field in msgspec.structs.fields(section.type):
            meaning = _description(field.type)
            value = msgspec.json.encode(field.default).decode()
            lines.append(f"#{field.name} = {value}" + (f"  # {meaning}" if meaning else ""))
        lines.append("")
    return "\n".join(lines)


def _converted(given: dict[str, Any], file: Path | None) -> Config:
    try:
        return msgspec.convert(given, Config)
    except msgspec.ValidationError:
        raise SettingsError(file, _faults(given), "see edgeface config default") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_BYTES // 2**20} MB, which settings are not")
        return tomllib.loads(text.decode("utf-8-sig"))
    except PermissionError:
        raise ConfigError(
            f"{file}: you may not read it; join its group (sudo usermod -aG edgeface USER, then log out and back in), "
            "or run this as the service's user: sudo -u edgeface edgeface ..."
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: not UTF-8 at byte {error.start + 1}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _faults(given: dict[str, Any]) -> list[str]:
    """Return every fault of what a file holds as a line, ``MOST_FAULTS`` at most."""
    found = dict.fromkeys(islice(_each_fault(given), MOST_FAULTS))
    return list(found) or [_fault(given) or "a setting is wrong"]


def _each_fault(given: dict[str, Any]) -> Iterator[str]:
    for section, values in given.items():
        each = ({section: {name: value}} for name, value in values.items()) if isinstance(values, dict) else ()
        sound = True
        for fault in filter(None, (_fault(one, alone=True) for one in each)):
            sound = False
            yield fault
        if sound and (rest := _fault({section: values})):
            yield rest


def _fault(given: dict[str, Any], *, alone: bool = False) -> str | None:
    """Return the first fault; of a setting ``alone``, not what is wrong with it together with the others' defaults."""
    try:
        msgspec.convert(given, Config)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        setting = where.rstrip("`").lstrip(".")
        if alone and "." not in setting and UNKNOWN not in what:
            return None
        return " ".join(f"{f'[{setting}]: ' if setting else ''}{_in_words(what, setting)}".split())
    return None


def _in_words(what: str, setting: str) -> str:
    for pattern, words in WORDS.items():
        if repr(pattern) in what:
            return words
    if what.startswith("Expected `object`") and "[" in setting:
        return f"each is a section: a line [[{setting.partition('[')[0]}]], and its settings below"
    if what.startswith("Expected `object`"):
        return f"it is a section: a line [{setting}], and its settings below"
    if what.startswith("Invalid enum value"):
        section, _, name = setting.partition(".")
        choices = get_args(get_type_hints(type(getattr(Config(), section)))[name])
        return f"{what}; it is one of {', '.join(map(str, choices))}"
    if what.startswith(UNKNOWN):
        owner = getattr(Config(), setting, None) if setting else Config  # none for one of a list
        known = owner.__struct_fields__ if owner else ()
        name = what.removeprefix(UNKNOWN).strip(" `")
        near = get_close_matches(name, known, 1)
        return f"unknown setting `{name}`" + (f", did you mean `{near[0]}`?" if near else "")
    return what


def _description(annotation: Any) -> str:
    info = msgspec.inspect.type_info(annotation)
    return (info.extra_json_schema or {}).get("description", "") if isinstance(info, msgspec.inspect.Metadata) else ""
