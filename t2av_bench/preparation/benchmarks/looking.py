"""What workers do with one clip: read headers, listen, look for faces and cuts, recognise words."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import silero_vad
from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser, Transcript
from t2av_bench.faces.confirmed import confirmed_blazeface
from t2av_bench.faces.detect import Detector, haar, s3fd
from t2av_bench.faces.shots import ShotCutter
from t2av_bench.media.clip import FRAME_RATE, Clip
from t2av_bench.media.limits import Limits
from t2av_bench.media.probe import probe
from t2av_bench.preparation.benchmarks.cutting import CutRule, Seen
from t2av_bench.preparation.benchmarks.recipe import Facts
from t2av_bench.preparation.benchmarks.stages import Row
from t2av_bench.preparation.benchmarks.text import RECOGNISERS
from t2av_bench.utils.files import file_sha256
from t2av_bench.utils.optional import require_all
from t2av_bench.weights.entry import fetch_command

LIMITS = Limits(seconds=4 * 3600.0, gigapixels=2000.0)
"""Sources are whole programmes, of which a minute is wanted: an hour of 4K, or four hours of 1080p."""
DETECTORS: Mapping[str, Callable[[str], Detector]] = {
    "s3fd": s3fd, "blazeface": lambda device: confirmed_blazeface(), "haar": lambda device: haar()
}  # fmt: skip


class Tools(Protocol):
    """Networks that look and listen. Tests bring their own."""

    detector: Detector
    recognisers: Sequence[Recogniser]

    def speech(self, audio: np.ndarray) -> np.ndarray:
        """(n,) float32 at 16 kHz -> (k, 2) first sample of each stretch of speech, and the one after its last."""
        ...

    def cutter(self) -> Any:
        """A ``faces.shots.ShotCutter``, one a clip."""
        ...


@dataclass
class NetworkTools:
    """silero-vad, a face detector, PySceneDetect and recognisers (names of ``text.RECOGNISERS``), loaded when needed.

    Raises NotApplicable, with the command that helps, where weights or packages are missing.
    """

    detector_name: str
    recogniser_names: tuple[str, ...]
    device: str

    def __post_init__(self) -> None:
        self._recognisers: list[Recogniser] = []

    @property
    def detector(self) -> Detector:
        return DETECTORS[self.detector_name](self.device)

    @property
    def recognisers(self) -> Sequence[Recogniser]:
        if not self._recognisers:
            for name in self.recogniser_names:
                target, id = RECOGNISERS[name]
                module, _, kind = target.partition(":")
                made = getattr(importlib.import_module(module), kind)
                self._recognisers.append(made(weights.path(id), self.device, weights.digest(id)))
        return self._recognisers

    def speech(self, audio: np.ndarray) -> np.ndarray:
        session = silero_vad.load(weights.path(silero_vad.WEIGHTS), weights.digest(silero_vad.WEIGHTS))
        return silero_vad.speech_segments(silero_vad.speech_probability(session, audio), len(audio))

    def cutter(self) -> ShotCutter:
        return ShotCutter()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a media file: path, and the seconds from the first picture at which it begins and ends (None: whole).

    sound: the file that is heard in place of its own sound.
    """

    path: Path
    start: float | None = None
    end: float | None = None
    sound: Path | None = None

    @property
    def first(self) -> int:
        return round((self.start or 0.0) * FRAME_RATE)

    def part(self, first: int, end: int) -> "Stretch":
        """Frames of it, half-open."""
        return replace(self, start=(self.first + first) / FRAME_RATE, end=(self.first + end) / FRAME_RATE)

    def frames(self) -> Iterator[np.ndarray]:
        """(n, H, W, 3) batches. Decoded from the file's beginning, so that every frame has its place on the file's own
        time line, wherever its key frames are."""
        first = self.first
        end = None if self.end is None else round(self.end * FRAME_RATE)
        at = 0
        for batch in Clip(self.path, limits=LIMITS, frame_budget=0).frames():
            low, high = max(0, first - at), len(batch) if end is None else min(len(batch), end - at)
            at += len(batch)
            if low < high:
                yield batch[low:high]
            if end is not None and at >= end:
                return

    def audio(self, rate: int = SAMPLE_RATE) -> np.ndarray:
        """(n,) float32 mono."""
        heard = Clip(self.path, sound_path=self.sound, limits=LIMITS).audio(rate)
        first = self.first * rate // FRAME_RATE
        return heard[first : None if self.end is None else round(self.end * FRAME_RATE) * rate // FRAME_RATE]


@dataclass(frozen=True, slots=True)
class Probe:
    """files: by field. listen: to which stretch."""

    files: Mapping[str, Path]
    listen: Stretch | None


def probe_task(tools: Tools, content: Probe, alive: Callable[[], None]) -> Row:
    """``files``: field -> facts and digest; ``speech``: seconds in the stretch; ``frames``: its length."""
    row: Row = {"files": {}}
    for field, path in content.files.items():
        found = probe(path)
        rate = None if found.frame_rate is None else float(found.frame_rate)
        facts = Facts(found.has_video, found.has_audio, found.duration, found.width, found.height, rate,
                      found.audio_rate, found.audio_channels)  # fmt: skip
        row["files"][field] = {**asdict(facts), "sha256": file_sha256(path)}
        alive()
    if content.listen is not None:
        facts = row["files"]["path"]
        if not facts["has_video"]:
            raise Unscorable("there is no video stream")
        if not row["files"].get("sound", facts)["has_audio"]:
            raise Unscorable("there is no audio stream: it was downloaded without its sound")
        audio = content.listen.audio()
        if not len(audio):
            raise Unscorable("the recording ends before the clip begins")
        alive()
        row["frames"] = len(audio) * FRAME_RATE // SAMPLE_RATE
        row["speech"] = (tools.speech(audio) / SAMPLE_RATE).round(4).tolist()
    return row


def faces_task(tools: Tools, content: tuple[Stretch, CutRule], alive: Callable[[], None]) -> Row:
    """What is seen: see ``cutting.Seen``; ``frames``: its length."""
    stretch, rule = content
    cutter, boxes, count, size = tools.cutter(), [], 0, (0, 0)
    for batch in stretch.frames():
        size = batch.shape[2], batch.shape[1]
        looked = batch[-count % rule.look :: rule.look]
        if len(looked):
            boxes += [found[:, :4] for found in tools.detector.detect(looked)]
        cutter.add(batch)
        count += len(batch)
        alive()
    if not count:
        raise Unscorable("the recording ends before the clip begins")
    return {"frames": count, **Seen(boxes, cutter.shots(), *size).to_json()}


def text_task(tools: Tools, content: tuple[Stretch, str], alive: Callable[[], None]) -> Row:
    """``heard``: what each recogniser wrote, in its order. content: the stretch, and its language."""
    stretch, language = content
    audio, heard = stretch.audio(), []
    for recogniser in tools.recognisers:
        found: Transcript = recogniser.transcribe(audio, language)
        heard.append(asdict(found))
        alive()
    return {"heard": heard}


def check_tools(detector: str, recognisers: Sequence[str]) -> None:
    """Before any clip is looked at. Raises ValueError for a name that is none, NotApplicable for what is missing."""
    from t2av_bench.utils.config import near

    if detector not in DETECTORS:
        raise ValueError(f"--detector {detector}: there is no such detector{near(detector, DETECTORS)}")
    if len(set(recognisers)) < 2:
        raise ValueError("--recogniser: a text counts where two recognisers agree; name two")
    for name in recognisers:
        if name not in RECOGNISERS:
            raise ValueError(f"--recogniser {name}: there is no such recogniser{near(name, RECOGNISERS)}")
    require_all("speech,sync", "cv2", "onnxruntime", "rapidfuzz", "scenedetect", "torch", "transformers")
    needed = [*(RECOGNISERS[name][1] for name in recognisers), silero_vad.WEIGHTS]
    if absent := [weights.entry(id) for id in needed if not weights.is_present(id)]:
        raise NotApplicable(f"missing: weights {', '.join(each.id for each in absent)}: {fetch_command(*absent)}")
    for id in needed:
        weights.path(id)
    DETECTORS[detector]("cpu")
