"""Lip-sync embeddings of the embedded benchmark, and the distances between them.

Conventions are SyncNet's: windows of five frames at 25 fps and the 0.2 s of audio under them; offsets in frames,
positive where the audio is early. The network is our own and tiny, trained on GridFace's training split alone
(``gridface.training.sync``); its embeddings have unit length, so distances lie between 0 and 2.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from t2av_bench.extractors.log_mel import PARAMETERS as MEL
from t2av_bench.extractors.log_mel import ROWS_PER_FRAME
from t2av_bench.extractors.log_mel import log_mel as log_energies
from t2av_bench.extractors.syncnet import MAX_SHIFT, SAMPLES_PER_FRAME, WINDOW, SyncResult
from t2av_bench.gridface.extractors.pictures import SIZE, resized
from t2av_bench.gridface.models import loading as extractor_checkpoints
from t2av_bench.utils.inference import full_precision

LEAST_OVERLAP = 8
LEAST_FRAMES = MAX_SHIFT + LEAST_OVERLAP + WINDOW - 1
"""Below this the largest shift would be judged by fewer than eight windows."""
CHECKPOINT = "sync"

MOUTH = (0.296875, 0.703125, 0.546875, 0.890625)
"""left, right, top, bottom in fractions of the frame: 52 x 44 pixels of 128 x 128.

On 480 frames of 60 clips with head motion, 88 % of the absolute difference that the mouth dimensions make lies inside;
the rest is the jaw's pull on neck and collar.
"""
_MEL_ROWS = 20
_LOUD, _FLOOR, _SCALE = 0.95, -11.5, 5.0
# Constants, not settings: the last digits of a convolution depend on its batch.
_BATCH = 128
PARAMETERS: dict[str, Any] = {
    "window": WINDOW,
    "max_shift": MAX_SHIFT,
    "least_overlap": LEAST_OVERLAP,
    "mouth": list(MOUTH),
    "colour": "grey",
    **MEL,
    "level": "relative to the clip's 95 % quantile, floor -50 dB",
}


def mouths(frames: np.ndarray, margin: int = 0) -> np.ndarray:
    """(n, H, W, 3) uint8 RGB square frames -> (n, 44, 52) uint8 grey mouths; ``margin`` more pixels on each side."""
    import cv2

    left, right, top, bottom = (round(edge * SIZE) for edge in MOUTH)
    part = resized(frames)[:, top - margin : bottom + margin, left - margin : right + margin]
    return np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in part])


def log_mel(audio: np.ndarray) -> np.ndarray:
    """(n,) mono at 16 kHz -> (4 * (n // 640), 40) float32; row r is centred on the middle of its 10 ms.

    Loudness is relative to the clip's own, so volume does not count; the floor lies 50 dB below the loud parts.
    """
    level = log_energies(audio, len(audio) // SAMPLES_PER_FRAME)
    relative = level - np.quantile(level, _LOUD)
    return (np.maximum(relative, _FLOOR) / _SCALE + 1).astype(np.float32)


def compare(mouth: np.ndarray, audio: np.ndarray) -> SyncResult:
    """(V, D) mouth and (A, D) audio embeddings, one row a frame -> offset, distance and confidence.

    The distance at an offset is the mean over the windows that both sides have there (the published protocol pads
    with zeros instead, which makes its confidence depend on the clip's length).
    """
    count = min(len(mouth), len(audio))
    if count < MAX_SHIFT + LEAST_OVERLAP:
        raise ValueError(f"at least {MAX_SHIFT + LEAST_OVERLAP} windows are needed, got {count}")
    seen, heard = mouth[:count].astype(np.float64), audio[:count].astype(np.float64)
    curve = np.empty(2 * MAX_SHIFT + 1)
    for index, offset in enumerate(range(MAX_SHIFT, -MAX_SHIFT - 1, -1)):
        first, last = max(0, offset), count + min(0, offset)
        curve[index] = np.linalg.norm(seen[first:last] - heard[first - offset : last - offset], axis=1).mean()
    return SyncResult.of_curve(curve)


class GridFaceSync:
    """Embeddings by a ``gridface.models.sync_network.SyncNetwork`` in evaluation mode."""

    def __init__(self, network: Any, device: str = "cpu") -> None:
        self.network = network.eval().to(device)
        self.device = device

    def embed_mouths(self, pictures: np.ndarray) -> np.ndarray:
        """(n, 44, 52) uint8 grey mouths -> (n - 4, 128) float32, row i from frames i ... i + 4."""
        windows = np.lib.stride_tricks.sliding_window_view(pictures, WINDOW, axis=0).transpose(0, 3, 1, 2)
        return self._run(self.network.embed_mouths, windows, lambda values: values.float() / 127.5 - 1)

    def embed_audio(self, rows: np.ndarray) -> np.ndarray:
        """(4 n, 40) log-mel rows -> (n - 4, 128) float32, row i from rows 4i ... 4i + 19."""
        windows = np.lib.stride_tricks.sliding_window_view(rows, _MEL_ROWS, axis=0)[::ROWS_PER_FRAME]
        return self._run(self.network.embed_audio, windows.transpose(0, 2, 1), lambda values: values.float())

    def score(self, pictures: np.ndarray, audio: np.ndarray) -> SyncResult:
        """Mouths (n, 44, 52) uint8 at 25 fps and the audio (samples,) at 16 kHz that begins with the first."""
        return compare(self.embed_mouths(pictures), self.embed_audio(log_mel(audio)))

    def _run(self, embed: Any, windows: np.ndarray, prepare: Any) -> np.ndarray:
        import torch

        embedded = []
        with full_precision():
            for start in range(0, len(windows), _BATCH):
                values = torch.from_numpy(np.ascontiguousarray(windows[start : start + _BATCH])).to(self.device)
                embedded.append(embed(prepare(values)).cpu().numpy())
        return np.concatenate(embedded)


def stream_mouths(frames: Iterable[np.ndarray]) -> np.ndarray:
    """The mouths of frames that stream past in batches (m, H, W, 3): (n, 44, 52) uint8."""
    return np.concatenate([mouths(batch) for batch in frames])


@lru_cache(maxsize=2)
def load_sync(device: str = "cpu") -> GridFaceSync:
    """The bundled network, one per process and device."""
    from t2av_bench.gridface.models.sync_network import SyncNetwork

    return GridFaceSync(extractor_checkpoints.load(CHECKPOINT, lambda state: SyncNetwork()), device)
