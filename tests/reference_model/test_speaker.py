"""The speaker encoder: its head against the release's stored numbers, its WavLM against s3prl's."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden import cases, check_outputs
from safetensors.torch import load_file

from reference_model.speaker import (
    EcapaConfig,
    EcapaHead,
    SpeakerEncoder,
    WavLMSize,
    ecapa_names,
    load_speaker_encoder,
)
from reference_model.speaker.encoder import speaker_names
from reference_model.utils.strict_loading import CheckpointError, load_strictly

S3PRL = Path(__file__).parent / "fixtures" / "wavlm_s3prl.safetensors"
UPSTREAM = "feature_extract.model."


def head_config(size: WavLMSize) -> EcapaConfig:
    return EcapaConfig(
        hidden_states=size.layers + 1,
        feature_dim=size.width,
        channels=16,
        embedding_dim=8,
        merged_channels=24,
        bottleneck=12,
    )


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    return load_file(S3PRL)


@pytest.fixture(scope="module")
def release_state(stored) -> dict[str, torch.Tensor]:
    """A checkpoint of the published layout: s3prl's WavLM, a head with random weights and statistics, a classifier."""
    torch.manual_seed(0)
    wavlm = {key[7:]: tensor for key, tensor in stored.items() if key.startswith("weight.")}
    head = EcapaHead(head_config(WavLMSize.from_release_state(wavlm)))
    for name, tensor in head.state_dict().items():
        if "running" in name or name == "layer_weights":
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    state = ecapa_names().state_to_release(head.state_dict())
    return (
        state
        | {UPSTREAM + key: tensor for key, tensor in wavlm.items()}
        | {"loss_calculator.projection.weight": torch.zeros(3, 8)}
    )


@pytest.fixture(scope="module")
def encoder(release_state) -> SpeakerEncoder:
    return load_speaker_encoder(release_state)


@pytest.mark.parametrize("case", cases("11"))
@torch.no_grad()
def test_golden_head(case):
    head = EcapaHead(EcapaConfig.from_release_state(case.weights)).eval()
    load_strictly(head, case.weights, names=ecapa_names())
    states = case.inputs["hidden_states"]
    found = {"instance_norm": head.features(states)}
    watched = {"layer1": head.stem, "pooling": head.pooling}
    watched |= {f"layer{i + 2}": block for i, block in enumerate(head.blocks)}
    for name, module in watched.items():
        module.register_forward_hook(lambda module, inputs, output, name=name: found.update({name: output}))
    found["embedding"] = head(states)
    check_outputs(case, found)


@pytest.mark.parametrize("case", cases("12d"))
def test_manifest_at_full_size(case):
    shapes = {row["key"]: tuple(row["shape"]) for row in case.meta["keys"]}
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    config = EcapaConfig.from_release_state(state)
    with torch.device("meta"):
        ours = EcapaHead(config).state_dict()
    released = ecapa_names().state_to_release(ours)
    assert {name: tuple(tensor.shape) for name, tensor in released.items()} == shapes
    assert {key: str(tensor.dtype) for key, tensor in released.items()} == {
        row["key"]: "torch." + row["dtype"] for row in case.meta["keys"]
    }
    if config == EcapaConfig():
        with torch.device("meta"):
            whole = SpeakerEncoder()
        assert whole.embedding_dim == 256
        assert shapes.keys() < speaker_names(WavLMSize()).state_to_release(whole.state_dict()).keys()


@torch.no_grad()
def test_wavlm_equals_s3prl(stored, encoder):
    """Every hidden state against s3prl's run of the same weights."""
    for i in range(2):
        clip = stored[f"in.audio{i}"]
        for j, state in enumerate(encoder.hidden_states(F.layer_norm(clip, clip.shape)[None])):
            torch.testing.assert_close(state[0], stored[f"out.hidden{i}.{j}"], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_company_changes_no_embedding(encoder):
    torch.manual_seed(1)
    audio = torch.randn(3, 8000)
    together = encoder(audio)
    assert together.shape == (3, encoder.embedding_dim)
    for i in range(3):
        torch.testing.assert_close(together[i], encoder(audio[i : i + 1])[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_loudness_and_offset_change_no_embedding(encoder):
    torch.manual_seed(2)
    audio = torch.randn(1, 8000)
    torch.testing.assert_close(encoder(0.25 * audio + 0.1), encoder(audio), atol=1e-3, rtol=1e-3)
    assert (encoder(torch.randn(1, 8000)) - encoder(audio)).abs().max() > 1e-3


def test_a_published_file_loads(tmp_path, release_state, encoder):
    path = tmp_path / "wavlm_large_finetune.pth"
    torch.save({"model": release_state, "epoch": 3}, path)
    audio = torch.randn(1, 4000)
    torch.testing.assert_close(load_speaker_encoder(path)(audio), encoder(audio))


def test_a_checkpoint_without_the_head_is_refused(tmp_path, release_state):
    upstream = {key: tensor for key, tensor in release_state.items() if key.startswith(UPSTREAM)}
    with pytest.raises(CheckpointError, match="speaker head is not in this checkpoint.*would collapse"):
        load_speaker_encoder(upstream)
    partial = {key: tensor for key, tensor in release_state.items() if not key.startswith("layer3.")}
    with pytest.raises(CheckpointError, match="missing layer3.Conv1dReluBn1.conv.weight"):
        load_speaker_encoder(partial)


def test_wrong_checkpoints_are_explained(tmp_path, release_state):
    renamed = dict(release_state)
    renamed["pooling.linear3.weight"] = renamed.pop("pooling.linear2.weight")
    with pytest.raises(CheckpointError) as error:
        load_speaker_encoder(renamed)
    assert "missing pooling.linear2.weight [24, 12, 1]; nearest: pooling.linear3.weight" in str(error.value)
    name = UPSTREAM + "encoder.layers.1.fc1.bias"
    with pytest.raises(CheckpointError, match=r"misshapen .*layers.1.fc1.bias: the model has \[24\], the file \[7\]"):
        load_speaker_encoder(release_state | {name: torch.zeros(7)})
    path = tmp_path / "wavlm_large_finetune.pth"
    torch.save({"model": release_state}, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_speaker_encoder(path)
    headed = {key: tensor for key, tensor in release_state.items() if not key.startswith(UPSTREAM)}
    with pytest.raises(CheckpointError, match=r"not a WavLM \(of the Large layout\) state dict"):
        load_speaker_encoder(headed)


def test_unusable_audio_is_explained(encoder):
    with pytest.raises(ValueError, match="an utterance has 719 samples; a speaker embedding needs at least 720"):
        encoder(torch.randn(2, 719))
    assert torch.isfinite(encoder(torch.randn(1, 720))).all()
    with pytest.raises(ValueError, match="utterance 1 is silent"):
        encoder(torch.stack([torch.randn(4000), torch.full((4000,), 0.2)]))
    with pytest.raises(ValueError, match=r"\(batch, samples\) at 16 kHz"):
        encoder(torch.randn(2, 1, 4000))
