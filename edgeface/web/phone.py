"""Shows a QR code that signs a phone in, how the phone trusts the page's certificate, and how it gets notifications."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from edgeface.web.certificate import HomeCertificate
from edgeface.web.context import PageContext
from edgeface.web.exposure import is_local
from edgeface.web.installable import BLUEPRINT
from edgeface.web.invitations import LIFETIME
from edgeface.web.trust import PATH, STEPS

ENCRYPT = "sudo edgeface web tls\nsudo systemctl reload edgeface"
"""The commands that encrypt the page, which are no text to translate."""
BLUEPRINTS = "blueprints/automation/edgeface"
"""The folder in Home Assistant's configuration that a downloaded blueprint belongs into."""
IMPORT = "https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url="
"""The address that opens a browser's own Home Assistant, where it imports a blueprint."""


async def phone(context: PageContext, request: Request) -> Response:
    import segno

    where = _where(context, request)
    link = f"{where}?token={request.scope['invite']()}" if where else ""
    own = HomeCertificate.of(context.config)
    return context.render(
        request,
        "phone.html",
        link=link,
        code=segno.make(link, error="l").svg_inline(dark="#000", light="#fff", omitsize=True) if link else "",
        lifetime=LIFETIME,
        commands=ENCRYPT,
        certificate=PATH if own.serves(context.config.web) else "",
        fingerprint=own.fingerprint() if own.serves(context.config.web) else "",
        steps=STEPS,
        blueprint=f"{where.rstrip('/')}{BLUEPRINT}" if where else "",
        blueprints=BLUEPRINTS,
        importing=IMPORT + quote(f"{where.rstrip('/')}{BLUEPRINT}", safe=""),
    )


def _where(context: PageContext, request: Request) -> str:
    """Return the page's address for a phone: the one by which this browser came, unless only this machine has it."""
    url, web = request.url, context.config.web
    if not is_local(url.hostname or ""):
        scheme = "https" if web.tls_cert or request.headers.get("x-forwarded-proto") == "https" else "http"
        return f"{scheme}://{url.netloc}/"
    return "" if is_local(web.address) and not web.hosts else web.url
