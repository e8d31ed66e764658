"""The tokens of programs: what is kept of them, and what each may call."""

import json
import stat
from pathlib import Path

import pytest
from fixtures.commandline import Cli
from fixtures.optional import needed

from edgeface.errors import ConfigError, EdgefaceError
from edgeface.operations.context import Door
from edgeface.operations.registry import at
from edgeface.web.api_tokens import FILE, GRANTS, MAX_TOKENS, START, ApiToken, ApiTokens, Scope
from edgeface.web.calls import CALLS

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_a_token_is_found_by_its_text_and_only_a_digest_is_kept(tmp_path: Path) -> None:
    tokens = ApiTokens(tmp_path)
    texts = {name: tokens.add(name, scope) for name, scope in (("a", Scope.READ_ONLY), ("b", Scope.ADMIN))}
    for name, text in texts.items():
        assert needed(tokens.find(text)).name == name
        assert len(text) >= len(START) + 43
    for wrong in (
        "",
        "a",
        texts["a"][:-1],
        f"{texts['a']}x",
        texts["a"].removeprefix(START),
        "\udcff",
        needed(tokens.find(texts["a"])).sha256,
    ):
        assert tokens.find(wrong) is None
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not any(text.removeprefix(START) in file.read_text() for text in texts.values())


def test_what_is_removed_opens_nothing_and_its_name_is_free(tmp_path: Path) -> None:
    tokens = ApiTokens(tmp_path)
    old = tokens.add("a", Scope.ADMIN)
    with pytest.raises(EdgefaceError, match="there is a token 'a' already"):
        tokens.add("a", Scope.READ_ONLY)
    assert needed(tokens.find(old)).scope is Scope.ADMIN
    tokens.remove("a")
    new = tokens.add("a", Scope.READ_ONLY)
    assert tokens.find(old) is None
    assert needed(tokens.find(new)).scope is Scope.READ_ONLY
    with pytest.raises(EdgefaceError, match="there is no token 'b'"):
        tokens.remove("b")


@pytest.mark.parametrize("name", ["", "a b", "../a", "a/b", "-a", "a\n", "x" * 65, "ä"])
def test_a_name_that_is_no_part_of_a_file_s_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        ApiTokens(tmp_path).add(name, Scope.ADMIN)
    with pytest.raises(EdgefaceError):
        ApiTokens(tmp_path).remove(name)
    assert list(tmp_path.iterdir()) == []


def test_there_are_not_more_than_some(tmp_path: Path) -> None:
    tokens = ApiTokens(tmp_path)
    for number in range(MAX_TOKENS):
        tokens.add(f"t{number}", Scope.READ_ONLY)
    with pytest.raises(EdgefaceError, match="64 tokens already"):
        tokens.add("more", Scope.READ_ONLY)


@pytest.mark.parametrize("spoil", ["open", "damaged", "copied", "empty"])
def test_a_spoiled_file_opens_nothing_and_the_others_go_on(
    tmp_path: Path, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = ApiTokens(tmp_path)
    bad, good = tokens.add("bad", Scope.READ_ONLY), tokens.add("good", Scope.READ_ONLY)
    file = tmp_path / f"{FILE}bad"
    if spoil == "open":
        file.chmod(0o644)
    elif spoil == "copied":
        file.write_bytes((tmp_path / f"{FILE}good").read_bytes())
    else:
        file.write_bytes(b"{" if spoil == "damaged" else b"")
    assert tokens.find(bad) is None
    assert needed(tokens.find(good)).name == "good"
    assert f"{FILE}bad" in caplog.text
    with pytest.raises(EdgefaceError, match=f"{FILE}bad"):
        tokens.all()
    tokens.remove("bad")
    assert [token.name for token in tokens.all()] == ["good"]


def test_each_scope_may_call_what_the_table_says_and_an_operation_that_is_new_is_for_admin() -> None:
    def calls(scope: Scope) -> set[str]:
        token = ApiToken(name="a", scope=scope, created="", sha256="")
        return {call for call in (*CALLS, "status", "new") if token.may(call)}

    may = {scope: calls(scope) for scope in Scope}
    assert may[Scope.READ_ONLY] == {"identify", "people", "status"}
    assert may[Scope.ENROLL] == may[Scope.READ_ONLY] | {"enroll"}
    assert may[Scope.ADMIN] == {*CALLS, "status", "new"}


def test_admin_may_call_every_operation_of_the_page_but_those_that_need_a_camera_of_their_own() -> None:
    assert set(at(Door.WEB)) - set(CALLS) == {"photos"}  # which `enroll` is
    assert not CALLS["enroll"].camera


def test_the_page_has_the_table() -> None:
    rows = [line.split("|") for line in (DOCS / "http.md").read_text().splitlines() if "/api/" in line and line.startswith("|")]
    told = {row[1].strip(" `").rpartition("/")[2]: row[2].strip(" `") for row in rows if "NAME" not in row[1]}
    assert told == {call: str(scope) for call, scope in GRANTS.items()}


def test_commands_make_list_and_remove_tokens(cli: Cli) -> None:
    made = cli.json("web", "token", "add", "phone", "--scope", "enroll")
    assert (made["name"], made["scope"], made["token"].startswith(START)) == ("phone", "enroll", True)
    told = cli("web", "token", "add", "frigate")
    assert told.stdout.startswith(START)
    assert len(told.stdout.splitlines()) == 1
    assert "shown this once" in told.stderr
    assert "set enabled = true" in told.stderr
    listed = cli("web", "token", "list")
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [["frigate", "read-only"], ["phone", "enroll"]]
    assert [one["name"] for one in cli.json("web", "token", "list")["tokens"]] == ["frigate", "phone"]
    assert "already" in cli.refusal("web", "token", "add", "phone")
    assert cli.json("web", "token", "remove", "phone") == {"removed": "phone"}
    assert "no token 'phone'" in cli.refusal("web", "token", "remove", "phone")
    cli("web", "token", "add", "x", "--scope", "all", code=2)
    noted = [json.loads(line) for line in cli.gallery.with_name("audit.jsonl").read_text().splitlines()]
    assert [(line["action"], line["token"]) for line in noted] == [
        ("token_add", "phone"),
        ("token_add", "frigate"),
        ("token_remove", "phone"),
    ]
    assert not any(text in cli.gallery.with_name("audit.jsonl").read_text() for text in (made["token"], told.stdout.strip()))
