"""What the regression gate finds: real damage, measured once and kept, then judged again and again.

``python bench/gate_power.py measure SCORES.json --real FOLDER FOLDER`` makes the clips and scores them: half an hour on
one core. SCORES.json is ``tests/factories/gate_scores.json``. The baseline is a model that is not perfect: GridFace
clips whose mouth moves too little and whose head moves at other times, with a little blur and hiss; pieces of real
clips at half their resolution, with hiss. Of the same output are made: files with two other encoder settings, the
baseline's files encoded again, the sound 120 ms late, the picture frozen.

``python bench/gate_power.py table SCORES.json`` prints the noise floors and the simulated gate's answers
that ``docs/regression.md`` quotes.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, options

CLIPS = 64
SECONDS, PIECES = 4.0, 2
BASE: dict[str, Any] = {"crf": 18, "preset": "medium", "audio_bit_rate": 128_000}
# Settings at which nobody takes the copy for another clip; the last is the baseline's file, decoded and encoded again.
ENCODINGS: dict[str, dict[str, Any]] = {
    "finer": {"crf": 16, "preset": "slow", "audio_bit_rate": 160_000},
    "faster": {"crf": 20, "preset": "veryfast", "audio_bit_rate": 96_000},
    "second": BASE,
}
GRIDFACE = (
    "sync/gridface", "wer/gridface", "dnsmos/p835", "pesq/itu", "stoi/pystoi", "psnr/rgb", "ssim/rgb",
    "sim/resemblyzer", "fd_frame/gridface", "fd_clip/gridface",
)  # fmt: skip
REAL = ("wer/pocketsphinx", "dnsmos/p835", "pesq/itu", "stoi/pystoi", "psnr/rgb", "ssim/rgb", "sim/resemblyzer",
)  # fmt: skip


@dataclass(slots=True)
class Source:
    """One clip before and after the model. frames: (T, H, W, 3) uint8 RGB at 25 fps; sound: (n,) float32 at 16 kHz."""

    id: str
    speaker: str
    text: str
    frames: np.ndarray
    sound: np.ndarray
    made_frames: np.ndarray
    made_sound: np.ndarray


def gridface() -> Iterator[Source]:
    from t2av_bench.gridface.data import corpus, damage
    from t2av_bench.gridface.portrait.portrait import Portrait
    from t2av_bench.gridface.speech.synthesizer import Synthesizer
    from t2av_bench.gridface.speech.visemes import SPEECH_SIZE

    with Synthesizer() as synthesizer:
        for utterance in corpus.utterances("test-en", CLIPS):
            recording = corpus.record(utterance, synthesizer)
            portrait = Portrait(utterance.identity, corpus.SIZE)
            frames = portrait.render(recording.motion)
            motion = damage.weaken_mouth(recording.motion, 0.8)
            motion[:, SPEECH_SIZE:] = np.roll(motion[:, SPEECH_SIZE:], len(motion) // 3, axis=0)
            weak = portrait.render(motion)
            yield Source(
                utterance.id, str(utterance.identity), utterance.text, frames, recording.audio,
                damage.blur(weak, 0.6), damage.hiss(recording.audio, 25.0),
            )  # fmt: skip


def real(folders: list[Path]) -> Iterator[Source]:
    import cv2

    from t2av_bench.gridface.data import damage
    from t2av_bench.media.clip import Clip
    from t2av_bench.metrics import create

    recogniser = create("wer/pocketsphinx")._recogniser()
    for path in sorted(file for folder in folders for file in folder.iterdir() if file.suffix in (".mp4", ".avi")):
        clip = Clip(path)
        if not clip.info.has_audio:
            continue
        frames = np.concatenate([_small(batch) for batch in clip.frames()])
        sound = np.asarray(clip.audio(16_000), dtype=np.float32)
        step = int(SECONDS * 25)
        for number, first in enumerate(range(0, len(frames) - step + 1, step)[:PIECES]):
            part, heard = frames[first : first + step], sound[first * 640 : (first + step) * 640]
            heard = heard[: len(part) * 640]
            if len(heard) < 640 * len(part) * 0.9 or not np.abs(heard).max() > 0.01:
                continue
            text = recogniser.transcribe(heard, "en").text
            height, width = part.shape[1:3]
            soft = np.stack([cv2.resize(cv2.resize(each, (width // 2, height // 2)), (width, height)) for each in part])
            yield Source(f"{path.stem}-{number}", path.stem, text, part, heard, soft, damage.hiss(heard, 40.0, number))


def _small(batch: np.ndarray) -> np.ndarray:
    """At most 256 pixels high, even sizes: what is measured is the encoder, not patience."""
    import cv2

    height, width = batch.shape[1:3]
    scale = min(1.0, 256 / height)
    size = (int(width * scale) // 2 * 2, int(height * scale) // 2 * 2)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in batch])


def write_variants(sources: Iterator[Source], folder: Path) -> dict[str, str]:
    """Write the references, the baseline and everything that is made from its files; returns item -> speaker."""
    from t2av_bench.gridface.data import damage
    from t2av_bench.media.clip import Clip
    from t2av_bench.media.encode import write_mp4

    speakers, lines = {}, []
    for name in ("reference", "base", "late", "frozen", *ENCODINGS):
        (folder / name).mkdir(parents=True)
    for source in sources:
        file = f"{source.id}.mp4"
        write_mp4(folder / "reference" / file, source.frames, source.sound, fit_audio=True)
        frames, sound = source.made_frames, source.made_sound
        write_mp4(folder / "base" / file, frames, sound, fit_audio=True, **BASE)
        made = Clip(folder / "base" / file)
        decoded = np.concatenate(list(made.frames())), np.array(made.audio(16_000))
        for name, settings in ENCODINGS.items():
            output = decoded if name == "second" else (frames, sound)
            write_mp4(folder / name / file, *output, fit_audio=True, **settings)
        write_mp4(folder / "late" / file, frames, damage.delay(sound, 3), fit_audio=True, **BASE)
        write_mp4(folder / "frozen" / file, damage.freeze(frames), sound, fit_audio=True, **BASE)
        speakers[source.id] = source.speaker
        item: dict[str, Any] = {"id": source.id, "reference": f"reference/{file}"}
        lines.append(item | ({"text": source.text, "language": "en"} if source.text else {}))
        print(f"{source.id}: {len(frames)} frames", file=sys.stderr)
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return speakers


def scored(folder: Path, speakers: dict[str, str], metrics: tuple[str, ...]) -> dict[str, Any]:
    """Scores by variant and quantity, in the order of the ids; None where a clip has none."""
    from t2av_bench.evaluation.config import EvaluateConfig
    from t2av_bench.evaluation.evaluate import evaluate
    from t2av_bench.results.run import open_run

    ids = sorted(speakers)
    found: dict[str, Any] = {"clips": len(ids), "speakers": [speakers[id] for id in ids], "variants": {}}
    for name in ("base", *ENCODINGS, "late", "frozen"):
        plan = EvaluateConfig(
            name=name, generated=folder / name, manifest=folder / "items.jsonl", metrics=metrics,
            out=folder / f"run-{name}", cache=folder / "cache",
        )  # fmt: skip
        evaluate(plan, lambda progress: None, print)
        values: dict[str, Any] = {}
        for (_, quantity), record in open_run(folder / f"run-{name}").recorded.quantities.items():
            if not record.scored:
                continue
            sample = record.sample(record.scored)
            given = dict(zip(sample.clips, sample.numerators / sample.denominators, strict=True))
            values[quantity] = [float(f"{given[id]:.5g}") if id in given else None for id in ids]
            if record.weights:
                found.setdefault("words", {})[quantity] = [record.weights.get(id) for id in ids]
        found["variants"][name] = values
        print(f"{name}: {len(values)} quantities", file=sys.stderr)
    return found


def measure(out: Path, folders: list[Path], keep: Path | None) -> None:
    document: dict[str, Any] = {"made_by": "python bench/gate_power.py measure SCORES.json --real FOLDER"}
    parts: list[tuple[str, Callable[[], Iterator[Source]], tuple[str, ...]]] = [("gridface", gridface, GRIDFACE)]
    if folders:
        parts.append(("real", lambda: real(folders), REAL))
    with tempfile.TemporaryDirectory() as temporary:
        for name, sources, metrics in parts:
            folder = (keep or Path(temporary)) / name
            document[name] = scored(folder, write_variants(sources(), folder), metrics)
            out.write_text(json.dumps(document, separators=(",", ":")).replace('],"', '],\n"') + "\n")


def floors(document: dict[str, Any]) -> Iterator[str]:
    """Per quantity: the baseline's mean, the largest mean change by another encoding, and the margin."""
    from t2av_bench.comparison.margins import DEFAULT_MARGINS

    for part in ("gridface", "real"):
        variants = document[part]["variants"]
        yield f"\n{part}, {document[part]['clips']} clips\n\n| quantity | mean | by encoding | SD by clip | margin |"
        yield "|---|---:|---:|---:|---:|"
        for name, base in variants["base"].items():
            moved = []
            for other in ENCODINGS:
                pairs = zip(base, variants[other][name], strict=True)
                moved.append(np.array([y - x for x, y in pairs if x is not None and y is not None]))
            most = max(moved, key=lambda change: abs(change.mean()))
            mean = np.mean([x for x in base if x is not None])
            yield (
                f"| `{name}` | {mean:.4g} | {most.mean():+.2g} | {max(each.std(ddof=1) for each in moved):.2g} "
                f"| {DEFAULT_MARGINS[name]} |"
            )


def powers(studies: int) -> Iterator[str]:
    """How often the gate answers what, by kind of damage and number of clips."""
    sys.path.insert(0, str(ROOT / "tests" / "factories"))
    import gate_studies

    document = gate_studies.read_scores()
    yield "\n| clips of | n | by speaker | " + " | ".join(gate_studies.DAMAGE) + " | encoded again |"
    yield "|---|---:|---|" + "---:|" * (len(gate_studies.DAMAGE) + 1)
    for part, clips, grouped in (
        ("gridface", 48, False),
        ("gridface", 96, False),
        ("gridface", 96, True),
        ("real", 96, False),
    ):
        pool, random = gate_studies.Pool(document[part]), np.random.default_rng(0)
        caught = [
            sum(gate_studies.damaged_pair(pool, damage, random, clips, grouped=grouped).regressed
                for _ in range(studies)) for damage in gate_studies.DAMAGE
        ]  # fmt: skip
        alarms = sum(gate_studies.null_pair(pool, random, clips, grouped=grouped).regressed for _ in range(studies))
        found = " | ".join(f"{100 * count / studies:.1f} %" for count in (*caught, alarms))
        yield f"| {part} | {clips} | {'yes' if grouped else 'no'} | {found} |"


def main() -> None:
    parser = options(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="make and score the clips")
    measuring.add_argument("out", type=Path)
    measuring.add_argument("--real", type=Path, nargs="*", default=[], help="folders of real talking clips")
    measuring.add_argument("--keep", type=Path, help="leave clips and runs here")
    printing = commands.add_parser("table", help="print noise floors and the gate's power")
    printing.add_argument("scores", type=Path)
    printing.add_argument("--studies", type=int, default=200)
    given = parser.parse_args()
    if given.command == "measure":
        measure(given.out, given.real, given.keep)
        return
    for line in chain(floors(json.loads(given.scores.read_text())), powers(given.studies)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
