"""Operations that a script asks the page for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.galleries import kept, unit
from fixtures.page import Page, serving

from edgeface.types import EventType
from edgeface.web.context import MAX_FORM


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as running:
        yield running


def asked(page: Page, name: str, body: str | dict[Any, Any] | bytes, **headers: Any) -> tuple[int, Any]:
    status, given, answer = page.ask("POST", f"/operations/{name}", body, **headers)
    assert given["content-type"] == "application/json"
    told = json.loads(answer)
    assert told["ok"] == (status == 200) == ("result" in told) == ("error" not in told)
    return status, told.get("result", told.get("error"))


def as_json(page: Page, operation: str, **fields: Any) -> tuple[int, Any]:
    return asked(page, operation, json.dumps(fields), content_type="application/json; charset=utf-8")


def test_an_operation_is_asked_for_with_a_form_or_json(page: Page, demo_photos: Path) -> None:
    person = page.enroll("Collins", demo_photos / "collins_portrait.jpg")
    assert asked(page, "rename", {"person": "Collins", "name": "C"}) == (200, {"id": person, "name": "C"})
    assert as_json(page, "rename", person=person, name="Collins") == (200, {"id": person, "name": "Collins"})
    status, told = as_json(page, "people")
    assert status == 200
    assert [one["id"] for one in told["people"]] == [person]


def test_a_form_gives_each_of_a_list_and_truth_as_a_text(page: Page) -> None:
    first, second = (page.with_gallery(lambda g, n=n: kept(g, None, unit(n), EventType.UNKNOWN)).event_id for n in (1, 2))  # type: ignore[misc]  # a lambda with a default
    assert asked(page, "dismiss", f"event_ids={first}&event_ids={second}") == (200, {"events": 2})
    assert asked(page, "reject", f"event_id={first}&force=maybe")[0] == 422
    status, told = asked(page, "reject", f"event_id={first}&force=true")
    assert (status, "no event" in told) == (422, True)


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("forget", "person=nobody", "nobody"),
        ("forget", "", "malformed request"),
        ("forget", "person=a&who=b", "there is no field who"),
        ("forget", b"\xff", "malformed request"),
        ("forget", "&".join(f"a{n}=1" for n in range(100)), "malformed request"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(page: Page, name: str, body: str | bytes, told: str) -> None:
    status, error = asked(page, name, body)
    assert (status, told in error, len(error.splitlines())) == (422, True, 1)


@pytest.mark.parametrize("body", ["", "{", "[]", '{"person": 1}', '{"person": "a", "name": true}', "[" * 10_000])
def test_what_is_not_the_json_of_a_request_is_refused(page: Page, body: str) -> None:
    assert asked(page, "rename", body, content_type="application/json")[0] == 422


@pytest.mark.parametrize("name", ["fly", "snapshot", "enroll", "photos", ""])
def test_what_is_no_operation_of_the_page_is_not_there(page: Page, name: str) -> None:
    status, _, body = page.ask("POST", f"/operations/{name}", {})
    assert status == 404
    if name:
        assert "there are rename, forget" in json.loads(body)["error"]


def test_too_much_is_refused(page: Page) -> None:
    assert asked(page, "forget", {"person": "x" * MAX_FORM})[0] == 413
