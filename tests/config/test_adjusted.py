"""Settings that are changed on the device: a file of their own beside the gallery, read after edgeface.toml."""

import json
from pathlib import Path

import pytest
from fixtures.broker import eventually
from fixtures.commandline import Cli
from hypothesis import given
from hypothesis import strategies as st

from edgeface.config import adjusted
from edgeface.config.load import adjust, load, settings
from edgeface.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edgeface.toml"
    path.write_text(f'[gallery]\npath = "{tmp_path}/g.db"\n[presence]\nleft_after = 4.0\n[web]\nport = 8481\n')
    return path


def origins(file: Path) -> dict[str, str]:
    return {f"{row.section}.{row.name}": row.origin for row in settings(file)}


def test_a_change_goes_before_the_file_and_is_taken_back(file: Path) -> None:
    adjust(file, {"presence.left_after": "9", "web.pictures": "true"})
    config = load(file)
    assert (config.presence.left_after, config.web.pictures, config.web.port) == (9.0, True, 8481)
    changed = file.with_name("settings.toml")
    assert changed.stat().st_mode & 0o777 == 0o600
    told = origins(file)
    assert (told["presence.left_after"], told["web.port"], told["web.keep_hours"]) == (str(changed), str(file), "default")
    adjust(file, {"presence.left_after": None, "web.language": "de", "device.language": '"fr"'})
    assert (load(file).web.language, load(file).device.language) == ("de", "fr")
    adjust(file, {"web.language": None, "device.language": None})
    assert (load(file).presence.left_after, load(file).web.pictures) == (4.0, True)
    adjust(file, {"web.pictures": None, "events.keep_days": None})
    assert not changed.exists()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("web.address", '"0.0.0.0"', "can be set in edgeface.toml alone"),
        ("gallery.path", '"/tmp/x"', "can be set in edgeface.toml alone"),
        ("commands.allow", '["forget"]', "can be set in edgeface.toml alone"),
        ("presence", "1", "can be set in edgeface.toml alone"),
        ("presence.left_after", "soon", "neither a number"),
        ("presence.left_after", '"5"', "[presence.left_after]"),
        ("presence.left_after", "-1", "[presence.left_after]"),
        ("web.pictures", "1", "[web.pictures]"),
        ("events.keep_days", "NaN", "neither a number"),
        ("web.language", "tlh", "[web.language]"),
        ("device.language", "auto", "[device.language]"),
        ("events.keep_days", "[" * 90, "neither a number"),
    ],
)
def test_what_is_refused_changes_nothing(file: Path, setting: str, value: str, told: str) -> None:
    adjust(file, {"web.pictures": "true"})
    before = file.with_name("settings.toml").read_bytes()
    with pytest.raises(ConfigError) as refused:
        adjust(file, {"web.unknown": "true", setting: value})
    assert told in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert file.with_name("settings.toml").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "[web]\nbehind_proxy = true\n",
        "web = 1\n",
        "nonsense",
        "[web]\npictures = 3\n",
        "a = " + "[" * 20_000,
        '[gallery]\nkey_file = "/etc/passwd"\n',
    ],
)
def test_a_file_that_somebody_has_spoilt_is_told_in_one_line(file: Path, text: str) -> None:
    changed = file.with_name("settings.toml")
    changed.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert str(refused.value).startswith(str(changed))
    assert len(str(refused.value).splitlines()) == 1


@given(st.dictionaries(st.sampled_from(sorted(adjusted.ADJUSTABLE)), st.text(max_size=40) | st.none(), max_size=4))
def test_any_text_is_a_setting_or_refused(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str | None]) -> None:
    folder = tmp_path_factory.mktemp("any")
    file = folder / "edgeface.toml"
    file.write_text(f'[gallery]\npath = "{folder}/g.db"\n')
    try:
        adjust(file, values)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        assert not (folder / "settings.toml").exists()
    load(file)


def test_the_daemon_takes_a_change_at_once_and_takes_back_one_that_it_refuses(cli: Cli, demo_photos: Path) -> None:
    camera = {"source": f"folder:{demo_photos}", "hold": 60}
    cli.environment |= {"RUNTIME_DIRECTORY": str(cli.folder)}
    cli.set(camera=camera)
    assert cli("config", "set", "events.keep_days", "3").stdout == "events.keep_days: 3\n"  # before a daemon runs
    daemon = cli.start("run")
    assert eventually(lambda: cli("status", code=None).returncode == 0, 60)
    cli("config", "set", "presence.left_after", "7.5")
    daemon.hears("settings read again, changed: presence")
    changed = cli.gallery.with_name("settings.toml")
    before = changed.read_bytes()
    assert b"left_after = 7.5" in before

    cli.set(camera=camera | {"source": "abacus:1"})  # which no start would accept
    cli("config", "set", "presence.left_after", "8")
    daemon.hears("settings not taken, the old ones hold")
    daemon.hears(f"{changed}: changed back")
    assert changed.read_bytes() == before
    cli.set(camera=camera)
    assert "can be set in edgeface.toml alone" in cli.refusal("config", "set", "web.enabled", "true", code=1)
    assert cli("config", "reset", "presence.left_after").stdout == "presence.left_after: taken back\n"
    daemon.hears("settings read again, changed: presence")
    assert daemon.stop() == 0
    audit = [json.loads(line) for line in cli.gallery.with_name("audit.jsonl").read_text().splitlines()]
    assert [entry["settings"] for entry in audit if entry["action"] == "configure"] == [
        "events.keep_days",
        "presence.left_after",
        "presence.left_after",
        "presence.left_after",
    ]
