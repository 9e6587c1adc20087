"""``t2av-bench report`` and ``t2av-bench serve``: the page that shows runs, and a way to look at it."""

import contextlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.errors import ItemError
from t2av_bench.utils.optional import lacking, require_all
from t2av_bench.utils.terminal_text import echo


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, one column of clips each.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the report; an older report in it is replaced.",
                                      show_default=False)],
    media: Annotated[Literal["link", "copy", "none"], typer.Option(
        help="Link to the clips where they lie, copy them into the report, or leave them out. What browsers cannot "
             "play is transcoded."
    )] = "link",
    real: Annotated[str | None, typer.Option(help="Run of real clips, by folder or name: it comes first and is marked "
                                                  "in tables and plots.")] = None,
    title: Annotated[str, typer.Option(help="Heading of the first page.  [default: the systems' names]")] = "",
    table: Annotated[list[str] | None, typer.Option(help="Also show this table with its published rows: paper:1 or a "
                                                         "TOML file. Repeatable.")] = None,
    by: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Also a table of the groups of items by this key: "
                                                 "language, tags, any key of your manifest. Repeatable.")] = None,
    plots: Annotated[bool, typer.Option(help="Draw the plots.")] = True,
    extrapolate: Annotated[bool, typer.Option(help="Also plot FID and FVD against the number of clips; takes minutes "
                                                   "for many clips.")] = False,
    study: Annotated[Path | None, typer.Option(metavar="DIR", help="Also make a blind A/B study of these runs in this "
                                               "new folder, as 'study make' does.")] = None,
) -> None:  # fmt: skip
    """Write a page with the tables, plots and a clip browser: a folder of static files, to be opened or served."""
    from reports.page.site import build_report
    from reports.study.make import make_study
    from t2av_bench.cli.output import phase
    from t2av_bench.cli.progress import Display

    with usage_errors(), Display() as display:
        if plots and (absent := lacking("page", "matplotlib")):
            display.notice(f"no plots are drawn: {absent}")
        built = build_report(
            runs, out, media=media, real=real, title=title, tables=table or (), by=by or (), plots=plots,
            extrapolate=extrapolate, progress=phase(display, "reading", "items"),
        )  # fmt: skip
        for note in built.notes:
            display.notice(note)
        echo(built.index)
        if study is not None:
            made = make_study(runs, study, progress=phase(display, "preparing", "clips"))
            for note in made.notes:
                display.notice(note)
            echo(made.index)


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of a report.", show_default=False)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0: any free one.")] = 8300,
) -> None:
    """Show a report at an address of this machine (127.0.0.1 alone), until Ctrl-C."""
    with usage_errors():
        require_all("page", "starlette", "uvicorn")
        from reports.page.server import Server, Site

        site = Site.open(folder)
        try:
            server = Server(site, port)
        except OSError as error:
            raise ItemError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port, or 0"
            ) from error
    echo(server.url)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    echo("stopped", err=True)
