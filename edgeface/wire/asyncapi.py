"""Describes topics and payloads as an AsyncAPI 3 document, of which tools make clients and pages."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from edgeface.wire.fields import SCHEMA
from edgeface.wire.topics import TOPICS, Topic

INFO = {
    "title": "edgeface",
    "version": str(SCHEMA),
    "description": "What the daemon publishes and reads. With `homeassistant.enabled` it also publishes a discovery message in "
    "Home Assistant's format.",
    "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
}
JPEG: tuple[str, dict[str, Any]] = ("image/jpeg", {"type": "string", "format": "binary"})
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "availability": ("text/plain", {"enum": ["online", "offline"]}),
    "person-state": ("text/plain", {"enum": ["ON", "OFF"]}),
    "image": JPEG,
    "frame": JPEG,
}
"""Content type and schema of the payloads that are not JSON, by channel."""
PARAMETERS: dict[str, dict[str, Any]] = {
    "base": {"description": "`mqtt.base`; `edgeface/<device id>` unless it is set", "examples": ["edgeface/door"]},
    "camera": {"description": "`camera.name` of the settings", "examples": ["front"]},
    "person_id": {"description": "id of a person", "examples": ["p_f8e6d06ed6e2f474"]},
    "shared": {
        "description": "`sync.topic`, the same for all devices that share a gallery",
        "default": "edgeface/gallery/home",
    },
    "home": {
        "description": "`home.topic`, the same for all devices that know the same people",
        "default": "edgeface/people/home",
    },
    "name": {"description": "32 hexadecimal digits that stand for a person", "examples": ["5b1f03c2" * 4]},
}
SHARED = Topic("{shared}/{name}", 1, True, "one person of the shared gallery; only with `sync.enabled`")
HOME = Topic("{home}/{person_id}", 1, True, "whether a person is home, over all devices; only with `home.enabled`")


def document(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document; ``shapes`` are the types of the JSON payloads by channel."""
    schemas, parts = msgspec.json.schema_components(shapes.values(), ref_template="#/components/schemas/{name}")
    payloads = dict(zip(shapes, schemas, strict=True))
    channels, operations = {}, {}
    for key, topic, address in _channels(payloads):
        channels[key] = _channel(key, topic, address, payloads.get(key.removesuffix("-all")))
        for action in ("send", "receive") if topic in (SHARED, HOME) else ("receive",) if key.startswith("cmd-") else ("send",):
            operations[f"{action}-{key}"] = _operation(key, topic, action)
    return {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": {name: _draft_7(part) for name, part in parts.items()}},
    }


def _channels(payloads: Mapping[str, Any]) -> Iterator[tuple[str, Topic, str]]:
    """Key, topic and address of each channel: one for each topic, or for each verb."""
    verbs = [key.removeprefix("cmd-") for key in payloads if key.startswith("cmd-")]
    for topic in TOPICS:
        for verb in verbs if "{verb}" in topic.name else [""]:
            name = topic.name.replace("{verb}", verb).replace(" ", "_")
            yield "-".join(part for part in name.split("/") if "{" not in part), topic, "{base}/" + name
    yield "gallery", SHARED, SHARED.name
    yield "home", HOME, HOME.name


def _channel(key: str, topic: Topic, address: str, payload: Any) -> dict[str, Any]:
    content, plain = PLAIN.get(key, ("application/json", {}))
    message = {"contentType": content, "payload": plain if payload is None else _draft_7(payload)}
    if key.startswith(("cmd-", "resp-")):
        message["correlationId"] = {"location": "$message.payload#/id"}
    return {
        "address": address,
        "description": re.sub(r"\[(.*?)\]\(.*?\)", r"\1", topic.payload),
        "messages": {key: message},
        "parameters": {name: PARAMETERS[name] for name in re.findall("{(.*?)}", address)},
    }


def _operation(key: str, topic: Topic, action: str) -> dict[str, Any]:
    bindings = {"mqtt": {"qos": topic.qos, "retain": topic.retained, "bindingVersion": "0.2.0"}}
    reply = {"reply": _on_channel(key.replace("cmd-", "resp-", 1))} if key.startswith("cmd-") else {}
    return {"action": action, **_on_channel(key), "bindings": bindings, **reply}


def _on_channel(key: str) -> dict[str, Any]:
    return {"channel": {"$ref": f"#/channels/{key}"}, "messages": [{"$ref": f"#/channels/{key}/messages/{key}"}]}


def _draft_7(schema: Any) -> Any:
    """Return a schema of draft 2020-12 as one of draft 7, which AsyncAPI extends and whose ``$ref`` stands alone."""
    if isinstance(schema, list):
        return [_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    older = {key: _draft_7(each) for key, each in schema.items() if key not in ("discriminator", "prefixItems", "$ref")}
    if "prefixItems" in schema:
        older |= {"items": _draft_7(schema["prefixItems"]), "additionalItems": False}
    if "$ref" in schema:
        return older | {"allOf": [{"$ref": schema["$ref"]}]} if older else {"$ref": schema["$ref"]}
    return older
