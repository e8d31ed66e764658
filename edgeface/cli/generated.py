"""Makes a command of each operation that says by which words it is called, from the fields of its request."""

import inspect
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import typer
from msgspec.structs import FieldInfo

from edgeface.cli import completion
from edgeface.cli.common import Json, print_json
from edgeface.cli.operations import perform
from edgeface.errors import EdgefaceError
from edgeface.operations.context import Door, Operation
from edgeface.operations.registry import at, read

COMPLETED = {
    "event_ids": completion.events,
    "event_id": completion.events,
    "person": completion.people,
    "name": completion.people,
}
"""Completes fields of these names in a shell."""


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
        print_json(result) if json else typer.echo(operation.told(result) if operation.told else _in_lines(result))

    given = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *_parameters(operation),
        inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    ]
    run.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in given}
    return run


def _parameters(operation: Operation[Any, Any]) -> Iterator[inspect.Parameter]:
    """Yield an argument for each field that must be given, and an option for each other one."""
    for field, kind, schema in _fields(operation):
        said = schema.get("description", "").replace("`", "")
        names = [f"--{field.name.replace('_', '-')}"] if kind is bool and field.default is False else []
        if field.required:
            completed = COMPLETED.get(field.name)
            metavar = field.name.upper() + "..." * (get_origin(kind) is list)
            shown = typer.Argument(metavar=metavar, help=said, autocompletion=completed)
        else:
            shown = typer.Option(field.default, *names, metavar=None if kind is bool else _metavar(kind), help=said)
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=shown, annotation=kind)


def _metavar(kind: Any) -> str:
    return "N" if {int, float} & {kind, *get_args(kind)} else "TEXT"


def _help(operation: Operation[Any, Any]) -> str:
    words = ["edgeface", *operation.command.split()]
    for field, kind, schema in _fields(operation):
        if field.required:
            one = schema["items"] if get_origin(kind) is list else schema
            words.append(str(one.get("examples", [field.name.upper()])[0]))
    return f"{operation.request.__doc__}\n\n\b\nExample: {shlex.join(words)}"


def _fields(operation: Operation[Any, Any]) -> Iterator[tuple[FieldInfo, Any, dict[str, Any]]]:
    """Yield each field of the request, its type, and its JSON Schema."""
    hints, (_, shapes) = get_type_hints(operation.request), msgspec.json.schema_components([operation.request])
    for field in msgspec.structs.fields(operation.request):
        yield field, hints[field.name], shapes[operation.request.__name__]["properties"][field.name]


def _in_lines(told: object) -> str:
    """Say what an operation tells in a sentence, if it has one, else field by field."""
    fields = msgspec.to_builtins(told)
    if "told" in fields:
        return str(fields["told"])
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else msgspec.json.encode(value).decode()}" for name, value in fields.items()
    )
