"""SyncNet (Chung & Zisserman 2016): mouth and audio embeddings of 0.2 s, and the distances between them.

Networks are syncnet-python's class with the weights ``syncnet_v2``. Mouths are 224x224 crops at 25 fps, audio is mono
16 kHz int16; both go in unscaled. Offsets are in frames at 25 fps: delaying the audio by k frames changes the offset
by -k, so a positive offset means that the audio is early.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from t2av_bench import weights
from t2av_bench.utils.inference import Dtype, check_dtype, full_precision, precision, to_device
from t2av_bench.utils.optional import make_torchvision_importable, require

SAMPLE_RATE = 16000
SAMPLES_PER_FRAME = 640
WINDOW = 5
MAX_SHIFT = 15
_EPSILON = 1e-6  # torch.nn.functional.pairwise_distance adds it to every coordinate
_MFCC_STEP, _MFCC_LENGTH = 160, 400
# Windows a pass, about 300 MB. Constants, not settings: the last digits of a convolution depend on its batch, and so
# no setting can move a score.
_MOUTH_BATCH, _AUDIO_BATCH = 32, 128
_MFCC_CHUNK = 6000  # one minute; bounds the memory of its float64 spectra
PARAMETERS = {"window": WINDOW, "max_shift": MAX_SHIFT, "sample_rate": SAMPLE_RATE, "mfcc": "python_speech_features"}


@dataclass(frozen=True, slots=True)
class SyncResult:
    """offset in frames, distance D and confidence C, and the mean distance per shift.

    curve: (31,) float64, mean distance at offsets 15 ... -15 (index j is offset 15 - j).
    """

    offset: int
    distance: float
    confidence: float
    curve: np.ndarray

    @classmethod
    def of_curve(cls, curve: np.ndarray) -> "SyncResult":
        """Distance: the smallest of 31; confidence: their median minus it. Of equal ones the largest offset counts."""
        best = int(np.argmin(curve))
        least = float(curve[best])
        return cls(MAX_SHIFT - best, least, float(np.median(curve)) - least, curve)


def window_count(frames: int, samples: int) -> int:
    """Windows that are compared for ``frames`` mouths and ``samples`` at 16 kHz; below 1 the clip is too short."""
    return min(frames, samples // SAMPLES_PER_FRAME) - WINDOW


def mfcc(audio: np.ndarray) -> np.ndarray:
    """(n,) int16 at 16 kHz -> (M, 13) float64, the defaults of python_speech_features on the unscaled integers.

    Computed minute by minute: each piece starts one hop early, so that pre-emphasis sees the sample before it, and
    drops that row. ValueError for floats, which would lower the first coefficient by 20.8 without any error.
    """
    if audio.dtype != np.int16 or audio.ndim != 1:
        raise ValueError(f"MFCCs need mono int16 samples, got {audio.dtype} of shape {audio.shape}")
    features = require("python_speech_features", "sync").mfcc
    rows = 1 + max(0, -(-(len(audio) - _MFCC_LENGTH) // _MFCC_STEP))
    pieces = []
    for start in range(0, rows, _MFCC_CHUNK):
        lead = 1 if start else 0
        first = (start - lead) * _MFCC_STEP
        end = len(audio) if start + _MFCC_CHUNK >= rows else (start + _MFCC_CHUNK - 1) * _MFCC_STEP + _MFCC_LENGTH
        pieces.append(features(audio[first:end], SAMPLE_RATE)[lead:])
    return np.concatenate(pieces)


def compare(mouth: np.ndarray, audio: np.ndarray) -> SyncResult:
    """(W, D) mouth and (W, D) audio embeddings, one row a frame -> offset, D and C.

    Audio is padded with 15 zero rows at both ends, which is part of the metric: short clips are compared with more
    zeros, so C depends on clip length.
    """
    if len(mouth) != len(audio) or len(mouth) < 1:
        raise ValueError(f"as many mouth as audio windows are needed, at least 1, got {len(mouth)} and {len(audio)}")
    shifts = 2 * MAX_SHIFT + 1
    padded = np.pad(audio.astype(np.float64), ((MAX_SHIFT, MAX_SHIFT), (0, 0)))
    shifted = np.lib.stride_tricks.sliding_window_view(padded, shifts, axis=0)  # (W, D, 31)
    distances = np.empty((len(mouth), shifts))
    for start in range(0, len(mouth), 32):  # 32 windows are 8 MB of differences
        rows = slice(start, start + 32)
        difference = mouth[rows].astype(np.float64)[:, :, None] - shifted[rows] + _EPSILON
        distances[rows] = np.sqrt(np.einsum("wdj,wdj->wj", difference, difference))
    return SyncResult.of_curve(distances.mean(axis=0))


class SyncNet:
    """Batched embeddings by a network of syncnet-python's class ``S`` (or one with the same two branches).

    Batch normalisation is folded into the convolutions, and the mouth branch runs along time: its first convolution
    spans five frames and the rest one, so a run of frames gives all its windows without copying any frame five times.

    dtype: of the mouth branch's convolutions, where nearly all the time goes; its head and the audio stay in float32.
    """

    def __init__(self, network: Any, device: str = "cpu", dtype: Dtype = "float32") -> None:
        import torch

        self.device, self.dtype = device, dtype
        self._mouth = _fold(network.netcnnlip).to(device, memory_format=torch.channels_last_3d)
        self._mouth_head = _fold(network.netfclip).to(device)
        self._audio = _fold(network.netcnnaud).to(device, memory_format=torch.channels_last)
        self._audio_head = _fold(network.netfcaud).to(device)

    def embed_mouths(self, crops: np.ndarray) -> np.ndarray:
        """(n, 224, 224, 3) uint8 RGB -> (n - 4, 1024) float32, row i from frames i ... i + 4."""
        # The network was trained on OpenCV's channel order. The array's memory is already what channels_last_3d means.
        pixels = to_device(np.ascontiguousarray(crops[..., ::-1]), self.device)
        video = pixels.float().permute(3, 0, 1, 2)[None]
        with precision(self.dtype, self.device):
            seen = self._mouth(video).float()  # (1, 512, n - 4, 1, 1)
        with full_precision():
            return self._mouth_head(seen[0, :, :, 0, 0].T).cpu().numpy()

    def embed_audio(self, coefficients: np.ndarray, windows: int) -> np.ndarray:
        """(M, 13) MFCCs -> (windows, 1024) float32, row i from MFCC rows 4i ... 4i + 19."""
        span, step = 4 * WINDOW, 4
        if len(coefficients) < step * (windows - 1) + span:
            raise ValueError(f"{windows} windows need {step * (windows - 1) + span} MFCC rows, got {len(coefficients)}")
        strided = np.lib.stride_tricks.sliding_window_view(coefficients.astype(np.float32), span, axis=0)[::step]
        embedded = []
        for start in range(0, windows, _AUDIO_BATCH):
            batch = np.ascontiguousarray(strided[start : min(windows, start + _AUDIO_BATCH)])  # (b, 13, 20)
            with full_precision():
                heard = self._audio(to_device(batch, self.device)[:, None])
                embedded.append(self._audio_head(heard.flatten(1)).cpu().numpy())
        return np.concatenate(embedded)

    def stream(self) -> "MouthStream":
        """Embeds the crops of one track as they come."""
        return MouthStream(self)


class MouthStream:
    """Embeddings of one track whose crops stream past; holds at most one batch of crops.

    Batches begin at every 32nd frame, however the crops arrive.
    """

    def __init__(self, network: SyncNet) -> None:
        self._network = network
        self._waiting: list[np.ndarray] = []
        self._count = 0
        self._embedded: list[np.ndarray] = []

    def add(self, crops: np.ndarray) -> None:
        """The next (m, 224, 224, 3) uint8 RGB crops."""
        self._waiting.append(crops)
        self._count += len(crops)
        if self._count >= _MOUTH_BATCH + WINDOW - 1:
            self._run(flush=False)

    def finish(self) -> np.ndarray:
        """(max(0, n - 4), 1024) float32 for the n crops added."""
        if self._count >= WINDOW:
            self._run(flush=True)
        return np.concatenate(self._embedded) if self._embedded else np.empty((0, 1024), np.float32)

    def _run(self, flush: bool) -> None:
        crops = np.concatenate(self._waiting)
        size, overlap = _MOUTH_BATCH, WINDOW - 1
        while len(crops) >= size + overlap or (flush and len(crops) > overlap):
            self._embedded.append(self._network.embed_mouths(crops[: size + overlap]))
            crops = crops[size:]
        self._waiting, self._count = [crops], len(crops)


def _fold(layers: Any) -> Any:
    """A sequential network in evaluation mode, its batch normalisations folded into the layers before them.

    Pooling moves before the rectifier where both follow a convolution: the maximum and the rectifier commute, and
    there is a quarter of the values left to rectify.
    """
    from copy import deepcopy

    from torch import nn
    from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

    folded: list[Any] = []
    for layer in deepcopy(layers).eval():
        if isinstance(layer, nn.BatchNorm1d):
            folded[-1] = fuse_linear_bn_eval(folded[-1], layer)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            folded[-1] = fuse_conv_bn_eval(folded[-1], layer)
        elif isinstance(layer, nn.MaxPool2d | nn.MaxPool3d) and isinstance(folded[-1], nn.ReLU):
            folded.insert(-1, layer)
        else:
            folded.append(layer)
    return nn.Sequential(*folded)


@lru_cache(maxsize=2)
def _load(path: str, digest: str | None, device: str, dtype: Dtype) -> SyncNet:
    torch = require("torch", "sync")
    make_torchvision_importable()
    network = require("syncnet_python.SyncNetModel", "sync").S()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    return SyncNet(network.eval(), device, dtype)


def syncnet(device: str = "cpu", dtype: Dtype = "float32") -> SyncNet:
    """SyncNet with the weights ``syncnet_v2``, one per process, device and dtype.

    NotApplicable while they are missing, and for a dtype that the device does not have.
    """
    check_dtype(dtype, device)
    return _load(str(weights.path("syncnet_v2")), weights.digest("syncnet_v2"), device, dtype)
