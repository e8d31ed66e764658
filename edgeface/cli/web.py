"""Defines the commands of ``edgeface web``."""

from typing import Annotated

import typer

from edgeface.cli import web_token
from edgeface.errors import ConfigError
from edgeface.web.token import Token, address

app = typer.Typer(
    no_args_is_help=True,
    help="""Print the page's address; manage the tokens of programs.

edgeface run serves the page with [web] enabled = true.

\b
Example: edgeface web url""",
)
app.add_typer(web_token.app, name="token")


@app.command()
def url(
    context: typer.Context,
    new: Annotated[bool, typer.Option("--new", help="Make a new token, which shuts out every browser.")] = False,
) -> None:
    """Print the page's address with the token that opens it.

    Whoever has the token may see and change everything. A browser that has opened it stays signed in while it uses the
    page. Run this as the service's user.

    \b
    Examples: edgeface web url
              sudo -u edgeface edgeface web url
    """
    settings = context.obj.config
    if not settings.web.enabled:
        raise ConfigError("the page is off: set enabled = true under [web], and start or reload edgeface run")
    from edgeface.daemon.assembly import verify

    verify(settings)
    token = Token(settings.token_path)
    if new:
        token.renew()
    typer.echo(f"{address(settings.web)}?token={token.text()}")
