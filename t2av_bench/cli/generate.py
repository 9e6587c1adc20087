"""``t2av-bench generate``: one clip from a text, a face and a voice."""

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2av_bench.utils.files import disk_trouble, json_text, said_of_files
from t2av_bench.utils.reasons import unexpected
from t2av_bench.utils.terminal_text import echo

if TYPE_CHECKING:
    from t2av_bench.systems.base import GeneratedClip, Progress, Request, System

FAILED, USAGE_ERROR = 1, 2


class TaskName(StrEnum):
    """What is made from what."""

    T2AV = "t2av"
    A2V = "a2v"
    V2A = "v2a"
    TTS = "tts"


def generate(
    text: Annotated[str, typer.Option(help="What is spoken; for a2v, what the driving audio says.")],
    out: Annotated[Path, typer.Option(help="FILE.mp4 (tts: FILE.wav); FILE.wav and FILE.json are written beside it.")],
    system: Annotated[str, typer.Option(help="The generator.")] = "talker-t2av",
    task: Annotated[TaskName, typer.Option(help="t2av: picture and sound. a2v: picture to --driving-audio. v2a: sound "
                                                "to --driving-video. tts: sound alone.")] = TaskName.T2AV,
    identity: Annotated[Path | None, typer.Option(metavar="FILE", help="Image or video of the person: a face of 100 "
                                                  "pixels or more.")] = None,
    voice: Annotated[Path | None, typer.Option(metavar="FILE", help="Audio or video with the voice: 1 s of speech or "
                                               "more, 3 to 30 s are best.")] = None,
    driving_audio: Annotated[Path | None, typer.Option(metavar="FILE", help="The speech that a2v follows.")] = None,
    driving_video: Annotated[Path | None, typer.Option(metavar="FILE", help="The film that v2a dubs.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the text (en, zh, …), for systems that need "
                                                 "it.")] = None,
    voice_text: Annotated[str | None, typer.Option(help="What --voice says, for systems that need it.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same clip.")] = 0,
    max_seconds: Annotated[float, typer.Option(help="Longest clip.")] = 30.0,
    recipe: Annotated[str | None, typer.Option(help="talker-t2av: release (as the published script samples) or paper "
                                               "(section 4.2). Default: release.")] = None,
    prefix_seconds: Annotated[float | None, typer.Option(help="talker-t2av: seconds of the reference to continue; kept "
                                                         "out of the clip. Default: 0.")] = None,
    checkpoint: Annotated[str | None, typer.Option(metavar="FILE", help="A generator of your own (safetensors); for "
                                                   "embedded systems also a name in the box.")] = None,
    dtype: Annotated[str | None, typer.Option(help="talker-t2av: float32 or bfloat16. Default: float32.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other option of the system, such "
                                                     "as temperature=0.5 or tts=embedded-espeak. Repeatable.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the clip's record as JSON.")] = False,
) -> None:  # fmt: skip
    """Make a talking clip: H.264 + AAC mp4, the lossless wav, and a JSON record of everything that led to it.

    Exit status: 0 made, 1 this request cannot become a clip (the reason is printed), 2 the command cannot be carried
    out (unknown system or option, missing weights).
    """
    from t2av_bench import systems
    from t2av_bench.errors import NotApplicable
    from t2av_bench.systems.base import GenerationFailed, Request
    from t2av_bench.utils.registry import stdout_to_stderr

    options: dict[str, Any] = {
        "recipe": recipe, "prefix_seconds": prefix_seconds, "checkpoint": _checkpoint(checkpoint), "dtype": dtype,
    }  # fmt: skip
    request = Request(
        id=out.stem, out=out, task=task.value, text=text, language=language, identity=identity, voice=voice,
        voice_text=voice_text, driving_audio=driving_audio, driving_video=driving_video, seed=seed,
        max_seconds=max_seconds,
    )  # fmt: skip
    try:
        given = {key: value for key, value in options.items() if value is not None} | _more_options(option or [])
        with stdout_to_stderr():
            # Whatever can be refused without loading gigabytes of weights is refused first.
            _refuse_early(systems.system_class(system), request)
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
        with _Bar() as bar, stdout_to_stderr():
            clip = loaded.generate(request, bar.show)
        if not request.out.is_file():
            raise GenerationFailed(f"the system reports a clip, but wrote no {request.out.name}")
    except (Exception, SystemExit) as error:
        expected = isinstance(error, GenerationFailed | NotApplicable)
        status = USAGE_ERROR if disk_trouble(error) else FAILED
        raise _stop(str(error) if expected else unexpected(error), status) from error
    _print(clip, as_json)


def _checkpoint(given: str | None) -> Path | str | None:
    """A file, or (without a suffix, and where there is no such file) a name."""
    is_name = given is not None and not Path(given).suffix and not Path(given).exists()
    return given if given is None or is_name else Path(given)


def _more_options(texts: list[str]) -> dict[str, Any]:
    """``temperature=0.5`` -> {"temperature": 0.5}; values as in TOML, bare words are strings. ValueError otherwise."""
    import tomllib

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"--option {text!r}: expected NAME=VALUE, such as temperature=0.5")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):  # no TOML, or a number of thousands of digits
            found[name.strip()] = value.strip()
    return found


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


class _Bar:
    """Progress on stderr: a bar on a terminal, a line per stage and every ten seconds elsewhere."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn
        from rich.progress import Progress as RichProgress

        from t2av_bench.cli.console import Console, TextColumn

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = RichProgress(
            TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
            TextColumn("{task.fields[facts]}"), console=self._console, transient=True,
            disable=not self._console.is_terminal,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._printed = ("", 0.0)

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: "Progress") -> None:
        factor = f", real-time factor {progress.elapsed / progress.seconds:.2f}" if progress.seconds else ""
        facts = f"{progress.seconds:.2f} s{factor}" if progress.seconds else ""
        if not self._console.is_terminal:
            stage, at = self._printed
            if progress.stage != stage or time.monotonic() - at > 10:
                self._printed = (progress.stage, time.monotonic())
                counted = f"{progress.stage}: {progress.done} of {progress.total} {progress.unit}"
                self._console.print(f"{counted}, {facts}" if facts else counted, markup=False)
            return
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bar.add_task(progress.stage, unit="", facts="")
        self._bar.update(
            self._tasks[progress.stage], completed=progress.done, total=progress.total, unit=progress.unit, facts=facts
        )
