"""Bring the catalogues in edgeface/locale up to date: ``python deploy/translations.py``.

Collects the texts that edgeface says to people, adds those that are new to each edgeface.po, drops those that are gone, writes
each edgeface.mo, and lists what a translator still has to do; ``--check`` only lists. Exits with 1 if anything is listed.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from struct import pack

import jinja2
import msgspec

from edgeface.config.schema import Config
from edgeface.enrollment.guidance import Hint
from edgeface.mqtt import homeassistant, trackers
from edgeface.platform.translation import FOLDER, LANGUAGES
from edgeface.web import context, filters, language, people, settings, trust
from edgeface.wire import doubt, messages, posts

PACKAGE = FOLDER.parent
ROOT = PACKAGE.parent
PLURALS = {"de": "n != 1", "es": "n != 1", "fr": "n > 1", "nl": "n != 1"}
"""The rule by which a language, of two forms each, chooses the second one."""
CALLS = {"_": 1, "say": 1, "plural": 2, "say_count": 2}
"""Functions that say a text, and how many of their first arguments are texts."""


@dataclass
class Text:
    """A text as it is called in English, where it is said, and its forms in another language."""

    one: str
    many: str = ""
    places: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)


Catalogue = dict[str, Text]


def collect() -> Catalogue:
    """Return every text that is said to people, by its English."""
    found: Catalogue = {}
    for place, one, many in (*_of_templates(), *_of_calls(), *_of_tables()):
        text = found.setdefault(one, Text(one))
        text.many = text.many or many
        if place not in text.places:
            text.places.append(place)
    return found


def _of_templates() -> Iterator[tuple[str, str, str]]:
    pages = jinja2.Environment(trim_blocks=True, extensions=["jinja2.ext.i18n"])
    for file in sorted((PACKAGE / "web/pages").glob("*.html")):
        for _line, _function, texts in pages.extract_translations(file.read_text(encoding="utf-8")):  # type: ignore[attr-defined]
            said = [text for text in ((texts,) if isinstance(texts, str) else texts or ()) if text is not None]
            if said:
                yield _place(file), said[0], "".join(said[1:2])


def _of_calls() -> Iterator[tuple[str, str, str]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            count = CALLS.get(getattr(called, "id", getattr(called, "attr", "")), 0)
            texts = (
                [one.value for one in node.args[:count] if isinstance(one, ast.Constant)] if isinstance(node, ast.Call) else []
            )
            if count and len(texts) == count:
                yield _place(file), texts[0], texts[1] if count > 1 else ""


def _of_tables() -> Iterator[tuple[str, str, str]]:
    """Yield the texts of tables, which are said where they are looked up."""
    everything = {"mqtt": {"images": True, "frames": True}, "commands": {"allow": ["pause"]}}
    announced = homeassistant.describe(msgspec.convert(everything, Config), {})["components"].values()
    person = trackers.describe_person("", "", "", [])["components"].values()
    tables = {
        "enrollment/guidance.py": [hint.words for hint in Hint],
        "mqtt/homeassistant.py": [component["name"] for component in announced],
        "mqtt/trackers.py": [component["name"] for component in person if component["name"]],
        "web/context.py": list(context.VIEWS.values()),
        "web/filters.py": [*filters.WEEKDAYS, *filters.MONTHS],
        "web/language.py": list(language.SCRIPT_TEXTS),
        "web/people.py": [order.title for order in people.ORDERS.values()],
        "web/settings.py": list(_of_settings()),
        "web/trust.py": [how for _device, how in trust.STEPS],
        "wire/doubt.py": [
            *(text for words in (*doubt.WORDS.values(), doubt.NOBODY_ENROLLED) for text in words),
            *doubt.CURES_WITHOUT_FACE.values(),
            *doubt.OF_NOBODY.values(),
        ],
        "wire/messages.py": list(messages.MESSAGES),
        "wire/posts.py": [*posts.SAID.values(), posts.AGAIN, posts.IMITATED],
    }
    for place, texts in tables.items():
        for text in texts:
            yield f"edgeface/{place}", text, ""


def _of_settings() -> Iterator[str]:
    for title, inputs in settings.FORM.items():
        yield title
        for one in inputs:
            choices = (words for value, words in one.choices if (value, words) not in settings.NAMES)
            yield from (text for text in (one.title, one.help, one.unit, *choices) if text)


def read_po(file: Path) -> Catalogue:
    """Read a catalogue; the one text without English is its head."""
    found: Catalogue = {}
    for block in file.read_text(encoding="utf-8").split("\n\n") if file.exists() else []:
        parts: dict[str, str] = {}
        for line in block.splitlines():
            if word := re.match(r"(msgid_plural|msgid|msgstr(?:\[\d\])?) ", line):
                parts[key := word[1]] = ""
            if line and not line.startswith("#"):
                parts[key] += ast.literal_eval(line[line.index('"') :])
        if parts.get("msgid"):
            forms = [value for name, value in parts.items() if name.startswith("msgstr")]
            found[parts["msgid"]] = Text(parts["msgid"], parts.get("msgid_plural", ""), [], forms)
    return found


def write_po(file: Path, name: str, texts: Catalogue) -> None:
    blocks = [f'msgid ""\nmsgstr {_quoted(_head(name))}']
    for text in sorted(texts.values(), key=lambda text: (text.places[0], text.one)):
        lines = [f"#: {' '.join(text.places)}", f"msgid {_quoted(text.one)}"]
        if text.many:
            lines += [f"msgid_plural {_quoted(text.many)}"]
            lines += [f"msgstr[{number}] {_quoted(form)}" for number, form in enumerate(text.forms or ["", ""])]
        else:
            lines += [f"msgstr {_quoted(text.forms[0] if text.forms else '')}"]
        blocks.append("\n".join(lines))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def write_mo(file: Path, name: str, texts: Catalogue) -> None:
    """Write a catalogue as gettext reads it, without what is not translated."""
    said = {"": _head(name)} | {
        f"{text.one}\0{text.many}" if text.many else text.one: "\0".join(text.forms)
        for text in texts.values()
        if _is_whole(text)
    }
    pairs = [(english.encode(), other.encode()) for english, other in sorted(said.items(), key=lambda pair: pair[0].encode())]
    start = 28 + 16 * len(pairs)
    tables, strings = [], b""
    for column in (0, 1):
        for pair in pairs:
            tables.append(pack("<2I", len(pair[column]), start + len(strings)))
            strings += pair[column] + b"\0"
    head = pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
    file.write_bytes(head + b"".join(tables) + strings)


def faults(name: str, wanted: Catalogue, given: Catalogue) -> Iterator[str]:
    """Yield what is wrong with a catalogue, a line each."""
    for english, text in wanted.items():
        there = given.get(english)
        if there is None or not _is_whole(there) or bool(there.many) != bool(text.many):
            yield f"{name}: not translated: {english}"
            continue
        for form in there.forms:
            if fields(form) != fields(text.many or english):
                yield f"{name}: other fields than {english!r}: {form!r}"
            if not set(re.findall(r"<[^>]*>|[\"<>]", form)) <= set(re.findall(r"<[^>]*>|[\"<>]", english)):
                yield f"{name}: other HTML than {english!r}: {form!r}"
    for english in given.keys() - wanted.keys():
        yield f"{name}: said nowhere: {english}"


def fields(text: str) -> list[str]:
    """Return the fields of a text, of templates and of Python."""
    of_templates = re.findall(r"%\(\w+\)s", text)
    return sorted({*of_templates, *(f"{{{name}}}" for _text, name, _format, _conversion in Formatter().parse(text) if name)})


def _is_whole(text: Text) -> bool:
    return len(text.forms) == (2 if text.many else 1) and all(text.forms)


def _head(name: str) -> str:
    return f"Language: {name}\nContent-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural={PLURALS[name]};\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _place(file: Path) -> str:
    return str(file.relative_to(ROOT))


def main(*, check: bool) -> int:
    wanted, found = collect(), []
    for name in LANGUAGES[1:]:
        file = FOLDER / name / "LC_MESSAGES/edgeface.po"
        given = read_po(file)
        if not check:
            kept = {
                english: Text(english, text.many, text.places, given[english].forms if english in given else [])
                for english, text in wanted.items()
            }
            write_po(file, name, kept)
            write_mo(file.with_suffix(".mo"), name, kept)
            given = kept
        found += faults(name, wanted, given)
    print(*found, f"{len(wanted)} texts, {len(found)} faults", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
