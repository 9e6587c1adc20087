"""StyleTTS2's text aligner: which frames of speech each symbol of its text takes.

Li et al. 2023 (arXiv 2306.07691); the network is the recogniser of Utils/ASR (``epoch_00080.pth``, AuxiliaryASR): a
convolutional encoder of the log-mel spectrogram, and a decoder whose location-sensitive attention (Chorowski et al.
2015) follows the text. The attention's best monotonic path (Kim et al. 2020, Glow-TTS) gives the durations.

Proved without the weights (tests/t2av_bench/extractors/test_styletts2_aligner.py): on random weights of the published
names and shapes the attention agrees with a computation in plain loops, and every tensor of this part moves it; what
only writes text (the output layers) is checked by name and shape and not used. Not proved: that the file holds this.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.inference import full_precision
from t2av_bench.utils.optional import require

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

SAMPLE_RATE = 24000
_MEL_RATE = 16000  # the filters are those of 16 kHz, laid over the bins of 24 kHz: upstream leaves torchaudio's default
_FFT, _WINDOW, _HOP, _MELS = 2048, 1200, 300, 80
_MARGIN = 5000  # zeros at both ends, in samples
FRAMES_A_SECOND = SAMPLE_RATE / _HOP / 2
START, UNKNOWN = 1, 3  # numbers of symbols that the decoder was trained with
MASKED, DROPPED = 0.1, 0.2  # shares of symbols and of activations, in training
PARAMETERS = {
    "sample_rate": SAMPLE_RATE, "margin": _MARGIN, "n_fft": _FFT, "window": _WINDOW, "hop": _HOP, "mels": _MELS,
    "mel_filters": f"HTK of {_MEL_RATE} Hz", "log": "(ln(mel + 1e-5) + 4) / 4", "dtype": "float32",
    "path": "monotonic, greatest sum of attention", "frames_a_second": FRAMES_A_SECOND,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths of the layers; the defaults are the published ones."""

    hidden: int = 256
    layers: int = 6
    symbols: int = 178
    embedding: int = 512
    filters: int = 32
    kernel: int = 63


PUBLISHED = Sizes()


def layout(s: Sizes) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published state dict."""
    half = s.hidden // 2
    shapes: dict[str, tuple[int, ...]] = {"to_mfcc.dct_mat": (_MELS, _MELS // 2)}

    def affine(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]

    affine("init_cnn.conv", s.hidden, _MELS // 2, 7)
    for layer in range(s.layers):
        for block in range(3):
            name = f"cnns.{layer}.0.blocks.{block}"
            affine(f"{name}.0.conv", s.hidden, s.hidden, 3)
            affine(f"{name}.2", s.hidden)
            affine(f"{name}.4.conv", s.hidden, s.hidden, 3)
        affine(f"cnns.{layer}.1", s.hidden)
    affine("projection.conv", half, s.hidden, 1)
    affine("ctc_linear.0.linear_layer", s.hidden, half)
    affine("ctc_linear.2.linear_layer", s.symbols, s.hidden)
    attention = "asr_s2s.attention_layer"
    shapes |= {
        "asr_s2s.embedding.weight": (s.symbols, s.embedding),
        f"{attention}.query_layer.linear_layer.weight": (half, half),
        f"{attention}.memory_layer.linear_layer.weight": (half, half),
        f"{attention}.v.linear_layer.weight": (1, half),
        f"{attention}.location_layer.location_conv.conv.weight": (s.filters, 2, s.kernel),
        f"{attention}.location_layer.location_dense.linear_layer.weight": (half, s.filters),
    }
    affine("asr_s2s.project_to_n_symbols", s.symbols, half)
    affine("asr_s2s.project_to_hidden.0.linear_layer", half, 2 * half)
    for side, width in (("ih", half + s.embedding), ("hh", half)):
        shapes[f"asr_s2s.decoder_rnn.weight_{side}"] = (4 * half, width)
        shapes[f"asr_s2s.decoder_rnn.bias_{side}"] = (4 * half,)
    return shapes


@functools.lru_cache(maxsize=1)
def load(path: Path, digest: str | None, device: str) -> "State":
    """The published tensors by name. ``digest`` only keys the cache. Raises NotApplicable for another file's."""
    from reference_model.utils.strict_loading import CheckpointError, check_names_and_shapes, read_state

    try:
        state, source = read_state(path, "model")
        given = {name: tuple(tensor.shape) for name, tensor in state.items()}
        check_names_and_shapes(layout(PUBLISHED), given, source=source)
    except CheckpointError as error:
        raise NotApplicable(f"the aligner does not load: {error}") from error
    return {name: tensor.to(device) for name, tensor in state.items()}


def log_mel(audio: np.ndarray) -> np.ndarray:
    """(n,) at 24 kHz -> (80, T) float32, T even: 80 frames a second, with the zeros at both ends."""
    import torch

    filters = require("librosa", "speech").filters.mel(sr=_MEL_RATE, n_fft=_FFT, n_mels=_MELS, htk=True, norm=None)
    samples = torch.from_numpy(np.pad(np.asarray(audio, np.float32), _MARGIN))
    spectrum = torch.stft(samples, _FFT, _HOP, _WINDOW, torch.hann_window(_WINDOW), return_complex=True)
    mel = np.asarray(filters, np.float32) @ spectrum.abs().square().numpy()
    frames = mel.shape[1] // 2 * 2
    return (np.log(1e-5 + mel[:, :frames]) + 4) / 4


def attention(state: "State", mel: "torch.Tensor", symbols: "torch.Tensor", training: bool) -> "torch.Tensor":
    """Log-mel (80, T) and symbol numbers (n,) -> how much each symbol looks at each pair of frames, (n, T / 2).

    training: with dropout and masked symbols, drawn from torch's global generator in the order of the published module
    (which masks symbols in evaluation too; here that belongs to training).
    """
    import torch
    from torch.nn import functional as F

    def convolve(x: torch.Tensor, name: str, **options: Any) -> torch.Tensor:
        return F.conv1d(x, state[f"{name}.conv.weight"], state.get(f"{name}.conv.bias"), **options)

    def norm(x: torch.Tensor, name: str, groups: int) -> torch.Tensor:
        return F.group_norm(x, groups, state[f"{name}.weight"], state[f"{name}.bias"])

    x = convolve((mel.T @ state["to_mfcc.dct_mat"]).T[None], "init_cnn", stride=2, padding=3)
    for layer in range(sum(name.startswith("cnns.") and name.endswith(".1.weight") for name in state)):
        for block in range(3):
            name = f"cnns.{layer}.0.blocks.{block}"
            inside = F.relu(convolve(x, f"{name}.0", padding=3**block, dilation=3**block))
            inside = F.dropout(norm(inside, f"{name}.2", 8), DROPPED, training)
            x = x + F.dropout(F.relu(convolve(inside, f"{name}.4", padding=1)), DROPPED, training)
        x = norm(x, f"cnns.{layer}.1", 1)
    memory = convolve(x, "projection")[0].T  # (T / 2, hidden / 2)

    if training:
        hidden_symbols = (torch.rand(1, len(symbols)) < MASKED)[0]
        symbols = symbols.masked_fill(hidden_symbols.to(symbols.device), UNKNOWN)
    start = symbols.new_full((1,), START)
    inputs = F.embedding(torch.cat([start, symbols]), state["asr_s2s.embedding.weight"])

    def project(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"asr_s2s.attention_layer.{name}.linear_layer.weight"].T

    recurrent = [state[f"asr_s2s.decoder_rnn.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    keys = project(memory, "memory_layer")
    hidden = cell = context = memory.new_zeros(1, memory.shape[1])
    weights, total, rows = *memory.new_zeros(2, len(memory)), []
    for each in inputs:
        hidden, cell = torch.lstm_cell(torch.cat([each[None], context], 1), (hidden, cell), *recurrent)
        location = "asr_s2s.attention_layer.location_layer.location_conv"
        seen = convolve(torch.stack([weights, total])[None], location, padding="same")[0].T
        energy = project(
            torch.tanh(project(hidden, "query_layer") + project(seen, "location_layer.location_dense") + keys), "v"
        )
        weights = energy[:, 0].softmax(0)
        context = weights[None] @ memory
        total = total + weights
        rows.append(weights)
    return torch.stack(rows[1:])  # without the start's


def monotonic_durations(scores: np.ndarray) -> np.ndarray:
    """Scores (n, frames) float32, frames >= n -> frames of each symbol, (n,) of 1 or more.

    The path goes from the first symbol at the first frame to the last at the last, one symbol or none further at each
    frame, and its sum of scores is the greatest; where two are equal, a symbol keeps a frame that its predecessor could
    have had.
    """
    count, frames = scores.shape
    assert frames >= count
    best = np.full((frames, count), -np.inf, np.float32)
    best[0, 0] = scores[0, 0]
    for frame in range(1, frames):
        come = np.concatenate([[np.float32(-np.inf)], best[frame - 1, :-1]])
        best[frame] = np.maximum(best[frame - 1], come) + scores[:, frame]
    durations = np.zeros(count, int)
    symbol = count - 1
    for frame in range(frames - 1, -1, -1):
        durations[symbol] += 1
        if symbol and best[frame - 1, symbol] < best[frame - 1, symbol - 1]:
            symbol -= 1
    return durations


def durations(state: "State", audio: np.ndarray, symbols: list[int], device: str, seed: int | None) -> np.ndarray:
    """Frames (40 a second) of each symbol number in audio (n,) at 24 kHz.

    seed: of the noise of training, which is added where one is given. Raises ValueError where the audio has fewer
    frames than the text has symbols.
    """
    import torch

    with full_precision(), torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        mel, numbers = torch.from_numpy(log_mel(audio)).to(device), torch.tensor(symbols, device=device)
        if (frames := mel.shape[1] // 2) < len(symbols):  # before the attention, whose time grows with the text
            raise ValueError(f"{frames} frames for {len(symbols)} symbols, at least one each is needed")
        return monotonic_durations(attention(state, mel, numbers, seed is not None).cpu().numpy())
