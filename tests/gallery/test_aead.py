"""Records are sealed and opened by OpenSSL or by pycryptodomex, whichever is there, and alike."""

import secrets
from typing import Any

import pytest
from Cryptodome.Cipher import AES
from fixtures.optional import needed
from hypothesis import given
from hypothesis import strategies as st

from edgeface.gallery import aead, openssl

KEY = bytes(range(32))
OPENSSL = openssl.find()
BYTES = st.binary(max_size=200)


@pytest.fixture(params=["OpenSSL", "pycryptodomex"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pycryptodomex":
        monkeypatch.setattr(aead, "_FAST", None)
    elif not OPENSSL:
        pytest.skip("this system has no library of OpenSSL's")


# Test case 16 of "The Galois/Counter Mode of Operation" by McGrew and Viega: a key of 256 bits, and associated data.
PUBLISHED = {
    "key": "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
    "nonce": "cafebabefacedbaddecaf888",
    "plain": "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    "associated": "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    "ciphertext": "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
    "tag": "76fc6ece0f4e1768cddf8853bb2d551b",
}


def test_a_published_example_is_sealed_and_opened(library: None, monkeypatch: pytest.MonkeyPatch) -> None:
    key, nonce, plain, associated, ciphertext, tag = (bytes.fromhex(text) for text in PUBLISHED.values())
    monkeypatch.setattr(secrets, "token_bytes", lambda _: nonce)
    assert aead.seal(key, plain, associated) == nonce + ciphertext + tag
    assert aead.unseal(key, nonce + ciphertext + tag, associated) == plain


@pytest.mark.skipif(not OPENSSL, reason="this system has no library of OpenSSL's")
@given(plain=BYTES, associated=BYTES, nonce=st.binary(min_size=12, max_size=12), at=st.integers(0, 300), bit=st.integers(0, 7))
def test_both_seal_alike_and_what_was_changed_does_not_open(
    plain: bytes, associated: bytes, nonce: bytes, at: int, bit: int
) -> None:
    ciphertext, tag = needed(OPENSSL).encrypt(KEY, nonce, plain, associated)
    assert AES.new(KEY, AES.MODE_GCM, nonce=nonce).update(associated).encrypt_and_digest(plain) == (ciphertext, tag)
    assert needed(OPENSSL).decrypt(KEY, nonce, ciphertext, tag, associated) == plain
    assert needed(OPENSSL).decrypt(KEY, nonce, ciphertext, tag, associated + b"x") is None
    assert needed(OPENSSL).decrypt(bytes(32), nonce, ciphertext, tag, associated) is None
    sealed = bytearray(nonce + ciphertext + tag)
    sealed[at % len(sealed)] ^= 1 << bit
    changed = bytes(sealed)
    assert needed(OPENSSL).decrypt(KEY, changed[:12], changed[12:-16], changed[-16:], associated) is None


@pytest.mark.parametrize("sealed", [b"", bytes(27), bytes(28), bytes(600), "text" * 20, None, bytearray(40), 7])
def test_what_was_never_sealed_is_refused(library: None, sealed: Any) -> None:
    with pytest.raises(ValueError, match=r"sealed|MAC"):
        aead.unseal(KEY, sealed, b"")


def test_a_key_of_another_length_is_refused(library: None) -> None:
    with pytest.raises(ValueError, match="length"):
        aead.seal(bytes(31), b"plain", b"")


def test_a_system_without_the_library_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "LIBRARIES", ("libcrypto.so.none",))
    assert openssl.find() is None
