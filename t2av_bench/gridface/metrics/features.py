"""Fréchet distances of the embedded benchmark's frames and short clips, by tiny networks of our own: stand-ins.

``fd_frame`` takes 16 frames a clip, in the middle of 16 equal segments of the duration that the generated clip and its
reference share; ``fd_clip`` four windows of 16 consecutive frames, from the start to the end of that duration, at half
size and in grey. Both sides give the same indices. Frames are square pictures as GridFace draws them; nothing looks for
a face, so a system that draws none gets a large distance. Features are in deviations of the training split, compressed
by asinh, so neither number has anything to do with FID's or FVD's scale. Both are biased by about 1/n: compare equal
numbers of clips. Tables of 40 clips say what real clips score (``gridface/metrics/floors.toml``).
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.gridface.extractors import features as gridface_features
from t2av_bench.gridface.extractors import pictures as gridface_pictures
from t2av_bench.gridface.metrics.floors import floors
from t2av_bench.gridface.models.loading import digest
from t2av_bench.media.clip import PICTURES, Clip
from t2av_bench.metrics.base import Floor, Measurement, Pair
from t2av_bench.metrics.paired_frames import common_frames, segment_centres
from t2av_bench.metrics.set_distance import FrechetDistance
from t2av_bench.scores import Protocol, Quantity, library_versions

FRAMES_PER_CLIP = 16
WINDOWS_PER_CLIP, WINDOW = 4, 16


def window_starts(count: int) -> np.ndarray:
    """First frames of four windows of 16, evenly from the start to the end of ``count`` >= 16 frames: (4,) int64."""
    return np.arange(WINDOWS_PER_CLIP) * (count - WINDOW) // (WINDOWS_PER_CLIP - 1)


class _GridFaceDistance(FrechetDistance):
    paper = "this project; Fréchet distance of Heusel et al. 2017 (arXiv 1706.08500)"
    packages = ("cv2", "torch")
    extra = "video"
    stand_in = True
    checkpoint: ClassVar[str]
    choice: ClassVar[dict[str, Any]]

    @property
    def floors(self) -> tuple[Floor, ...]:  # type: ignore[override]
        """Real clips against real clips, measured by ``gridface.validation.floors``."""
        return floors(self.id)

    @property
    def features_protocol(self) -> Protocol:
        return Protocol(
            id=f"gridface/{self.checkpoint}",
            parameters={
                **PICTURES,
                **gridface_pictures.PICTURE_PARAMETERS,
                **self.choice,
                "scale": "asinh of deviations",
                "checkpoint": digest(self.checkpoint),
            },
            libraries=library_versions("av", "opencv-contrib-python", "torch"),
        )

    def measure(self, pair: Pair) -> Measurement:
        reference = pair.require_reference()
        common, detail = common_frames(pair, WINDOW)
        generated = self._features(pair.generated, common)
        try:
            expected = self._features(reference, common)
        except Unscorable as error:
            raise NotApplicable(f"the reference ({reference.path.name}) cannot be used: {error}") from error
        return Measurement(features={"generated": generated, "reference": expected}, detail=detail)

    def _features(self, clip: Clip, common: int) -> np.ndarray:
        return self.features_of(clip, f"{self.checkpoint}-{common}", lambda: self.compute(clip, common))

    @abstractmethod
    def compute(self, clip: Clip, common: int) -> np.ndarray:
        """Features (samples, d) float32 of the clip's first ``common`` frames."""


class FDFrameGridFace(_GridFaceDistance):
    """104 features a frame: sharpness, grain and colour (40), face, pose and person (64)."""

    id = "fd_frame/gridface"
    title = "Fréchet distance of GridFace frames (embedded)"
    quantities = (
        Quantity("fd_frame_gridface", "FD frame (GridFace)", "lower", "", (0.0, None), decimals=2, aggregate="set"),
    )
    validity = {"fd_frame_gridface": {"blur": "up", "picture_noise": "up", "identity_swap": "up"}}
    checkpoint = gridface_features.FRAME_CHECKPOINT
    choice = {"frames_per_clip": FRAMES_PER_CLIP, "frame_choice": "segment centres of the common duration"}

    def compute(self, clip: Clip, common: int) -> np.ndarray:
        frames = clip.frames_at(segment_centres(common, FRAMES_PER_CLIP))
        return gridface_features.frame_features(frames, self.settings.device)


class FDClipGridFace(_GridFaceDistance):
    """80 features a window: texture of picture and change (16), course of the motion (64)."""

    id = "fd_clip/gridface"
    title = "Fréchet distance of GridFace clips (embedded)"
    quantities = (
        Quantity("fd_clip_gridface", "FD clip (GridFace)", "lower", "", (0.0, None), decimals=2, aggregate="set"),
    )
    validity = {"fd_clip_gridface": {"freeze": "up", "dropped_frames": "up", "flicker": "up"}}
    checkpoint = gridface_features.CLIP_CHECKPOINT
    choice = {"windows_per_clip": WINDOWS_PER_CLIP, "window": WINDOW, "starts": "even over the common duration"}

    def compute(self, clip: Clip, common: int) -> np.ndarray:
        grey = clip.memo(
            ("gridface", "small grey"), lambda: np.concatenate([gridface_features.small_grey(b) for b in clip.frames()])
        )
        windows = np.stack([grey[start : start + WINDOW] for start in window_starts(common)])
        return gridface_features.window_features(windows, self.settings.device)
