"""Reads the fields and the one photo of a request: the photo as the body, or with fields in a multipart form."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edgeface.errors import EdgefaceError
from edgeface.platform.text import printable

MULTIPART, BYTES = "multipart/form-data", "application/octet-stream"
BOUNDARY = re.compile(r'multipart/form-data\s*;.*\bboundary=(?:"([ -!#-~]{1,70})"|([!#-~]{1,70}))', re.ASCII | re.IGNORECASE)
PARAMETER = re.compile(r';\s*(name|filename)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
MAX_PARTS, MAX_HEAD, MAX_LABEL, MAX_VALUE = 64, 2048, 200, 16 * 1024
LABEL = "photo"


@dataclass(slots=True)
class Upload:
    """The fields of a request, each with its texts, and its photo, if there is one; ``label`` names the photo."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    photo: bytes | None = None
    label: str = LABEL

    def add(self, name: str, text: str) -> None:
        self.fields.setdefault(name, []).append(text)


def has_photo(content_type: str) -> bool:
    """Return whether a body of this type is a photo, or may have one in it."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("image/") or kind in (MULTIPART, BYTES)


def read_upload(data: bytes, content_type: str) -> Upload:
    """Read a body for which ``has_photo`` is true; raise ``EdgefaceError`` if it is malformed, or has two photos."""
    if content_type.partition(";")[0].strip().lower() != MULTIPART:
        return Upload(photo=data)
    boundary = BOUNDARY.match(content_type.strip())
    if not boundary:
        raise EdgefaceError("malformed request: multipart/form-data without a boundary")
    upload = Upload()
    for number, (head, content) in enumerate(_parts(data, (boundary[1] or boundary[2]).encode())):
        if number >= MAX_PARTS:
            raise EdgefaceError(f"malformed request: over {MAX_PARTS} parts")
        _take(upload, head, content)
    return upload


def _parts(data: bytes, boundary: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the head and the content of each part (RFC 7578)."""
    malformed = EdgefaceError("malformed request: the parts of multipart/form-data do not end as they should")
    line = b"--" + boundary
    if not data.startswith(line):
        raise malformed
    at = len(line)
    while not data.startswith(b"--", at):
        end = data.find(b"\r\n" + line, at)
        blank = data.find(b"\r\n\r\n", at, at + MAX_HEAD)
        if not data.startswith(b"\r\n", at) or not at <= blank <= end - 2:
            raise malformed
        yield data[at:blank].decode(errors="replace"), data[min(blank + 4, end) : end]
        at = end + 2 + len(line)


def _take(upload: Upload, head: str, content: bytes) -> None:
    lines = (line.partition(":") for line in head.split("\r\n"))
    headers = {name.strip().lower(): value for name, _, value in lines}
    disposition = headers.get("content-disposition", "")
    given = {name.lower(): re.sub(r"\\(.)", r"\1", text) or bare for name, text, bare in PARAMETER.findall(disposition)}
    if "filename" not in disposition.lower() and not headers.get("content-type", "").strip().lower().startswith("image/"):
        if "name" not in given or len(content) > MAX_VALUE:
            raise EdgefaceError(f"malformed request: a field without a name, or of over {MAX_VALUE // 1024} KB")
        try:
            upload.add(given["name"], content.decode())
        except UnicodeDecodeError:
            raise EdgefaceError("malformed request: a field that is not UTF-8") from None
    elif upload.photo is not None:
        raise EdgefaceError("two photos: send one a request")
    else:
        upload.photo = content
        upload.label = printable(PurePosixPath(given.get("filename", "")).name)[-MAX_LABEL:] or LABEL
