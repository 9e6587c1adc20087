"""GridFace's clips on disk: built on demand, item by item, the same bytes for any number of workers and on every build.

    SPLIT/manifest.jsonl        what ``evaluate`` and ``run`` read; with fewer items, SPLIT/first-N.jsonl
    SPLIT/reference/ID.mp4      H.264 25 fps and AAC 16 kHz, near transparent; ID.wav: its sound, 16-bit, lossless
    SPLIT/voice/ID.wav          another sentence in the same voice: what a system may hear of the speaker
    SPLIT/identity/ID.png       the clip's first frame before encoding: what a system may see of the person
    SPLIT/.records/ID.json      digests of the item's files; written last, so where it fits the files, the item is whole

The models start from the motion of the identity picture, so that picture is the clip's own first frame, as in the
paper's protocol, which conditions on a reference frame.
"""

import hashlib
import importlib.metadata
import json
import multiprocessing
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.benchmarks.prepared import FOLDER_VARIABLE, data_folder
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.data.corpus import AUDIO_RATE, FRAME_RATE, NAME, SIZE, TEST_SPLITS, VERSION, Utterance
from t2av_bench.gridface.speech.synthesizer import Synthesizer
from t2av_bench.media.encode import write_mp4
from t2av_bench.media.resample import to_int16
from t2av_bench.utils.files import write_text
from t2av_bench.utils.machine import cores
from t2av_bench.utils.optional import lacking

if TYPE_CHECKING:
    from t2av_bench.gridface.portrait.portrait import Portrait

SIZES = (128, 256)
RECORDS = ".records"
PACKAGES = ("espeakng-loader", "soxr", "numpy", "scipy", "torch", "av", "pillow")
"""Whose versions can move bytes."""
Progress = Callable[[int, int, str], None]

_CRF = 12
# Measured, rounded up: what an item takes on disk.
_ITEM_BYTES = {128: 300_000, 256: 500_000}
_ABANDONED_SECONDS = 3600


class BuildError(ValueError):
    """The benchmark cannot be built as asked; the message says what was wrong and what to type instead."""


def default_folder(size: int = SIZE) -> Path:
    """Where clips are kept: ``T2AV_BENCH_DATA``, else the user's cache; a folder of its own for version and size."""
    return data_folder() / f"{NAME}-{VERSION}-{size}"


def build(
    folder: Path | str | None = None,
    splits: Sequence[str] = TEST_SPLITS,
    items: int | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
    *,
    size: int = SIZE,
) -> dict[str, Path]:
    """Make what is missing or damaged of these splits below ``folder``; returns split -> manifest.

    folder: default ``default_folder(size)``. items: only the first ones of every split; default all.
    workers: processes; default one a core. size: pixels, 128 or 256.
    on_progress: called with items finished, items in all, and the id just made ("" at the start).
    A finished build is found again within a second and needs no right to write. Raises BuildError.
    """
    chosen = plan(splits, items, size)
    if workers is not None and workers < 1:
        raise BuildError(f"workers must be 1 or more, got {workers}")
    folder = Path(folder) if folder is not None else default_folder(size)
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise BuildError(f"{path} is a file, expected a folder to build in: choose another one (--out)")
    installed()
    everything = [utterance for found in chosen.values() for utterance in found]
    missing = [utterance for utterance in everything if finished(folder, utterance, size) is None]
    done = len(everything) - len(missing)
    report = on_progress or (lambda *_: None)
    report(done, len(everything), "")
    if missing:
        with _explained(folder):
            _prepare(folder, chosen, len(missing) * _ITEM_BYTES[size])
        # One person after the other, so that a worker paints each head once.
        missing.sort(key=lambda utterance: (utterance.split, utterance.identity))
        count = min(workers or cores(), len(missing))
        for number, id in enumerate(_made(missing, folder, size, count), start=1):
            report(done + number, len(everything), id)
    manifests = {}
    for split, found in chosen.items():
        manifests[split] = folder / split / manifest_name(split, len(found))
        text = manifest_text(found)
        if not manifests[split].is_file() or manifests[split].read_bytes() != text.encode():
            with _explained(folder):
                write_text(manifests[split], text)
    return manifests


def plan(splits: Sequence[str], items: int | None = None, size: int = SIZE) -> dict[str, list[Utterance]]:
    """Split -> its first ``items`` clips. BuildError for a split, a count or a size that does not exist."""
    if size not in SIZES:
        raise BuildError(f"pictures are {' or '.join(map(str, SIZES))} pixels wide, {size} were asked for (--size)")
    if not splits:
        raise BuildError(f"name at least one split: {', '.join(corpus.SPLITS)}")
    try:
        return {split: corpus.utterances(split, items) for split in splits}
    except ValueError as error:
        raise BuildError(str(error)) from error


def manifest_name(split: str, count: int) -> str:
    """A part of a split has a manifest of its own, so that it never replaces the whole one."""
    return "manifest.jsonl" if count == corpus.SPLITS[split] else f"first-{count}.jsonl"


def manifest_text(utterances: Sequence[Utterance]) -> str:
    """JSON Lines of ``benchmarks.manifest.Item``."""
    rows = (
        {
            "id": utterance.id, "text": utterance.text, "language": utterance.language,
            "reference": f"reference/{utterance.id}.mp4", "reference_voice": f"voice/{utterance.id}.wav",
            "identity_image": f"identity/{utterance.id}.png",
        }
        for utterance in utterances
    )  # fmt: skip
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def on_disk(folder: Path, split: str, size: int = SIZE) -> tuple[int, int]:
    """How many items of a split are finished there, and the bytes that their files take."""
    count = total = 0
    for utterance in corpus.utterances(split):
        if record := finished(folder, utterance, size):
            count += 1
            total += sum((folder / split / name).stat().st_size for name in record["files"])
    return count, total


def finished(folder: Path, utterance: Utterance, size: int) -> dict[str, Any] | None:
    """The record of an item whose files are all there, whole, and made by the same version and libraries; else None."""
    place = folder / utterance.split
    try:
        record = json.loads((place / RECORDS / f"{utterance.id}.json").read_text(encoding="utf-8"))
        if record["fingerprint"] != _fingerprint(utterance, size):
            return None
        whole = all(sha256((place / name).read_bytes()) == digest for name, digest in record["files"].items())
        return record if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def installed() -> dict[str, str]:
    """Package -> version, without build tags such as ``+cpu``. BuildError where some are missing."""
    if absent := lacking("demo", "PIL", "espeakng_loader", "torch"):
        raise BuildError(f"building {NAME}: {absent}")
    return {name: importlib.metadata.version(name).partition("+")[0] for name in PACKAGES}


@lru_cache
def _tools() -> str:
    """Identifies what makes an item: the version of the benchmark, and the libraries."""
    return json.dumps([NAME, VERSION, platform.machine(), installed()], sort_keys=True)


def _fingerprint(utterance: Utterance, size: int) -> str:
    asked = [asdict(utterance), asdict(corpus.voice_sample(utterance)), size]
    return sha256((_tools() + json.dumps(asked, sort_keys=True)).encode())


def sha256(data: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _prepare(folder: Path, splits: Sequence[str] | dict[str, Any], needed: int) -> None:
    """Make the folders, look for room, and remove what a killed build left behind."""
    for split in splits:
        for part in ("reference", "voice", "identity", RECORDS):
            (folder / split / part).mkdir(parents=True, exist_ok=True)
        for left in (folder / split / RECORDS).glob("*.part"):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BuildError(
            f"about {needed / 1e6:.0f} MB are needed in {folder}, {free / 1e6:.0f} MB are free: make room, choose "
            f"another folder (--out or {FOLDER_VARIABLE}) or fewer items (--items)"
        )


@contextmanager
def _explained(where: Path) -> Iterator[None]:
    """What the file system or the synthesiser refuses becomes a BuildError."""
    try:
        yield
    except OSError as error:
        raise BuildError(
            f"cannot write in {where}: {error.strerror or error}; what is finished stays and the same command "
            f"continues, or choose another folder (--out or {FOLDER_VARIABLE})"
        ) from error


def _made(missing: list[Utterance], folder: Path, size: int, workers: int) -> Iterator[str]:
    """Make the items, yielding each one's id when it is finished; the first failure ends it."""
    if workers == 1:
        with Synthesizer() as synthesizer:
            maker = _Maker(folder, size, synthesizer)
            for utterance in missing:
                yield maker.make(utterance)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy locks that the caller's threads hold
    with ProcessPoolExecutor(workers, context, _start_worker, (folder, size)) as pool:
        try:
            for future in as_completed([pool.submit(_make, utterance) for utterance in missing]):
                yield future.result()
        except BrokenProcessPool as error:
            raise BuildError("a building process was killed (out of memory?); the same command continues") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_maker: "_Maker"


def _start_worker(folder: Path, size: int) -> None:
    import torch

    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C for all
    torch.set_num_threads(1)
    _maker = _Maker(folder, size, Synthesizer())


def _make(utterance: Utterance) -> str:
    return _maker.make(utterance)


@lru_cache(maxsize=1)
def _painted(identity: int, size: int) -> "Portrait":
    """The last head that was painted: items come one person after the other."""
    from t2av_bench.gridface.portrait.portrait import Portrait

    return Portrait(identity, size)


class _Maker:
    """Makes items one after the other, with one synthesiser."""

    def __init__(self, folder: Path, size: int, synthesizer: Synthesizer) -> None:
        self._folder, self._size, self._synthesizer = folder, size, synthesizer

    def make(self, utterance: Utterance) -> str:
        """Write the item's files, all of them or none, and its record last; returns its id."""
        try:
            recording = corpus.record(utterance, self._synthesizer)
            voice = to_int16(corpus.record(corpus.voice_sample(utterance), self._synthesizer).audio)
            frames = _painted(utterance.identity, self._size).render(recording.motion)
        except ValueError as error:
            raise BuildError(f"{utterance.id} cannot be made: {error}") from error
        sound = to_int16(recording.audio)
        with _explained(self._folder):
            files = self._write(utterance, frames, sound, voice)
            record = {
                "fingerprint": _fingerprint(utterance, self._size),
                "environment": environment(),
                "files": files,
                "sound": sha256(sound.astype("<i2").tobytes() + voice.astype("<i2").tobytes()),
                "motion": sha256(recording.motion.astype("<f4").tobytes()),
                "pictures": sha256(frames.tobytes()),
            }
            write_text(self._record(utterance), json.dumps(record, indent=1) + "\n")
        return utterance.id

    def _record(self, utterance: Utterance) -> Path:
        return self._folder / utterance.split / RECORDS / f"{utterance.id}.json"

    def _write(self, utterance: Utterance, frames: np.ndarray, sound: np.ndarray, voice: np.ndarray) -> dict[str, str]:
        """Name within the split -> sha256. The files wait in a hidden folder until all are written."""
        from PIL import Image
        from scipy.io import wavfile

        id, record = utterance.id, self._record(utterance)
        with tempfile.TemporaryDirectory(prefix=f"{id}.", suffix=".part", dir=record.parent) as name:
            parts = (f"reference/{id}.mp4", f"reference/{id}.wav", f"voice/{id}.wav", f"identity/{id}.png")
            staged = {part: Path(name) / part.replace("/", "-") for part in parts}
            mp4, wav, heard, seen = staged.values()
            write_mp4(mp4, frames, sound, frame_rate=FRAME_RATE, audio_rate=AUDIO_RATE, crf=_CRF)
            wavfile.write(wav, AUDIO_RATE, sound)
            wavfile.write(heard, AUDIO_RATE, voice)
            Image.fromarray(frames[0]).save(seen)
            digests = {part: sha256(path.read_bytes()) for part, path in staged.items()}
            record.unlink(missing_ok=True)  # an older record must not describe a mixture
            for part, path in staged.items():
                path.replace(self._folder / utterance.split / part)
        return digests


def environment() -> dict[str, str]:
    """What the bytes of clips made here depend on: package versions, and the kind of processor as torch uses it.

    Its maker counts: the mathematics libraries choose their code by it, and round differently.
    """
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    maker = next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "unknown")
    capability = torch.backends.cpu.get_cpu_capability()
    return installed() | {"processor": f"{platform.machine()} {capability} {maker}"}
