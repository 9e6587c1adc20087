"""The aligner on random weights of the published layout, against loops over numbers; paths against all paths."""

import itertools
import math

import numpy as np
import pytest

from t2av_bench.errors import NotApplicable

torch = pytest.importorskip("torch")
pytest.importorskip("librosa")

from t2av_bench.extractors import styletts2_aligner as aligner  # noqa: E402

TINY = aligner.Sizes(hidden=8, layers=2, symbols=9, embedding=5, filters=3, kernel=5)
SYMBOLS = [0, 4, 7, 2, 8, 0]


def random_state(sizes: aligner.Sizes = TINY, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Tensors of sizes that keep every layer's output alive, so that each of them matters."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in aligner.layout(sizes).items():
        values = torch.randn(shape, generator=generator, dtype=dtype)
        state[name] = 0.3 * values if len(shape) == 1 else 1.5 * values / math.sqrt(math.prod(shape[1:]))
    return state


def random_mel(frames: int = 24) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((80, frames)))


# --- the network in loops ---------------------------------------------------------------------------------------------


def convolution(x, weight, bias=None, stride=1, padding=0, dilation=1):
    """x (channels, T), weight (out, channels, kernel)."""
    out, _, kernel = weight.shape
    padded = np.pad(x, ((0, 0), (padding, padding)))
    length = (padded.shape[1] - dilation * (kernel - 1) - 1) // stride + 1
    found = np.zeros((out, length))
    for channel, time, tap in itertools.product(range(out), range(length), range(kernel)):
        found[channel, time] += weight[channel, :, tap] @ padded[:, time * stride + tap * dilation]
    return found + (0 if bias is None else bias[:, None])


def group_norm(x, groups, weight, bias):
    parts = []
    for part in np.split(x, groups):
        parts.append((part - part.mean()) / np.sqrt(part.var() + 1e-5))
    return np.concatenate(parts) * weight[:, None] + bias[:, None]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def literal_attention(state, mel, symbols, keep=lambda shape: 1.0):
    """keep: what each dropout multiplies with, in the order in which they come."""
    s = {name: tensor.numpy() for name, tensor in state.items()}
    x = convolution(s["to_mfcc.dct_mat"].T @ mel, s["init_cnn.conv.weight"], s["init_cnn.conv.bias"], 2, 3)
    for layer in range(TINY.layers):
        for block, dilation in enumerate((1, 3, 9)):
            part = {
                key: s[f"cnns.{layer}.0.blocks.{block}.{key}"]
                for key in ("0.conv.weight", "0.conv.bias", "2.weight", "2.bias", "4.conv.weight", "4.conv.bias")
            }
            y = convolution(x, part["0.conv.weight"], part["0.conv.bias"], 1, dilation, dilation).clip(min=0)
            y = group_norm(y, 8, part["2.weight"], part["2.bias"]) * keep(y.shape)
            y = convolution(y, part["4.conv.weight"], part["4.conv.bias"], 1, 1).clip(min=0)
            x = x + y * keep(y.shape)
        x = group_norm(x, 1, s[f"cnns.{layer}.1.weight"], s[f"cnns.{layer}.1.bias"])
    memory = convolution(x, s["projection.conv.weight"], s["projection.conv.bias"]).T
    half, frames = memory.shape[1], len(memory)
    name = "asr_s2s.attention_layer."
    query, key, v, dense = (s[f"{name}{part}.linear_layer.weight"] for part in
                            ("query_layer", "memory_layer", "v", "location_layer.location_dense"))  # fmt: skip
    hidden, cell, context = np.zeros(half), np.zeros(half), np.zeros(half)
    weights, total, rows = np.zeros(frames), np.zeros(frames), []
    for symbol in [1, *symbols]:
        entering = np.concatenate([s["asr_s2s.embedding.weight"][symbol], context])
        gates = s["asr_s2s.decoder_rnn.weight_ih"] @ entering + s["asr_s2s.decoder_rnn.bias_ih"]
        gates = gates + s["asr_s2s.decoder_rnn.weight_hh"] @ hidden + s["asr_s2s.decoder_rnn.bias_hh"]
        enter, forget, candidate, leave = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        hidden = sigmoid(leave) * np.tanh(cell)
        seen = convolution(np.stack([weights, total]), s[f"{name}location_layer.location_conv.conv.weight"],
                           padding=TINY.kernel // 2)  # fmt: skip
        energy = np.array([v[0] @ np.tanh(query @ hidden + dense @ seen[:, t] + key @ memory[t])
                           for t in range(frames)])  # fmt: skip
        weights = np.exp(energy - energy.max()) / np.exp(energy - energy.max()).sum()
        context = weights @ memory
        total = total + weights
        rows.append(weights)
    return np.stack(rows[1:])


@pytest.mark.parametrize("frames", [12, 24, 50])
def test_attention_agrees_with_loops(frames):
    state, mel = random_state(), random_mel(frames)
    expected = literal_attention(state, mel.numpy(), SYMBOLS)
    assert expected.shape == (len(SYMBOLS), frames // 2) and frames * expected.std() > 0.3, "an even one would agree"
    found = aligner.attention(state, mel, torch.tensor(SYMBOLS), False)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_training_draws_dropout_then_masks(monkeypatch):
    """As the published module does: two dropouts a block, then the masked symbols; the noise redrawn here in order."""
    monkeypatch.setattr(aligner, "MASKED", 0.5)
    torch.manual_seed(1234)
    found = aligner.attention(random_state(), random_mel(), torch.tensor(SYMBOLS), True)
    torch.manual_seed(1234)
    noise = [torch.empty(1, TINY.hidden, 12, dtype=torch.float64).bernoulli_(0.8)[0].numpy() / 0.8
             for _ in range(TINY.layers * 3 * 2)]  # fmt: skip
    masked = (torch.rand(1, len(SYMBOLS)) < 0.5)[0].tolist()
    assert 0 < sum(masked) < len(SYMBOLS)
    symbols = [3 if hidden else symbol for symbol, hidden in zip(SYMBOLS, masked, strict=True)]
    remaining = iter(noise)
    expected = literal_attention(random_state(), random_mel().numpy(), symbols, lambda _: next(remaining))
    assert next(remaining, None) is None
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_every_tensor_but_those_that_write_text_moves_the_attention():
    state, mel, symbols = random_state(), random_mel(), torch.tensor(SYMBOLS)
    plain = aligner.attention(state, mel, symbols, False)
    unmoved = [name for name, tensor in state.items()
               if torch.allclose(aligner.attention(state | {name: tensor + 0.1 * torch.randn_like(tensor)}, mel,
                                                   symbols, False), plain, atol=1e-7)]  # fmt: skip
    writing = ("ctc_linear.", "asr_s2s.project_to_n_symbols.", "asr_s2s.project_to_hidden.")
    assert unmoved == [name for name in state if name.startswith(writing)]


# --- durations --------------------------------------------------------------------------------------------------------


def every_duration(count: int, frames: int):
    for cuts in itertools.combinations(range(1, frames), count - 1):
        yield np.diff([0, *cuts, frames])


@pytest.mark.parametrize("seed", range(6))
def test_the_path_is_the_best_of_all(seed):
    scores = np.random.default_rng(seed).random((4, 9)).astype(np.float32)

    def total(durations):
        return scores[np.repeat(np.arange(4), durations), np.arange(9)].sum()

    best = max(every_duration(4, 9), key=total)
    assert aligner.monotonic_durations(scores).tolist() == best.tolist()


def test_as_many_frames_as_symbols_are_one_each_and_fewer_are_refused():
    assert aligner.monotonic_durations(np.random.default_rng(0).random((5, 5))).tolist() == [1] * 5
    with pytest.raises(ValueError, match="17 frames for 18 symbols"):
        aligner.durations(random_state(dtype=torch.float32), np.zeros(0), [0] * 18, "cpu", None)


# --- spectrogram and loading ------------------------------------------------------------------------------------------


def test_log_mel_follows_its_definition():
    """One frame by the discrete Fourier transform, the triangles of the mel scale written out."""
    audio = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    found = aligner.log_mel(audio)
    assert found.shape == (80, (19000 // 300 + 1) // 2 * 2)
    frame = 30
    padded = np.pad(audio.astype(np.float64), 5000)
    window = np.zeros(2048)
    window[424:1624] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1200) / 1200)
    power = np.abs(np.fft.rfft(padded[frame * 300 - 1024 : frame * 300 + 1024] * window)) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82) / 2595) - 1)
    frequencies = np.linspace(0, 8000, 1025)
    for band in range(80):
        low, middle, high = edges[band : band + 3]
        triangle = np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)).clip(0)
        expected = (np.log(1e-5 + triangle @ power) + 4) / 4
        assert found[band, frame] == pytest.approx(expected, abs=2e-4)
    assert found[:, 0] == pytest.approx((np.log(1e-5) + 4) / 4), "the margin is silent"


def test_a_checkpoint_is_read_from_its_entry_and_another_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(aligner, "PUBLISHED", TINY)
    state = random_state(dtype=torch.float32)
    torch.save({"model": state, "epoch": 80}, tmp_path / "right.pth")
    assert aligner.load(tmp_path / "right.pth", None, "cpu").keys() == state.keys()
    torch.save({"model": {**state, "projection.conv.bias": torch.zeros(3)}}, tmp_path / "wrong.pth")
    with pytest.raises(NotApplicable, match=r"does not load: .*(?s:.)*misshapen projection.conv.bias"):
        aligner.load(tmp_path / "wrong.pth", None, "cpu")


def test_a_seed_decides_the_noise_and_leaves_the_callers_generator_alone():
    state = random_state(dtype=torch.float32)
    audio = np.random.default_rng(0).standard_normal(24000).astype(np.float32)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (aligner.durations(state, audio, SYMBOLS, "cpu", seed) for seed in (1, 1, 2))
    quiet = aligner.durations(state, audio, SYMBOLS, "cpu", None)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.tolist() == again.tolist()
    assert sum(first) == sum(quiet) == (34000 // 300 + 1) // 2
    assert first.tolist() != other.tolist() and first.tolist() != quiet.tolist()
