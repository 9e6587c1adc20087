"""``t2av-bench generate``: one clip from a text, a face and a voice."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from t2av_bench.cli.complete import system_ids
from t2av_bench.cli.errors import FAILED, USAGE_ERROR
from t2av_bench.cli.options import Device, deprecated
from t2av_bench.utils.files import disk_trouble, json_text, said_of_files
from t2av_bench.utils.progress import Step
from t2av_bench.utils.reasons import unexpected
from t2av_bench.utils.terminal_text import echo

if TYPE_CHECKING:
    from t2av_bench.systems.base import GeneratedClip, Progress, Request, System


def generate(
    text: Annotated[str, typer.Option(help="What is spoken; for a2v, what the driving audio says.")],
    out: Annotated[Path, typer.Option(help="FILE.mp4 (tts: FILE.wav); FILE.wav and FILE.json are written beside it.")],
    system: Annotated[str, typer.Option(help="The generator.", autocompletion=system_ids)] = "talker-t2av",
    task: Annotated[Literal["t2av", "a2v", "v2a", "tts"], typer.Option(help="t2av: picture and sound. a2v: picture to "
                    "--driving-audio. v2a: sound to --driving-video. tts: sound alone.")] = "t2av",
    identity: Annotated[Path | None, typer.Option(metavar="FILE", help="Image or video of the person: a face of 100 "
                                                  "pixels or more.")] = None,
    voice: Annotated[Path | None, typer.Option(metavar="FILE", help="Audio or video with the voice: 1 s of speech or "
                                               "more, 3 to 30 s are best.")] = None,
    driving_audio: Annotated[Path | None, typer.Option(metavar="FILE", help="The speech that a2v follows.")] = None,
    driving_video: Annotated[Path | None, typer.Option(metavar="FILE", help="The video that v2a dubs.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the text (en, zh, …), for systems that need "
                                                 "it.")] = None,
    voice_text: Annotated[str | None, typer.Option(help="What --voice says, for systems that need it.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same clip.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="How long the clip is to be, for systems that follow a length. "
                                                  "Default: t2av: estimated from the text.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Longest clip. Default: 30, with --long 600.")] = None,
    long: Annotated[bool, typer.Option("--long", help="talker-t2av and its embedded form: speak a long text in "
                                       "passages of whole sentences, each continuing the one before, joined into one "
                                       "clip.")] = False,
    recipe: Annotated[str | None, typer.Option(help="talker-t2av: paper (section 4.2), release (the published "
                                               "script) or release_script (to the letter). Default: paper.")] = None,
    prefix_seconds: Annotated[float | None, typer.Option(help="talker-t2av: seconds of the reference to continue; kept "
                                                         "out of the clip. Default: 0.")] = None,
    checkpoint: Annotated[str | None, typer.Option(metavar="FILE", help="A generator of your own (safetensors); for "
                                                   "embedded systems also a bundled model's name.")] = None,
    precision: Annotated[str | None, typer.Option(help="talker-t2av: float32, bfloat16 or release (a bfloat16 backbone "
                                                  "beside float32 heads). Default: float32.")] = None,
    dtype: Annotated[str | None, typer.Option(hidden=True, help="Earlier name of --precision.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other option of the system, such "
                                                     "as temperature=0.5 or tts=embedded-espeak. Repeatable.")] = None,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the clip's record as JSON.")] = False,
) -> None:  # fmt: skip
    """Make a talking clip: H.264 + AAC mp4, the lossless wav, and a JSON record of everything that led to it.

    Exit status: 0 made, 1 this request cannot become a clip (the reason is printed), 2 the command cannot be carried
    out (unknown system or option, missing weights).
    """
    from t2av_bench import systems
    from t2av_bench.cli.progress import Display
    from t2av_bench.errors import NotApplicable
    from t2av_bench.generation.lengths import estimated_seconds, policy
    from t2av_bench.systems.base import GenerationFailed, Request
    from t2av_bench.utils.config import assignment
    from t2av_bench.utils.registry import stdout_to_stderr

    if dtype is not None:
        deprecated("--dtype", "--precision")
    options: dict[str, Any] = {
        "recipe": recipe, "prefix_seconds": prefix_seconds, "checkpoint": _checkpoint(checkpoint), "dtype": dtype,
        "precision": precision, "long": long or None,
    }  # fmt: skip
    request = Request(
        id=out.stem, out=out, task=task, text=text, language=language, identity=identity, voice=voice,
        voice_text=voice_text, driving_audio=driving_audio, driving_video=driving_video, seed=seed,
        target_seconds=seconds, max_seconds=max_seconds if max_seconds is not None else 600.0 if long else 30.0,
    )  # fmt: skip
    try:
        given = {key: value for key, value in options.items() if value is not None}
        given |= [assignment(text, "--option", "NAME=VALUE, such as temperature=0.5") for text in option or ()]
        with stdout_to_stderr():
            # Whatever can be refused without loading gigabytes of weights is refused first.
            kind = systems.system_class(system)
            _refuse_early(kind, request)
            if seconds is not None and policy("estimate", task, kind) == "native":
                echo(f"note: --seconds has no effect: {system} does not follow a length for {task}", err=True)
            elif seconds is None and policy(None, task, kind) == "estimate":
                request = replace(request, target_seconds=estimated_seconds(text, language))
            loaded = systems.load(system, device=device, **given)
    except GenerationFailed as reason:
        raise _stop(reason, FAILED) from reason
    except (NotApplicable, ValueError) as error:
        raise _stop(error, USAGE_ERROR) from error
    except OSError as error:
        raise _stop(said_of_files(error), USAGE_ERROR) from error
    except (Exception, SystemExit) as error:  # a plug-in's defect
        raise _stop(f"{system} cannot be loaded: {unexpected(error)}", USAGE_ERROR) from error
    try:
        with Display() as display, stdout_to_stderr():
            clip = loaded.generate(request, lambda progress: display.step(_step(progress)))
        if not request.out.is_file():
            raise GenerationFailed(f"the system reports a clip, but wrote no {request.out.name}")
    except (Exception, SystemExit) as error:
        expected = isinstance(error, GenerationFailed | NotApplicable)
        status = USAGE_ERROR if disk_trouble(error) else FAILED
        raise _stop(str(error) if expected else unexpected(error), status) from error
    finally:
        with suppress(Exception), stdout_to_stderr():
            loaded.close()
    _print(clip, as_json)


def _checkpoint(given: str | None) -> Path | str | None:
    """A file, or (without a suffix, and where there is no such file) a name."""
    is_name = given is not None and not Path(given).suffix and not Path(given).exists()
    return given if given is None or is_name else Path(given)


def _refuse_early(kind: "type[System]", request: "Request") -> None:
    from t2av_bench.errors import Unscorable
    from t2av_bench.media.probe import check_file
    from t2av_bench.systems.base import GenerationFailed
    from t2av_bench.systems.output import names_of

    kind.check(request)
    names_of(request)
    for path in request.inputs:
        try:
            check_file(path)
        except Unscorable as reason:
            raise GenerationFailed(str(reason)) from reason


def _step(progress: "Progress") -> Step:
    factor = f", real-time factor {progress.elapsed / progress.seconds:.2f}" if progress.seconds else ""
    text = f"{progress.seconds:.2f} s{factor}" if progress.seconds else ""
    return Step(progress.stage, progress.done, progress.total, progress.unit, text)


def _print(clip: "GeneratedClip", as_json: bool) -> None:
    for note in clip.notes:
        echo(f"note: {note}", err=True)
    if as_json:
        shown = clip.details | {"video": clip.video and str(clip.video), "audio": str(clip.audio)}
        echo(json_text(shown, indent=1))
        return
    typer.echo(os.fsencode(clip.video or clip.audio))
    echo(
        f"{clip.seconds:.2f} s, {clip.frame_count} frames, ended by {clip.stop_reason}, real-time factor "
        f"{clip.real_time_factor:.2f}; beside it {clip.audio.name} and {clip.record.name}", err=True,
    )  # fmt: skip


def _stop(error: Exception | str, status: int) -> typer.Exit:
    echo(f"t2av-bench: {error}", err=True)
    return typer.Exit(status)
