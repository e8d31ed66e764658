"""Defines the commands of ``edgeface web``."""

import io
import json
import socket
from datetime import datetime
from typing import Annotated

import typer

from edgeface.cli import web_token
from edgeface.config import load
from edgeface.config.adjusted import HOME
from edgeface.config.schema import Config
from edgeface.config.texts import is_host
from edgeface.errors import ConfigError
from edgeface.web.certificate import HomeCertificate
from edgeface.web.exposure import is_local
from edgeface.web.token import Token

TRUST = """\
On each phone and computer, once: open {address}, go past the warning, and download the authority's certificate
from the page that you see. Trust it if its SHA-256 fingerprint is
{fingerprint}
Then sign in with the address, or the code, that edgeface web url --qr prints."""

app = typer.Typer(
    no_args_is_help=True,
    help="""Print the page's address; encrypt the page; manage tokens.

edgeface run serves the page with [web] enabled = true.

\b
Examples: edgeface web url --qr
          edgeface web tls""",
)
app.add_typer(web_token.app, name="token")


@app.command()
def url(
    context: typer.Context,
    new: Annotated[bool, typer.Option("--new", help="Make a new token, which shuts out every browser.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Draw the address as a QR code, for a phone.")] = False,
) -> None:
    """Print the page's address with the token that opens it.

    Whoever has the token may see and change everything. A browser that has opened it stays signed in while it uses the
    page. Run this as the service's user.

    \b
    Examples: edgeface web url
              sudo -u edgeface edgeface web url --qr
    """
    settings = context.obj.config
    if not settings.web.enabled:
        raise ConfigError("the page is off: set enabled = true under [web], and start or reload edgeface run")
    from edgeface.daemon.assembly import verify

    verify(settings)
    token = Token(settings.token_path)
    if new:
        token.renew()
    opened = f"{settings.web.url}?token={token.text()}"
    typer.echo(opened)
    if not qr:
        return
    if is_local(settings.web.address) and not settings.web.hosts:
        raise ConfigError("only this machine reaches the page: edgeface web tls serves it to phones, encrypted")
    import segno

    drawn = io.StringIO()
    segno.make(opened, error="l").terminal(drawn, compact=True)
    for line in drawn.getvalue().splitlines():
        typer.secho(line, fg="bright_white", bg="black")  # on a light terminal, too


@app.command()
def tls(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Names or addresses by which browsers reach it; if none, the machine's."),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Make a new authority, which phones have to be told to trust.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Serve the page as edgeface.toml says again; keep the files.")] = False,
) -> None:
    """Encrypt the page for the network at home.

    Makes an authority and a certificate of its own, switches the page on, opens it to the network, and prints how to have
    phones trust the authority. The certificate is also for the machine's addresses. The daemon renews it; this command does
    so at once. Run it as the service's user or root.

    \b
    Examples: sudo edgeface web tls
              sudo edgeface web tls door.lan 192.168.1.20
    """
    config: Config = context.obj.config
    if off:
        taken_back = load.adjust(context.obj.file, dict.fromkeys(HOME), HOME)
        typer.echo("Taken back: sudo systemctl reload edgeface" if taken_back else "Nothing to take back.")
        return
    certificate = HomeCertificate.of(config)
    _refuse(config, certificate, names or [])
    machine = socket.gethostname()
    hosts = list(dict.fromkeys([*(names or []), *config.web.hosts])) or [f"{machine.partition('.')[0]}.local", machine]
    certificate.make(config.device.id, hosts, new_authority=new)
    changed = _serve(context, config, certificate, hosts)
    served = load.load(context.obj.file)
    validity = certificate.validity()
    typer.echo(f"The page has a certificate until {datetime.fromtimestamp(validity.end):%Y-%m-%d}, renewed before it ends, for")
    typer.echo(", ".join(sorted(validity.names)))
    verb = "reload" if changed else "restart"
    typer.echo(f"It is in effect after: sudo systemctl {verb} edgeface")
    typer.echo(TRUST.format(address=served.web.url, fingerprint=certificate.fingerprint()))


def _refuse(config: Config, certificate: HomeCertificate, names: list[str]) -> None:
    if wrong := [name for name in names if not is_host(name)]:
        raise ConfigError(f"{wrong[0]!r} is no name and no address of a machine; leave out scheme and port")
    if config.web.tls_cert and not certificate.serves(config.web):
        raise ConfigError(f"the page has a certificate, {config.web.tls_cert}: take web.tls_cert out of edgeface.toml first")
    if config.web.behind_proxy:
        raise ConfigError("web.behind_proxy is set: the proxy encrypts the page; take the setting out of edgeface.toml first")


def _serve(context: typer.Context, config: Config, certificate: HomeCertificate, hosts: list[str]) -> bool:
    """Write the settings by which the page is served with the certificate; return whether they changed."""
    file = str(certificate.path)
    wanted = {"web.enabled": True, "web.hosts": hosts, "web.tls_cert": file, "web.tls_key": file}
    if is_local(config.web.address):
        wanted["web.address"] = "0.0.0.0"
    return load.adjust(context.obj.file, {name: json.dumps(value) for name, value in wanted.items()}, HOME)
