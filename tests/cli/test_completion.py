"""Completion of people's names, as shells ask for it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fixtures.commandline import Cli
from fixtures.galleries import WALL, kept, unit

from edgeface.gallery.store import Gallery
from edgeface.types import EventType
from edgeface.vision.model_card import SHIPPED, load_card

EDGEFACE = Path(sys.executable).with_name("edgeface")
NAMES = ("Anna", "Anna B.", "Émile", 'Zoë "Z" $(id) \\')


def enroll(path: Path) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(Gallery(path, load_card(SHIPPED).digest)) as gallery:
        return {name: gallery.enroll(name, [unit(seed)], [1.0]).id for seed, name in enumerate(NAMES)}


def asked(environment: dict[str, str], **shell: Any) -> list[str]:
    process: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "cwd": "/"}
    result = subprocess.run([EDGEFACE], env=environment | shell, **process)
    assert result.stderr == ""
    return [line for line in result.stdout.splitlines() if line]


def bash(cli: Cli, *words: str) -> list[str]:
    words = ("edgeface", "--config", str(cli.file), *words)
    position = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return asked(cli.environment, _EDGEFACE_COMPLETE="complete_bash", **position)


@pytest.mark.parametrize(
    "words",
    [
        ("people", "rename"),
        ("people", "forget"),
        ("people", "confirm", "01M86GTN766HKSFCZ15NNMEFKP", "--as"),
        ("events", "list", "--person"),
        ("enroll",),
    ],
    ids=" ".join,
)
def test_a_person_is_completed_wherever_one_is_named(cli: Cli, words: tuple[str, ...]) -> None:
    enroll(cli.gallery)
    assert bash(cli, *words, "An") == ["Anna", "Anna\\ B."]


@pytest.mark.slow
def test_events_backups_and_checks_are_completed(cli: Cli) -> None:
    enroll(cli.gallery)
    with closing(Gallery(cli.gallery, load_card(SHIPPED).digest)) as gallery:
        ids = [kept(gallery, None, unit(seed), EventType.UNKNOWN, WALL + seed).event_id for seed in (1, 2)]
    for words in (("people", "confirm"), ("people", "reject"), ("events", "introduce"), ("events", "dismiss")):
        assert bash(cli, *words, ids[0][:5]) == ids[::-1]
    assert bash(cli, "people", "confirm", ids[0]) == ids[:1]
    assert bash(cli, "gallery", "restore", "") == []
    cli("gallery", "backup")
    (backup,) = cli.json("gallery", "backups")["backups"]
    assert bash(cli, "gallery", "restore", "") == [backup["file"]]
    assert bash(cli, "doctor", "--only", "runtime,mo") == ["runtime,model"]
    assert "runtime,runtime" not in bash(cli, "doctor", "--only", "runtime,")


def test_what_begins_as_typed_is_offered_names_and_ids(cli: Cli) -> None:
    ids = enroll(cli.gallery)
    assert bash(cli, "people", "forget", "Anna\\ ") == ["Anna\\ B."]
    assert bash(cli, "people", "forget", ids["Émile"][:10]) == [ids["Émile"]]
    assert bash(cli, "people", "forget", "X") == []


def test_each_shell_gets_names_as_it_reads_them(cli: Cli) -> None:
    enroll(cli.gallery)
    assert bash(cli, "people", "forget", "Zo") == ['Zoë\\ \\"Z\\"\\ \\$\\(id\\)\\ \\\\']
    line = f"edgeface --config {cli.file} people forget "
    zsh = asked(cli.environment, _EDGEFACE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    assert '"Émile"' in "".join(zsh)
    assert "$(id)" not in "".join(zsh)  # it would be run
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": line}
    assert asked(cli.environment, _EDGEFACE_COMPLETE="complete_fish", **fish) == sorted(NAMES)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_itself_completes_with_the_script_that_is_installed(cli: Cli, tmp_path: Path) -> None:
    enroll(cli.gallery)
    (tmp_path / "share").mkdir()
    made = [sys.executable, str(Path(__file__).parent.parent.parent / "deploy/manual.py"), str(tmp_path / "share")]
    subprocess.run(made, check=True, env=cli.environment, timeout=60)
    script = f"""
        source {tmp_path}/share/bash-completion/completions/edgeface
        COMP_WORDS=(edgeface --config {cli.file} people forget 'Anna\\ ') COMP_CWORD=5
        $(complete -p edgeface | sed 's/.*-F \\([^ ]*\\).*/\\1/') edgeface
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = cli.environment | {"PATH": f"{EDGEFACE.parent}:{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert (result.stdout, result.stderr) == ("Anna\\ B.\n", "")


def no_gallery(cli: Cli) -> None:
    cli.gallery.unlink()


def no_key(cli: Cli) -> None:
    cli.gallery.with_name("gallery.key").unlink()


def damaged(cli: Cli) -> None:
    cli.gallery.write_bytes(b"no database")


def wrong_settings(cli: Cli) -> None:
    cli.file.write_text("[colour]\n")


@pytest.mark.parametrize("fault", [no_gallery, no_key, damaged, wrong_settings])
def test_what_fails_completes_to_nothing_in_silence_and_makes_nothing(cli: Cli, fault: Callable[[Cli], None]) -> None:
    enroll(cli.gallery)
    fault(cli)
    before = {path: path.read_bytes() for path in cli.gallery.parent.iterdir() if path.suffix in {".db", ".key"}}
    assert bash(cli, "people", "forget", "") == []
    assert {path: path.read_bytes() for path in cli.gallery.parent.iterdir() if path.suffix in {".db", ".key"}} == before


def test_no_network_is_loaded(cli: Cli, tmp_path: Path) -> None:
    enroll(cli.gallery)
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(SHIPPED / "model.json", model)
    assert bash(cli, "--model", str(model), "people", "forget", "É") == ["Émile"]


def test_the_daemon_is_asked_where_the_gallery_cannot_be_opened(cli: Cli, demo_photos: Path) -> None:
    enroll(cli.gallery)
    cli.set(camera={"source": f"folder:{demo_photos}", "hold": 60.0})
    assert "unknown" in cli.start("run").line()
    cli.gallery.with_name("gallery.key").rename(cli.folder / "elsewhere")  # it has been read
    assert bash(cli, "people", "forget", "An") == ["Anna", "Anna\\ B."]
    assert cli.running[0].stop() == 0
    assert bash(cli, "people", "forget", "An") == []
