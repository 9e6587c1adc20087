"""A CTranslate2 model of Whisper rewritten as the folder that transformers loads.

CTranslate2 joins the projections of an attention into one matrix and keeps the rest under other names; taken apart
and widened to float32, which loses nothing, ``model.safetensors`` has the bytes that transformers itself would save.
NumPy alone: one tensor at a time is in memory.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.weights.download import DownloadError
from t2av_bench.weights.registry import join

_FLOATS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 4: np.dtype("<f2")}
_INTEGERS: dict[int, np.dtype[Any]] = {1: np.dtype("<i1"), 2: np.dtype("<i2"), 3: np.dtype("<i4")}
_MULTILINGUAL = 51865
"""Words in the smallest vocabulary of a multilingual Whisper; the English ones have one fewer."""


def convert(archives: Sequence[Path], members: Sequence[str], folder: Path) -> None:
    """Make ``folder`` of members of the archives: the parts of ``model.bin``, its config.json, its tokenizer.json.

    Raises DownloadError where a member is missing or is not what is expected.
    """
    *parts, config, tokenizer = members
    source = folder.with_name("ctranslate2")
    for name, of in (("model.bin", parts), ("config.json", [config]), ("tokenizer.json", [tokenizer])):
        join(archives, of, source / name)
    try:
        to_transformers(source, folder)
    except (KeyError, ValueError, struct.error) as error:
        raise DownloadError(f"cannot be converted: {error}") from error


def to_transformers(source: Path, folder: Path) -> None:
    """Rewrite a CTranslate2 folder (model.bin, config.json, tokenizer.json). Raises ValueError and KeyError."""
    folder.mkdir(parents=True)
    model = _variables(source / "model.bin")
    tensors = _tensors(model)
    _save(folder / "model.safetensors", tensors)
    decoding = json.loads((source / "config.json").read_text(encoding="utf-8"))
    tokenizer = (source / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(tokenizer)
    tokens = {each["content"]: each["id"] for each in json.loads(tokenizer)["added_tokens"]}
    words, width = tensors["model.decoder.embed_tokens.weight"].shape
    end, start = tokens["<|endoftext|>"], tokens["<|startoftranscript|>"]
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (
            ("layers", _layers(model, side)),
            ("attention_heads", int(model[f"{side}/num_heads"])),
            ("ffn_dim", len(tensors[f"model.{side}.layers.0.fc1.weight"])),
        )
    }
    mel_bins = tensors["model.encoder.conv1.weight"].shape[1]
    _write(folder / "config.json", {
        "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "dtype": "float32",
        "vocab_size": words, "d_model": width, "num_mel_bins": mel_bins, **sides, **ids,
        "max_source_positions": len(tensors["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(tensors["model.decoder.embed_positions.weight"]),
        "is_encoder_decoder": True, "tie_word_embeddings": True, "suppress_tokens": None,
        "begin_suppress_tokens": None,
    })  # fmt: skip
    languages = {token: id for token, id in tokens.items() if id in set(decoding["lang_ids"])}
    _write(folder / "generation_config.json", {
        **ids, "alignment_heads": decoding["alignment_heads"], "suppress_tokens": decoding["suppress_ids"],
        "begin_suppress_tokens": decoding["suppress_ids_begin"], "lang_to_id": languages,
        "task_to_id": {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "no_timestamps_token_id": tokens["<|notimestamps|>"], "prev_sot_token_id": tokens["<|startofprev|>"],
        "is_multilingual": words >= _MULTILINGUAL, "max_initial_timestamp_index": 50,
        "max_length": len(tensors["model.decoder.embed_positions.weight"]), "return_timestamps": False,
    })  # fmt: skip
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>")
    _write(
        folder / "tokenizer_config.json", {"tokenizer_class": "WhisperTokenizer", "add_prefix_space": False, **special}
    )
    _write(folder / "preprocessor_config.json", {
        "feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "WhisperProcessor",
        "feature_size": mel_bins, "sampling_rate": 16000, "n_fft": 400, "hop_length": 160, "chunk_length": 30,
        "n_samples": 480000, "nb_max_frames": 3000, "padding_side": "right", "padding_value": 0.0,
        "return_attention_mask": False,
    })  # fmt: skip


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _variables(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of a CTranslate2 model, as views of the file. Raises ValueError for another or a quantised one."""
    content = np.memmap(path, np.uint8, mode="r")
    position = 0

    def take(format: str) -> Any:
        nonlocal position
        size = struct.calcsize(format)
        values = struct.unpack(format, content[position : position + size].tobytes())
        position += size
        return values

    def text() -> str:
        [size] = take("<H")
        return take(f"<{size}s")[0].rstrip(b"\0").decode()

    version, specification = take("<I")[0], text()
    if version < 5 or specification != "WhisperSpec":
        raise ValueError(f"expected CTranslate2's WhisperSpec, got {specification!r} in a file of version {version}")
    _, count = take("<II")  # revision of the specification
    found = {}
    for _ in range(count):
        name, [rank] = text(), take("<B")
        shape, (kind, size) = take(f"<{rank}I"), take("<BI")
        if rank and kind not in _FLOATS:
            raise ValueError(f"{name} is quantised; expected float32 or float16")
        found[name] = content[position : position + size].view((_FLOATS | _INTEGERS)[kind]).reshape(shape)
        position += size
    return found


def _layers(model: dict[str, np.ndarray], side: str) -> int:
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in model)


def _tensors(model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays, taken apart, under transformers' names."""
    tensors = {
        "model.decoder.embed_tokens.weight": model["decoder/embeddings/weight"],
        **{f"model.encoder.{conv}.{kind}": model[f"encoder/{conv}/{kind}"]
           for conv in ("conv1", "conv2") for kind in ("weight", "bias")},
    }  # fmt: skip
    for side in ("encoder", "decoder"):
        tensors[f"model.{side}.embed_positions.weight"] = model[f"{side}/position_encodings/encodings"]
        tensors |= _norm(model, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for number in range(_layers(model, side)):
            ours, theirs = f"model.{side}.layers.{number}", f"{side}/layer_{number}"
            tensors |= _attention(model, f"{theirs}/self_attention", f"{ours}.self_attn")
            if side == "decoder":
                tensors |= _attention(model, f"{theirs}/attention", f"{ours}.encoder_attn")
            tensors |= _norm(model, f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
            for name, layer in (("fc1", "linear_0"), ("fc2", "linear_1")):
                for kind in ("weight", "bias"):
                    tensors[f"{ours}.{name}.{kind}"] = model[f"{theirs}/ffn/{layer}/{kind}"]
    return tensors


def _norm(model: dict[str, np.ndarray], theirs: str, ours: str) -> dict[str, np.ndarray]:
    return {f"{ours}.weight": model[f"{theirs}/gamma"], f"{ours}.bias": model[f"{theirs}/beta"]}


def _attention(model: dict[str, np.ndarray], theirs: str, ours: str) -> dict[str, np.ndarray]:
    """An attention and the norm before it: one matrix holds queries, keys and values, or, across, keys and values."""
    width = len(model["decoder/embeddings/weight"][0])
    across = f"{theirs}/linear_2/weight" in model
    groups = [["q"], ["k", "v"], ["out"]] if across else [["q", "k", "v"], ["out"]]
    tensors = _norm(model, f"{theirs}/layer_norm", f"{ours}_layer_norm")
    for number, projections in enumerate(groups):
        for place, projection in enumerate(projections):
            rows = slice(place * width, (place + 1) * width)
            for kind in ("weight", "bias"):
                tensors[f"{ours}.{projection}_proj.{kind}"] = model[f"{theirs}/linear_{number}/{kind}"][rows]
    if np.any(tensors.pop(f"{ours}.k_proj.bias")):
        raise ValueError(f"{theirs}: the keys have a bias, which Whisper has not")
    return tensors


def _save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """float32 safetensors, byte for byte as the library writes them: sorted by name, the header padded to 8 bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in sorted(tensors.items()):
        start, end = end, end + 4 * tensor.size
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(said)) + said)
        for _, tensor in sorted(tensors.items()):
            file.write(np.ascontiguousarray(tensor, "<f4").data)
