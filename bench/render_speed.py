"""How fast the codecs turn latents into pictures and sound: LIA-X frames a second, audio seconds a second.

    python bench/render_speed.py --size small
    python bench/render_speed.py --size release --device cuda --dtype bfloat16 --batch 1 8 32 --json render.json

Random weights. ``render``: frames of one identity, ``batch`` at once; encoding the source counts as well. ``decode``:
``batch`` clips of 10 s through the audio decoder. ``stream``: the same clips, patch by patch (4 latents), as live
generation would feed it. ``speed`` is seconds of material per second of wall time; ``cpu`` is processor seconds per
second of material, all threads; ``first_s`` is the time to the first frames or samples, source encoding included.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator

import torch
from measuring import network_options, now, peak_memory, set_threads, show, write_json

from reference_model.codecs.lia_x import Generator, LIAXCodec, LIAXConfig
from reference_model.codecs.motion_statistics import MotionStatistics
from reference_model.codecs.whisperx_vae import WhisperSize, WhisperXVAE, WhisperXVAEConfig

PATCH, FRAME_RATE, CLIP_FRAMES = 4, 25, 250
LIAX_SIZES = {"release": LIAXConfig(), "small": LIAXConfig(widths=(32, 32, 32, 32), style_dim=64)}
# Decoding runs no Whisper, so one layer of it stands for all.
VAE_SIZES = {
    "release": WhisperXVAEConfig(whisper=WhisperSize(layers=1)),
    "small": WhisperXVAEConfig(
        encoder_width=4, hidden_dim=128, decoder_width=128, whisper=WhisperSize(width=128, heads=2, layers=1)
    ),
}


@dataclasses.dataclass
class Row:
    """``speed`` in seconds of material a second; ``cpu`` in processor seconds a second of material."""

    work: str
    batch: int
    speed: float
    cpu: float
    first_s: float
    memory_gib: float


def timed(
    run: Callable[[Callable[[], None]], float], device: torch.device, repeats: int
) -> tuple[float, float, float, float]:
    """Speed, processor seconds, time to the first result and peak memory; ``run(mark)`` returns seconds of material and
    calls ``mark`` when its first result is there. The first of ``repeats + 1`` runs prepares."""
    best = (0.0, 0.0, 0.0)

    with peak_memory(device) as peak:
        for attempt in range(repeats + 1):
            firsts: list[float] = []
            start, cpu = now(device), time.process_time()
            material = run(lambda seen=firsts: seen.append(now(device)))
            wall, cpu = now(device) - start, time.process_time() - cpu
            if attempt and material / wall > best[0]:
                best = material / wall, cpu / material, firsts[0] - start
        return *best, peak() / 2**30


def lia_x_rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[Row]:
    generator = Generator(LIAX_SIZES[options.size]).to(device, dtype).eval().requires_grad_(False)
    statistics = MotionStatistics(torch.zeros(40), torch.ones(40))
    for batch in options.batch:
        codec = LIAXCodec(generator, statistics, frames_per_batch=batch).to(device)
        image = torch.rand(1, 3, 512, 512, device=device, dtype=dtype) * 2 - 1
        latents = torch.randn(1, max(2 * batch, options.frames), 40, device=device, dtype=dtype)

        def run(mark: Callable[[], None], codec=codec, image=image, latents=latents) -> float:
            for frames in codec.source(image).batches(latents):
                mark()
                del frames
            return latents.shape[1] / FRAME_RATE

        yield Row("render", batch, *timed(run, device, options.repeats))


def audio_rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[Row]:
    codec = WhisperXVAE(VAE_SIZES[options.size]).fold_weight_norm().to(device, dtype).eval().requires_grad_(False)
    for batch in options.batch:
        latents = torch.randn(batch, CLIP_FRAMES, codec.latent_dim, device=device, dtype=dtype)

        def decode(mark: Callable[[], None], latents=latents) -> float:
            codec.decode(latents)
            mark()
            return latents.shape[0] * CLIP_FRAMES / FRAME_RATE

        def stream(mark: Callable[[], None], latents=latents) -> float:
            decoder = codec.stream()
            for patch in latents.split(PATCH, dim=1):
                if decoder.push(patch).shape[1]:
                    mark()
            decoder.flush()
            return latents.shape[0] * CLIP_FRAMES / FRAME_RATE

        for work, run in (("decode", decode), ("stream", stream)):
            yield Row(work, batch, *timed(run, device, options.repeats))


def main() -> None:
    parser = network_options(__doc__, list(LIAX_SIZES))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--work", nargs="+", choices=("render", "audio"), default=["render", "audio"])
    parser.add_argument("--frames", type=int, default=4, help="frames rendered in a timed run, at least")
    parser.add_argument("--repeats", type=int, default=1, help="the fastest of so many runs counts")
    asked = parser.parse_args()
    where = set_threads(asked)
    print(f"{where}; {asked.dtype}")
    rows: list[Row] = []
    for name, measure in (("render", lia_x_rows), ("audio", audio_rows)):
        for row in (
            measure(asked, torch.device(asked.device), getattr(torch, asked.dtype)) if name in asked.work else ()
        ):
            show(row)
            rows.append(row)
    write_json(asked, rows, where=where)


if __name__ == "__main__":
    main()
