"""Writes docs/mqtt.md, the JSON Schemas and the AsyncAPI document from the types of topics and payloads."""

import functools
import json
import operator
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

import msgspec
from msgspec import Struct

from edgeface.errors import EdgefaceError
from edgeface.health import HealthPayload
from edgeface.mqtt.commands import COMMANDS
from edgeface.platform.files import write_whole
from edgeface.sync.messages import SealedPerson
from edgeface.wire import asyncapi
from edgeface.wire.commands import Answer, BareRequest
from edgeface.wire.events import EVENTS, ImageInfo, PresencePayload
from edgeface.wire.home import PersonHome, Sight
from edgeface.wire.topics import TOPICS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RARE = {"error", "corrected", "left_in", "switched_off"}
"""Fields that no example shows."""
WORDS = {"string": "text", "integer": "whole number", "boolean": "yes or no"}


def shapes() -> dict[str, Any]:
    event = functools.reduce(operator.or_, EVENTS.values())
    found: dict[str, Any] = {
        "event": event,
        "image-info": ImageInfo,
        "presence": PresencePayload,
        "health": HealthPayload,
        "gallery": SealedPerson,
        "home": PersonHome,
    }
    for name, (request, result) in COMMANDS.items():
        found |= {f"cmd-{name}": _with_id(request), f"resp-{name}": Answer[result]}  # type: ignore[valid-type]
    return found


def schemas() -> dict[str, dict[str, Any]]:
    return {f"{name}.json": {"$schema": DIALECT, **msgspec.json.schema(shape)} for name, shape in shapes().items()}


def page() -> str:
    kinds = "".join(f"- `{kind}`: {_said(shape)}\n" for kind, shape in EVENTS.items())
    return Template((Path(__file__).with_suffix(".md")).read_text(encoding="utf-8")).substitute(
        topics=_table(
            ("topic", "QoS", "retained", "payload"),
            ((_topic(topic.name), topic.qos, "yes" if topic.retained else "no", topic.payload) for topic in TOPICS),
        ),
        events=f"{kinds}\n{_fields(*EVENTS.values())}\n{_examples(*EVENTS.values())}",
        image=_fields(ImageInfo) + "\n" + _examples(ImageInfo),
        presence=_fields(PresencePayload) + "\n" + _examples(PresencePayload),
        health=_fields(HealthPayload) + "\n" + _examples(HealthPayload),
        shared=_fields(SealedPerson) + "\n" + _examples(SealedPerson),
        home=_fields(PersonHome) + "\n" + _examples(PersonHome),
        sights=_fields(Sight),
        commands="\n".join(_command(name, _with_id(request), result) for name, (request, result) in COMMANDS.items()),
    )


def write(folder: Path) -> list[Path]:
    """Write ``mqtt.md``, ``asyncapi.json`` and ``schemas/*.json``; raise ``EdgefaceError`` if a file cannot be written."""
    described = {"asyncapi.json": asyncapi.document(shapes())} | {f"schemas/{name}": one for name, one in schemas().items()}
    documents = {"mqtt.md": page()} | {name: json.dumps(one, indent=2) + "\n" for name, one in described.items()}
    try:
        (folder / "schemas").mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            write_whole(folder / name, text.encode())
    except OSError as error:
        raise EdgefaceError(f"{folder}: {error.strerror or error}") from None
    return [folder / name for name in documents]


def _command(name: str, request: type[Struct], result: type[Struct]) -> str:
    answer: Any = Answer[result]  # type: ignore[valid-type]
    return (
        f"### {name}\n\n{_said(request)} Schemas: [request](schemas/cmd-{name}.json), [answer](schemas/resp-{name}.json).\n\n"
        f"{_fields(request)}\nThe result: {_said(result)}\n\n{_fields(result)}\n{_examples(request, answer)}"
    )


def _with_id(request: type[Struct]) -> type[Struct]:
    """Return the shape of a request as it travels: with the ``id`` that every one has."""
    fields = [
        (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(request)
    ]
    name, namespace = request.__name__.removeprefix("Mqtt"), {"__doc__": request.__doc__}
    return msgspec.defstruct(name, fields, bases=(BareRequest,), kw_only=True, namespace=namespace)


def _topic(name: str) -> str:
    return f"`{name}`".replace("{", "<").replace("}", ">")


def _said(shape: type[Struct]) -> str:
    """Return a docstring without its Sphinx marks."""
    return (shape.__doc__ or "").replace("``", "`")


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _definition(shape: Any) -> dict[str, Any]:
    """Return the schema of one object, with every reference replaced by what it names."""
    (found,), parts = msgspec.json.schema_components([shape], ref_template="{name}")

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(each) for each in value]
        if isinstance(value, dict):
            named = whole(parts[value["$ref"]]) if "$ref" in value else {}  # a field's own description comes first
            return named | {key: whole(each) for key, each in value.items() if key != "$ref"}
        return value

    definition: dict[str, Any] = whole(found)
    return definition


def _fields(*shapes: type[Struct]) -> str:
    """Return a table of the fields; for several events, with the events that have each field."""
    definitions = {str(shape.__struct_config__.tag): _definition(shape) for shape in shapes}
    rows = []
    for name in dict.fromkeys(name for definition in definitions.values() for name in definition["properties"]):
        held = {
            tag: definition["properties"][name] for tag, definition in definitions.items() if name in definition["properties"]
        }
        always = all(name in definitions[tag]["required"] for tag in held)
        field = next(iter(held.values()))
        kind = ", ".join(f"`{tag}`" for tag in held) if name == "event_type" and len(shapes) > 1 else _type(field)
        meaning = "; ".join(dict.fromkeys(each.get("description", "what happened") for each in held.values()))
        default = (
            f"; `{json.dumps(field['default'])}` unless given" if "default" in field else "" if always else "; may be absent"
        )
        where = ["all" if len(held) == len(shapes) else ", ".join(f"`{tag}`" for tag in held)] if len(shapes) > 1 else []
        rows.append([f"`{name}`", *where, kind, meaning + default])
    return _table(["field", *(["in"] if len(shapes) > 1 else []), "type", "meaning"], rows)


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind: str = field["type"]
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])}, each a {_type(field['prefixItems'][0])}"
    if kind == "array":
        return f"list of {_type(field['items'])}"
    if kind == "object":
        parts = [f"`{name}`" for name in field.get("properties", ())]
        return "{" + ", ".join(parts or [f"text: {_type(field['additionalProperties'])}"]) + "}"
    low, high = field.get("minimum"), field.get("maximum")
    limits = f", {low} to {high}" if high is not None else f", {low} or more" if low is not None else ""
    return WORDS.get(kind, kind) + limits


def _examples(*shapes: Any) -> str:
    lines = (json.dumps(_sample(_definition(shape)), ensure_ascii=False) for shape in shapes)
    return "```json\n" + "\n".join(lines) + "\n```\n"


def _sample(field: dict[str, Any]) -> Any:
    """Return an instance of a schema from its examples, without rare fields and those whose default is null."""
    if field.get("type") != "object" or "properties" not in field:
        return field["examples"][0] if "examples" in field else field["enum"][0]
    return {
        name: _sample(each)
        for name, each in field["properties"].items()
        if name not in RARE and each.get("default", "") is not None
    }
