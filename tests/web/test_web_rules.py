import json
import time
from datetime import datetime, timedelta
from pathlib import Path

from fixtures.broker import eventually
from fixtures.page import serving

from edgeface.gallery.rules import NONE, Rules
from edgeface.vision.images import load_image

BADGES = ['<span class="badge soft">ignored</span>', '<span class="badge soft">muted</span>']


def test_a_form_sets_and_takes_back_rules(tmp_path: Path, demo_photos: Path) -> None:
    with serving(tmp_path) as page:
        anna = page.enroll("Anna", demo_photos / "obama_portrait.jpg")

        def rules() -> Rules:
            return page.with_gallery(lambda gallery: gallery.rules()).get(anna, NONE)

        form = {
            "ignored": "on",
            "muted": "on",
            "groups": "staff, family",
            "hours": "mon 08:00-09:00\r\n",
            "expires": "2099-01-01T10:00",
        }
        assert "away" in page.post(f"/people/{anna}/rules", form)
        form["expires"] = ""
        assert "The rules are saved." in page.post(f"/people/{anna}/rules", form)
        assert (rules().ignored, rules().muted(1.0), rules().groups) == (True, True, ("family", "staff"))
        assert rules().hours == ("mon 08:00-09:00",)
        shown = page.get(f"/people/{anna}")
        assert 'value="family, staff"' in shown
        assert shown.count("checked") == 2
        assert all(badge in told for badge in BADGES for told in (shown, page.get("/people")))
        assert "The rules are saved." in page.post(f"/people/{anna}/rules", {})
        assert rules() == NONE
        assert not any(badge in page.get("/people") for badge in BADGES)
        end = (datetime.now() + timedelta(days=30)).replace(second=0, microsecond=0)
        written = end.isoformat(timespec="minutes")
        page.post(f"/people/{anna}/rules", {"muted": "on", "muted_until": written})
        assert (rules().muted(time.time()), rules().muted_until) == (True, end.timestamp())
        assert f'name="muted_until" value="{written}"' in page.get(f"/people/{anna}")
        page.post(f"/people/{anna}/rules", {"muted": "on"})
        assert (rules().muted(time.time()), rules().muted_until) == (True, None)
        assert "is not like" in page.post(f"/people/{anna}/rules", {"hours": "always"})
        _, headers, _ = page.ask("POST", "/people/p_0000000000000000/rules", {"muted": "on"})
        _, headers, _ = page.ask("GET", headers["location"])  # of nobody there is no view
        assert "nobody called" in page.get(headers["location"])


def test_the_live_picture_says_that_somebody_is_ignored(tmp_path: Path, demo_photos: Path) -> None:
    with serving(tmp_path) as page:
        anna = page.enroll("Anna", demo_photos / "obama_portrait.jpg")
        page.stage.scene = load_image(demo_photos / "obama_press_room.jpg")

        def ignored() -> list[tuple[str, bool]]:
            faces = json.loads(page.ask("GET", "/live/picture")[1].get("x-view", '{"faces": []}'))["faces"]
            return [(face["name"], face["ignored"]) for face in faces]

        assert eventually(lambda: ignored() == [("Anna", False)], 60)
        page.post(f"/people/{anna}/rules", {"ignored": "on"})
        assert eventually(lambda: ignored() == [("Anna", True)], 60)
