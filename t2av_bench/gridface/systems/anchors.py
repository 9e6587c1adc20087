"""Rows that no system makes, as systems: what the others are to be read against.

- ``embedded-real``: the item's reference clip itself, as it is.
- ``embedded-codec``: the reference through the embedded codecs and back, which bounds every system that generates
  their latents. The portrait that is animated is the reference's first frame.
- ``embedded-stranger``: the reference's picture with another item's sound, cut or filled up with silence to the
  picture's length: nothing of it is in step.

In ``a2v`` the codec's row keeps the sound that was given, in ``v2a`` the picture; the other rows are the same in every
task. All of the reference is used, whatever ``max_seconds`` says.
"""

import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from t2av_bench.gridface.systems.options import checkpoint_files
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import fit
from t2av_bench.systems import output
from t2av_bench.systems.base import (
    GeneratedClip,
    GenerationFailed,
    NativeFormat,
    OnProgress,
    Progress,
    Request,
    System,
)
from t2av_bench.systems.delivery import Product, deliver, file_facts
from t2av_bench.systems.inputs import first, input_named
from t2av_bench.systems.output import EMBEDDED_ENCODER
from t2av_bench.utils.inference import full_precision

if TYPE_CHECKING:
    from torch import Tensor

    from reference_model.codecs import SourceRenderer
    from t2av_bench.systems.latent.parts import Parts

FRAME_RATE = 25
_FRAMES_AT_ONCE = 32


class _Anchor(System):
    """Makes a clip of the item's real one."""

    paper = "this benchmark's own clips"
    needs = {"t2av": ("reference",), "a2v": ("reference",), "v2a": ("reference",)}
    native = NativeFormat(FRAME_RATE, 128, 128, 16_000, "that of the reference clip")
    seed_support = "full"

    @classmethod
    def load(cls, *, device: str = "cpu") -> Self:
        """There is nothing to load; ``device`` is always the processor."""
        return cls()

    @abstractmethod
    def make(self, request: Request, reference: Clip) -> Product:
        """The clip before it is written. Raises GenerationFailed."""

    def generate(self, request: Request, on_progress: OnProgress | None = None) -> GeneratedClip:
        report = on_progress or (lambda _: None)
        self.check(request)
        names = output.names_of(request)
        assert request.reference is not None
        with output.staged(names) as folder:
            started = time.monotonic()
            report(Progress(request.id, "reading", 0, 1, "files"))
            with input_named("reference"):
                reference = Clip(request.reference, frame_rate=FRAME_RATE)
                frames = reference.frame_count
                report(Progress(request.id, "reading", 1, 1, "files"))
                read = time.monotonic() - started
                product = self.make(request, reference)
            product.inputs["reference"] = file_facts(request.reference)
            product.seconds_taken |= {"reading": read, "sampling": time.monotonic() - started - read}
            clip = deliver(self, request, names, folder, product)
            report(Progress(request.id, "rendering", clip.frame_count, frames, "frames", clip.seconds))
            return clip


class EmbeddedReal(_Anchor):
    """The reference clip: its own bytes, where it is an mp4 at 25 frames a second."""

    id = "embedded-real"
    title = "Real clips"

    def make(self, request: Request, reference: Clip) -> Product:
        audio, rate = _sound(reference, reference.frame_count)
        product = Product(
            audio, rate, FRAME_RATE, encoder=EMBEDDED_ENCODER, sound_from="reference", pictures_from="reference",
        )  # fmt: skip
        if reference.path.suffix.lower() == ".mp4" and reference.info.frame_rate == FRAME_RATE:
            product.video = reference.path
        else:
            product.pictures = reference.frames(_FRAMES_AT_ONCE)
        return product


class EmbeddedStranger(_Anchor):
    """The reference's picture with the sound of another clip."""

    id = "embedded-stranger"
    title = "Real clips, a stranger's sound"
    needs = {task: ("reference", "stranger") for task in _Anchor.needs}

    def make(self, request: Request, reference: Clip) -> Product:
        assert request.stranger is not None
        with input_named("stranger"):
            other = Clip(request.stranger)
            if other.digest == reference.digest:
                raise GenerationFailed(f"{request.stranger.name} is the item's own clip: name another item's")
            audio, rate = _sound(other, reference.frame_count)
        return Product(
            audio, rate, FRAME_RATE, reference.frames(_FRAMES_AT_ONCE), sound_from="another item's reference",
            pictures_from="reference", encoder=EMBEDDED_ENCODER, inputs={"stranger": file_facts(request.stranger)},
        )  # fmt: skip


class EmbeddedCodec(_Anchor):
    """The reference, encoded and decoded by the codecs that the embedded systems generate for."""

    id = "embedded-codec"
    title = "Codec reconstruction"
    packages = ("PIL", "cv2", "pyworld", "torch")
    extra = "demo"

    def __init__(self, parts: "Parts") -> None:
        self.parts = parts

    @classmethod
    def load(cls, *, device: str = "cpu", components: bool = True) -> Self:
        """The bundled codecs. components: False leaves all vocoder features, without the principal components.

        NotApplicable, with what helps, where a codec's file or package is missing.
        """
        from t2av_bench.gridface.models.world_codec import WorldCodec
        from t2av_bench.gridface.systems.parts import load_parts

        parts = load_parts(device)
        return cls(parts if components else replace(parts, audio_codec=WorldCodec.whole()))  # type: ignore[arg-type]

    @classmethod
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        return checkpoint_files()

    def make(self, request: Request, reference: Clip) -> Product:
        given = request.driving_audio if request.task == "a2v" and request.driving_audio else None
        rate = self.parts.sample_rate
        with full_precision():
            with input_named("driving audio" if given else "reference"):
                audio = _sound(Clip(given) if given else reference, reference.frame_count, rate)[0]
            if request.task != "a2v":
                audio = self.parts.decode_audio(self.parts.encode_audio(audio))
        frames = len(audio) // self.parts.hop
        pictures = (
            first(reference.frames(_FRAMES_AT_ONCE), frames)
            if request.task == "v2a"
            else self._through_motion_codec(reference, frames)
        )
        return Product(
            audio, rate, FRAME_RATE, pictures,
            sound_from="driving audio" if request.task == "a2v" else "reference through the audio codec",
            pictures_from="driving video" if request.task == "v2a" else "reference through the motion codec",
            encoder=EMBEDDED_ENCODER,
            inputs={"driving_audio": file_facts(given)} if given else {},
            settings={"latent_dim": self.parts.audio_codec.latent_dim}, weights=dict(self.parts.digests),
            libraries=("torch", "pyworld", "av", "soxr"),
        )  # fmt: skip

    def _through_motion_codec(self, reference: Clip, count: int) -> Iterator[np.ndarray]:
        """Batches (n, size, size, 3) uint8 RGB: the first ``count`` frames, encoded and decoded."""
        import torch

        from reference_model.codecs.pixels import frames_to_uint8, uint8_to_frames

        codec = self.parts.motion_codec
        size = codec.image_size
        renderer = None
        for pictures in first(reference.frames(_FRAMES_AT_ONCE), count):
            height, width = pictures.shape[1:3]
            if (height, width) != (size, size):
                raise GenerationFailed(f"reference: {reference.path.name} is {width}x{height}, and the motion codec "
                                       f"takes {size}x{size}: build the benchmark in that size")  # fmt: skip
            with full_precision():
                frames = uint8_to_frames(torch.from_numpy(pictures).to(self.parts.device))
                renderer = renderer or self._renderer(reference, frames[:1])
                shown = renderer.render(codec.encode(frames[None]))[0]
                batch = frames_to_uint8(shown.float()).cpu().numpy()
            yield batch

    def _renderer(self, reference: Clip, picture: "Tensor") -> "SourceRenderer":
        try:
            return self.parts.motion_codec.source(picture)
        except ValueError as error:
            raise GenerationFailed(f"reference: {reference.path.name}: {error}") from error


def _sound(clip: Clip, frames: int, rate: int | None = None) -> tuple[np.ndarray, int]:
    """The clip's sound at ``rate`` (its own by default), cut or filled up with silence to ``frames``; and the rate.

    Raises MediaError, and GenerationFailed for a rate that does not divide into frames.
    """
    rate = rate or clip.info.audio_rate or 16_000
    if rate % FRAME_RATE:
        rate = 16_000
    return np.array(fit(clip.audio(rate), frames * rate // FRAME_RATE)), rate
