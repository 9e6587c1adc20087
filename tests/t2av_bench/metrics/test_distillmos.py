"""DistillMOS: the published layout, a second computation on random weights, and the package itself where it is."""

import hashlib
import math
import sys
import types

import numpy as np
import pytest
from speech_factory import RATE, pair, say, with_noise
from weights_table import use_weights

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics import create

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from t2av_bench.extractors import distillmos  # noqa: E402

SEGMENT = 122_880
LAYERS = 7
# (input, output) channels of the convolutions, which are every second module.
CHANNELS = ((2, 64), (64, 64), (64, 128), (128, 256), (256, 256), (256, 256))
POOL = "transformer_pool_attn"


def layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published state dict, written down from the file."""
    shapes: dict[str, tuple[int, ...]] = {}

    def affine(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]

    for index, (incoming, outgoing) in enumerate(CHANNELS):
        affine(f"cnn.cnn.{2 * index}", outgoing, incoming, 3, 3)
    for name, width in (("norm_input", 1024), ("transformer.norm", 1024), ("norm_trans", 200)):
        affine(f"{POOL}.{name}", width)
        shapes[f"{POOL}.{name}.running_mean"] = shapes[f"{POOL}.{name}.running_var"] = (width,)
        shapes[f"{POOL}.{name}.num_batches_tracked"] = ()
    shapes[f"{POOL}.transformer.position_encoding.pe"] = (1, 384, 200)
    affine(f"{POOL}.transformer.linear_proj", 200, 1024)
    for index in range(LAYERS):
        layer = f"{POOL}.transformer.transformer_encoder.layers.{index}"
        shapes[f"{layer}.self_attn.in_proj_weight"] = (600, 200)
        shapes[f"{layer}.self_attn.in_proj_bias"] = (600,)
        affine(f"{layer}.self_attn.out_proj", 200, 200)
        affine(f"{layer}.linear1", 400, 200)
        affine(f"{layer}.linear2", 200, 400)
        affine(f"{layer}.norm1", 200)
        affine(f"{layer}.norm2", 200)
    for index, shape in enumerate(((400, 200), (1, 400), (1, 200)), 1):
        affine(f"{POOL}.pool.linear{index}", *shape)
    return shapes


def random_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random tensors of sizes that keep every layer's output alive, so that each tensor matters."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in layout().items():
        values = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1)
        elif name.endswith("running_var") or ("norm" in name and name.endswith("weight")):
            state[name] = 1 + 0.2 * values.tanh()
        elif name.endswith(("bias", "running_mean")):
            state[name] = 0.1 * values
        else:
            state[name] = 1.4 * values / math.sqrt(math.prod(shape[1:]))
    return state


def literal_score(state: dict[str, torch.Tensor], segment: np.ndarray) -> float:
    """(122880,) -> score from the published names with plain operations, in float64 but for the slow convolutions: a
    transform written as a product, and no module of torch."""
    tensors = {name: tensor.double() for name, tensor in state.items()}

    def affine(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def batch_norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scaled = (x - tensors[f"{name}.running_mean"]) / torch.sqrt(tensors[f"{name}.running_var"] + 1e-5)
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    wave = segment.astype(np.float64) / (np.abs(segment).max() + 1e-8)
    wave = np.concatenate([wave[80:0:-1], wave, wave[-2:-82:-1]])
    frames = np.lib.stride_tricks.sliding_window_view(wave, 320)[::160]
    hann = np.sin(np.pi * np.arange(320) / 320) ** 2
    spectrum = (frames * hann) @ np.exp(-2j * np.pi * np.outer(np.arange(320), np.arange(161)) / 320)
    size = np.maximum(np.abs(spectrum), 1e-12)
    compressed = spectrum / size * size**0.3
    x = torch.from_numpy(np.stack([compressed.real, compressed.imag])).transpose(1, 2)[None].float()
    for index in range(6):
        x = F.pad(x, (1, 1))
        weight, bias = (state[f"cnn.cnn.{2 * index}.{kind}"] for kind in ("weight", "bias"))
        x = F.conv2d(x, weight, bias, stride=(1 if index == 0 else 2, 2 if index == 5 else 1))
        x = torch.where(x > 0, x, 0.1 * x)
    x = x.reshape(1024, 384).T.double()
    x = batch_norm(batch_norm(x, f"{POOL}.norm_input"), f"{POOL}.transformer.norm")
    x = affine(x, f"{POOL}.transformer.linear_proj") + tensors[f"{POOL}.transformer.position_encoding.pe"][0]
    for index in range(LAYERS):
        layer = f"{POOL}.transformer.transformer_encoder.layers.{index}"
        joint = x @ tensors[f"{layer}.self_attn.in_proj_weight"].T + tensors[f"{layer}.self_attn.in_proj_bias"]
        query, key, value = joint.split(200, 1)
        heads = []
        for head in range(8):
            part = slice(25 * head, 25 * head + 25)
            heads.append((query[:, part] @ key[:, part].T / 5).softmax(1) @ value[:, part])
        x = norm(x + affine(torch.cat(heads, 1), f"{layer}.self_attn.out_proj"), f"{layer}.norm1")
        x = norm(x + affine(affine(x, f"{layer}.linear1").clamp(min=0), f"{layer}.linear2"), f"{layer}.norm2")
    x = batch_norm(x, f"{POOL}.norm_trans")
    attention = affine(affine(x, f"{POOL}.pool.linear1").clamp(min=0), f"{POOL}.pool.linear2").softmax(0)
    return float(1 + 4 / (1 + torch.exp(-affine((attention * x).sum(0), f"{POOL}.pool.linear3"))))


def noise(samples: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal(samples) * (1 + np.sin(np.arange(samples) / 900))).astype(np.float32)


def tone(samples: int) -> np.ndarray:
    """It rises from 200 Hz on."""
    seconds = np.arange(samples) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 * seconds + 150 * seconds**2))).astype(np.float32)


# --- the network ------------------------------------------------------------------------------------------------------


def test_the_published_layout_is_taken_whole():
    state = random_state()
    distillmos.fill(distillmos.build(), state)
    state[f"{POOL}.pool.linear4.weight"] = state.pop(f"{POOL}.pool.linear3.weight")
    with pytest.raises(ValueError, match=r"missing transformer_pool_attn\.pool\.linear3\.weight") as refusal:
        distillmos.fill(distillmos.build(), state)
    assert "unknown transformer_pool_attn.pool.linear4.weight" in str(refusal.value)


def test_the_network_agrees_with_a_second_computation():
    state = random_state()
    network = distillmos.fill(distillmos.build(), state)
    # Bands without any sound hold rounding alone, which differs by processor and which the power of 0.3 makes large.
    hiss, chirp = noise(SEGMENT), tone(SEGMENT) + 0.001 * noise(SEGMENT, seed=1)
    scores = [distillmos.distillmos(network, audio) for audio in (hiss, chirp)]
    assert scores == pytest.approx([literal_score(state, audio) for audio in (hiss, chirp)], abs=2e-4)
    assert abs(scores[0] - scores[1]) > 0.5, "a constant would agree too"
    assert distillmos.distillmos(network, 0.01 * hiss) == pytest.approx(scores[0], abs=2e-4), "the level does not count"


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (1, [0]),
        (SEGMENT, [0]),
        (SEGMENT + 1, [0, 1]),
        (SEGMENT + 16_000, [0, 16_000]),
        (SEGMENT + 16_001, [0, 8000, 16_001]),
        (SEGMENT + 40_001, [0, 13_333, 26_667, 40_001]),
    ],
)
def test_long_sounds_are_heard_to_their_end(samples, expected):
    assert distillmos.starts(samples).tolist() == expected


def test_a_score_is_the_mean_over_its_segments():
    network = distillmos.fill(distillmos.build(), random_state())
    audio = np.concatenate([noise(50_000), tone(SEGMENT + 16_001 - 50_000)])
    parts = [distillmos.distillmos(network, audio[start : start + SEGMENT]) for start in (0, 8000, 16_001)]
    assert np.ptp(parts) > 0.01
    assert distillmos.distillmos(network, audio) == pytest.approx(np.mean(parts), abs=1e-6)
    short = audio[:RATE]
    assert distillmos.distillmos(network, short) == distillmos.distillmos(
        network, np.concatenate([short, np.zeros(SEGMENT - RATE, np.float32)])
    )


# --- the metric -------------------------------------------------------------------------------------------------------


@pytest.fixture
def random_weights(tmp_path, monkeypatch):
    """The metric's weights id leads to random tensors in the published layout."""
    folder = tmp_path / "weights"
    folder.mkdir()
    path = folder / "random.pt"
    torch.save({"model": random_state(), "step": 1}, path)
    row = (
        f'[distillmos]\npurpose = "a test"\nfile = "{path.name}"\nmanual = "made by the test"\n'
        f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\nlicence = "MIT"\ngroup = "free"\n'
        'format = "state_dict"\nloader = "torch"\n'
    )
    use_weights(monkeypatch, folder, row)
    distillmos.load.cache_clear()
    yield path
    distillmos.load.cache_clear()


def test_the_metric_scores_the_clip_as_the_network_does(random_weights, tmp_path):
    audio = noise(2 * RATE)
    metric = create("distillmos/v7")
    found = metric.measure(pair(tmp_path, audio))
    expected = literal_score(random_state(), np.concatenate([audio, np.zeros(SEGMENT - len(audio))]))
    assert found.values == {"distillmos": pytest.approx(expected, abs=2e-4)}
    assert metric.protocol.weights == {"distillmos": hashlib.sha256(random_weights.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("audio", "reason"), [(noise(1000), "0.06 s long, at least 0.1 s"), (np.zeros(RATE, np.float32), "silent")]
)
def test_short_and_silent_clips_are_unscorable(random_weights, tmp_path, audio, reason):
    with pytest.raises(Unscorable, match=reason):
        create("distillmos/v7").measure(pair(tmp_path, audio))


def test_missing_weights_say_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch distillmos"):
        create("distillmos/v7").measure(pair(tmp_path, noise(RATE)))


# --- the published network --------------------------------------------------------------------------------------------


@pytest.fixture
def published():
    if not weights.is_present("distillmos"):
        pytest.skip("needs the weights distillmos: t2av-bench weights fetch distillmos")
    return distillmos.load(weights.path("distillmos"), weights.digest("distillmos"), "cpu")


@pytest.mark.slow
def test_the_package_gives_the_same_scores(published, clips_folder, monkeypatch):
    from t2av_bench.media.clip import Clip

    if "torchaudio" not in sys.modules:  # it is imported there and not used for this
        monkeypatch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
    package = pytest.importorskip("distillmos", reason="pip install --no-deps distillmos xls-r-sqa")
    model = package.ConvTransformerSQAModel(load_weights=False).eval()
    model.load_state_dict(torch.load(weights.path("distillmos"), weights_only=True)["model"])
    real = [Clip(clips_folder / name).audio(RATE) for name in ("talker_output.mp4", "hdtf_aoc.mp4", "lp_d10.mp4")]
    for audio in (*real, say(), noise(SEGMENT + 16_001)):
        with torch.no_grad():
            expected = float(model(torch.tensor(audio)[None]))
        assert distillmos.distillmos(published, audio) == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_noise_and_a_narrow_band_lower_it_in_order(published, clips_folder):
    from scipy.signal import butter, sosfiltfilt

    from t2av_bench.media.clip import Clip

    for name in ("talker_output.mp4", "hdtf_aoc.mp4", "ovi_1.mp4"):
        audio = Clip(clips_folder / name).audio(RATE)
        levels = [distillmos.distillmos(published, with_noise(audio, snr)) for snr in (40, 30, 20, 10, 0)]
        clean = distillmos.distillmos(published, audio)
        assert all(np.diff(levels) < 0) and levels[1] < clean - 0.1
        bands = [
            distillmos.distillmos(
                published, sosfiltfilt(butter(8, edge, fs=RATE, output="sos"), audio).astype(np.float32)
            )
            for edge in (3400, 1500)
        ]
        assert clean > bands[0] > bands[1]
        assert distillmos.distillmos(published, 0.1 * audio) == pytest.approx(clean, abs=0.01)
