"""Describes the API as an OpenAPI 3.1 document, of which tools make clients and pages."""

from typing import Any

import msgspec
from msgspec import Struct

from edgeface.health import HealthPayload
from edgeface.operations.context import Operation
from edgeface.operations.registry import FIND
from edgeface.web.api_tokens import GRANTS, Scope
from edgeface.web.calls import CALLS, PREFIX, READ
from edgeface.wire.fields import SCHEMA

REFERENCE = "#/components/schemas/{name}"
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
PHOTO_TYPES = ("image/jpeg", "image/png", "image/webp")
REFUSALS = {
    "401": "there is no token, or a wrong one",
    "403": "the scope of the token does not allow it",
    "413": "the photo is over 12 MB, or the fields over 16 KB",
    "422": "it cannot be done; `error` says why",
    "429": "too many requests; `Retry-After` has the seconds to wait",
    "503": "busy; `Retry-After` has the seconds to wait",
}


class Refusal(Struct, frozen=True):
    """Why a request was refused, in one line."""

    error: str


def document() -> dict[str, Any]:
    """Return the document, which is the same on every device."""
    shapes: list[Any] = [Refusal, HealthPayload]
    shapes += [shape for one in CALLS.values() for shape in (one.request, one.response)]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=REFERENCE)
    of = dict(zip(shapes, schemas, strict=True))
    paths: dict[str, Any] = {
        f"{PREFIX}status": {
            "get": _call("status", "Say how the daemon is, and in `troubles` what is wrong.", of[HealthPayload])
        }
    }
    for name, operation in CALLS.items():
        said = (operation.request.__doc__ or "").replace("``", "`")
        post = _call(name, said, of[operation.response])
        post["requestBody"] = _body(operation, of[operation.request], components)
        paths[PREFIX + name] = {"post": post}
        if name in READ:
            paths[PREFIX + name]["get"] = _call(name, said, of[operation.response], verb="get_")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgeface",
            "version": str(SCHEMA),
            "summary": "Asks a device who is in a photo, who is enrolled and how it is, and changes it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                status: {"description": told, "content": {"application/json": {"schema": of[Refusal]}}}
                for status, told in REFUSALS.items()
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`edgeface web token add` makes a token"}
            },
        },
    }


def _call(name: str, said: str, answer: Any, verb: str = "") -> dict[str, Any]:
    scope = GRANTS.get(name, Scope.ADMIN)
    return {
        "operationId": verb + name,
        "summary": said.partition("\n")[0],
        "description": f"{said}\n\nNeeds a token of the scope `{scope}`"
        + ("." if scope is Scope.ADMIN else ", or a wider one."),
        "security": [{"token": [str(scope)]}],
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": answer}}},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in REFUSALS},
        },
    }


def _body(operation: Operation[Any, Any], request: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Describe the body of a call: its fields, or a photo, alone or in a form with the fields."""
    fields = {kind: {"schema": request} for kind in ("application/json", "application/x-www-form-urlencoded")}
    if not operation.photos:
        return {"content": fields}
    shape = components[request["$ref"].rpartition("/")[2]]
    form = {
        "type": "object",
        "properties": shape["properties"] | {"photo": BINARY},
        "required": [*shape.get("required", []), "photo"],
    }
    content = {kind: {"schema": BINARY} for kind in PHOTO_TYPES} | {"multipart/form-data": {"schema": form}}
    return {"required": True, "content": content | (fields if operation is FIND else {})}
