"""AES-256-GCM: bytes sealed under a key, and to what they belong."""

import secrets

from Cryptodome.Cipher import AES

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


def seal(key: bytes, plain: bytes, associated: bytes) -> bytes:
    """A random nonce of 96 bits, the ciphertext, and the tag of 128 bits, which covers ``associated`` too."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce).update(associated)
    ciphertext, tag = cipher.encrypt_and_digest(plain)
    return nonce + ciphertext + tag


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """What ``seal`` was given.

    Raises:
        ValueError: the key or what it belongs to is another, or it is damaged.
    """
    cipher = AES.new(key, AES.MODE_GCM, nonce=sealed[:NONCE_BYTES]).update(associated)
    return cipher.decrypt_and_verify(sealed[NONCE_BYTES:-TAG_BYTES], sealed[-TAG_BYTES:])
