"""Stand-ins for sync tests: random networks that discriminate, clips in memory, and a network that simply works.

``EnvelopeNetwork`` has the property that SyncNet is trained for: its mouth and audio embeddings of one moment are
alike. The mouth's is the contrast of the crop, the audio's its log energy; ``talking`` makes clips where both follow
one hidden signal.
"""

from types import SimpleNamespace

import numpy as np

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import MediaError
from t2av_bench.extractors.syncnet import SAMPLES_PER_FRAME, WINDOW, MouthStream
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair


class ArrayClip(Clip):
    """A clip whose frames (n, H, W, 3) uint8 and audio (float32 at 16 kHz, or None) are given."""

    def __init__(self, frames, audio):
        super().__init__("array.mp4")
        self._given, self._audio_given = frames, audio
        self.passes = 0

    info = property(lambda self: SimpleNamespace(has_audio=self._audio_given is not None))
    frame_count = property(lambda self: len(self._given))

    def frames(self, batch=32):
        self.passes += 1
        for start in range(0, len(self._given), batch):
            yield self._given[start : start + batch]

    def each_frame(self):
        self.passes += 1
        yield from self._given

    def audio(self, rate=16000):
        if self._audio_given is None:
            raise MediaError("array.mp4 has no audio stream")
        return self._audio_given


class EnvelopeNetwork:
    """Embeddings with a known shift. Silence is heard as the zero vector."""

    def embed_mouths(self, crops):
        contrast = crops[..., 1].astype(np.float64).std(axis=(1, 2))
        opening = (contrast - 20.0) / 8.0
        return np.lib.stride_tricks.sliding_window_view(opening, WINDOW).astype(np.float32)

    def embed_audio(self, coefficients, windows):
        energy = coefficients[:, 0]
        loud = np.where(energy > 0, (energy - 17.0) / 1.5, 0.0)
        starts = 4 * (np.arange(windows)[:, None] + np.arange(WINDOW))
        # The 25 ms windows of rows 4i and 4i + 1 lie wholly inside frame i.
        return ((loud[starts] + loud[starts + 1]) / 2).astype(np.float32)

    def stream(self):
        return MouthStream(self)


def hidden_signal(count, seed=0):
    """(count,) float64, standard normal and white: every shift looks different."""
    return np.clip(np.random.default_rng(seed).standard_normal(count), -2, 2)


def talking_frames(signal, size=48):
    """(n, size, size, 3) uint8: coarse stripes whose contrast is 20 + 8 z."""
    stripes = np.where((np.arange(size) // (size // 6)) % 2, 1.0, -1.0)[None, :].repeat(size, 0)
    pictures = 128 + (20 + 8 * signal)[:, None, None] * stripes
    return np.rint(pictures).astype(np.uint8)[..., None].repeat(3, axis=-1)


def talking_audio(signal):
    """(640 n,) float32: noise whose log energy in frame i is 17 + 1.5 z_i, as MFCC's first coefficient counts it."""
    carrier = np.random.default_rng(99).standard_normal(len(signal) * SAMPLES_PER_FRAME)
    # Log energy of a pre-emphasised 400-sample window of int16 white noise: measured, not assumed.
    from t2av_bench.extractors.syncnet import mfcc

    level = mfcc((carrier * 100).astype(np.int16))[:, 0].mean()
    gain = 100 * np.exp((17.0 + 1.5 * signal - level) / 2)
    return (carrier * gain.repeat(SAMPLES_PER_FRAME) / 32768).astype(np.float32)


def talking(count=150, seed=0):
    """A clip in sync: (frames, audio)."""
    signal = hidden_signal(count, seed)
    return talking_frames(signal), talking_audio(signal)


def delayed(audio, frames):
    """Audio later by ``frames``: silence in front, cut behind; negative: earlier."""
    shift = frames * SAMPLES_PER_FRAME
    if shift >= 0:
        return np.concatenate([np.zeros(shift, np.float32), audio[: len(audio) - shift]])
    return np.concatenate([audio[-shift:], np.zeros(-shift, np.float32)])


def pair(clip):
    return Pair(Item(id="one"), clip)


class GivenBoxes:
    """A detector that is told what to see: a function of the number of frames it was shown before."""

    name = "given"
    parameters: dict = {}
    weights: dict = {}

    def __init__(self, boxes):
        self.boxes, self.calls = boxes, 0

    def detect(self, frames):
        found = []
        for _ in frames:
            found.append(np.array([[*box, 1.0] for box in self.boxes(self.calls)]).reshape(-1, 5))
            self.calls += 1
        return found


LEFT, RIGHT = (40, 30, 160, 150), (260, 30, 400, 170)


def stage(count, faces, height=240, width=440):
    """Frames in which each face's crop area is filled with a talking pattern: faces is {box: signal or None}."""
    canvas = np.full((count, height, width, 3), 90, np.uint8)
    for box, signal in faces.items():
        half = max(box[2] - box[0], box[3] - box[1]) / 2
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        left, right = max(0, int(x - 1.4 * half)), int(x + 1.4 * half)
        top, bottom = max(0, int(y - half)), int(y + 1.8 * half)
        pattern = talking_frames(signal if signal is not None else np.zeros(count), 48)
        rows = np.arange(bottom - top) * 48 // (bottom - top)
        columns = np.arange(right - left) * 48 // (right - left)
        canvas[:, top:bottom, left:right] = pattern[:, rows][:, :, columns][:, : height - top]
    return canvas


def random_syncnet(crops, seed=0):
    """syncnet-python's network, random, with batch statistics of real crops so that its outputs vary.

    crops: (n, 224, 224, 3) uint8 RGB.
    """
    import torch
    from torch import nn

    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from syncnet_python.SyncNetModel import S

    torch.manual_seed(seed)
    network = S()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    video = torch.from_numpy(crops[..., ::-1].copy()).float().permute(3, 0, 1, 2)[None]
    with torch.no_grad():
        network.train()
        seen = network.netcnnlip(video)
        network.netfclip(seen[0, :, :, 0, 0].T)
        network.forward_aud(torch.randn(32, 1, 13, 20) * 10)
        for head in (network.netfclip, network.netfcaud):
            head[-1].weight *= 10  # distances of several units, as with the trained weights
    return network.eval()


def random_s3fd(frame, seed=0):
    """syncnet-python's S3FD, random, its confidence stretched so that some boxes of ``frame`` pass 0.9."""
    import cv2
    import torch

    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from syncnet_python.detectors.s3fd.nets import S3FDNet

    torch.manual_seed(seed)
    network = S3FDNet(device="cpu").eval()
    outputs = []
    hooks = [layer.register_forward_hook(lambda _, __, out: outputs.append(out)) for layer in network.conf]
    small = torch.from_numpy(cv2.resize(frame, (0, 0), fx=0.25, fy=0.25)).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        network(small - torch.tensor([123.0, 117.0, 104.0]).view(1, 3, 1, 1))
        for hook in hooks:
            hook.remove()
        for layer, out in zip(network.conf, outputs, strict=True):
            background = out[:, :-1].amax(1)
            margin = out[:, -1] - background
            spread = margin.std().nan_to_num(1.0).clamp(min=1e-3) if margin.numel() > 1 else torch.tensor(1.0)
            layer.weight *= 2.0 / spread
            layer.bias *= 2.0 / spread
            layer.bias[-1] -= 2.0 / spread * margin.mean() + 1.0
    return network
