"""Refuses settings that would serve the page unencrypted to a network."""

import ipaddress

from edgeface.config.schema import WebSettings
from edgeface.errors import ConfigError


def refuse_exposure(web: WebSettings) -> None:
    """Raise ``ConfigError`` unless the page is encrypted, or only this machine can reach it."""
    if bool(web.tls_cert) != bool(web.tls_key):
        raise ConfigError("web.tls_cert and web.tls_key: one is set, both are needed")
    if not (is_local(web.address) or web.tls_cert or web.behind_proxy):
        raise ConfigError(
            f"web.address {web.address!r} is open to the network, where it must be encrypted: set web.tls_cert and "
            "web.tls_key, or web.behind_proxy = true if a proxy in front of it encrypts"
        )


def is_local(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
