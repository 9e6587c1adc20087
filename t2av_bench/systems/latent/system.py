"""Generators in the latents of an audio codec and a motion codec: everything about them but the generating.

A subclass reads a request into a job, and turns jobs into latents; what lies around that (staging, decoding, rendering,
writing, the record, reasons instead of exceptions) is here, and therefore the same for all of them.

- ``a2v``: the clip carries the driving audio itself. ``v2a``: it carries the driving video itself, cut to the
  portrait's square; only the sound is new.
- Sound and picture end together, and every frame has the same number of samples.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.systems import output
from t2av_bench.systems.base import (
    BatchSystem,
    GeneratedClip,
    GenerationFailed,
    OnProgress,
    Progress,
    Reason,
    Request,
)
from t2av_bench.systems.delivery import Product, as_reason, begin, deliver
from t2av_bench.systems.inputs import first

if TYPE_CHECKING:
    from torch import Tensor

    from reference_model.codecs import SourceRenderer
    from reference_model.inference.types import GenerationResult
    from t2av_bench.systems.latent.parts import Job, Parts
    from t2av_bench.systems.output import Names

# Pictures are rendered in pieces: this bounds memory (8 frames of 512x512 in float32 are 25 MB), and beyond 32 at a
# time small pictures gain nothing.
_PIXELS_AT_ONCE = 8 * 512 * 512
_MOST_AT_ONCE = 32


class LatentSystem(BatchSystem):
    """A generator with ``components``: its codecs and what reads its inputs.

    encoder: how its clips are encoded: options of ``media.encode.write_mp4``.
    """

    components: "Parts"
    encoder: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def _read(self, request: Request, names: "Names", folder: Path) -> "Job":
        """Read and encode everything that a checked request names. Raises GenerationFailed and NotApplicable."""

    @abstractmethod
    def _sample(self, jobs: "list[Job]", report: OnProgress) -> "list[GenerationResult]":
        """Latents of all jobs, in their order, and ``seconds_taken["sampling"]`` in each job.

        Raises GenerationFailed where the whole batch cannot be made.
        """

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What decides the latents besides weights and inputs, JSON-ready, for the record."""

    def generate_batch(
        self, requests: Sequence[Request], on_progress: OnProgress | None = None
    ) -> list[GeneratedClip | Reason]:
        """All requests go through the model together; a clip is the same as alone, up to rounding."""
        from t2av_bench.utils.inference import full_precision

        report = on_progress or (lambda _: None)
        with ExitStack() as stack, full_precision():
            jobs, made = begin(requests, lambda request: self._job(request, stack, report))
            try:
                with _memory(len(jobs)):
                    results = self._sample(list(jobs.values()), report)
            except GenerationFailed as reason:
                return [made.get(number, reason) for number in range(len(requests))]
            for (number, job), result in zip(jobs.items(), results, strict=True):
                try:
                    with _memory(1):
                        made[number] = self._deliver(job, result, len(jobs), report)
                except Unscorable as reason:
                    made[number] = as_reason(reason)
        return [made[number] for number in range(len(requests))]

    def _job(self, request: Request, stack: ExitStack, report: OnProgress) -> "Job":
        started = time.monotonic()
        self.check(request)
        names = output.names_of(request)
        folder = stack.enter_context(output.staged(names))
        report(Progress(request.id, "reading", 0, len(request.inputs), "files"))
        job = self._read(request, names, folder)
        job.seconds_taken["reading"] = time.monotonic() - started
        report(Progress(request.id, "reading", len(request.inputs), len(request.inputs), "files"))
        return job

    def _deliver(self, job: "Job", result: "GenerationResult", batch: int, report: OnProgress) -> GeneratedClip:
        """Decode, render, write and name one clip."""
        import torch

        started, request, parts = time.monotonic(), job.request, self.components
        if not all(torch.isfinite(latents).all() for latents in (result.speech, result.motion) if latents is not None):
            raise GenerationFailed(
                "the model produced NaN or infinite latents; try --precision float32 or another seed"
            )
        hop, rate = parts.hop, parts.sample_rate
        skipped = result.speech_prefix_frames if request.task in ("t2av", "tts") else 0
        frames = len(result.speech) - skipped
        if frames < 1:
            raise GenerationFailed("the model stopped before its first frame: try another seed")
        if job.driving_audio is not None:
            sound = job.driving_audio[: frames * hop]
        else:
            sound = parts.decode_audio(result.speech)

        def progress(done: int) -> None:
            report(Progress(request.id, "rendering", done, frames, "frames", frames / parts.frame_rate,
                            job.seconds_taken["sampling"] + time.monotonic() - started))  # fmt: skip

        progress(0)
        renderer = job.renderer
        if renderer is None and job.source is not None:
            renderer = parts.motion_codec.source(job.source.to(parts.device))
        pictures: Iterator[np.ndarray] | None = None
        if request.task == "v2a" and job.video is not None:
            pictures = first(job.video.pictures(), frames)
        elif renderer is not None and result.motion is not None:
            pictures = self._rendered(renderer, result.motion[skipped:])
        prefix = self._prefix(job, result, renderer, sound[: skipped * hop]) if skipped else None
        task = request.task
        job.seconds_taken["rendering"] = time.monotonic() - started
        return deliver(self, request, job.names, job.folder, Product(
            sound[skipped * hop :], rate, parts.frame_rate, pictures and _told(pictures, progress),
            encoder=self.encoder, stop_reason="limit" if job.was_cut else result.stop_reason,
            sound_from="driving audio" if task == "a2v" else "generated",
            pictures_from={"t2av": "rendered", "a2v": "rendered", "v2a": "driving video"}.get(task),
            prefix=job.folder / output.PREFIX_FOLDER if prefix else None, prefix_seconds=skipped / parts.frame_rate,
            notes=job.notes, inputs=job.facts, settings=None,
            record={
                **self._settings(), **job.record, "patches": result.patches, "prefix": prefix, "batch_size": batch,
                "device": str(parts.device),
            },
            weights=dict(parts.digests) | (parts.detector.weights if parts.detector else {}),
            libraries=("torch", "transformers", "av", "soxr"), seconds_taken=job.seconds_taken,
        ))  # fmt: skip

    def _prefix(
        self, job: "Job", result: "GenerationResult", renderer: "SourceRenderer | None", sound: np.ndarray
    ) -> dict[str, Any]:
        """Write the reference that was continued, its ``sound`` and picture; what the record says of it."""
        frames, rate = result.speech_prefix_frames, self.components.frame_rate
        folder, names = job.folder / output.PREFIX_FOLDER, job.names.prefix()
        folder.mkdir()
        pictures = None
        if renderer is not None and result.motion is not None:
            pictures = self._rendered(renderer, result.motion[:frames])
        output.write_clip(folder, names, pictures, sound, self.components.sample_rate, rate, **self.encoder)
        files = [f"{output.PREFIX_FOLDER}/{path.name}" for path in names.media]
        return {"seconds": frames / rate, "frames": frames, "files": files}

    def _rendered(self, renderer: "SourceRenderer", motion: "Tensor") -> Iterator[np.ndarray]:
        """Motion latents (T, C) -> batches (n, size, size, 3) uint8 RGB."""
        from reference_model.codecs.pixels import frames_to_uint8

        at_once = min(max(_PIXELS_AT_ONCE // self.components.motion_codec.image_size**2, 1), _MOST_AT_ONCE)
        for chunk in motion.split(at_once):
            yield frames_to_uint8(renderer.render(chunk[None])[0].float()).cpu().numpy()


@contextmanager
def _memory(batch: int) -> Iterator[None]:
    """Running out of the accelerator's memory is a reason like others."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        less = f"fewer than {batch} requests at a time, " if batch > 1 else ""
        raise GenerationFailed(f"out of GPU memory: try {less}--precision bfloat16 or less --max-seconds") from error


def _told(batches: Iterator[np.ndarray], progress: Callable[[int], None]) -> Iterator[np.ndarray]:
    """The same pictures; ``progress`` is called with how many of them were taken."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress(done)
