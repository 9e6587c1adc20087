"""UTMOS: the published layout, agreement with a second computation on random weights, and how the metric fails.

``literal_scores`` below computes the network from the published tensor names with plain tensor operations, in the
order of fairseq's wav2vec 2.0: nothing of transformers, no ``nn.Module``, the LSTM and the attention written out.
"""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from speech_factory import RATE, say, with_noise

from t2av_bench import weights
from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create
from t2av_bench.metrics.base import Pair, Settings

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from torch.nn import functional as F  # noqa: E402

from t2av_bench.extractors import utmos  # noqa: E402

TINY = utmos.Sizes(
    convolution=8, hidden=32, layers=2, heads=4, feed_forward=24, embedding=4, recurrent=6, projection=10
)
STRIDES = (5, 2, 2, 2, 2, 2, 2)
KERNELS = (10, 3, 3, 3, 3, 2, 2)


def layout(s: utmos.Sizes) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published state dict, written down from SpeechMOS and fairseq."""
    shapes: dict[str, tuple[int, ...]] = {
        "domain_emb": (1, s.embedding), "judge_emb": (1, s.embedding), "wav2vec2.mask_emb": (s.hidden,),
        "wav2vec2.encoder.pos_conv.0.weight_g": (1, 1, 128), "wav2vec2.encoder.pos_conv.0.bias": (s.hidden,),
        "wav2vec2.encoder.pos_conv.0.weight_v": (s.hidden, s.hidden // 16, 128),
    }  # fmt: skip
    for i, kernel in enumerate(KERNELS):
        name = f"wav2vec2.feature_extractor.conv_layers.{i}.0.weight"
        shapes[name] = (s.convolution, s.convolution if i else 1, kernel)

    def affine(name: str, out: int, into: int | None = None) -> None:
        shapes[f"{name}.weight"] = (out,) if into is None else (out, into)
        shapes[f"{name}.bias"] = (out,)

    affine("wav2vec2.feature_extractor.conv_layers.0.2", s.convolution)
    affine("wav2vec2.layer_norm", s.convolution)
    affine("wav2vec2.post_extract_proj", s.hidden, s.convolution)
    affine("wav2vec2.encoder.layer_norm", s.hidden)
    for i in range(s.layers):
        layer = f"wav2vec2.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            affine(f"{layer}.self_attn.{name}", s.hidden, s.hidden)
        affine(f"{layer}.self_attn_layer_norm", s.hidden)
        affine(f"{layer}.fc1", s.feed_forward, s.hidden)
        affine(f"{layer}.fc2", s.hidden, s.feed_forward)
        affine(f"{layer}.final_layer_norm", s.hidden)
    for suffix in ("", "_reverse"):
        shapes[f"blstm.weight_ih_l0{suffix}"] = (4 * s.recurrent, s.hidden + 2 * s.embedding)
        shapes[f"blstm.weight_hh_l0{suffix}"] = (4 * s.recurrent, s.recurrent)
        shapes[f"blstm.bias_ih_l0{suffix}"] = shapes[f"blstm.bias_hh_l0{suffix}"] = (4 * s.recurrent,)
    affine("projection.0", s.projection, 2 * s.recurrent)
    affine("projection.2", 1, s.projection)
    return shapes


def random_state(sizes: utmos.Sizes, dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random tensors of sizes that keep every layer's output alive, so that each tensor matters."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in layout(sizes).items():
        values = torch.randn(shape, generator=generator, dtype=dtype)
        if "norm.weight" in name or "conv_layers.0.2.weight" in name:
            state[name] = 1 + 0.3 * values
        elif name.endswith("weight_g"):
            state[name] = 1 + values.abs()
        elif name.endswith("weight_v") or len(shape) == 1 or name.endswith("_emb"):
            state[name] = 0.3 * values
        else:
            state[name] = 1.5 * values / math.sqrt(math.prod(shape[1:]))
    return state


def literal_scores(state: dict[str, torch.Tensor], audio: torch.Tensor, heads: int) -> torch.Tensor:
    """(n,) -> raw score of each frame."""
    encoder = {name.removeprefix("wav2vec2."): tensor for name, tensor in state.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
        return scaled * encoder[f"{name}.weight"] + encoder[f"{name}.bias"]

    def affine(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ encoder[f"{name}.weight"].T + encoder[f"{name}.bias"]

    def gelu(x: torch.Tensor) -> torch.Tensor:
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    x = audio[None, None]
    for i, stride in enumerate(STRIDES):
        x = F.conv1d(x, encoder[f"feature_extractor.conv_layers.{i}.0.weight"], stride=stride)
        if i == 0:  # one group a channel: each channel is normalised over time
            mean, variance = x.mean(2, keepdim=True), x.var(2, keepdim=True, unbiased=False)
            gain, bias = (encoder[f"feature_extractor.conv_layers.0.2.{kind}"] for kind in ("weight", "bias"))
            x = (x - mean) / torch.sqrt(variance + 1e-5) * gain[:, None] + bias[:, None]
        x = gelu(x)
    x = affine(norm(x[0].T, "layer_norm"), "post_extract_proj")  # (frames, hidden)

    v = encoder["encoder.pos_conv.0.weight_v"]
    kernel = encoder["encoder.pos_conv.0.weight_g"] * v / v.square().sum((0, 1), keepdim=True).sqrt()
    position = F.conv1d(F.pad(x.T[None], (64, 64)), kernel, encoder["encoder.pos_conv.0.bias"], groups=16)
    x = norm(x + gelu(position[0, :, :-1]).T, "encoder.layer_norm")

    frames = len(x)
    padding = frames % 2  # fairseq pads to an even length and masks the added frame
    x = torch.cat([x, x.new_zeros(padding, x.shape[1])])
    masked = torch.arange(len(x)) >= frames
    for name in [key.removesuffix(".fc1.weight") for key in encoder if key.endswith(".fc1.weight")]:  # in order
        query, key, value = (affine(x, f"{name}.self_attn.{kind}_proj") for kind in "qkv")
        width = x.shape[1] // heads
        attended = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            logits = (query[:, part] / math.sqrt(width)) @ key[:, part].T
            attended.append(logits.masked_fill(masked, -math.inf).softmax(-1) @ value[:, part])
        x = norm(x + affine(torch.cat(attended, 1), f"{name}.self_attn.out_proj"), f"{name}.self_attn_layer_norm")
        x = norm(x + affine(gelu(affine(x, f"{name}.fc1")), f"{name}.fc2"), f"{name}.final_layer_norm")
    x = x[:frames]

    x = torch.cat([x, state["domain_emb"].expand(frames, -1), state["judge_emb"].expand(frames, -1)], 1)
    directions = []
    for suffix, order in (("", range(frames)), ("_reverse", reversed(range(frames)))):
        w_in, w_rec, b_in, b_rec = (
            state[f"blstm.{kind}_l0{suffix}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        hidden = cell = x.new_zeros(w_rec.shape[1])
        outputs: dict[int, torch.Tensor] = {}
        for t in order:
            enter, forget, candidate, leave = (w_in @ x[t] + b_in + w_rec @ hidden + b_rec).chunk(4)
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            outputs[t] = hidden
        directions.append(torch.stack([outputs[t] for t in range(frames)]))
    x = torch.cat(directions, 1) @ state["projection.0.weight"].T + state["projection.0.bias"]
    return (x.clamp(min=0) @ state["projection.2.weight"].T + state["projection.2.bias"])[:, 0]


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (0.1 * noise * (1 + np.sin(np.arange(len(noise)) / 900))).astype(np.float32)


# --- the network ------------------------------------------------------------------------------------------------------


def test_published_layout_is_the_networks() -> None:
    own = utmos.build(utmos.PUBLISHED).state_dict()
    assert {utmos.published_name(name): tuple(tensor.shape) for name, tensor in own.items()} == layout(utmos.PUBLISHED)


def test_published_layout_fills_the_published_file() -> None:
    """A torch archive adds names, padding and an index to the raw float32 values: a few hundred bytes a tensor."""
    shapes = layout(utmos.PUBLISHED)
    values = 4 * sum(math.prod(shape) for shape in shapes.values())
    size = weights.entry("utmos22_strong").size
    assert size is not None and 150 * len(shapes) < size - values < 500 * len(shapes)


@pytest.mark.parametrize("samples", [1600, 4000, 4320, 16000])
def test_tiny_network_agrees_in_float64(samples: int) -> None:
    state = random_state(TINY, torch.float64)
    audio = torch.from_numpy(speech_like(samples / RATE).astype(np.float64))
    expected = literal_scores(state, audio, TINY.heads)
    network = utmos.fill(utmos.build(TINY), state)
    with torch.no_grad():
        found = utmos.frame_scores(network, audio)
    assert expected.std() > 0.01, "a constant would agree too"
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert utmos.utmos(network, audio.numpy()) == pytest.approx(2 * float(expected.mean()) + 3, rel=1e-9)


def test_full_size_network_agrees_in_float32() -> None:
    state = random_state(utmos.PUBLISHED)
    audio = speech_like(0.5)
    network = utmos.fill(utmos.build(utmos.PUBLISHED), state)
    with torch.no_grad():
        expected = literal_scores(state, torch.from_numpy(audio), utmos.PUBLISHED.heads)
        found = utmos.frame_scores(network, torch.from_numpy(audio))
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_every_tensor_but_the_mask_moves_the_score() -> None:
    state = random_state(TINY, torch.float64)
    audio = speech_like(0.3).astype(np.float64)

    def score(changed: dict[str, torch.Tensor]) -> float:
        return utmos.utmos(utmos.fill(utmos.build(TINY), changed), audio)

    plain = score(state)
    unmoved = [name for name, tensor in state.items()
               if abs(score(state | {name: tensor + 0.05 * torch.randn_like(tensor)}) - plain) < 1e-8]  # fmt: skip
    # Adding the same to all keys adds the same to all logits of a query, which softmax ignores.
    constant = {"wav2vec2.mask_emb", *(f"wav2vec2.encoder.layers.{i}.self_attn.k_proj.bias" for i in range(2))}
    assert set(unmoved) == constant


def test_wrong_state_dicts_name_every_key() -> None:
    state = random_state(TINY)
    state["projection.4.weight"] = state.pop("projection.2.weight")
    state["judge_emb"] = state["judge_emb"][0]
    with pytest.raises(ValueError) as refusal:
        utmos.fill(utmos.build(TINY), state)
    for part in ("missing projection.2.weight", "unknown projection.4.weight",
                 "misshapen judge_emb: the model has [1, 4], the file [4]"):  # fmt: skip
        assert part in str(refusal.value)
    with pytest.raises(ValueError, match="misshapen"):
        utmos.fill(utmos.build(TINY), random_state(replace(TINY, hidden=64)))


# --- the metric -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metric's weights id leads to a small random file, through a table and a folder of its own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    path = folder / "tiny.pt"
    torch.save(random_state(TINY), path)
    table = tmp_path / "table.toml"
    table.write_text(
        '[utmos22_strong]\npurpose = "a test"\nfile = "tiny.pt"\norigins = ["https://example.org/tiny.pt"]\n'
        f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\nlicence = "MIT"\ngroup = "free"\n'
        'format = "state_dict"\nloader = "torch"\n'
    )
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(folder))
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(table))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(utmos, "PUBLISHED", TINY)
    utmos.load.cache_clear()
    return path


def clip_of(folder: Path, audio: np.ndarray, rate: int = RATE, name: str = "clip") -> Pair:
    from speech_factory import sound_file

    return Pair(Item(id=name), Clip(sound_file(folder, name, audio, rate)))


def test_metric_scores_the_clip_as_the_network_does(tiny_weights: Path, tmp_path: Path) -> None:
    audio = speech_like(1.0)
    metric = create("utmos/strong-v1")
    found = metric.measure(clip_of(tmp_path, audio))
    expected = literal_scores(random_state(TINY), torch.from_numpy(audio), TINY.heads)
    assert set(found.values) == {"utmos"} == {quantity.name for quantity in metric.quantities}
    assert found.values["utmos"] == pytest.approx(2 * float(expected.mean()) + 3, abs=1e-4)
    # The first normalisation removes the gain down to a level where its epsilon counts: no other may be added.
    quiet = (0.002 * audio).astype(np.float32)
    expected_quiet = literal_scores(random_state(TINY), torch.from_numpy(quiet), TINY.heads)
    found_quiet = metric.measure(clip_of(tmp_path, quiet, name="quiet")).values["utmos"]
    assert found_quiet == pytest.approx(2 * float(expected_quiet.mean()) + 3, abs=1e-4)
    assert abs(found_quiet - found.values["utmos"]) > 1e-2
    other_batch = create("utmos/strong-v1", Settings(batch_size=1)).measure(clip_of(tmp_path, audio, name="again"))
    assert other_batch.values == found.values
    assert metric.protocol.weights["utmos22_strong"] == hashlib.sha256(tiny_weights.read_bytes()).hexdigest()


def test_metric_brings_other_rates_to_16_khz(tiny_weights: Path, tmp_path: Path) -> None:
    """A tone without energy near half the rate is the same signal at 24 and at 16 kHz."""
    times = {rate: np.arange(rate) / rate for rate in (16000, 24000)}
    tones = {rate: 0.3 * np.sin(2 * np.pi * 440 * t) * np.hanning(rate) for rate, t in times.items()}
    metric = create("utmos/strong-v1")
    scores = [
        metric.measure(clip_of(tmp_path, tone.astype(np.float32), rate, str(rate))).values["utmos"]
        for rate, tone in tones.items()
    ]
    assert scores[0] == pytest.approx(scores[1], abs=5e-3)


@pytest.mark.parametrize(
    ("audio", "reason"), [(speech_like(0.09), "0.09 s long, at least 0.1 s"), (np.zeros(RATE, np.float32), "silent")]
)
def test_short_and_silent_clips_are_unscorable(
    tiny_weights: Path, tmp_path: Path, audio: np.ndarray, reason: str
) -> None:
    with pytest.raises(Unscorable, match=reason):
        create("utmos/strong-v1").measure(clip_of(tmp_path, audio))


def test_missing_weights_say_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    metric = create("utmos/strong-v1")
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch utmos22_strong"):
        metric.measure(clip_of(tmp_path, speech_like(0.5)))
    assert metric.protocol.weights == {"utmos22_strong": None}


def test_damaged_weights_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_weights.read_bytes())
    content[len(content) // 2] ^= 1
    tiny_weights.write_bytes(content)
    with pytest.raises(NotApplicable, match="refused.*the table states"):
        create("utmos/strong-v1").measure(clip_of(tmp_path, speech_like(0.5)))


# --- the published weights --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not weights.is_present("utmos22_strong"), reason="needs the weights utmos22_strong")
def test_published_weights_give_published_values() -> None:
    """SpeechMOS prints 2.0321 and 2.0943 for uniform noise in [0, 1); its own draws are not seeded."""
    network = utmos.load(weights.path("utmos22_strong"), weights.digest("utmos22_strong"), "cpu")
    uniform = np.random.default_rng(0).random(RATE, np.float32)
    assert utmos.utmos(network, uniform) == pytest.approx(2.06, abs=0.15)
    speech = np.asarray(say())
    levels = [utmos.utmos(network, with_noise(speech, snr)) for snr in (40, 20, 10, 0)]
    assert all(better > worse - 0.05 for better, worse in zip(levels, levels[1:], strict=False))
    assert levels[0] > levels[-1] + 0.2
    plain = utmos.utmos(network, speech)
    assert 1.0 < plain < 5.0
    for gain in (0.5, 2.0):
        assert utmos.utmos(network, gain * speech) == pytest.approx(plain, abs=0.15)
