"""Makes the authority and the certificate by which the page is served encrypted at home, and renews the certificate."""

import hashlib
import ipaddress
import ssl
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from edgeface.config.schema import Config, WebSettings
from edgeface.errors import EdgefaceError
from edgeface.platform.files import write_whole
from edgeface.platform.secret_files import SecretFile

DAY = 86400.0
AUTHORITY_DAYS, DAYS = 7300, 397  # browsers take no certificate that is valid for more than 398 days
RENEWED_BEFORE = 30 * DAY
"""Seconds before its end at which a certificate is renewed."""
OWN = ("localhost", "127.0.0.1", "::1")
ZONES = ("localhost", "local", "lan", "internal", "home.arpa")
NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)
"""The names and addresses for which an authority may vouch, besides the names of its device: none is anybody else's."""
HEAD = """
[req]
distinguished_name = subject
prompt = no
utf8 = yes
x509_extensions = extensions
[subject]
CN = {subject}
[extensions]
subjectKeyIdentifier = hash
"""
AUTHORITY = """
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
nameConstraints = critical, @permitted
[permitted]
"""
SERVER = """
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = @names
[names]
"""


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate is valid, in seconds since 1970, and the names and addresses that it is for."""

    start: float
    end: float
    names: frozenset[str]


class HomeCertificate:
    """The authority, which phones are told to trust, and the page's certificate: files in ``folder``, the gallery's.

    Each file has a certificate with its key, so that a kill leaves no pair that does not match. Every call that runs openssl
    raises ``EdgefaceError`` if it fails.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "web.pem"
        self.trusted = folder / "web.authority.crt"
        """The authority's certificate without its key."""
        self._authority = folder / "web.authority.pem"

    @classmethod
    def of(cls, config: Config) -> "HomeCertificate":
        return cls(config.gallery_path.parent.absolute())

    def serves(self, web: WebSettings) -> bool:
        """Return whether the page is served with this certificate."""
        return web.tls_cert == str(self.path)

    def make(self, device: str, hosts: Iterable[str], *, new_authority: bool = False) -> None:
        """Make a certificate for ``hosts`` and this machine's addresses, and the authority if it is missing or to be new."""
        hosts = frozenset(hosts)
        if new_authority or not self._authority.exists():
            words = HEAD + AUTHORITY + _listed("permitted;", {*ZONES, *NETWORKS, *hosts})
            made = _signed(words.format(subject=f"edgeface authority of {device}"[:64]), AUTHORITY_DAYS)
            SecretFile(self._authority, "the authority's key", EdgefaceError).make(made, replace=True)
        self._sign(device, hosts)

    def _sign(self, device: str, hosts: Iterable[str]) -> None:
        secret = SecretFile(self._authority, "the authority's key", EdgefaceError).read().decode("ascii", "replace")
        self._write_trusted(ssl.DER_cert_to_PEM_cert(_der(secret)))
        words = HEAD + SERVER + _listed("", wanted(hosts))
        signer = ("-CA", str(self._authority), "-CAkey", str(self._authority))
        made = _signed(words.format(subject=device[:64]), DAYS, *signer)
        self._verify(made)
        SecretFile(self.path, "the certificate's key", EdgefaceError).make(made, replace=True)

    def keep(self, device: str, hosts: Iterable[str]) -> bool:
        """Renew the certificate if it ends soon, or is not for every name and address; return whether that was needed."""
        if _lasts(self.validity(), time.time(), wanted(hosts)):
            return False
        self._sign(device, hosts)  # never by a new authority, which no phone trusts
        return True

    def validity(self) -> Validity:
        told = _openssl("x509", "-in", str(self.path), "-noout", "-startdate", "-enddate", "-ext", "subjectAltName").decode()
        lines = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        names = (part.strip().partition(":")[2] for part in told.splitlines()[-1].split(","))
        start, end = (float(ssl.cert_time_to_seconds(lines[name])) for name in ("notBefore", "notAfter"))
        return Validity(start, end, frozenset(map(_plain, names)))

    def fingerprint(self) -> str:
        """Return the SHA-256 digest of the authority's certificate, as phones show it."""
        try:
            digest = hashlib.sha256(_der(self.trusted.read_text("ascii"))).digest()
        except OSError as error:
            raise EdgefaceError(f"{self.trusted}: {error.strerror or error}") from None
        return digest.hex(":").upper()

    def _write_trusted(self, text: str) -> None:
        try:
            write_whole(self.trusted, text.encode(), 0o644)
        except OSError as error:
            raise EdgefaceError(f"{self.trusted}: {error.strerror or error}") from None

    def _verify(self, certificate: bytes) -> None:
        try:
            _openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(self.trusted), given=certificate)
        except EdgefaceError as error:
            reason = str(error).removeprefix("openssl verify: ")
            raise EdgefaceError(
                f"{self._authority} does not vouch for these names ({reason}): make a new one with edgeface web tls --new, "
                "which every phone has to be told to trust"
            ) from None


def wanted(hosts: Iterable[str]) -> frozenset[str]:
    """Return the names and addresses that a certificate is for: ``hosts``, and those of this machine in a home network."""
    networks = [ipaddress.IPv4Network(text) for text in NETWORKS if ":" not in text]
    addresses = {one.address for each in psutil.net_if_addrs().values() for one in each if one.family.name == "AF_INET"}
    home = {text for text in addresses if any(ipaddress.IPv4Address(text) in network for network in networks)}
    return frozenset(map(_plain, {*OWN, *hosts, *home}))


def _lasts(now_valid: Validity, now: float, names: frozenset[str]) -> bool:
    """Return whether a certificate need not be renewed; one of the future was made when the clock was wrong."""
    return now_valid.start <= now + DAY and now < now_valid.end - RENEWED_BEFORE and names <= now_valid.names


def _plain(name: str) -> str:
    """Return a name as certificates have it: an address in its short form, any other in lower case and ASCII."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().encode("idna").decode()


def _listed(kind: str, names: Iterable[str]) -> str:
    """Return lines of an OpenSSL configuration, one for each name, address or network."""
    lines = []
    for number, name in enumerate(sorted(set(names))):
        try:
            network = ipaddress.ip_network(name)
        except ValueError:
            lines.append(f"{kind}DNS.{number} = {_plain(name)}")
        else:
            address = f"{network.network_address}/{network.netmask}" if kind else f"{network.network_address}"
            lines.append(f"{kind}IP.{number} = {address}")
    return "\n".join(lines) + "\n"


def _der(text: str) -> bytes:
    start, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        return ssl.PEM_cert_to_DER_cert(start + text.split(start)[1].split(end, maxsplit=1)[0] + end)
    except (IndexError, ValueError):
        raise EdgefaceError("the authority's file has no certificate; make a new one with edgeface web tls --new") from None


def _signed(configuration: str, days: int, *signer: str) -> bytes:
    """Return a new key and its certificate, signed by itself unless there is a ``signer``."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    return _openssl("req", "-x509", *curve, "-days", str(days), *signer, "-config", "/dev/stdin", given=configuration.encode())


def _openssl(*words: str, given: bytes = b"") -> bytes:
    try:
        return subprocess.run(["openssl", *words], input=given, capture_output=True, check=True, timeout=60).stdout
    except FileNotFoundError:
        raise EdgefaceError("openssl is not installed: sudo apt install openssl") from None
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.decode(errors="replace").splitlines() if line.strip(" -")]
        raise EdgefaceError(f"openssl {words[0]}: {' '.join(lines[:2]) or 'it failed'}") from None
    except subprocess.TimeoutExpired:
        raise EdgefaceError(f"openssl {words[0]}: no answer within 60 seconds") from None
