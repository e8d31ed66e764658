"""The commands: help and wrong usage."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.commandline import Cli, on_terminal
from typer.main import get_command
from typer.testing import CliRunner

from edgeface.cli import app


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command and group as its words and itself."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


def parsed(command: Any, words: list[str]) -> None:
    """Have a command line parsed as it would be, and nothing done."""
    context = command.make_context("edgeface", list(words))
    if below := getattr(command, "commands", {}):
        name, *rest = (str(word) for word in (*context._protected_args, *context.args))
        parsed(below[name], rest)


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*each, id=" ".join(("edgeface", *each[0]))) for each in commands(get_command(app))]
)
def test_every_command_has_examples_each_a_line_of_its_own_that_would_work(words: tuple[str, ...], command: object) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout
    _, _, part = re.sub(r"\n\n(?! *Example).*", "", shown[shown.find("Example") :], flags=re.DOTALL).partition(":")
    examples = [line.strip() for line in part.splitlines()]
    assert examples, shown
    for example in examples:
        line = shlex.split(re.split(r" [|>] | && ", example)[-1 if "&& edgeface" in example else 0])
        line = line[len(line) - line[::-1].index("edgeface") :]
        assert "--install-completion" not in line  # parsing it would do it
        assert tuple(word for word in line if word in words)[: len(words)] == words
        parsed(get_command(app), line)


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*each, id=" ".join(("edgeface", *each[0]))) for each in commands(get_command(app))]
)
def test_help_fits_80_columns_and_names_what_to_write(words: tuple[str, ...], command: object) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout
    _, _, summaries = shown.partition("Commands:")
    assert "..." not in summaries
    assert not re.search(r"<\w[\w ]*>|\{\w+\}", shown), "a type of Click, or its braces"


def test_help_is_coloured_on_a_terminal_alone(cli: Cli) -> None:
    assert "\x1b" not in cli("--help").stdout
    assert b"\x1b[1mCommands\x1b[0m" in on_terminal(cli, "--help")
    cli.environment["NO_COLOR"] = "1"
    assert b"\x1b[1m" not in on_terminal(cli, "--help")


def test_enroll_may_be_spelled_enrol(cli: Cli, demo_photos: Path) -> None:
    assert cli.json("enrol", "Joe", "--image", demo_photos / "biden_portrait.jpg")["name"] == "Joe"


def test_help_and_version_work_and_a_wrong_word_is_wrong_usage(cli: Cli) -> None:
    assert "enroll" in cli("--help").stdout
    assert cli("--version").stdout.startswith("edgeface ")
    for words in (("fly",), ("enroll",), ("people", "list", "--colour")):
        assert "Error" in cli(*words, code=2).stderr
