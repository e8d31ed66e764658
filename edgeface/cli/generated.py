"""Makes a command of each operation that says by which words it is called, from the fields of its request."""

import inspect
import shlex
from collections.abc import Callable, Mapping
from typing import Any, get_origin, get_type_hints

import msgspec
import typer

from edgeface.cli.common import Json, print_json
from edgeface.cli.operations import perform
from edgeface.errors import EdgefaceError
from edgeface.operations.context import Door, Operation
from edgeface.operations.registry import at, read


def add_commands(app: typer.Typer, groups: Mapping[str, typer.Typer]) -> None:
    for operation in at(Door.COMMAND).values():
        if operation.command:
            group, _, name = operation.command.rpartition(" ")
            (groups[group] if group else app).command(name, help=_help(operation))(_command(operation))


def _command(operation: Operation[Any, Any]) -> Callable[..., None]:
    def run(context: typer.Context, json: bool, **fields: object) -> None:
        try:
            request = read(fields, operation.request)
        except EdgefaceError as error:
            raise typer.BadParameter(str(error)) from None
        result = perform(context.obj, operation, request, tell=lambda told: typer.echo(_in_lines(told), err=True))
        print_json(result) if json else typer.echo(_in_lines(result))

    given = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *_parameters(operation),
        inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    ]
    run.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in given}
    return run


def _parameters(operation: Operation[Any, Any]) -> list[inspect.Parameter]:
    """Return an argument for each field that must be given, and an option for each other one."""
    hints, described = get_type_hints(operation.request), _described(operation)
    found = []
    for field in msgspec.structs.fields(operation.request):
        kind, said = hints[field.name], described[field.name].get("description", "").replace("`", "")
        names = [f"--{field.name.replace('_', '-')}"] if kind is bool and field.default is False else []
        if field.required:
            shown = typer.Argument(metavar=field.name.upper() + "..." * (get_origin(kind) is list), help=said)
        else:
            shown = typer.Option(field.default, *names, help=said)
        found.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=shown, annotation=kind))
    return found


def _help(operation: Operation[Any, Any]) -> str:
    words = ["edgeface", *operation.command.split()]
    described, hints = _described(operation), get_type_hints(operation.request)
    for field in msgspec.structs.fields(operation.request):
        if field.required:
            schema = described[field.name]
            one = schema["items"] if get_origin(hints[field.name]) is list else schema
            words.append(str(one.get("examples", [field.name.upper()])[0]))
    return f"{operation.request.__doc__}\n\n\b\nExample: {shlex.join(words)}"


def _described(operation: Operation[Any, Any]) -> dict[str, Any]:
    """Return the JSON Schema of each field."""
    _, shapes = msgspec.json.schema_components([operation.request])
    fields: dict[str, Any] = shapes[operation.request.__name__]["properties"]
    return fields


def _in_lines(told: object) -> str:
    """Say what an operation tells in a sentence, if it has one, else field by field."""
    fields = msgspec.to_builtins(told)
    if "told" in fields:
        return str(fields["told"])
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else msgspec.json.encode(value).decode()}" for name, value in fields.items()
    )
