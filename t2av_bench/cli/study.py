"""``t2av-bench study``: a blind comparison by people, and the scores that it gives."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.utils.terminal_text import echo

study_app = typer.Typer(name="study", help="Ask people: a blind A/B page, and scores from their answers.",
                        no_args_is_help=True)  # fmt: skip


@study_app.command("make")
def make(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of the systems to compare.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New folder: OUT/page is to be published, OUT/key.json to be kept.",
                                      show_default=False)],
    question: Annotated[Literal["overall", "lip-sync", "speech"], typer.Option(help="What to ask.")] = "overall",
    text: Annotated[str, typer.Option(help="Other words for the question.")] = "",
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Which clip is better?",
    trials: Annotated[int, typer.Option(min=1, help="Comparisons for each participant.")] = 20,
    checks: Annotated[int, typer.Option(min=0, help="Attention checks for each participant.")] = 2,
    ties: Annotated[bool, typer.Option("--ties/--no-ties", help="Offer 'No difference' as an answer.")] = True,
    items: Annotated[int | None, typer.Option(min=1, help="Use at most so many items, chosen at random.")] = None,
) -> None:  # fmt: skip
    """Write a blind A/B page of static files. It sends nothing: participants hand in the file they download."""
    from reports.study.make import make_study
    from t2av_bench.cli.output import phase
    from t2av_bench.cli.progress import Display

    with usage_errors(), Display() as display:
        made = make_study(
            runs, out, question=question, text=text, title=title, trials=trials, checks=checks, ties=ties,
            items=items, progress=phase(display, "preparing", "clips"),
        )  # fmt: skip
        for note in made.notes:
            display.notice(note)
        display.notice(f"publish {made.index.parent} alone, and keep {made.key}: it says what is what")
    echo(made.index)


@study_app.command("merge")
def merge(
    answers: Annotated[list[Path], typer.Argument(help="Participants' files, or folders of them.", show_default=False)],
    key: Annotated[Path | None, typer.Option(help="The study's key.json.  [default: the one beside or above the first "
                                                  "file of answers, or the one here]")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write everything as JSON here.")] = None,
    failed_checks: Annotated[int, typer.Option(min=0, help="Attention checks a participant may fail and count.")] = 0,
) -> None:  # fmt: skip
    """Print Bradley-Terry scores and pairwise win rates with intervals, as Markdown.

    Exit status: 0 all well, 1 the answers do not determine scores (the reason is printed), 2 nothing to merge.
    """
    from reports.study.answers import find_key
    from reports.study.merge import markdown
    from reports.study.merge import merge as merge_answers
    from t2av_bench.utils.files import write_text

    with usage_errors():
        document = merge_answers(answers, key or find_key(answers[0]), failed_checks=failed_checks)
        if out is not None:
            write_text(out, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for file, reason in document["refused"].items():
        echo(f"refused: {file}: {reason}", err=True)
    echo(markdown(document), nl=False)
    if document["scores"] is None:
        raise typer.Exit(FAILED)
