"""Finds, reads and checks edgeface.toml, and writes one with every default."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from edgeface.config.schema import MAX_BYTES, Config, shown
from edgeface.config.texts import WORDS
from edgeface.errors import ConfigError
from edgeface.platform import environment

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
    """Read the settings; without a file, return the defaults. Raise ``ConfigError`` if they cannot be read, or are wrong."""
    file = find(path)
    if file is None:
        return Config()
    try:
        return msgspec.convert(_read(file), Config)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        setting = where.rstrip("`").lstrip(".")
        what = _in_words(what, setting)
        line = f"{file}: {f'[{setting}]: ' if setting else ''}{what}; see edgeface config default"
        raise ConfigError(" ".join(line.split())) from None


def settings(path: Path | None = None) -> list[Setting]:
    """Return every setting in effect and the origin of its value, with possible passwords hidden. Raise as ``load`` does."""
    file = find(path)
    given = _read(file) if file else {}
    config = load(path)
    rows = []
    for section in msgspec.structs.fields(Config):
        values = getattr(config, section.name)
        for field in msgspec.structs.fields(values):
            origin = str(file) if field.name in given.get(section.name, {}) else "default"
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


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_BYTES // 2**20} MB, which settings are not")
        return tomllib.loads(text.decode("utf-8-sig"))
    except PermissionError:
        raise ConfigError(
            f"{file}: you may not read it; join its group (sudo usermod -aG edgeface USER, and log in anew), "
            "or run this as the service's user: sudo -u edgeface edgeface ..."
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: not UTF-8 at byte {error.start + 1}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


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
    return what.replace("Object contains unknown field", "unknown setting")


def _description(annotation: Any) -> str:
    info = msgspec.inspect.type_info(annotation)
    return (info.extra_json_schema or {}).get("description", "") if isinstance(info, msgspec.inspect.Metadata) else ""
