"""Runs an operation for a script: ``POST /operations/NAME`` with its fields, a form or JSON, is answered with JSON."""

from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError
from edgeface.operations.context import Door, Operation, R
from edgeface.operations.registry import ABOUT, FIND, at, read, read_texts
from edgeface.vision.images import decode_photo
from edgeface.web.context import MAX_FORM, PageContext, body
from edgeface.web.people import MAX_PHOTO, MAX_UPLOADS
from edgeface.wire.about import AboutRequest
from edgeface.wire.commands import FindRequest
from edgeface.wire.commands import Request as Asked

LOOKS: dict[Operation[Any, Any], Asked] = {FIND: FindRequest(), ABOUT: AboutRequest()}
"""The operations that only look at a photo, and what each is asked."""
SHORT = {name: one for name, one in at(Door.WEB).items() if one in LOOKS or not (one.camera or one.photos)}
"""The operations that are over soon; those that take pictures have views of their own, but for those that only look."""
MAX_FIELDS = 64


async def operate(context: PageContext, request: Request) -> Response:
    """Run an operation; the answer has ``ok``, and its ``result`` or the ``error``."""
    operation = SHORT.get(request.path_params["name"])
    if operation is None:
        return _answer(HTTPStatus.NOT_FOUND, error=f"there is no such operation; there are {', '.join(SHORT)}")
    kind = request.headers.get("content-type", "")
    try:
        if operation in LOOKS and kind.startswith("image/"):
            return _answer(HTTPStatus.OK, result=await look(context, request, operation))
        result = await context.perform(operation, _asked(request, await body(request, MAX_FORM), operation.request))
    except EdgefaceError as error:
        return _answer(HTTPStatus.UNPROCESSABLE_ENTITY, error=" ".join(str(error).split()))
    except HTTPException as error:
        return _answer(error.status_code, error=error.detail)
    return _answer(HTTPStatus.OK, result=result)


async def look(context: PageContext, request: Request, operation: Operation[Any, R]) -> R:
    """Have an operation look at the photo that is the body."""
    if context.uploads >= MAX_UPLOADS:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "other photos are being looked at; try again in a moment")
    context.uploads += 1
    try:
        async with context.uploading:
            data = await body(request, MAX_PHOTO)
            image = await context.on_picture_thread(partial(decode_photo, data, "photo"))
            return await context.perform(operation, LOOKS[operation], iter([("photo", image)]))
    finally:
        context.uploads -= 1


def _asked(request: Request, data: bytes, shape: type[Asked]) -> Asked:
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    try:
        if kind.strip().lower() == "application/json":
            return read(msgspec.json.decode(data), shape)
        return read_texts(parse_qs(data.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS), shape)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EdgefaceError(f"malformed request: {error}") from None


def _answer(status: int, **outcome: Any) -> Response:
    return Response(msgspec.json.encode({"ok": "result" in outcome} | outcome), status, media_type="application/json")
