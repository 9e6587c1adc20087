"""How fast the codecs turn latents into pictures and sound: LIA-X frames a second, audio seconds a second.

    python bench/render_speed.py --size small
    python bench/render_speed.py --size release --device cuda --dtype bfloat16 --batch 1 8 32 --json render.json

Random weights. ``render``: frames of one identity, ``batch`` at once; encoding the source counts as well. ``decode``:
``batch`` clips of 10 s through the audio decoder. ``speed`` is seconds of material per second of wall time; ``cpu`` is
processor seconds per second of material, all threads. The first of ``--repeats + 1`` runs prepares, the fastest counts.
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

FRAME_RATE, CLIP_FRAMES = 25, 250
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
    memory_gib: float


def measured(work: str, batch: int, run: Callable[[], float], device: torch.device, repeats: int) -> Row:
    """``run`` returns the seconds of material that it made."""
    runs = []
    with peak_memory(device) as peak:
        for _ in range(repeats + 1):
            start, cpu = now(device), time.process_time()
            material = run()
            runs.append((material / (now(device) - start), (time.process_time() - cpu) / material))
        speed, cpu = max(runs[1:])
        return Row(work, batch, speed, cpu, peak() / 2**30)


def rows_of(options: argparse.Namespace) -> Iterator[Row]:
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    with torch.device(device):
        generator = Generator(LIAX_SIZES[options.size]).to(dtype).eval().requires_grad_(False)
        audio = WhisperXVAE(VAE_SIZES[options.size]).fold_weight_norm().to(dtype).eval().requires_grad_(False)
        statistics = MotionStatistics(torch.zeros(40), torch.ones(40))
    for batch in options.batch:
        codec = LIAXCodec(generator, statistics, frames_per_batch=batch).to(device)
        image = torch.rand(1, 3, 512, 512, device=device, dtype=dtype) * 2 - 1
        motion = torch.randn(1, max(2 * batch, options.frames), 40, device=device, dtype=dtype)
        speech = torch.randn(batch, CLIP_FRAMES, audio.latent_dim, device=device, dtype=dtype)

        def render(codec=codec, image=image, motion=motion) -> float:
            codec.source(image).render(motion)
            return motion.shape[1] / FRAME_RATE

        def decode(speech=speech) -> float:
            audio.decode(speech)
            return len(speech) * CLIP_FRAMES / FRAME_RATE

        for work, run in (("render", render), ("decode", decode)):
            if work in options.work:
                yield measured(work, batch, run, device, options.repeats)


def main() -> None:
    parser = network_options(__doc__, list(LIAX_SIZES))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--work", nargs="+", choices=("render", "decode"), default=["render", "decode"])
    parser.add_argument("--frames", type=int, default=4, help="frames rendered in a timed run, at least")
    parser.add_argument("--repeats", type=int, default=1, help="the fastest of so many runs counts")
    asked = parser.parse_args()
    where = set_threads(asked)
    print(f"{where}; {asked.dtype}")
    rows: list[Row] = []
    for row in rows_of(asked):
        show(row)
        rows.append(row)
        write_json(asked, rows, where=where)


if __name__ == "__main__":
    main()
