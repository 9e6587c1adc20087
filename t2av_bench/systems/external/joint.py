"""What joint models of a library in this process share: prompt, a length on the model's grid, first frame, delivery."""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.systems import output
from t2av_bench.systems.base import (
    GeneratedClip,
    GenerationFailed,
    OnProgress,
    Progress,
    Request,
    native_seed,
)
from t2av_bench.systems.delivery import Product, as_reason, deliver, file_facts
from t2av_bench.systems.external.of_spec import SpecifiedSystem
from t2av_bench.systems.external.prompts import PROMPTED, record_of, render
from t2av_bench.systems.external.spec import Length
from t2av_bench.systems.inputs import input_named


class Job(NamedTuple):
    """One call of the library. picture: the first frame as a PIL image of the clip's shape, if one was given.

    step: to be called with the number of denoising steps that are done, of how many.
    """

    prompt: str
    frames: int
    seed: int
    picture: Any
    step: Callable[[int, int], None]


class Sample(NamedTuple):
    """What the library made. pictures: (n, H, W, 3) uint8 RGB; sound: (n,) or (channels, n) float32.

    settings: all that moved the result.
    """

    pictures: np.ndarray
    sound: np.ndarray
    audio_rate: int
    settings: Mapping[str, Any]


class JointModel(SpecifiedSystem):
    """A model that takes a prompt, and maybe a first frame, and makes picture and sound at once.

    library: the module that runs it. native_frames: of a clip whose length nobody asked for, as the
    model's own program has it. Instances know the shape of their clips in pixels, and their
    frames a second.
    """

    library: ClassVar[str]
    native_frames: ClassVar[int]
    height: int
    width: int
    frame_rate: Fraction

    @abstractmethod
    def _sample(self, job: Job) -> Sample:
        """Raises GenerationFailed, NotApplicable or, where the library breaks down, RuntimeError."""

    def generate(self, request: Request, on_progress: OnProgress | None = None) -> GeneratedClip:
        self.check(request)
        names = output.names_of(request)
        try:
            with output.staged(names) as folder:
                return deliver(self, request, names, folder, self._make(request, on_progress or (lambda _: None)))
        except (GenerationFailed, NotApplicable):
            raise
        except RuntimeError as error:  # out of memory above all
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise GenerationFailed(f"{self.library}: {why}") from error

    def _make(self, request: Request, report: OnProgress) -> Product:
        started = time.monotonic()
        wanted = request.target_seconds or self.native_frames / float(self.frame_rate)
        count = frames_asked(self.spec.length, wanted, self.frame_rate, request.max_seconds)
        picture = None if request.identity is None else first_frame(request.identity, self.width, self.height)
        read = time.monotonic()

        def step(done: int, of: int) -> None:
            report(Progress(request.id, "generating", done, of, "steps", elapsed=time.monotonic() - read))

        job = Job(render(self.id, request), count, native_seed(request.seed), picture, step)
        made = self._sample(job)
        if not np.isfinite(made.sound).all():
            raise GenerationFailed("the model made values that are not finite")
        notes = [PROMPTED]
        if request.voice is not None:
            notes.append("the given voice is not heard: there is no such input")
        if float(self.frame_rate) * wanted > count + 1e-6:
            notes.append(f"{wanted:.2f} s were wanted; the clip ends at {request.max_seconds:g} s (max_seconds)")
        return Product(
            np.atleast_2d(made.sound).mean(axis=0, dtype=np.float32), made.audio_rate, self.frame_rate,
            pictures=[made.pictures], own_lengths=True, encoder=output.EMBEDDED_ENCODER, native_seed=job.seed,
            notes=notes, pictures_from="generated",
            inputs={"identity": file_facts(request.identity)} if request.identity else {},
            settings=dict(made.settings),
            record=record_of(self.id, request, job.prompt),
            libraries=("av", self.library, "torch", "transformers"),
            seconds_taken={"reading": read - started, "sampling": time.monotonic() - read},
        )  # fmt: skip


def frames_asked(length: Length, seconds: float, frame_rate: Fraction, max_seconds: float) -> int:
    """The least number of frames on the model's grid that last ``seconds``; of those within ``max_seconds`` the most,
    if fewer. A clip has one step of the grid at least.

    GenerationFailed where not even that fits.
    """
    rate = float(frame_rate)
    # A length that is whole up to floating point is whole.
    steps = math.ceil(round(rate * seconds - length.offset, 6) / length.step)
    most = math.floor(round(rate * max_seconds - length.offset, 6) / length.step)
    if most < 1:
        least = length.step + length.offset
        raise GenerationFailed(
            f"max_seconds is {max_seconds:g}, less than {least} frames at {frame_rate} frames a second"
        )
    return length.step * min(max(1, steps), most) + length.offset


def first_frame(path: Path, width: int, height: int) -> Any:
    """A PIL image: the middle of a picture or of a video's first, cut to the shape, since the pipelines stretch.

    GenerationFailed for what cannot be read.
    """
    from PIL import Image, ImageOps

    from t2av_bench.errors import Unscorable
    from t2av_bench.media.clip import Clip

    try:
        with input_named("identity"):
            first = next(iter(Clip(path).frames(1)))[0]
    except Unscorable as reason:
        raise as_reason(reason) from reason
    return ImageOps.fit(Image.fromarray(first), (width, height), Image.Resampling.LANCZOS)
