"""``t2av-bench train``: make the embedded benchmark's models again, or others of the kind."""

from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.utils.terminal_text import echo

train_app = typer.Typer(name="train", help="Train the embedded benchmark's models.", no_args_is_help=True)


@train_app.command()
def embedded(
    names: Annotated[list[str], typer.Argument(
        help="Models, such as talker_t2av-seed0, dual_branch-seed1, motion_encoder; 'all' is every bundled one.",
        show_default=False,
    )],
    out: Annotated[Path, typer.Option(help="Folder of the runs, one below it for each model; the same command "
                                           "continues.")] = Path("training-runs"),
    updates: Annotated[int | None, typer.Option(min=1, help="Updates.  [default: those of the packaged model]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that prepare the clips.  [default: cores]")
    ] = None,
    install: Annotated[bool, typer.Option(help="Put the results into this installation's box, where the embedded "
                                               "systems and metrics find them.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress on stderr.")] = False,
) -> None:  # fmt: skip
    """Train on GridFace's training split, on a CPU; prints each model's file.

    The clips' latents are made first, once for all models (about 5 minutes on 2 cores). Exit status: 0 done, 1 stopped
    by a signal with a checkpoint, 2 the command cannot be carried out.
    """
    from reference_model.training.loop import TrainingError
    from t2av_bench.gridface.training.recipes import chosen, make

    with usage_errors():
        for name in chosen(names):
            try:
                made = make(name, out, updates=updates, workers=workers, install=install, quiet=quiet)
            except TrainingError as error:
                raise ValueError(str(error)) from error
            if made is None:
                echo(f"stopped; the same command continues in {out}", err=True)
                raise typer.Exit(FAILED)
            echo(made)
