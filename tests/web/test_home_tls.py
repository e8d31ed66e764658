"""The page encrypted by an authority of its own, and phones that are shown the way in."""

import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fixtures.broker import OPENSSL, eventually, needs_openssl
from fixtures.commandline import Cli
from fixtures.page import Page, serving

from edgeface.config import load
from edgeface.errors import EdgefaceError
from edgeface.web import certificate as certificates
from edgeface.web import invitations, server
from edgeface.web.certificate import DAY, HomeCertificate
from edgeface.web.invitations import Invitations
from edgeface.web.token import Token

pytestmark = needs_openssl
HOSTS = ["door.local", "door", "bücher.example"]


@pytest.fixture
def home(tmp_path: Path) -> HomeCertificate:
    made = HomeCertificate(tmp_path)
    made.make("door", HOSTS)
    return made


@pytest.fixture
def page(home: HomeCertificate, tmp_path: Path) -> Iterator[Page]:
    with serving(tmp_path, tls_cert=str(home.path), tls_key=str(home.path), hosts=HOSTS) as running:
        yield running


def text(path: Path) -> str:
    words = ["x509", "-in", str(path), "-noout", "-text"]
    return subprocess.run([OPENSSL, *words], check=True, capture_output=True, text=True, timeout=60).stdout


def verified(home: HomeCertificate, *words: str) -> bool:
    words = ("verify", "-x509_strict", "-CAfile", str(home.trusted), "-purpose", "sslserver", *words, str(home.path))
    return subprocess.run([OPENSSL, *words], capture_output=True, timeout=60).returncode == 0


def served(page: Page) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", page.port)))


def test_browsers_take_the_certificate_and_nobody_elses_names_can_be_vouched_for(home: HomeCertificate) -> None:
    for name in ("door.local", "door", "localhost", "xn--bcher-kva.example"):
        assert verified(home, "-verify_hostname", name), name
    assert verified(home, "-verify_ip", "127.0.0.1")
    assert verified(home, "-verify_ip", "::1")
    assert not verified(home, "-verify_hostname", "bank.example")
    told, authority = text(home.path), text(home.trusted)
    assert "TLS Web Server Authentication" in told
    assert "CA:FALSE" in told
    assert "CA:TRUE, pathlen:0" in authority
    validity = home.validity()
    assert validity.end - validity.start <= 398 * DAY
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in home.path.parent.iterdir()}
    assert modes == {"web.pem": "0o600", "web.authority.pem": "0o600", "web.authority.crt": "0o644"}
    assert "PRIVATE" not in home.trusted.read_text()


def test_a_foreign_name_needs_a_new_authority_and_changes_nothing_until_then(home: HomeCertificate) -> None:
    before = home.path.read_bytes(), home.trusted.read_bytes()
    with pytest.raises(EdgefaceError, match=r"permitted subtree violation.*--new") as refused:
        home.make("door", ["door.example"])
    assert len(str(refused.value).splitlines()) == 1
    assert before == (home.path.read_bytes(), home.trusted.read_bytes())
    home.make("door", ["porch.local", "192.168.7.7"])
    assert before[1] == home.trusted.read_bytes()  # phones need not be told again
    home.make("door", ["door.example"], new_authority=True)
    assert verified(home, "-verify_hostname", "door.example")
    assert before[1] != home.trusted.read_bytes()


def test_it_is_renewed_before_it_ends_and_when_a_name_or_the_right_time_comes(
    home: HomeCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, authority = home.path.read_bytes(), home.trusted.read_bytes()
    validity = home.validity()
    assert not home.keep("door", HOSTS)
    assert home.path.read_bytes() == before
    for now in (validity.end - 29 * DAY, validity.end + DAY, validity.start - 2 * DAY):
        monkeypatch.setattr("edgeface.web.certificate.time", SimpleNamespace(time=lambda now=now: now))
        assert home.keep("door", HOSTS)
    monkeypatch.undo()
    assert home.keep("door", [*HOSTS, "porch.local"])
    assert not home.keep("door", HOSTS)
    (home.path.parent / "web.authority.pem").rename(home.path.parent / "elsewhere")
    with pytest.raises(EdgefaceError, match=r"web\.authority\.pem: No such file"):
        home.keep("door", [*HOSTS, "back.local"])
    assert home.path.read_bytes() != before
    assert home.trusted.read_bytes() == authority


@pytest.mark.parametrize("left", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"])
def test_a_spoilt_file_is_told_in_one_line(home: HomeCertificate, left: str) -> None:
    (home.path.parent / "web.authority.pem").write_text(left)
    with pytest.raises(EdgefaceError) as refused:
        home.make("door", HOSTS)
    assert len(str(refused.value).splitlines()) == 1


def test_without_openssl_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgefaceError, match="apt install openssl"):
        HomeCertificate(tmp_path).make("door", HOSTS)
    assert not list(tmp_path.iterdir())


def test_a_browser_that_trusts_it_is_served_and_a_renewal_reaches_it_without_a_restart(
    home: HomeCertificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BETWEEN_RENEWALS", 0.2)
    monkeypatch.setattr(certificates, "DAYS", 20)
    home.make("door", HOSTS)
    monkeypatch.undo()
    monkeypatch.setattr(server, "BETWEEN_RENEWALS", 0.2)
    ending = home.path.read_bytes()
    with serving(tmp_path, tls_cert=str(home.path), tls_key=str(home.path), hosts=HOSTS) as page:
        assert home.path.read_bytes() != ending  # the start has renewed it
        assert page.admits()
        first = served(page)
        home.make("door", HOSTS)
        assert eventually(lambda: served(page) != first)
        home.path.write_text("nonsense")
        assert page.admits()


def test_a_locked_page_gives_the_certificate_to_everybody_and_no_key(page: Page, home: HomeCertificate) -> None:
    status, _, body = page.ask("GET", "/", signed=False)
    assert (status, b'href="/authority.crt"' in body) == (401, True)
    status, headers, body = page.ask("GET", "/authority.crt", signed=False)
    assert (status, headers["content-type"], body) == (200, "application/x-x509-ca-cert", home.trusted.read_bytes())
    assert page.ask("GET", "/authority.crt", signed=False, host="evil.example")[0] == 421
    assert page.ask("POST", "/authority.crt", signed=False)[0] == 401
    assert page.ask("GET", "/web.authority.pem", signed=False)[0] == 401


def test_without_it_there_is_no_certificate_and_no_code_for_what_only_this_machine_reaches(tmp_path: Path) -> None:
    with serving(tmp_path) as page:
        assert page.ask("GET", "/authority.crt", signed=False)[0] == 401
        assert b"authority.crt" not in page.ask("GET", "/", signed=False)[2]
        told = page.get("/phone")
        assert "sudo edgeface web tls" in told
        assert "<svg width" not in told


def test_the_code_signs_a_phone_in_once_and_does_not_tell_the_token(page: Page) -> None:
    told = page.get("/phone", host=f"door.local:{page.port}", origin=f"https://door.local:{page.port}")
    assert page.token.text() not in told
    assert "SHA-256" in told
    (code,) = re.findall(rf"https://door\.local:{page.port}/\?token=([\w-]+)", told)
    assert page.ask("GET", f"/?token={code}", signed=False)[0] == 303
    assert page.ask("GET", f"/?token={code}", signed=False)[0] == 401


def test_codes_end_with_time_with_a_new_token_and_with_newer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token(tmp_path / "web.token")
    codes = Invitations(token)
    first, *_, last = [codes.make() for _ in range(invitations.MAX_OPEN + 1)]
    assert not codes.accept(first)
    assert codes.accept(last)
    kept = codes.make()
    token.renew()
    assert not codes.accept(kept)
    late, now = codes.make(), time.monotonic()
    monkeypatch.setattr("edgeface.web.invitations.time", SimpleNamespace(monotonic=lambda: now + invitations.LIFETIME + 1))
    assert not codes.accept(late)


def test_one_command_encrypts_the_page_and_one_takes_that_back(cli: Cli) -> None:
    cli.set(web={"port": 8499})
    out = cli("web", "tls", "door.lan", "192.168.7.7").stdout
    assert "https://door.lan:8499/" in out
    assert "192.168.7.7" in out
    web, folder = load.load(cli.file).web, cli.gallery.parent
    assert (web.enabled, web.address, web.hosts) == (True, "0.0.0.0", ("door.lan", "192.168.7.7"))
    assert web.tls_cert == web.tls_key == f"{folder}/web.pem"
    url, _, drawn = cli("web", "url", "--qr").stdout.partition("\n")
    assert read_code(drawn) == url
    assert url.startswith("https://door.lan:8499/?token=")
    assert "restart" in cli("web", "tls").stdout  # nothing to set: names stay
    assert load.load(cli.file).web == web
    assert "alone" in cli.refusal("config", "set", "web.address", "1", code=2)
    cli("web", "tls", "--off")
    assert not load.load(cli.file).web.enabled
    assert not (folder / "settings.toml").exists()


@pytest.mark.parametrize(
    ("more", "words", "told"),
    [
        ({}, ("https://door.lan",), "no name and no address"),
        ({}, ("door\n[names]",), "no name and no address"),
        ({"tls_cert": "/etc/a.pem", "tls_key": "/etc/a.key"}, (), "take web.tls_cert out"),
        ({"behind_proxy": True}, (), "behind_proxy"),
    ],
)
def test_what_cannot_be_encrypted_is_refused_in_one_line(
    cli: Cli, more: dict[str, object], words: tuple[str, ...], told: str
) -> None:
    cli.set(web=more)
    assert told in cli.refusal("web", "tls", *words, code=2)
    assert not cli.gallery.parent.exists()


def read_code(drawn: str) -> str:
    """What a phone reads of a code that a terminal shows."""
    halves = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in drawn.rstrip("\n").split("\n")]
    width = max(map(len, lines))
    rows = [[halves[sign][half] for sign in line.ljust(width)] for line in lines for half in (0, 1)]
    image = np.kron(np.array(rows, np.uint8) * 255, np.ones((8, 8), np.uint8))
    for one in (image, 255 - image):
        framed = cv2.copyMakeBorder(one, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=[float(one[0, 0])])
        if read := cv2.QRCodeDetector().detectAndDecode(framed)[0]:
            return str(read)
    return ""
