import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery import portable

WORDS, DATA = "correct horse battery", b'{"edgeface_gallery": 1}'


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return portable.seal(DATA, WORDS)


def light(**changes: Any) -> bytes:
    """A document as ``seal`` writes it, of little cost, with changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "COST", 2**10)
        document = json.loads(portable.seal(DATA, WORDS))
    return json.dumps(document | changes).encode()


def refusal(data: bytes, words: str = WORDS) -> str:
    with pytest.raises(GalleryError) as caught:
        portable.unseal(data, words)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_passphrase_opens_what_it_sealed_and_another_does_not(sealed: bytes) -> None:
    assert portable.is_sealed(sealed)
    assert portable.unseal(sealed, WORDS) == DATA
    assert DATA not in sealed
    assert "passphrase is wrong" in refusal(sealed, WORDS + " ")


def test_the_parameters_stand_in_the_document(sealed: bytes) -> None:
    document = json.loads(sealed)
    assert (document["kdf"], document["n"], document["r"], document["p"]) == ("scrypt", 2**16, 8, 2)
    assert portable.seal(DATA, WORDS) != sealed


def test_a_passphrase_may_be_typed_on_another_keyboard() -> None:
    data = json.loads(light())
    assert portable.unseal(json.dumps(data).encode(), WORDS) == DATA
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "COST", 2**10)
        assert portable.unseal(portable.seal(DATA, "Zoë's cat"), "Zoe\u0308's cat") == DATA


@pytest.mark.parametrize(
    "changes",
    [
        {"edgeface_sealed": 2},
        {"kdf": "md5"},
        {"n": 2**20, "r": 32},
        {"n": 2**10 + 1},
        {"n": 0},
        {"n": -1024},
        {"n": 10**30},
        {"r": 0},
        {"p": 1000},
        {"salt": "AAAA"},
        {"salt": "é"},
        {"nonce": ""},
        {"sealed": ""},
        {"sealed": "AAAA"},
        {"sealed": None},
    ],
)
def test_a_header_that_asks_for_too_much_or_is_none_is_one_line(changes: dict[str, int | str | None]) -> None:
    refusal(light(**changes))


def test_a_later_format_says_so() -> None:
    assert "another version of edgeface (format 2, this one opens 1)" in refusal(light(edgeface_sealed=2))


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.sampled_from([1024, 1023, 0, -1, 2**18, 2**63, "1024", None, 1024.5]),
        "r": st.sampled_from([8, 0, 32, 2**31, "8"]),
        "p": st.sampled_from([2, 0, 17, -1, True]),
        "salt": st.text(max_size=30) | st.none() | st.lists(st.none(), max_size=2),
        "nonce": st.text(max_size=30) | st.integers(),
        "sealed": st.text(max_size=30),
        "kdf": st.text(max_size=6),
        "edgeface_sealed": st.integers() | st.booleans() | st.none(),
    },
).filter(bool)
WHOLE = light()


@given(data=st.binary() | HEADERS.map(lambda changes: json.dumps(json.loads(WHOLE) | changes).encode()))
def test_any_bytes_open_or_are_one_line(data: bytes) -> None:
    if not portable.is_sealed(data):
        return
    try:
        assert portable.unseal(data, WORDS) == DATA
    except GalleryError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_other_documents_are_not_taken_for_sealed() -> None:
    for data in (b"", DATA, b"[]", b"null", b"[" * 100_000, b"\xff", b'{"edgeface_sealed": "x"}'):
        assert not portable.is_sealed(data)


def test_a_passphrase_is_read_from_a_file_that_is_private(tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_text("Zoë's cat\r\nand more\n")
    file.chmod(0o600)
    assert portable.read_passphrase(file) == "Zoë's cat"
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"others may read the passphrase \(0644\)"):
        portable.read_passphrase(file)
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    for path in (file, tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigError) as caught:
            portable.read_passphrase(path)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("words", ["", "short", "1234567"])
def test_a_passphrase_that_protects_nothing_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="8 characters"):
        portable.checked(words)
    assert portable.checked("12345678") == "12345678"


def test_what_older_versions_sealed_opens() -> None:
    box = {"edgeface_sealed": 1, "kdf": "scrypt", "n": 1024, "r": 8, "p": 2}
    box |= {"salt": "x/QRDtblkrJZys4T8ijbiw==", "nonce": "PWoTPej1ja7crMv6", "sealed": "mHklOg3A9zPVLKS9H1TZWjLxgklI6g=="}
    assert portable.unseal(json.dumps(box).encode(), "correct horse") == b"people"
