import json
import re
import time
from pathlib import Path

import pytest
from fixtures.optional import needed
from fixtures.page import serving
from fixtures.status import alive

from edgeface.operations.pause import Pause
from edgeface.types import Paused
from edgeface.web import live
from edgeface.web.live import describe


def buttons(html: str) -> list[str]:
    """Return which of the two buttons are shown."""
    return re.findall(r"data-(?:pause|resume)>(\w+)</button>", html)


def test_the_page_pauses_and_resumes(tmp_path: Path) -> None:
    with serving(tmp_path) as page:
        assert "The camera is closed." in page.post("/pause", {"paused": "true"})
        assert page.config.pause_path.exists()
        assert "The camera is opened." in page.post("/pause", {"paused": "false"})
        assert not page.config.pause_path.exists()
        assert "The camera is closed." in page.post("/pause", {"paused": "true", "minutes": "60"})
        assert needed(Pause(page.config).now()).until == pytest.approx(time.time() + 3600, abs=60)
        assert "That is no time." in page.post("/pause", {"paused": "true", "minutes": "soon"})
        assert "The camera is opened." in page.post("/pause", {"paused": "false", "minutes": "60"})
        noted = [json.loads(line) for line in page.config.audit_path.read_text().splitlines()]
        assert [(line["action"], line["by"]) for line in noted] == [("pause", {"web": True}), ("resume", {"web": True})] * 2


def test_the_live_picture_tells_a_pause_and_shows_the_button_that_does_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as page:
        assert buttons(page.get("/")) == ["Pause"]
        facts = describe(alive(camera_state="paused", paused=Paused(1.7e9, None, "")))
        monkeypatch.setattr(live, "describe", lambda *_: facts)
        told = page.get("/")
        assert buttons(told) == ["Resume"]
        assert 'class="frame is-still"' in told
        assert 'data-fact="paused">Paused until you resume</p>' in told


def test_the_page_tells_a_pause() -> None:
    assert describe(alive())["paused"] == ""
    facts = describe(alive(camera_state="paused", paused=Paused(1.7e9, None, "<guests>")))
    assert (facts["camera"], facts["paused"], facts["state"]) == ("paused", "Paused until you resume: <guests>", "well")
    assert "Paused until " in describe(alive(camera_state="paused", paused=Paused(1.7e9, 1.8e9, "")))["paused"]
