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
from edgeface.operations.context import Actor, Door, Operation
from edgeface.operations.registry import ABOUT, FIND, IDENTIFY, at, read, read_texts
from edgeface.vision.images import decode_photo
from edgeface.web.context import ACTOR, MAX_FORM, PageContext, body
from edgeface.web.people import MAX_PHOTO, MAX_UPLOADS
from edgeface.web.uploads import has_photo, read_upload
from edgeface.wire.commands import Request as Asked

LOOKS = (FIND, ABOUT, IDENTIFY)
SHORT = {name: one for name, one in at(Door.WEB).items() if one in LOOKS or not (one.camera or one.photos)}
"""The operations that are over soon; those that take pictures have views of their own, but for those that only look."""
MAX_FIELDS = 64


async def operate(context: PageContext, request: Request) -> Response:
    """Run an operation; the answer has ``ok``, and its ``result`` or the ``error``."""
    operation = SHORT.get(request.path_params["name"])
    if operation is None:
        return _answer(HTTPStatus.NOT_FOUND, error=f"there is no such operation; there are {', '.join(SHORT)}")
    try:
        result = await run(context, request, operation, ACTOR)
    except EdgefaceError as error:
        return _answer(HTTPStatus.UNPROCESSABLE_ENTITY, error=" ".join(str(error).split()))
    except HTTPException as error:
        return _answer(error.status_code, error=error.detail)
    return _answer(HTTPStatus.OK, result=result)


async def run(context: PageContext, request: Request, operation: Operation[Any, Any], actor: Actor) -> Any:
    """Run an operation with the fields, and the photo, of a request; raise ``EdgefaceError`` or ``HTTPException``."""
    kind = request.headers.get("content-type", "")
    if operation.photos and has_photo(kind):
        return await _run_with_photo(context, request, operation, actor)
    if operation.photos and operation is not FIND:
        text = "send a photo: as the body, with Content-Type: image/jpeg, or in a form of multipart/form-data"
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, {"connection": "close"})
    asked = _asked(kind, await body(request, MAX_FORM), operation.request)
    return await context.perform(operation, asked, actor=actor)


async def _run_with_photo(context: PageContext, request: Request, operation: Operation[Any, Any], actor: Actor) -> Any:
    if context.uploads >= MAX_UPLOADS:
        raise HTTPException(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "other photos are being looked at; try again in a moment",
            {"retry-after": "5", "connection": "close"},
        )
    context.uploads += 1
    try:
        async with context.uploading:
            upload = read_upload(await body(request, MAX_PHOTO), request.headers["content-type"])
            for name, text in request.query_params.multi_items():
                upload.add(name, text)
            asked = read_texts(upload.fields, operation.request)
            if upload.photo is None:
                raise EdgefaceError("there is no photo in the form")
            image = await context.on_picture_thread(partial(decode_photo, upload.photo, upload.label))
            return await context.perform(operation, asked, iter([(upload.label, image)]), actor)
    finally:
        context.uploads -= 1


def _asked(content_type: str, data: bytes, shape: type[Asked]) -> Asked:
    try:
        if content_type.partition(";")[0].strip().lower() == "application/json":
            return read(msgspec.json.decode(data), shape)
        return read_texts(parse_qs(data.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS), shape)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EdgefaceError(f"malformed request: {error}") from None


def _answer(status: int, **outcome: Any) -> Response:
    return Response(msgspec.json.encode({"ok": "result" in outcome} | outcome), status, media_type="application/json")
