"""Finds, reads and checks edgeface.toml, and writes one with every default."""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from edgeface.config import adjusted
from edgeface.config.adjusted import adjusted_path
from edgeface.config.schema import MAX_BYTES, MORE_CAMERAS, CameraSettings, Config, shown
from edgeface.config.texts import WORDS
from edgeface.errors import ConfigError, SettingsError
from edgeface.platform import environment

UNKNOWN = "Object contains unknown field"
KINDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "date": "a date",
    "object": "a section",
}
"""Says in words what msgspec's names of types mean."""
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
    """Change settings on the device, as TOML writes each, or a word; ``None`` takes a change back. Return whether any changed.

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
    for section, values in _sections(config):
        index = config.cameras.index(values) if values in config.cameras else None
        for field in msgspec.structs.fields(values):
            origin = next((origin for origin, given in origins if field.name in _given(given, section, index)), "default")
            value = shown(section, field.name, getattr(values, field.name))
            rows.append(Setting(section, field.name, value, origin, _description(field.type)))
    return rows


def _sections(config: Config) -> Iterator[tuple[str, msgspec.Struct]]:
    """Yield each section by the name under which it is shown."""
    for name in Config.__struct_fields__:
        if name == "cameras":
            yield from ((f"cameras.{camera.name}", camera) for camera in config.cameras)
        else:
            yield name, getattr(config, name)


def _given(given: Mapping[str, Any], section: str, index: int | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (
        given.get(section, {}) if index is None else given["cameras"][index] if "cameras" in given else {}
    )
    return found


def default_toml() -> str:
    """Return a configuration file with every setting, its default and its meaning, all commented out."""
    lines = ["# edgeface's settings. A line without its # takes effect; the values shown are the defaults.", ""]
    for section in msgspec.structs.fields(Config):
        if section.name == "cameras":
            lines += [f"# {MORE_CAMERAS}", ""]
            continue
        lines += [f"# {section.type.__doc__}", f"[{section.name}]"]
        for field in msgspec.structs.fields(section.type):
            meaning = _description(field.type)
            value = msgspec.json.encode(field.default).decode()
            lines.append(f"#{field.name} = {value}" + (f"  # {meaning}" if meaning else ""))
        lines.append("")
    return "\n".join(lines)


def _converted(given: dict[str, Any], file: Path | None) -> Config:
    if "cameras" in given and "camera" not in given:
        fault = "[[cameras]] are further cameras: the first one is [camera]"
        raise SettingsError(file, [fault], "see edgeface config default")
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
        each: Iterable[dict[str, Any]] = ({section: {name: value}} for name, value in _items(values))
        if section == "cameras" and isinstance(values, list):
            each = (
                {section: [{}] * index + [{name: value}]} for index, one in enumerate(values) for name, value in _items(one)
            )
        sound = True
        for fault in filter(None, (_fault(one, alone=True) for one in each)):
            sound = False
            yield fault
        if sound and (rest := _fault({section: values})):
            yield rest


def _items(values: Any) -> Iterable[tuple[str, Any]]:
    return values.items() if isinstance(values, dict) else ()


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
    if what.startswith("Expected `object`") or (setting == "cameras" and what.startswith("Expected `array`")):
        many = setting == "cameras" or "[" in setting
        line = f"each is a section: a line [[{setting.partition('[')[0]}]]" if many else f"it is a section: a line [{setting}]"
        return f"{line}, and its settings below"
    if what.startswith("Invalid enum value"):
        section, _, name = setting.partition(".")
        choices = _choices(get_type_hints(_owner(section))[name])
        return f"{what.removeprefix('Invalid enum value ')} is not one of {', '.join(map(str, choices))}"
    if kinds := re.match(r"Expected `(\w+)`, got `(\w+)`", what):
        wanted, got = (KINDS.get(kind, f"`{kind}`") for kind in kinds.groups())
        return f"expected {wanted}, got {got}"
    if what.startswith(UNKNOWN):
        owner = _owner(setting) if setting else Config
        known = owner.__struct_fields__ if owner else ()
        name = what.removeprefix(UNKNOWN).strip(" `")
        near = get_close_matches(name, known, 1)
        return f"unknown setting `{name}`" + (f", did you mean `{near[0]}`?" if near else "")
    return what


def _choices(annotation: Any) -> list[Any]:
    """Return the values of a literal, or of several that are alternatives."""
    args = get_args(annotation)
    return [choice for arg in args for choice in (_choices(arg) or [arg])]


def _owner(section: str) -> type[msgspec.Struct] | None:
    """Return the type of a section as a fault names it; none for one of a list within a section, such as a mask."""
    if re.fullmatch(r"cameras\[\d+\]", section):
        return CameraSettings
    found = getattr(Config(), section, None)
    return type(found) if isinstance(found, msgspec.Struct) else None


def _description(annotation: Any) -> str:
    info = msgspec.inspect.type_info(annotation)
    return (info.extra_json_schema or {}).get("description", "") if isinstance(info, msgspec.inspect.Metadata) else ""
