"""The photo and the fields of a request, from whoever means it ill."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.errors import EdgefaceError
from edgeface.web.uploads import MAX_PARTS, MAX_VALUE, has_photo, read_upload

FORM = "multipart/form-data; boundary=cut"


def part(content: bytes, head: str) -> bytes:
    return b"\r\n".join([b"--cut", head.encode(), b"", content, b""])


def photo_part(content: bytes, name: str = "a.jpg") -> bytes:
    return part(content, f'Content-Disposition: form-data; name="photo"; filename="{name}"\r\nContent-Type: image/jpeg')


def field_part(name: str, text: str) -> bytes:
    return part(text.encode(), f'Content-Disposition: form-data; name="{name}"')


END = b"--cut--\r\n"
NAMES = st.text(st.characters(codec="ascii", exclude_characters='"\\', categories=["L", "N", "P"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        ("image/jpeg", True),
        ("IMAGE/PNG", True),
        ("application/octet-stream", True),
        (FORM, True),
        ("application/json", False),
        ("application/x-www-form-urlencoded", False),
        ("", False),
    ],
)
def test_a_photo_is_known_by_its_type(kind: str, is_one: bool) -> None:
    assert has_photo(kind) is is_one


def test_a_body_that_is_a_photo_is_the_photo() -> None:
    upload = read_upload(b"--cut", "image/jpeg")
    assert (upload.photo, upload.label, upload.fields) == (b"--cut", "photo", {})


@given(
    content=st.binary(max_size=200).filter(lambda data: b"\r\n--cut" not in b"\r\n" + data),
    fields=st.dictionaries(NAMES, st.text(max_size=20)),
)
def test_a_form_gives_what_was_put_in(content: bytes, fields: dict[str, str]) -> None:
    data = b"".join(field_part(name, text) for name, text in fields.items()) + photo_part(content) + END
    upload = read_upload(data, FORM)
    assert upload.photo == content
    assert upload.label == "a.jpg"
    assert upload.fields == {name: [text] for name, text in fields.items()}


@given(data=st.binary(max_size=300), kind=st.sampled_from([FORM, "multipart/form-data", 'multipart/form-data; boundary="cut"']))
def test_any_bytes_are_a_form_or_an_error(data: bytes, kind: str) -> None:
    for sent in (data, b"--cut" + data, b"--cut\r\n" + data + b"\r\n--cut--"):
        with suppress(EdgefaceError):
            read_upload(sent, kind)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "do not end"),
        (END[2:], "do not end"),
        (photo_part(b"1"), "do not end"),
        (b"--cut\r\n" + b"x" * 5000 + END, "do not end"),
        (photo_part(b"1") + photo_part(b"2") + END, "two photos"),
        (part(b"1", "Content-Disposition: form-data") + END, "without a name"),
        (field_part("name", "x" * (MAX_VALUE + 1)) + END, "over 16 KB"),
        (part(b"\xff", 'Content-Disposition: form-data; name="name"') + END, "not UTF-8"),
        (field_part("a", "1") * (MAX_PARTS + 1) + END, "over 64 parts"),
    ],
)
def test_what_is_no_form_of_one_photo_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(EdgefaceError, match=why):
        read_upload(data, FORM)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("../../etc/passwd", "passwd"),
        ('a\\"b.jpg', 'a"b.jpg'),
        ("\x1b[2Jx.jpg", "\N{REPLACEMENT CHARACTER}[2Jx.jpg"),
        ("", "photo"),
        ("Tür.jpg", "Tür.jpg"),
        ("x" * 500, "x" * 200),
    ],
)
def test_the_name_of_a_file_is_shown_and_is_no_path(name: str, label: str) -> None:
    assert read_upload(photo_part(b"1", name) + END, FORM).label == label


def test_a_photo_is_known_by_its_file_name_or_its_type() -> None:
    by_type = part(b"1", 'Content-Disposition: form-data; name="photo"\r\ncontent-type: image/png')
    by_name = part(b"1", "Content-Disposition: form-data; name=photo; filename*=UTF-8''T%C3%BCr.jpg")
    for data in (by_type, by_name):
        upload = read_upload(data + END, FORM)
        assert (upload.photo, upload.label) == (b"1", "photo")
