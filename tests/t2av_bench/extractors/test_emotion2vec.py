"""emotion2vec on random weights of the published layout, against loops over numbers and against FunASR's own class."""

import math

import numpy as np
import pytest

from t2av_bench.errors import NotApplicable

torch = pytest.importorskip("torch")

from t2av_bench.extractors import emotion2vec  # noqa: E402

WIDTH, HEADS, CHANNELS, EXTRA, PRENET, DEPTH, POSITIONS, GROUPS, KERNEL, INNER = 12, 3, 8, 2, 1, 2, 2, 4, 5, 20
AUDIO = "modality_encoders.AUDIO."


def layout(layers_of_scales: int = 1) -> dict[str, tuple[int, ...]]:
    """Names and shapes as FunASR's class has them, at tiny sizes."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{AUDIO}extra_tokens": (1, EXTRA, WIDTH), f"{AUDIO}alibi_scale": (layers_of_scales, 1, HEADS, 1, 1),
    }  # fmt: skip

    def affine(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    for index, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        name = f"{AUDIO}local_encoder.conv_layers.{index}"
        shapes[f"{name}.0.weight"] = (CHANNELS, CHANNELS if index else 1, kernel)
        affine(f"{name}.2.1", CHANNELS)
    affine(f"{AUDIO}project_features.1", CHANNELS)
    affine(f"{AUDIO}project_features.2", WIDTH, CHANNELS)
    for index in range(POSITIONS):
        affine(f"{AUDIO}relative_positional_encoder.{index + 1}.0", WIDTH, WIDTH // GROUPS, KERNEL)
    affine(f"{AUDIO}context_encoder.norm", WIDTH)
    for name in BLOCKS:
        affine(f"{name}.norm1", WIDTH)
        affine(f"{name}.norm2", WIDTH)
        affine(f"{name}.attn.qkv", 3 * WIDTH, WIDTH)
        affine(f"{name}.attn.proj", WIDTH, WIDTH)
        affine(f"{name}.mlp.fc1", INNER, WIDTH)
        affine(f"{name}.mlp.fc2", WIDTH, INNER)
    return shapes


BLOCKS = [f"{AUDIO}context_encoder.blocks.{i}" for i in range(PRENET)] + [f"blocks.{i}" for i in range(DEPTH)]


def random_state(layers_of_scales: int = 1, dtype=torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in layout(layers_of_scales).items():
        values = torch.randn(shape, generator=generator, dtype=dtype)
        if "alibi" in name:
            state[name] = values.abs() + 0.2
        elif len(shape) == 1:
            state[name] = 1 + 0.3 * values if name.endswith("weight") else 0.3 * values
        else:
            state[name] = 1.5 * values / math.sqrt(math.prod(shape[1:]))
    return state


def sound(seconds: float = 0.4) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(round(seconds * 16000))
    return 0.3 + 0.1 * noise * (1 + np.sin(np.arange(len(noise)) / 900))


def literal(state: dict[str, torch.Tensor], audio: np.ndarray) -> np.ndarray:
    """(n,) -> (frames, WIDTH), number by number where that is not too slow."""
    s = {name.removeprefix(AUDIO): tensor.numpy() for name, tensor in state.items()}

    def normal(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    def norm(x, name):
        return normal(x) * s[f"{name}.weight"] + s[f"{name}.bias"]

    def affine(x, name):
        return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    x = normal(audio)[:, None]  # (time, channels)
    for index, stride in enumerate((5, 2, 2, 2, 2, 2, 2)):
        weight = s[f"local_encoder.conv_layers.{index}.0.weight"]
        count = (len(x) - weight.shape[2]) // stride + 1
        x = np.stack([np.einsum("oik,ki->o", weight, x[t * stride : t * stride + weight.shape[2]])
                      for t in range(count)])  # fmt: skip
        x = gelu(norm(x, f"local_encoder.conv_layers.{index}.2.1"))
    x = affine(norm(x, "project_features.1"), "project_features.2")
    positions, group = x, WIDTH // GROUPS
    for index in range(1, POSITIONS + 1):
        weight, bias = (s[f"relative_positional_encoder.{index}.0.{kind}"] for kind in ("weight", "bias"))
        padded = np.pad(positions, ((KERNEL // 2, KERNEL // 2), (0, 0)))
        made = np.zeros_like(positions)
        for t in range(len(x)):
            for out in range(WIDTH):
                first = out // group * group
                made[t, out] = (weight[out].T * padded[t : t + KERNEL, first : first + group]).sum() + bias[out]
        positions = gelu(normal(made))
    x = norm(np.concatenate([s["extra_tokens"][0], x + positions]), "context_encoder.norm")
    scales = s["alibi_scale"].clip(min=0)
    for index, name in enumerate(block.removeprefix(AUDIO) for block in BLOCKS):
        query, key, value = np.split(affine(x, f"{name}.attn.qkv"), 3, axis=1)
        attended = []
        for head in range(HEADS):
            part = slice(head * 4, head * 4 + 4)
            logits = query[:, part] @ key[:, part].T / 2
            for i in range(EXTRA, len(x)):
                for j in range(EXTRA, len(x)):
                    # Three heads: 1/16 and 1/256 as for two, and the first of those for four.
                    slope = (1 / 16, 1 / 256, 1 / 4)[head]
                    logits[i, j] -= abs(i - j) * slope * scales[index if len(scales) > 1 else 0, 0, head, 0, 0]
            weights = np.exp(logits - logits.max(1, keepdims=True))
            attended.append(weights / weights.sum(1, keepdims=True) @ value[:, part])
        x = norm(x + affine(np.concatenate(attended, 1), f"{name}.attn.proj"), f"{name}.norm1")
        x = norm(x + affine(gelu(affine(x, f"{name}.mlp.fc1")), f"{name}.mlp.fc2"), f"{name}.norm2")
    return x[EXTRA:]


def funasr_model(layers_of_scales: int):
    module = pytest.importorskip("funasr.models.emotion2vec.model")
    spec = f"[({CHANNELS}, 10, 5)] + [({CHANNELS}, 3, 2)] * 4 + [({CHANNELS}, 2, 2)] * 2"
    audio = {
        "prenet_depth": PRENET, "prenet_layerdrop": 0.0, "prenet_dropout": 0.1, "start_drop_path_rate": 0.0,
        "end_drop_path_rate": 0.0, "num_extra_tokens": EXTRA, "init_extra_token_zero": True, "local_grad_mult": 1.0,
        "use_alibi_encoder": True, "alibi_scale": 1.0, "learned_alibi": False, "alibi_max_pos": None,
        "learned_alibi_scale": True, "learned_alibi_scale_per_head": True, "num_alibi_heads": HEADS,
        "learned_alibi_scale_per_layer": layers_of_scales > 1, "model_depth": DEPTH, "decoder": None,
        "extractor_mode": "layer_norm", "feature_encoder_spec": spec, "conv_pos_width": KERNEL * POSITIONS,
        "conv_pos_groups": GROUPS, "conv_pos_depth": POSITIONS, "conv_pos_pre_ln": False,
    }  # fmt: skip
    return module.Emotion2vec(model_conf={
        "depth": DEPTH, "num_heads": HEADS, "embed_dim": WIDTH, "mlp_ratio": INNER / WIDTH, "norm_eps": 1e-5,
        "norm_affine": True, "layer_norm_first": False, "encoder_dropout": 0.1, "attention_dropout": 0.1,
        "activation_dropout": 0.0, "post_mlp_drop": 0.1, "dropout_input": 0.0, "layerdrop": 0.05,
        "start_drop_path_rate": 0.0, "end_drop_path_rate": 0.0, "end_of_block_targets": False,
        "average_top_k_layers": 2, "loss_beta": 0.0, "loss_scale": None, "clone_batch": 8, "normalize": True,
        "modalities": {"audio": audio},
    }).eval()  # fmt: skip


@pytest.mark.parametrize("layers_of_scales", [1, PRENET + DEPTH])
def test_vectors_agree_with_loops(layers_of_scales):
    state = random_state(layers_of_scales)
    expected = literal(state, sound())
    found = emotion2vec.frame_vectors(state, torch.from_numpy(sound()))
    assert expected.shape == (19, WIDTH) and expected.std(0).max() > 0.05, "no frame differs"
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(emotion2vec.emotion_vector(state, sound()), expected.mean(0), atol=1e-9)


@pytest.mark.parametrize("layers_of_scales", [1, PRENET + DEPTH])
def test_vectors_agree_with_funasr(layers_of_scales):
    model = funasr_model(layers_of_scales)
    state = random_state(layers_of_scales, torch.float32)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == layout(layers_of_scales)
    model.load_state_dict(state)
    audio = sound().astype(np.float32)
    with torch.no_grad():
        (answer,), _ = model.inference([torch.from_numpy(audio)], key=["clip"], device="cpu", granularity="utterance")
    np.testing.assert_allclose(emotion2vec.emotion_vector(state, audio), answer["feats"], atol=2e-5)


def test_every_tensor_moves_the_vector():
    state, audio = random_state(), sound()
    plain = emotion2vec.emotion_vector(state, audio)
    unmoved = [name for name, tensor in state.items()
               if np.allclose(emotion2vec.emotion_vector(state | {name: tensor + 0.1 * torch.rand_like(tensor)}, audio),
                              plain, atol=1e-8)]  # fmt: skip
    assert unmoved == []


@pytest.mark.parametrize(
    ("count", "expected"), [(2, [1 / 16, 1 / 256]), (8, [2.0**-n for n in range(1, 9)]),
                            (12, [*(2.0**-n for n in range(1, 9)), *(2.0 ** -(n + 0.5) for n in range(4))])]
)  # fmt: skip
def test_slopes_are_those_of_alibi(count, expected):
    assert emotion2vec.slopes(count) == pytest.approx(expected)


def test_what_lies_beyond_a_minute_is_ignored(monkeypatch):
    monkeypatch.setattr(emotion2vec, "LONGEST_SECONDS", 1)
    long, whole = (emotion2vec.emotion_vector(random_state(), audio) for audio in (sound(1.5), sound(1.5)[:16000]))
    assert np.array_equal(long, whole)


def test_a_folder_of_funasrs_hub_is_read(tmp_path):
    state = random_state(dtype=torch.float32)
    beside = {"proj.weight": torch.zeros(9, WIDTH), f"d2v_model.{AUDIO}decoder.proj.weight": torch.zeros(3)}
    prefixed = {f"d2v_model.{name}": tensor for name, tensor in state.items()}
    torch.save({"model": prefixed | beside}, tmp_path / "model.pt")
    assert emotion2vec.load(tmp_path, None, "cpu").keys() == state.keys()
    emotion2vec.load.cache_clear()
    torch.save({"model": state | {"blocks.0.norm1.weight": torch.zeros(5), "norm.weight": torch.zeros(WIDTH)}},
               tmp_path / "model.pt")  # fmt: skip
    with pytest.raises(NotApplicable, match=r"does not load(?s:.)*unknown norm.weight(?s:.)*misshapen blocks.0.norm1"):
        emotion2vec.load(tmp_path, None, "cpu")
    torch.save({"model": {"weight": torch.zeros(1)}}, tmp_path / "model.pt")
    with pytest.raises(NotApplicable, match="does not load: not a FunASR emotion2vec state dict"):
        emotion2vec.load(tmp_path, None, "cpu")
    (tmp_path / "model.pt").unlink()
    with pytest.raises(NotApplicable, match=r"holds 0 files \*\.pt"):
        emotion2vec.load(tmp_path, None, "cpu")
