"""Where people were seen last, by any device, on the page of one."""

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from fixtures.galleries import units
from fixtures.page import serving

from edgeface.wire.fields import timestamp
from edgeface.wire.home import PersonHome


def seen(person_id: str, when: float | None) -> PersonHome:
    told: dict[str, Any] = {"schema": 1, "ts": timestamp(time.time()), "name": "", "state": "home", "present": False}
    place = {"device": "gate", "camera": "yard"} if when else {"device": None, "camera": None}
    return PersonHome(**told, **place, person_id=person_id, last_seen=timestamp(when) if when else None, devices={})


def test_people_are_shown_and_sorted_by_where_any_device_saw_them_last(tmp_path: Path) -> None:
    with serving(tmp_path) as page:
        names = ("Anna", "Bert", "Carl")
        anna, bert, carl = page.with_gallery(
            lambda gallery: [gallery.enroll(name, units(number), [0.8]).id for number, name in enumerate(names)]
        )
        assert "yard" not in page.get("/people")
        now = time.time()
        told = [seen(anna, now - 7200), seen(bert, now - 60), seen(carl, None), seen("p_0000000000000001", now)]
        page.context.daemon = replace(page.context.daemon, home=lambda: told)
        text = page.get("/people?sort=seen")
        assert re.findall(r"<strong>(.*?)</strong>", text) == ["Bert", "Anna", "Carl"]
        assert text.count("yard (gate), ") == 2
        assert "Not in the last" in text
