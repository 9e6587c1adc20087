"""``t2av-bench report`` and ``t2av-bench serve``: the page that shows runs, and a way to look at it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.utils.terminal_text import echo

USAGE_ERROR = 2


class Media(StrEnum):
    """How the clips get into a report."""

    LINK = "link"
    COPY = "copy"
    NONE = "none"


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, one column of clips each.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the report; an older report in it is replaced.",
                                      show_default=False)],
    media: Annotated[Media, typer.Option(help="Link to the clips where they lie, copy them into the report, or "
                                              "leave them out. What browsers cannot play is transcoded.")] = Media.LINK,
    real: Annotated[str | None, typer.Option(help="Run of real clips, by folder or name: it comes first and is marked "
                                                  "in tables and plots.")] = None,
    title: Annotated[str, typer.Option(help="Heading of the first page.  [default: the systems' names]")] = "",
    table: Annotated[list[str] | None, typer.Option(help="Also show this table with its published rows: paper:1 or a "
                                                         "TOML file. Repeatable.")] = None,
    plots: Annotated[bool, typer.Option(help="Draw the plots.")] = True,
    extrapolate: Annotated[bool, typer.Option(help="Also plot FID and FVD against the number of clips; takes minutes "
                                                   "for many clips.")] = False,
    study: Annotated[Path | None, typer.Option(metavar="DIR", help="Also make a blind A/B study of these runs in this "
                                               "new folder, as 'study make' does.")] = None,
) -> None:  # fmt: skip
    """Write a page with the tables, plots and a clip browser: a folder of static files, to be opened or served."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress

    from reports.page.site import build_report
    from t2av_bench.cli.console import Console, TextColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(
        TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("reading the runs", total=None)
        try:
            built = build_report(
                runs, out, media=media.value, real=real, title=title, tables=table or (), plots=plots,
                extrapolate=extrapolate,
                progress=lambda done, total, what: bar.update(
                    task, completed=done, total=total, description=f"reading {what}"[:44]
                ),
            )  # fmt: skip
        except (ValueError, OSError) as error:
            raise _stop(error) from error
    for note in built.notes:
        console.print(f"note: {note}", markup=False)
    echo(built.index)
    if study is not None:
        from reports.study.make import make_study

        try:
            made = make_study(runs, study)
        except (ValueError, OSError) as error:
            raise _stop(error) from error
        for note in made.notes:
            console.print(f"note: {note}", markup=False)
        echo(made.index)


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of a report.", show_default=False)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0: any free one.")] = 8300,
) -> None:
    """Show a report at an address of this machine (127.0.0.1 alone), until Ctrl-C."""
    from reports.page.server import Server, Site

    try:
        server = Server(Site.open(folder), port)
    except OSError as error:
        raise _stop(f"port {port} cannot be used ({error.strerror}); choose another with --port, or 0") from error
    except ValueError as error:
        raise _stop(error) from error
    with server:
        echo(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            echo("stopped", err=True)


def _stop(error: object) -> typer.Exit:
    echo(f"t2av-bench: {error}", err=True)
    return typer.Exit(USAGE_ERROR)
