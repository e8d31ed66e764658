"""Gives phones and computers the certificate of the page's authority, without a session, and says how they trust it."""

from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from edgeface.web.language import _

PATH = "/authority.crt"
STEPS = (
    (
        "iPhone, iPad",
        "Download it with Safari. Install it under Settings, Profile Downloaded. Then switch it on under Settings, General, "
        "About, Certificate Trust Settings.",
    ),
    ("Android", "Download it. Look for “CA certificate” in Settings, choose Install anyway, and the file."),
    ("Windows", "Open the file. Install it for the Local Machine, among the Trusted Root Certification Authorities."),
    ("Mac", "Open the file with Keychain Access. Set it to Always Trust."),
    ("Firefox", "Import the file under Settings, Privacy & Security, Certificates, View Certificates, Authorities."),
)
"""How each kind of device is told to trust the certificate."""


def locked() -> str:
    """Return what the view of a locked page says about it, as HTML."""
    title = _("Your browser warns of this page?")
    text = _(
        'Have it trust <a href="/authority.crt">the certificate of this device</a>, once. <code>edgeface web tls</code> prints '
        "its fingerprint on the device; compare it before you trust it."
    )
    steps = "".join(f"<dt>{device}</dt><dd>{escape(_(how))}</dd>" for device, how in STEPS)
    return f"<h2>{title}</h2><p>{text}</p><dl>{steps}</dl>"


def certificate(request: Request, trusted: Path | None) -> Response | None:
    """Return the certificate if a request asks for it and the page has such a one."""
    if request.url.path != PATH or request.method not in ("GET", "HEAD") or trusted is None:
        return None
    try:
        return Response(trusted.read_bytes(), media_type="application/x-x509-ca-cert")
    except OSError:
        return None
