"""The API of a whole daemon, asked by programs that have a token, and by those that have none."""

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import cv2
import pytest
import yaml
from fixtures.broker import eventually
from fixtures.commandline import Cli
from fixtures.page import Page, serving
from jsonschema import Draft202012Validator

from edgeface.control.server import MAX_PHOTO_BYTES
from edgeface.types import MAX_REQUEST_BYTES, Image
from edgeface.vision.images import MAX_FILE_BYTES, MAX_PHOTO_PIXELS, MAX_PIXELS, decode_photo, load_image
from edgeface.web import operations
from edgeface.web.api_tokens import ApiTokens, Scope
from edgeface.web.openapi import document
from edgeface.web.people import MAX_PHOTO

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
NUMBERS = itertools.count()
JPEG = {"content_type": "image/jpeg"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, demo_photos: Path) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as running:
        running.enroll("Obama", demo_photos / "obama_congress.jpg")
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Page]:
    """A page that a test may spoil."""
    with serving(tmp_path, api_per_minute=1) as running:
        yield running


@pytest.fixture
def visitor(demo_photos: Path) -> bytes:
    return (demo_photos / "obama_portrait.jpg").read_bytes()


def token(page: Page, scope: Scope = Scope.READ_ONLY) -> str:
    """A new token, of which the rate has not been used."""
    tokens = ApiTokens(page.config.api_tokens_folder)
    for name in tokens.names()[:-8]:
        tokens.remove(name)
    return tokens.add(f"t{next(NUMBERS):04}", scope)


def ask(page: Page, method: str, call: str, body: Any = None, *, by: str | None, **headers: str | None) -> tuple[int, Any]:
    """Status and JSON of an answer to a program, which is no browser; ``by`` is its token."""
    sent = {"origin": None, "sec_fetch_site": None, "authorization": by and f"Bearer {by}"} | headers
    status, given, answer = page.ask(method, f"/api/{call}", body, signed=False, **sent)
    assert given["content-type"] == "application/json"
    assert given["cache-control"] == "no-store"
    assert not [name for name in given if name.startswith(("access-control", "set-cookie"))]
    told = json.loads(answer)
    assert (status == 200) == ("error" not in told)
    return status, told


def checked(call: str, answer: Any) -> Any:
    """An answer that is as the document has it."""
    (method, *_) = DOCUMENT["paths"][f"/api/{call}"].values()
    schema = method["responses"]["200"]["content"]["application/json"]["schema"]
    problems = [
        error.message for error in Draft202012Validator(schema | {"components": DOCUMENT["components"]}).iter_errors(answer)
    ]
    assert problems == []
    return answer


# What a program is answered


def test_a_photo_is_identified_as_by_the_command(page: Page, visitor: bytes, tmp_path: Path) -> None:
    status, told = ask(page, "POST", "identify", visitor, by=token(page), **JPEG)
    assert status == 200
    cli = Cli(tmp_path)
    cli.set(gallery={"path": page.config.gallery.path})
    (tmp_path / "photo").write_bytes(visitor)
    assert checked("identify", told) == cli.json("identify", "photo")
    (face,) = told["images"][0]["faces"]
    assert (face["name"], face["decision"]) == ("Obama", "accept")


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".png", "image/png"), (".webp", "image/webp"), (".jpg", "application/octet-stream")]
)
def test_other_formats_are_read(page: Page, visitor: bytes, suffix: str, kind: str) -> None:
    data = cv2.imencode(suffix, cv2.cvtColor(decode_photo(visitor, ""), cv2.COLOR_RGB2BGR))[1].tobytes()
    status, told = ask(page, "POST", "identify", data, by=token(page), content_type=kind)
    assert (status, [face["name"] for face in told["images"][0]["faces"]]) == (200, ["Obama"])


def form(photo: bytes, **fields: str) -> tuple[bytes, str]:
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode() for name, text in fields.items()
    ]
    head = b'--cut\r\nContent-Disposition: form-data; name="photo"; filename="gate.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return b"".join([*parts, head, photo, b"\r\n--cut--\r\n"]), "multipart/form-data; boundary=cut"


def test_a_photo_may_come_in_a_form(page: Page, visitor: bytes) -> None:
    body, kind = form(visitor)
    status, told = ask(page, "POST", "identify", body, by=token(page), content_type=kind)
    assert (status, told["images"][0]["path"], len(told["images"][0]["faces"])) == (200, "gate.jpg", 1)


def test_every_face_of_a_photo_is_told_and_none_of_one_without(page: Page, photos: Path) -> None:
    two = (photos / "obama_and_biden_blue_room.jpg").read_bytes()
    faces = ask(page, "POST", "identify", two, by=token(page), **JPEG)[1]["images"][0]["faces"]
    assert sorted(str(face["name"]) for face in faces) == ["None", "Obama"]
    blank = cv2.imencode(".png", load_image(photos / "obama_blue_room.jpg")[:4, :4])[1].tobytes()
    assert ask(page, "POST", "identify", blank, by=token(page), content_type="image/png")[1]["images"][0]["faces"] == []


def test_people_and_status_are_told(page: Page) -> None:
    by = token(page)
    for method in ("GET", "POST"):
        status, told = ask(page, method, "people", by=by)
        assert (status, [person["name"] for person in checked("people", told)["people"]]) == (200, ["Obama"])
    status, told = ask(page, "GET", "status", by=by)
    assert (status, checked("status", told)["device"], told["troubles"]) == (200, "door", [])


def test_a_program_enrolls_whom_nobody_knows_and_cannot_force_a_face_on_a_name(
    page: Page, demo_photos: Path, visitor: bytes
) -> None:
    by = token(page, Scope.ENROLL)
    body, kind = form((demo_photos / "biden_portrait.jpg").read_bytes(), name="Biden")
    status, told = ask(page, "POST", "enroll", body, by=by, content_type=kind)
    assert (status, checked("enroll", told)["name"], told["accepted"]) == (200, "Biden", ["gate.jpg"])
    status, refused = ask(page, "POST", "enroll?name=Biden", visitor, by=by, **JPEG)
    assert (status, refused["error"].count("already enrolled as 'Obama'")) == (422, 1)
    assert ask(page, "POST", "enroll?name=Biden&force=true", visitor, by=by, **JPEG)[0] == 422
    assert "no field force" in ask(page, "POST", "enroll?name=Biden&force=true", visitor, by=by, **JPEG)[1]["error"]
    status, _ = ask(page, "POST", "forget", {"person": told["id"]}, by=token(page, Scope.ADMIN))
    assert status == 200
    actors = [json.loads(line)["by"] for line in page.config.audit_path.read_text().splitlines()][-2:]
    assert [sorted(actor) for actor in actors] == [["token"], ["token"]]


def test_an_admin_may_do_what_the_page_may(page: Page) -> None:
    by = token(page, Scope.ADMIN)
    fields = json.dumps({"person": "Obama", "groups": ["family"]})
    status, told = ask(page, "POST", "group", fields, by=by, content_type="application/json")
    assert (status, checked("group", told)["rules"]["groups"]) == (200, ["family"])
    assert checked("events", ask(page, "POST", "events", by=by)[1])["events"] == []


# The camera is watched meanwhile


def test_the_camera_is_watched_while_a_large_photo_is_looked_at(
    page: Page, demo_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, sizes = Flag(), list[tuple[int, ...]]()

    def decode_later(data: bytes, label: str) -> Image:
        image = decode_photo(data, label)
        sizes.append(image.shape)
        assert gate.wait(60)
        return image

    monkeypatch.setattr(operations, "decode_photo", decode_later)
    large = cv2.resize(cv2.imread(str(demo_photos / "obama_portrait.jpg")), (3000, 4000))
    data, by, answers = cv2.imencode(".jpg", large)[1].tobytes(), token(page), list[Any]()
    assert 12_000_000 <= large.shape[0] * large.shape[1] <= MAX_PHOTO_PIXELS
    asking = Thread(target=lambda: answers.append(ask(page, "POST", "identify", data, by=by, **JPEG)))
    asking.start()
    assert eventually(lambda: bool(sizes))
    beats = page.beats
    assert eventually(lambda: page.beats > beats + 3)
    gate.set()
    asking.join(60)
    status, told = answers[0]
    assert (status, told["images"][0]["size"]) == (200, [1536, 2048])
    assert [face["name"] for face in told["images"][0]["faces"]] == ["Obama"]


# Who is refused


def test_nothing_is_answered_without_a_token(page: Page, visitor: bytes) -> None:
    by = token(page)
    wrong: list[dict[str, str | None]] = [
        {},
        {"authorization": by},
        {"authorization": f"Basic {by}"},
        {"authorization": f"Bearer {by[:-1]}"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {page.token.text()}"},
        {"cookie": page.session[1]},
    ]
    for headers in wrong:
        status, told = ask(page, "POST", "identify", visitor, by=None, **JPEG | headers)
        assert (status, by in json.dumps(told)) == (401, False)
    for call in (f"people?token={by}", f"people?access_token={by}"):
        assert ask(page, "GET", call, by=None)[0] in (401, 429)
    status, given, _ = page.ask("GET", "/api/people", signed=False)
    assert given["connection"] == "close"
    assert page.ask("GET", "/people", signed=False, authorization=f"Bearer {by}")[0] == 401  # nor does a token open the page
    assert page.ask("GET", f"{page.session[0]}/api/people")[0] == 404  # nor a session the API


def test_a_scope_is_kept_to(page: Page, visitor: bytes) -> None:
    for scope, call in (
        (Scope.READ_ONLY, "enroll?name=Eve"),
        (Scope.READ_ONLY, "find"),
        (Scope.ENROLL, "find"),
        (Scope.READ_ONLY, "fly"),
    ):
        status, told = ask(page, "POST", call, visitor, by=token(page, scope), **JPEG)
        assert (status, str(scope) in told["error"]) == (403, True)


def test_a_token_that_is_removed_is_refused_at_once(page: Page) -> None:
    by = token(page)
    assert ask(page, "GET", "people", by=by)[0] == 200
    tokens = ApiTokens(page.config.api_tokens_folder)
    tokens.remove(tokens.names()[-1])
    assert ask(page, "GET", "people", by=by)[0] in (401, 429)


def test_a_token_stands_in_no_log_and_no_file(page: Page, visitor: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    by = token(page, Scope.ADMIN)
    ask(page, "POST", "identify", visitor, by=by, **JPEG)
    ask(page, "POST", "identify", b"no photo", by=by, **JPEG)
    ask(page, "POST", "rename", {"person": "Nobody", "name": "Eve"}, by=by)
    assert by not in caplog.text
    for file in Path(page.config.gallery.path).parent.rglob("*"):
        assert not file.is_file() or by.encode() not in file.read_bytes()


def test_wrong_tokens_are_turned_away_and_the_right_one_passes(own: Page) -> None:
    by = token(own)
    statuses = [ask(own, "GET", "people", by=f"{number}")[0] for number in range(14)]
    assert set(statuses[:10]) == {401}
    assert set(statuses[11:]) == {429}
    assert ask(own, "GET", "people", by=by)[0] == 200


def test_too_many_requests_with_one_token_are_refused_and_others_are_not(own: Page) -> None:
    one, other = token(own), token(own)
    statuses = [ask(own, "GET", "status", by=one)[0] for _ in range(13)]
    assert statuses[:10] == [200] * 10
    assert statuses[-1] == 429
    assert ask(own, "GET", "status", by=other)[0] == 200
    _, given, body = own.ask("GET", "/api/status", signed=False, authorization=f"Bearer {one}")
    assert (given["retry-after"], "web.api_per_minute is 1" in body.decode()) == ("60", True)


@pytest.mark.parametrize(
    ("method", "call", "body", "kind", "status", "why"),
    [
        ("POST", "identify", b"", "image/jpeg", 422, "empty"),
        ("POST", "identify", b"GIF89a", "image/gif", 422, "not a JPEG"),
        ("POST", "identify", b"\xff\xd8", "application/x-www-form-urlencoded", 415, "send a photo"),
        ("POST", "identify", b"--cut--\r\n", "multipart/form-data; boundary=cut", 422, "no photo"),
        ("POST", "identify", b"--cut\r\n", "multipart/form-data", 422, "boundary"),
        ("POST", "identify?who=1", b"x", "image/jpeg", 422, "no field who"),
        ("POST", "enroll", b"x", "image/jpeg", 422, "name"),
        ("POST", "rename", b"{", "application/json", 422, "malformed"),
        ("POST", "rename", b"x" * 20_000, "application/json", 413, "over"),
        ("POST", "fly", b"", "", 404, "there is no such call; there are status, rename"),
        ("POST", "", b"", "", 404, "no such call"),
        ("GET", "identify", None, None, 405, "takes POST"),
        ("POST", "status", b"", "", 405, "takes GET"),
        ("DELETE", "people", None, None, 405, "takes GET and POST"),
    ],
)
def test_what_cannot_be_done_is_told(
    page: Page, method: str, call: str, body: bytes | None, kind: str | None, status: int, why: str
) -> None:
    told = ask(page, method, call, body, by=token(page, Scope.ADMIN), content_type=kind)
    assert (told[0], why in told[1]["error"], len(told[1]["error"].splitlines())) == (status, True, 1)


def test_a_photo_that_is_too_large_is_refused_by_its_length(page: Page) -> None:
    told = ask(page, "POST", "identify", b"", by=token(page), content_length=str(MAX_PHOTO + 1), **JPEG)
    assert (told[0], told[1]["error"]) == (413, "That is over 12 MB.")


def test_a_bomb_is_refused_by_its_header(page: Page) -> None:
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (20000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    status, told = ask(page, "POST", "identify", header + bytes(64), by=token(page), content_type="image/png")
    assert (status, "too large" in told["error"]) == (422, True)


def test_a_foreign_name_is_refused(page: Page) -> None:
    assert ask(page, "GET", "people", by=token(page), host="evil.example")[0] == 421


# The document


def test_the_document_is_served_to_everybody_and_is_the_committed_one(page: Page) -> None:
    status, told = ask(page, "GET", "openapi.json", by=None)
    assert (status, told) == (200, DOCUMENT)
    assert json.loads(json.dumps(document())) == DOCUMENT


def test_the_document_leads_somewhere_and_its_schemas_are_schemas() -> None:
    for reference in set(re.findall(r'"\$ref": "#/(.*?)"', json.dumps(DOCUMENT))):
        found = DOCUMENT
        for key in reference.split("/"):
            found = found[key]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    calls = [call for path in DOCUMENT["paths"].values() for call in path.values()]
    assert len({call["operationId"] for call in calls}) == len(calls)
    assert all(call["security"] for call in calls)


# The figures and examples of the page


def test_the_page_has_the_limits_of_photos() -> None:
    rows = re.findall(r"^\| .* \| (\d+) MB \| (\d+) megapixels \|", (ROOT / "docs/http.md").read_text(), re.M)
    limits = (
        (MAX_PHOTO, MAX_PHOTO_PIXELS),
        (MAX_REQUEST_BYTES, MAX_PHOTO_PIXELS),
        (MAX_PHOTO_BYTES, MAX_PHOTO_PIXELS),
        (MAX_FILE_BYTES, MAX_PIXELS),
    )
    assert [(int(size), int(pixels)) for size, pixels in rows] == [(size // 2**20, pixels // 10**6) for size, pixels in limits]


@pytest.fixture
def desk(page: Page, tmp_path: Path, visitor: bytes) -> Path:
    """A folder with what the examples need."""
    (tmp_path / "visitor.jpg").write_bytes(visitor)
    (tmp_path / "edgeface.header").write_text(f"Authorization: Bearer {token(page)}\n")
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "docs/http.md").read_text(), re.M | re.S)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_example_with_curl_works(page: Page, desk: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl")]
    answers = [
        subprocess.run(["sh", "-c", line.replace(":8480", f":{page.port}")], cwd=desk, capture_output=True, check=True).stdout
        for line in lines
    ]
    by_body, by_form, people = map(json.loads, answers)
    assert by_body["images"][0]["faces"] == by_form["images"][0]["faces"]
    assert by_body["images"][0]["faces"][0]["name"] == people["people"][0]["name"] == "Obama"


def test_the_example_in_python_works(page: Page, desk: Path) -> None:
    (code,) = blocks("python")
    code = code.replace(":8480", f":{page.port}")
    done = subprocess.run(["python3", "-c", code], cwd=desk, capture_output=True, text=True, check=True, env={**os.environ})
    assert re.fullmatch(r"Obama 0\.\d+\n", done.stdout)


def test_the_example_for_home_assistant_asks_for_what_there_is() -> None:
    (block,) = blocks("yaml")
    example = yaml.safe_load(block.replace("!secret", ""))
    urls = [command["url"] for command in example["rest_command"].values()]
    urls += [example["shell_command"]["edgeface_identify"].split()[-1]]
    assert {url.partition("8480")[2] for url in urls} <= set(DOCUMENT["paths"])
