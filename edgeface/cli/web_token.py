"""Defines the commands of ``edgeface web token``."""

from typing import Annotated

import typer

from edgeface.cli.common import Json, show
from edgeface.gallery.audit import Audit
from edgeface.web.api_tokens import ApiTokens, Scope

app = typer.Typer(
    no_args_is_help=True,
    help="""Add, list and remove the tokens of programs that use the API.

\b
Examples: edgeface web token add frigate
          edgeface web token list""",
)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which program it is for: letters, digits, - and _.")],
    scope: Annotated[
        Scope,
        typer.Option("--scope", metavar="SCOPE", help="What it may do: read-only, enroll, or admin, which is everything."),
    ] = Scope.READ_ONLY,
    json: Json = False,
) -> None:
    """Make a token, and print it, this once.

    A program sends it as the header Authorization: Bearer TOKEN. Only a digest of it is kept, which opens nothing. Run this as
    the service's user.

    \b
    Examples: edgeface web token add frigate
              sudo -u edgeface edgeface web token add phone --scope enroll
    """
    settings = context.obj.config
    text = ApiTokens(settings.api_tokens_folder).add(name, scope)
    Audit(settings.audit_path).note("token_add", token=name, scope=str(scope))
    asides = [f"shown this once; {name} may call {settings.web.url}api/, with the scope {scope}"]
    if not settings.web.enabled:
        asides.append("the page is off, and the API with it: set enabled = true under [web]")
    show({"name": name, "scope": str(scope), "token": text}, [text], asides, json=json)


@app.command("list")
def list_tokens(context: typer.Context, json: Json = False) -> None:
    """List the tokens, without what opens the API.

    \b
    Example: edgeface web token list
    """
    tokens = ApiTokens(context.obj.config.api_tokens_folder).all()
    rows = [{"name": one.name, "scope": str(one.scope), "created": one.created} for one in tokens]
    asides = [] if rows else ["there is no token"]
    show({"tokens": rows}, ("{name}  {scope}  {created}".format_map(row) for row in rows), asides, json=json)


@app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that it was given.")],
    json: Json = False,
) -> None:
    """Remove a token, which opens nothing from then on.

    \b
    Example: edgeface web token remove frigate
    """
    settings = context.obj.config
    ApiTokens(settings.api_tokens_folder).remove(name)
    Audit(settings.audit_path).note("token_remove", token=name)
    show({"removed": name}, [f"removed {name}"], json=json)
