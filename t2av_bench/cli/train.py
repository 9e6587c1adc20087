"""``t2av-bench train``: clips become training data, and the models of the package are made again."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.cli.options import Device, Memory, Timeout, Workers
from t2av_bench.utils.optional import require_all
from t2av_bench.utils.terminal_text import echo

train_app = typer.Typer(
    name="train", help="Prepare clips for training, and train the models of the package.", no_args_is_help=True
)


@train_app.command()
def prepare(
    clips: Annotated[Path, typer.Argument(help="A folder of clips with a .txt of the same name beside each, a manifest "
                                               "(.jsonl), or a table (.csv) such as Talker-T2AV-Data's.")],
    codec: Annotated[str, typer.Option(help="What they are encoded with: 'release' (WhisperX-VAE, LIA-X, WavLM, Qwen3) "
                                            "or 'gridface' (the embedded benchmark's).")],
    out: Annotated[Path, typer.Option(help="Folder of the shards; the same command continues.")],
    media: Annotated[Path | None, typer.Option(metavar="FOLDER", help="What a list's file names are relative to.  "
                                               "[default: the list's folder]", show_default=False)] = None,
    split: Annotated[str | None, typer.Option(help="Of a table, the rows of this split alone.")] = None,
    voice: Annotated[Literal["own", "other"], typer.Option(help="Whose voice the speaker embedding is of: the clip's "
        "own, as in the release's training, or another clip of the same speaker.")] = "own",
    difference: Annotated[int, typer.Option(min=0, help="Frames (of 0.04 s) by which sound and motion may differ; both "
                                                        "are cut to the shorter one.")] = 5,
    max_tokens: Annotated[int, typer.Option(min=2, help="Longest sequence of training: longer texts are left "
                                                        "out.")] = 1000,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Stored latents; float16 takes half the "
                                                                      "space.")] = "float32",
    device: Device = "cpu",
    workers: Workers = None,
    timeout: Timeout = 1800.0,
    memory: Memory = None,
    max_left_out: Annotated[int, typer.Option(min=0, help="Clips that may be left out before the exit status is "
                                                          "1.")] = 0,
) -> None:  # fmt: skip
    """Turn clips with their texts into latents that 'python -m reference_model.train' trains on.

    Every clip becomes a sample, or has its reason in left_out.jsonl. Prints the folder of the shards.

    Exit status: 0 all well; 1 more clips were left out than --max-left-out allows (the shards are whole all the same);
    2 the command cannot be carried out (missing weights, no usable clip, a folder of other settings).
    """
    from t2av_bench.cli.output import show_left_out
    from t2av_bench.cli.progress import Display
    from t2av_bench.preparation.prepare import prepare
    from t2av_bench.utils.registry import stdout_to_stderr

    display = Display()
    with usage_errors(), display, stdout_to_stderr():
        done = prepare(
            clips, codec, out, media=media, split=split, voice=voice, device=device, dtype=dtype, difference=difference,
            max_tokens=max_tokens, workers=workers, timeout=timeout, memory=memory, on_step=display.step,
            notice=display.notice,
        )  # fmt: skip
    echo(done.folder)
    show_left_out(display.console, done.left_out)
    whose = "the clip's own voice" if voice == "own" else "another clip of the speaker"
    display.note(
        f"prepared {done.prepared} of {done.total} clips (speaker embeddings of {whose}), left out "
        f"{len(done.left_out)}" + (f": reasons in {done.folder / 'left_out.jsonl'}" if done.left_out else "")
    )
    raise typer.Exit(FAILED if len(done.left_out) > max_left_out else 0)


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
    with usage_errors():
        require_all("demo,train", "PIL", "accelerate", "cv2", "espeakng_loader", "pyworld", "torch", "transformers")
        from reference_model.training.loop import TrainingError
        from t2av_bench.gridface.training.recipes import chosen, make

        for name in chosen(names):
            try:
                made = make(name, out, updates=updates, workers=workers, install=install, quiet=quiet)
            except TrainingError as error:
                raise ValueError(str(error)) from error
            if made is None:
                echo(f"stopped; the same command continues in {out}", err=True)
                raise typer.Exit(FAILED)
            echo(made)


@train_app.command("sync-mesh")
def sync_mesh(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="A clone of congwei1230/MoChaBench, or a git directory "
                                                              "of it.")],
    out: Annotated[Path, typer.Option(help="Folder of the networks and of the clips' features; the same command "
                                           "continues.")],
    seed: Annotated[list[int] | None, typer.Option(help="Train with this seed; several make one network of all.  "
                                                        "[default: 0, 1, 2]", show_default=False)] = None,
    updates: Annotated[int | None, typer.Option(min=1, help="Updates of each seed.  [default: those of the packaged "
                                                            "network]")] = None,
    evaluate: Annotated[Literal["dev", "test"] | None, typer.Option(help="Afterwards print how good it is: 'dev' "
        "trains on two thirds of the training clips, with the first seed, and looks at the other, three times; 'test' "
        "looks at the test clips, which is logged in the package.")] = None,
    clips: Annotated[Path | None, typer.Option(metavar="FOLDER", exists=True, file_okay=False, help="Afterwards print "
        "how good it is on the clips of this folder, which is logged in --out.")] = None,
    install: Annotated[bool, typer.Option(help="Put the network into this installation, where sync/mesh finds "
                                               "it.")] = False,
) -> None:  # fmt: skip
    """Train the lip-sync network of sync/mesh on a CPU, by clips whose digests are in the package.

    Clips of the test split and of the human panel are never trained on. Prints the network's file, and the numbers that
    were asked for as JSON: value, low and high end of the interval over persons. Exit status: 0 done, 2 the command
    cannot be carried out (missing weights, a clip that is another file).
    """
    import json

    from t2av_bench.cli.progress import Display
    from t2av_bench.mesh_sync import recipe
    from t2av_bench.results.features import FeatureStore

    display = Display()
    cache = FeatureStore(out / "features")
    seeds, count = seed or recipe.SEEDS, updates or recipe.UPDATES
    with usage_errors(), display:
        require_all("sync", "cv2", "onnxruntime", "python_speech_features", "scenedetect", "torch")
        made = recipe.make(
            data, out, cache, seeds=seeds, updates=count, install=install, on_step=display.step,
            notice=display.notice,
        )  # fmt: skip
        echo(made)
        if evaluate == "dev":
            found = recipe.cross_validate(
                data, cache, seed=seeds[0], updates=count, on_step=display.step, notice=display.notice
            )
            echo(json.dumps(found, indent=1))
        elif evaluate == "test":
            looked = recipe.evaluate(data, made, cache, evaluate, on_step=display.step, notice=display.notice)
            echo(json.dumps(looked, indent=1))
        if clips is not None:
            echo(json.dumps(recipe.evaluate_folder(clips, made, cache, display.notice), indent=1))
