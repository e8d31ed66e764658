"""Encrypts bytes with AES-256-GCM under a key, bound to associated data."""

import secrets

from Cryptodome.Cipher import AES

from edgeface.gallery import openssl

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_FAST = openssl.find()


def seal(key: bytes, plain: bytes, associated: bytes) -> bytes:
    """Return a random nonce of 96 bits, the ciphertext, and the tag of 128 bits, which covers ``associated`` too."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    if _FAST:
        ciphertext, tag = _FAST.encrypt(key, nonce, plain, associated)
    else:
        ciphertext, tag = AES.new(key, AES.MODE_GCM, nonce=nonce).update(associated).encrypt_and_digest(plain)
    return nonce + ciphertext + tag


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Return the bytes that were sealed. Raise ``ValueError`` if they are damaged, or key or associated data are others."""
    if not isinstance(sealed, bytes) or len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise ValueError("nothing that was sealed")
    nonce, ciphertext, tag = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:-TAG_BYTES], sealed[-TAG_BYTES:]
    if not _FAST:
        return AES.new(key, AES.MODE_GCM, nonce=nonce).update(associated).decrypt_and_verify(ciphertext, tag)
    plain = _FAST.decrypt(key, nonce, ciphertext, tag, associated)
    if plain is None:
        raise ValueError("sealed otherwise, or damaged")
    return plain
