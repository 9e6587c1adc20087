"""Options of several commands; and those that are the fields of a model, where their help, type, default and range
stand alone.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from t2av_bench.utils.terminal_text import echo

Complete = Callable[[str], list[str]]

Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
# Of commands that look at many clips, each of which may be left out.
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; changes no byte.  [default: cores, fewer where "
                                             "memory is short, 1 on a GPU]", show_default=False)]  # fmt: skip
Timeout = Annotated[float, typer.Option(min=1, help="Seconds without a sign of life after which a clip is left out.")]
Memory = Annotated[float | None, typer.Option(metavar="GB", help="Memory that one process may hold.  [default: its "
                                              "share of what is available]", show_default=False)]  # fmt: skip

Engine = Annotated[Literal["local", "ray"], typer.Option(help="Where the processes run: here, or on a Ray cluster "
                                                         "(docs/cluster.md).")]  # fmt: skip
Address = Annotated[str | None, typer.Option(help="Of the Ray cluster.  [default: RAY_ADDRESS, the one that runs here, "
                                             "or a new one of this machine alone]", show_default=False)]  # fmt: skip

Ship = Annotated[bool, typer.Option("--ship", help="Send the files to the cluster's machines, by their contents, and "
                                    "what is made back; without it all machines see the folders.")]  # fmt: skip


def deprecated(option: str, instead: str) -> None:
    """Say on stderr what to write in place of a hidden option that still works; see docs/versions.md."""
    echo(f"t2av-bench: {option} is deprecated and goes with a coming version: write {instead}", err=True)


def options_of(
    model: type[BaseModel], *, first: Collection[str] = (), without: Collection[str] = (),
    complete: Mapping[str, Complete] = types.MappingProxyType({}),
) -> Callable[[Callable[..., None]], Callable[..., None]]:  # fmt: skip
    """Gives a command an option for each field of ``model``: it gets them as ``**given``, None where not given.

    The help shows them before the command's keyword-only options, ``first`` before the others. An option of names takes
    commas; that of a table is repeatable, and in the singular. What is not given is the configuration file's to say, so
    no option has a default of its own. complete: field -> what completes the word that is typed.
    """

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters.values()
        names = [name for name in dict.fromkeys([*first, *model.model_fields]) if name not in without]
        parameters = [
            *(each for each in own if each.kind is each.POSITIONAL_OR_KEYWORD),
            *(_parameter(name, model.model_fields[name], complete.get(name)) for name in names),
            *(each for each in own if each.kind is each.KEYWORD_ONLY),
        ]

        @functools.wraps(command)
        def called(**given: Any) -> None:
            command(**given)

        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        )
        return called

    return with_options


def _parameter(name: str, field: FieldInfo, complete: Complete | None) -> inspect.Parameter:
    kind: Any = field.annotation
    default, flag = field.default, f"--{name.replace('_', '-')}"
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # PATH | None
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is Annotated:  # with a rule of its own for None | tuple
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is tuple:
        kind, default = str, default and ",".join(default)
    elif typing.get_origin(kind) is dict:
        kind, default, flag = list[str], None, flag.removesuffix("s")
    help = (field.description or "") + number_range(field)
    if not (default is None or default is False or field.is_required()):
        help += f"  [default: {default:g}]" if isinstance(default, float) else f"  [default: {default}]"
    # The range is checked by the model, so that a file, Python and the command are answered with one sentence.
    option = typer.Option(flag, help=help, show_default=False, autocompletion=complete)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def number_range(field: FieldInfo) -> str:
    """Which numbers are taken, for the help."""
    bounds = {key: getattr(each, key) for each in field.metadata for key in ("ge", "gt", "le") if hasattr(each, key)}
    if "le" in bounds:
        return f"  [{bounds['ge']} to {bounds['le']}]"
    return f"  [above {bounds['gt']}]" if "gt" in bounds else f"  [from {bounds['ge']}]" if bounds.get("ge") else ""
