"""What a merge over MQTT lets subscribers and Home Assistant see, with a real broker, real faces and an undo."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.contract import problems
from fixtures.daemon import EMPTY, enroll, running, settings
from fixtures.galleries import near, unit

from edgeface.gallery.open import open_gallery
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED, load_card

__all__ = ["broker"]
pytestmark = needs_broker
VERBS = ("merge", "split", "move", "undo", "views", "bin", "empty_bin", "people")


@pytest.mark.slow
def test_who_is_merged_away_leaves_home_assistant_and_comes_back(tmp_path: Path, broker: Broker, demo_photos: Path) -> None:
    config = settings(tmp_path, broker, commands={"allow": list(VERBS)}, homeassistant={"enabled": True})
    barack = enroll(config, "Barack", demo_photos / "obama_portrait.jpg")
    with closing(open_gallery(config, load_card(SHIPPED))) as gallery:
        (face,) = gallery.templates().vectors
        obama = gallery.enroll("Obama", [near(face, 0.8)], [0.8]).id
        gallery.enroll("Carl", [unit(1)], [0.8])
    home, listener = broker.listen("homeassistant/#"), broker.listen()

    def ask(verb: str, **request: Any) -> Any:
        before = len(listener.on(f"resp/{verb}"))

        def answered() -> bool:
            listener.say(f"edgeface/door/cmd/{verb}", {"id": "a"} | request)
            return bool(eventually(lambda: len(listener.on(f"resp/{verb}")) > before, 5))

        assert eventually(answered)
        answer = listener.on(f"resp/{verb}")[-1]
        assert problems(f"resp/{verb}", json.dumps(answer).encode()) == []
        return answer

    def entities() -> dict[str, Any]:
        return (home.on("/config") or [{"components": {}}])[-1]["components"]  # type: ignore[no-any-return]

    with running(config) as stage:
        assert eventually(lambda: {barack, obama} <= entities().keys())
        assert "do not look alike" in ask("merge", person="Carl", into="Obama", force=True)["error"]  # nothing forces it
        merged = ask("merge", person=obama, into="Barack")["result"]
        assert merged["told"] == "Obama is merged into Barack; Barack has 2 views"
        assert eventually(lambda: entities()[obama] == {"platform": "binary_sensor"})
        assert eventually(lambda: broker.retained("edgeface/door/health").get("undoable") == 1)
        stage.scene = load_image(demo_photos / "obama_portrait.jpg")
        assert eventually(lambda: listener.on("/event"))
        assert listener.on("/event")[0]["person_id"] == barack
        stage.scene = EMPTY
        assert [one["change"] for one in ask("bin")["result"]["changes"]] == [merged["change"]]
        assert ask("undo")["result"]["id"] == obama
        assert eventually(lambda: len(entities()[obama]) > 1)
        (view,) = ask("views", person="Carl")["result"]["views"]
        assert "all views of Carl" in ask("move", views=[view["id"]], to="Obama")["error"]
        assert ask("empty_bin")["result"] == {"changes": 0}
        assert ask("merge", person="Nobody", into="Obama")["ok"] is False
