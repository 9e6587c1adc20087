"""Whether an adapter does what its specification says, step by step: with the user's weights, or on a fake tree.

What one step finds, the next ones stand upon: see
``check`` for their order. Nothing here knows a system; inputs come from whoever asks.
"""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request, System, Task
from t2av_bench.systems.external.doctor import checkout_findings, doctor
from t2av_bench.systems.external.spec import FRAMES_OFF, Spec
from t2av_bench.utils.checks import Step
from t2av_bench.utils.reasons import unexpected

SECONDS = 2.0
"""Length of the items."""
_SEEDS = (11, 12)
_SOON = 5.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a short item is made of: files of ``SECONDS`` (voice: longer is fine), and a picture without a face."""

    text: str
    language: str
    identity: Path
    faceless: Path
    voice: Path
    voice_text: str
    driving_audio: Path
    driving_video: Path


@dataclass(frozen=True, slots=True)
class Made:
    """A clip, what its contents are (digest of pictures and sound), and how long it took."""

    request: Request
    clip: GeneratedClip
    digest: str
    seconds: float


def request_for(spec: Spec, task: Task, inputs: Inputs, out: Path, seed: int = _SEEDS[0]) -> Request:
    """The short item of a task: every input that the system has, not only what it needs."""
    has = {name for name, what in spec.honours.items() if what in ("yes", "words")} | set(spec.tasks[task])
    files: dict[str, Any] = {
        name: getattr(inputs, name)
        for name in ("identity", "voice", "voice_text", "driving_audio", "driving_video") if name in has
    }  # fmt: skip
    # Half of the clip is given in a2v and v2a, and in these alone.
    own = {"a2v": "driving_audio", "v2a": "driving_video"}.get(task)
    for name in ("driving_audio", "driving_video"):
        if name != own and name not in spec.tasks[task]:
            files.pop(name, None)
    if task in ("v2a", "tts") and "identity" not in spec.tasks[task]:
        files.pop("identity", None)
    if task != "tts":
        files["target_seconds"] = SECONDS
    return Request(id=out.stem, out=out, task=task, text=inputs.text, language=inputs.language, seed=seed, **files)


def static(spec: Spec, checkout: Path | None) -> Iterator[Step]:
    """The checkout against what the shim was written for."""
    if checkout is None:
        yield "checkout", "skipped", "there is no checkout: the system is a library of this program"
        return
    for finding in checkout_findings(spec, checkout):
        yield finding.name, finding.status, "; ".join(filter(None, [finding.words, finding.remedy]))


def examined(spec: Spec, options: Mapping[str, Any]) -> Iterator[Step]:
    """What the doctor finds beside the checkout."""
    for finding in doctor(spec, options):
        if finding.name not in ("commit", "interface"):
            yield finding.name, finding.status, "; ".join(filter(None, [finding.words, finding.remedy]))


def make(system: System, request: Request) -> Made | str:
    """A clip, or why there is none."""
    started = time.monotonic()
    try:
        clip = system.generate(request)
    except (GenerationFailed, NotApplicable) as reason:
        return str(reason)
    except (Exception, SystemExit) as error:
        return f"{system.id} breaks down: {unexpected(error)}"
    taken = time.monotonic() - started
    try:
        return Made(request, clip, contents(clip.video or clip.audio), taken)
    except (Unscorable, OSError) as error:
        return f"what it made cannot be read: {error}"


def contents(path: Path) -> str:
    """A digest of decoded pictures and sound: containers hold dates."""
    from t2av_bench.media.clip import Clip
    from t2av_bench.media.probe import probe

    digest, clip = hashlib.sha256(), Clip(path)
    if probe(path).has_video:
        for batch in clip.frames():
            digest.update(batch.tobytes())
    digest.update(clip.audio(16000).tobytes())
    return digest.hexdigest()


def item(spec: Spec, made: Made | str, task: Task) -> Iterator[Step]:
    """Whether a clip was made, with the length and the format that the specification promises."""
    name = f"item {task}"
    if isinstance(made, str):
        yield name, "failed", made
        return
    clip = made.clip
    yield name, "ok", f"{clip.seconds:.2f} s of clip in {made.seconds:.1f} s"
    if clip.video is None:
        same = clip.audio_rate == spec.native.audio_rate
        words = f"{clip.audio_rate} Hz" + ("" if same else f", the specification says {spec.native.audio_rate}")
        yield f"format {task}", "ok" if same else "failed", words
        return
    wrong = list(_format_differences(spec, clip))
    yield f"format {task}", "failed" if wrong else "ok", "; ".join(wrong) or _format(clip)
    expected = spec.length.expected(SECONDS, spec.frame_rate)
    if expected is None:
        yield f"length {task}", "skipped", f"{clip.frame_count} frames; the specification names no rule"
    else:
        good = abs(clip.frame_count - expected) <= FRAMES_OFF
        rule = f"; the rule gives {expected} for {SECONDS:g} s"
        yield f"length {task}", "ok" if good else "failed", f"{clip.frame_count} frames{rule}"


def _format(clip: GeneratedClip) -> str:
    return f"{clip.frame_rate} frames a second, sound of {clip.audio_rate} Hz"


def _format_differences(spec: Spec, clip: GeneratedClip) -> Iterator[str]:
    from t2av_bench.media.probe import probe

    if clip.frame_rate != spec.frame_rate:
        yield f"{clip.frame_rate} frames a second, the specification says {spec.native.frame_rate}"
    info, native = probe(Path(str(clip.video))), spec.native
    if native.width and native.height and (info.width, info.height) != (native.width, native.height):
        yield f"{info.width}x{info.height} pixels, the specification says {native.width}x{native.height}"


def seeds(spec: Spec, first: Made, again: Made | str, other: Made | str) -> Iterator[Step]:
    """Whether the same seed gives the same clip, and another seed another one."""
    if isinstance(again, str) or isinstance(other, str):
        yield "seed", "failed", again if isinstance(again, str) else str(other)
        return
    repeats, moves = first.digest == again.digest, first.digest != other.digest
    told = {True: "gives the same clip", False: "gives another clip"}
    promised = spec.seed_support in ("full", "global")
    yield ("same seed", "ok" if repeats or not promised else "failed",
           f"{told[repeats]}; the specification says seeds: {spec.seed_support}")  # fmt: skip
    ignored = spec.honours.get("seed") != "yes" or spec.seed_support == "run"
    yield ("other seed", "ok" if moves or ignored else "failed",
           f"{told[not moves]}{'; the system takes no seed for each clip' if ignored else ''}")  # fmt: skip
    effective = repeats and moves
    yield "seed_effective", "ok" if effective or ignored or not promised else "failed", "yes" if effective else "no"


def refusal(spec: Spec, task: Task, made: Made | str) -> Step:
    """What became of a picture without a face. Not every system looks for one."""
    if isinstance(made, str):
        broke = "breaks down" in made
        return "no face", "failed" if broke else "ok", made if broke else f"refused: {made}"
    return "no face", "skipped", "it makes a clip of a picture without a face: nothing is refused"


def interruption(system: System, request: Request, process: Callable[[], int | None], seconds: float) -> Iterator[Step]:
    """Kill the system's process (and what it started) while it makes a clip, then make the clip.

    process: its id, None where it has none. seconds: what the clip takes otherwise.
    """
    before = process()
    if before is None:
        yield "kill", "skipped", "the system has no process of its own"
        return
    results: list[Made | str] = []
    thread = threading.Thread(target=lambda: results.append(make(system, request)), daemon=True)
    if seconds < _SOON:
        os.killpg(before, signal.SIGSTOP)  # else it would be done before anybody could look
    thread.start()
    time.sleep(min(max(seconds / 2, 0.5), 60.0))
    with suppress(ProcessLookupError):
        os.killpg(before, signal.SIGKILL)
    thread.join()
    if isinstance(results[0], Made):
        yield "kill", "skipped", "the clip was there before the process could be killed"
    else:
        yield "kill", "ok", f"reported: {results[0]}"
    made = make(system, replace(request, out=request.out.with_stem(f"{request.out.stem}_resumed")))
    after = process()
    if isinstance(made, str):
        yield "resume", "failed", made
    else:
        yield "resume", "ok" if after != before else "failed", f"made by process {after} after {before}"


def unheard(spec: Spec) -> Iterator[Step]:
    """What is not honoured as it stands."""
    for what, words in (("words", "reaches the system only as words of the prompt"), ("ignored", "is ignored")):
        for name, kind in spec.honours.items():
            if kind == what:
                yield f"not honoured: {name}", "skipped", words


def check(
    spec: Spec, load: Callable[[], System], inputs: Inputs, folder: Path, *,
    process: Callable[[System], int | None] = lambda system: None,
) -> Iterator[Step]:  # fmt: skip
    """All steps that run the system, in their order; clips go into ``folder``.

    Without a clip for the first task they end: the others would say the same. process: the id of the process (the
    first of its group) in which a system generates, if that is one of its own.
    """
    started = time.monotonic()
    try:
        system = load()
    except (NotApplicable, ValueError) as error:
        yield "start", "failed", str(error)
        return
    except (Exception, SystemExit) as error:
        yield "start", "failed", unexpected(error)
        return
    yield "start", "ok", f"loaded in {time.monotonic() - started:.1f} s"
    try:
        yield from _with(system, spec, inputs, folder, process)
    finally:
        system.close()


def _with(
    system: System, spec: Spec, inputs: Inputs, folder: Path, process: Callable[[System], int | None]
) -> Iterator[Step]:
    def request(task: Task, name: str, seed: int = _SEEDS[0]) -> Request:
        return request_for(spec, task, inputs, folder / f"{task}_{name}.{'wav' if task == 'tts' else 'mp4'}", seed)

    tasks: Sequence[Task] = tuple(spec.tasks)
    made = {task: make(system, request(task, "first")) for task in tasks}
    for task in tasks:
        yield from item(spec, made[task], task)
    task = tasks[0]
    first = made[task]
    if isinstance(first, str):
        return
    again, other = make(system, request(task, "again")), make(system, request(task, "other", _SEEDS[1]))
    yield from seeds(spec, first, again, other)
    faced = next((each for each in tasks if request(each, "faceless").identity), None)
    if faced:
        without = replace(request(faced, "faceless"), identity=inputs.faceless)
        yield refusal(spec, faced, make(system, without))
    else:
        yield "no face", "skipped", "the system is given no picture"
    # The first clip waited for the weights.
    taken = again.seconds if isinstance(again, Made) else first.seconds
    yield from interruption(system, request(task, "killed"), lambda: process(system), taken)
    yield from unheard(spec)
