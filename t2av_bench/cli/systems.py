"""``t2av-bench systems``: what other people's systems honour, how to set them up, and whether they work.

Exit status of ``doctor`` and ``check``: 0 all is well, 1 something differs or failed, 2 it cannot be carried out.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.utils.checks import Step, documents, failed
from t2av_bench.utils.files import json_text
from t2av_bench.utils.terminal_text import echo

if TYPE_CHECKING:
    from t2av_bench.systems.base import System
    from t2av_bench.systems.external.spec import Spec

systems_app = typer.Typer(
    name="systems", help="Other people's systems: what they honour, how to set them up, whether they work.",
    no_args_is_help=True,
)  # fmt: skip


def _ids(typed: str) -> list[str]:
    from t2av_bench.systems.external.spec import spec_ids

    return [id for id in spec_ids() if id.startswith(typed)]


_Id = Annotated[str, typer.Argument(metavar="ID", help="'systems show' lists them.", autocompletion=_ids)]
_SomeId = Annotated[str | None, typer.Argument(metavar="[ID]", help="One system; all without it.", autocompletion=_ids)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Python = Annotated[Path | None, typer.Option(metavar="FILE", help="Its interpreter, before that of systems.toml.")]
_Checkout = Annotated[Path | None, typer.Option(metavar="DIR", help="Its repository, likewise.")]
_Weights = Annotated[Path | None, typer.Option(metavar="DIR", help="Its weights, likewise.")]


@systems_app.command()
def show(id: _SomeId = None, as_json: _Json = False) -> None:
    """Show what a system honours of an item, what reaches it only in words and what it ignores; format, seed, licences,
    weights, environment, traps, and whether anybody has run it with its weights. Without an id: all of them, in short.
    """
    with usage_errors():
        chosen = [_spec(id)] if id else list(_specs())
    if as_json:
        rows = [each.model_dump(mode="json", exclude={"harvest", "uses"}) | {"status": _status(each)}
                for each in chosen]  # fmt: skip
        echo(json_text(rows, indent=1))
    elif id:
        _print_rows(_described(chosen[0]))
    else:
        _print_table(chosen)


@systems_app.command()
def recipe(
    id: _Id,
    kind: Annotated[Literal["uv", "conda", "docker"], typer.Option(help="What the recipe is for.")] = "uv",
) -> None:
    """Print how to set a system up: shell commands, or a Dockerfile. Nothing is installed: read it, then run it."""
    from t2av_bench.systems.external import recipe as recipes

    with usage_errors():
        echo(recipes.recipe(_spec(id), kind), nl=False)


@systems_app.command()
def harvest(
    id: _Id,
    checkout: Annotated[Path, typer.Argument(metavar="CHECKOUT", help="The repository, at the commit to be pinned.")],
) -> None:
    """Print signatures and options of what a system's shim uses, as TOML for its specification or ID.harvest.toml.

    The sources are read, never run. What the shim passes and they lack is said on the side; exit status 1 then.
    """
    from t2av_bench.systems.external import harvest as harvests
    from t2av_bench.systems.external.doctor import commit_of

    with usage_errors():
        spec = _spec(id)
        if not spec.uses:
            raise ValueError(f"{id}: its specification names nothing under 'uses' to look for")
        if not checkout.is_dir():
            raise ValueError(f"CHECKOUT is a folder, got {checkout}")
        facts = harvests.harvest(checkout, spec)
        commit, changed = commit_of(checkout)
        # Compared with what the shim passes alone: the facts are those of this checkout.
        lacking = harvests.difference(spec.model_copy(update={"harvest": tuple(facts)}), checkout)
    source = (
        f"{spec.repository} at {commit}{', with changes' if changed else ''}" if commit else checkout.resolve().name
    )
    echo(f"# Harvested from {source}: names, types and defaults alone.\n")
    echo(harvests.as_toml(facts), nl=False)
    for each in lacking:
        echo(each, err=True)
    raise typer.Exit(FAILED if lacking else 0)


@systems_app.command()
def doctor(
    id: _SomeId = None, python: _Python = None, checkout: _Checkout = None, weights: _Weights = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Compare a system's interpreter, packages, GPU, programs, checkout and weights with its specification.

    Each line is a value, or a reason and what to type next. Without an id: every system that systems.toml names.
    """
    from t2av_bench.systems.external import doctor as doctors

    given = _places(python, checkout, weights)
    with usage_errors():
        if id is None and given:
            raise ValueError("--python, --checkout and --weights belong to one system: give its ID")
        named = [_spec(id)] if id else []
        from t2av_bench.systems.external.settings import configured, settings_file

        chosen = named or [each for each in _specs() if configured(each.id)]
        if not chosen:
            raise ValueError(
                f"{settings_file()} names no system; t2av-bench systems recipe ID says what to write there"
            )
        found = {each.id: doctors.doctor(each, given) for each in chosen}
    if as_json:
        echo(json_text({id: [each.as_dict() for each in findings] for id, findings in found.items()}, indent=1))
    else:
        for name, findings in found.items():
            echo(f"{name} ({settings_file()})")
            for each in findings:
                _print_step(each.name, each.status, each.words, each.remedy)
    raise typer.Exit(FAILED if any(map(doctors.failed, found.values())) else 0)


@systems_app.command()
def check(
    id: _Id,
    python: _Python = None, checkout: _Checkout = None, weights: _Weights = None,
    fake: Annotated[Path | None, typer.Option(
        metavar="DIR", help="A tree that only looks like the checkout; it runs in this program's interpreter.")] = None,
    attest: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write what was found as JSON, if all is well: from then on the system counts as run.",
    )] = None,
    identity: Annotated[Path | None, typer.Option(
        metavar="FILE", help="A picture of a face. Default: a drawn one, which some detectors do not see.")] = None,
    voice: Annotated[Path | None, typer.Option(metavar="FILE", help="A voice. Default: a synthetic one.")] = None,
    option: Annotated[list[str] | None, typer.Option(
        metavar="NAME=VALUE", help="An option of the system. Repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the clips here.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N. Default: cuda, with --fake cpu.")] = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Run a system on items of two seconds: is it what its specification says?

    Checkout and doctor; start; an item for each task, with its length and format; the same item again, another seed; a
    picture without a face; its process killed in the middle; and what it cannot honour.
    """
    from t2av_bench.systems import system_class
    from t2av_bench.utils.config import assignment
    from t2av_bench.utils.registry import stdout_to_stderr

    given = _places(python, checkout, weights)
    with tempfile.TemporaryDirectory(prefix="t2av-bench-") as temporary, usage_errors():
        spec = _spec(id)
        if spec.carrier == "folder" and (fake or given or attest):
            raise ValueError(f"{id} is a folder of clips that somebody made: there is nothing to run or to attest")
        if fake and (given or attest):
            raise ValueError("--fake stands for interpreter, checkout and weights, and attests nothing")
        if fake and not fake.is_dir():
            raise ValueError(f"--fake names a folder, got {fake}")
        system_class(id)
        options = dict(assignment(text, "--option", "NAME=VALUE, such as steps=20") for text in option or ())
        if fake:
            checkout = shutil.copytree(fake, Path(temporary) / "checkout")
            weights = _with_placeholders(fake, Path(temporary) / "weights")  # elsewhere, as a user's may be
            given = {"python": Path(sys.executable), "checkout": checkout, "weights": weights}
        folder = out or Path(temporary) / "clips"
        folder.mkdir(parents=True, exist_ok=True)
        results: list[Step] = []
        with stdout_to_stderr():
            for step in _steps(spec, given, options, bool(fake), device, identity, voice, folder):
                results.append(step)
                _print_step(*step, err=True)
    bad = failed(results)
    if as_json:
        echo(json_text(documents(results), indent=1))
    if attest:
        with usage_errors():
            _attest(attest, spec, given, results)
            echo(f"attested: {attest}", err=True)
    well = "all is well" if any(status == "ok" for _, status, _ in results) else "nothing could be checked"
    echo(f"{id}: {f'{len(bad)} failed: ' + ', '.join(bad) if bad else well}", err=True)
    raise typer.Exit(FAILED if bad else 0)


def _steps(
    spec: "Spec", given: dict[str, Any], options: dict[str, Any], fake: bool, device: str | None,
    identity: Path | None, voice: Path | None, folder: Path,
) -> Iterator[Step]:  # fmt: skip
    from t2av_bench.cli.short_item import short_item
    from t2av_bench.systems.external.check import check as run
    from t2av_bench.systems.external.check import examined, static

    if spec.carrier == "folder":
        from t2av_bench.systems.external.folder_check import checked

        yield from checked(spec, options)
        return
    yield from static(spec, _settings(spec, given))
    if fake:
        yield "doctor", "skipped", "a fake tree needs no packages and no weights"
        # It draws small pictures: what a shim passes and finds again is what it is for.
        native = spec.native.model_copy(update={"width": None, "height": None})
        spec = spec.model_copy(update={"native": native})
    else:
        yield from examined(spec, given)
    where = device or ("cpu" if fake else "cuda")
    inputs = short_item(folder, identity, voice)
    yield from run(spec, lambda: _loaded(spec, where, {**given, **options}), inputs, folder, process=_process)


def _with_placeholders(fake: Path, target: Path) -> Path:
    """A copy of a fake tree, with an empty file (or folder: ``NAME/``) for each line of its ``placeholders.txt``."""
    shutil.copytree(fake, target)
    listed = target / "placeholders.txt"
    for line in listed.read_text(encoding="utf-8").split() if listed.is_file() else ():
        place = target / line
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(exist_ok=True) if line.endswith("/") else place.touch()
    return target


def _specs() -> "Iterator[Spec]":
    from t2av_bench.systems.external.spec import spec, spec_ids

    return map(spec, spec_ids())


def _spec(id: str) -> "Spec":
    from t2av_bench.systems.external.spec import spec, spec_ids
    from t2av_bench.utils.config import near

    if id not in spec_ids():
        raise ValueError(f"{id!r} is no system of other people's{near(id, spec_ids())}")
    return spec(id)


def _status(spec: "Spec") -> str:
    from t2av_bench.systems.external import attestations
    from t2av_bench.systems.external.spec import digests

    if spec.carrier == "folder":
        return "its clips are made elsewhere"
    return attestations.status(spec.id, digests(spec.id))


def _places(python: Path | None, checkout: Path | None, weights: Path | None) -> dict[str, Any]:
    given = {"python": python, "checkout": checkout, "weights": weights}
    return {name: path.absolute() for name, path in given.items() if path}


def _settings(spec: "Spec", given: dict[str, Any]) -> Path | None:
    """Where the checkout is."""
    from t2av_bench.systems.external.settings import settings

    return settings(spec.id, **given).checkout if spec.carrier == "worker" else None


def _loaded(spec: "Spec", device: str, options: dict[str, Any]) -> "System":
    from t2av_bench import systems

    return systems.load(spec.id, device=device, **{
        name: str(value) if isinstance(value, Path) else value for name, value in options.items()
    })  # fmt: skip


def _process(system: "System") -> int | None:
    """The id of the process that a system generates in, if it has one of its own."""
    return getattr(system, "pid", None)


def _attest(file: Path, spec: "Spec", given: dict[str, Any], results: list[Step]) -> None:
    import datetime

    from t2av_bench.systems.external import attestations
    from t2av_bench.systems.external.spec import digests
    from t2av_bench.version import __version__

    attestations.write(file, {
        "id": spec.id, "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "t2av_bench": __version__, **digests(spec.id), "commit": spec.commit,
        "results": documents(results),
    })  # fmt: skip


def _described(spec: "Spec") -> Iterator[tuple[str, Iterable[str]]]:
    fields = {
        "honoured": "yes", "only in words of the prompt": "words", "ignored": "ignored", "no such input": "none",
    }  # fmt: skip
    native, needs = spec.native, spec.environment
    picture = f"{native.width}x{native.height} " if native.width else ""
    yield spec.id, [f"{spec.title}: {_status(spec)}"]
    yield "paper", [spec.paper]
    yield "carrier", [{"worker": "a process of its own interpreter", "lib": "a library of this program",
                       "folder": "finished clips: options clips, names, rule, edits"}[spec.carrier]]  # fmt: skip
    yield "repository", [f"{spec.repository}{f' at {spec.commit}' if spec.commit else ''}"] if spec.repository else []
    yield "tasks", [f"{task}: needs {', '.join(names) or 'nothing of the item'}" for task, names in spec.tasks.items()]
    for heading, kind in fields.items():
        yield heading, [", ".join(name for name, what in spec.honours.items() if what == kind)]
    if spec.carrier != "folder":
        yield "native format", [f"{picture}at {native.frame_rate}/s, {native.audio_rate} Hz"]
    yield "length", [native.length]
    yield "seed", [{"full": "full: the same seed gives the same clip", "run": "run: one for the whole list",
                    "global": "global: it seeds the process", "none": "none"}[spec.seed_support]]  # fmt: skip
    yield "licence", [spec.licence, *spec.licences]
    yield "weights", [f"{each.path}: {each.role}{f', from {each.source}' if each.source else ''}"
                      for each in spec.weights]  # fmt: skip
    if spec.carrier != "folder":
        yield "environment", [f"Python {needs.python}", *needs.torch, *needs.packages,
                          *(f"-r {file}" for file in needs.requirements), *needs.after,
                          *(f"program {name}" for name in needs.programs),
                          *([f"pip install 't2av-bench[{needs.extra}]'"] if needs.extra else [])]  # fmt: skip
    yield "options", [f"{name} = {'(needed)' if each.required else repr(each.default)}  {each.help}"
                      for name, each in spec.options.items()]  # fmt: skip
    yield "notes", spec.notes


def _print_rows(rows: Iterable[tuple[str, Iterable[str]]]) -> None:
    shown = [(heading, lines) for heading, given in rows if (lines := [line for line in given if line])]
    width = max(len(heading) for heading, _ in shown)
    for heading, lines in shown:
        for number, line in enumerate(lines):
            echo(f"{heading if not number else '':<{width}}  {line}")


def _print_table(specs: "Iterable[Spec]") -> None:
    from rich.table import Table

    from t2av_bench.cli.console import Console

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("system", "carrier", "tasks", "seed", "licence", "state"):
        shown.add_column(heading, overflow="fold")
    for each in specs:
        shown.add_row(each.id, each.carrier, " ".join(each.tasks), each.seed_support, each.licence, _status(each))
    Console().print(shown)


def _print_step(name: str, status: str, words: str, remedy: str = "", err: bool = False) -> None:
    echo(f"  {status:<7}  {name}: {words}{f'; next: {remedy}' if remedy else ''}", err=err)
