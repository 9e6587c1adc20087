"""WhisperX-VAE against the release's stored numbers, its key manifest, and its own promises."""

import dataclasses

import pytest
import torch
from golden import cases, check_outputs

from reference_model.codecs import AudioCodec
from reference_model.codecs.whisperx_vae import (
    WhisperSize,
    WhisperXVAE,
    WhisperXVAEConfig,
    load_whisperx_vae,
    model,
    whisperx_vae_names,
)
from reference_model.codecs.whisperx_vae.layers import WaveformEncoder
from reference_model.codecs.whisperx_vae.whisper_features import (
    kept_frames,
    pair_average,
    window_starts,
)
from reference_model.utils import strict_loading
from reference_model.utils.strict_loading import CheckpointError, read_checkpoint

TINY = WhisperXVAEConfig(
    encoder_width=2,
    hidden_dim=16,
    decoder_width=32,
    latent_dim=6,
    whisper=WhisperSize(
        mel_bins=8,
        positions=50,
        width=16,
        heads=2,
        layers=1,
    ),
)


@pytest.fixture(scope="module")
def codec() -> WhisperXVAE:
    torch.manual_seed(0)
    return WhisperXVAE(TINY).eval().requires_grad_(False)


def tone(*lengths: int) -> torch.Tensor:
    """Different noise in every row, zero beyond the row's length."""
    generator = torch.Generator().manual_seed(3)
    audio = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        audio[row, :length] = 0.3 * torch.randn(length, generator=generator)
    return audio


@pytest.mark.parametrize("case", cases("09"))
@torch.no_grad()
def test_golden(case):
    codec = load_whisperx_vae(case.weights, heads=case.config["whisper"]["n_audio_head"])
    audio, frames = case.inputs["wav"][:, 0], case.config["latent_frames"]
    whisper = codec.whisper_encoder(case.inputs["mel"][:, 0]).last_hidden_state
    semantic = pair_average(whisper, frames).transpose(1, 2)
    acoustic = codec.acoustic(audio[:, : frames * codec.hop])
    mean, scale = codec.posterior(acoustic + semantic)
    found = {
        "acoustic": acoustic, "whisper_50hz": whisper, "bottleneck_in": acoustic + semantic, "latent_btc": mean,
        "bottleneck_stats": torch.cat([mean, scale], dim=-1).mT, "latent_bct": mean.mT,
        "latent_btc_uneven": codec.posterior(codec.acoustic(audio) + semantic)[0],
        "wav_from_encode": codec.decode(mean)[:, None],
    }  # fmt: skip
    if "latent" in case.inputs:
        latents = case.inputs["latent"]
        decoded = codec.decode(latents)[:, None]
        found |= {"wav_from_latent": decoded, "wav_from_latent_bct": decoded}
        found["pre_tanh_from_latent"] = codec.waveform_logits(latents)[:, None]
    check_outputs(case, found)


def text_decoder(shapes):
    """Whisper's text decoder under the release's names: it is in the file, nothing runs it, loading leaves it out."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperDecoder

    vocabulary, width = shapes["semantic_model.decoder.token_embedding.weight"]
    positions, _ = shapes["semantic_model.decoder.positional_embedding"]
    layers = sum(name.startswith("semantic_model.decoder.") and name.endswith("mlp.0.bias") for name in shapes)
    config = WhisperConfig(
        d_model=width, decoder_layers=layers, decoder_attention_heads=width // 64, decoder_ffn_dim=4 * width,
        vocab_size=vocabulary, max_target_positions=positions, pad_token_id=0,
    )  # fmt: skip
    pairs = [("positional_embedding", "embed_positions.weight"), ("token_embedding", "embed_tokens")]
    pairs += [("ln", "layer_norm")]
    attention = [("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("out", "out_proj")]
    for i in range(layers):
        for theirs, mine in (("attn", "self_attn"), ("cross_attn", "encoder_attn")):
            pairs += [(f"blocks.{i}.{theirs}.{a}", f"layers.{i}.{mine}.{b}") for a, b in attention]
            pairs += [(f"blocks.{i}.{theirs}_ln", f"layers.{i}.{mine}_layer_norm")]
        rest = (("mlp.0", "fc1"), ("mlp.2", "fc2"), ("mlp_ln", "final_layer_norm"))
        pairs += [(f"blocks.{i}.{theirs}", f"layers.{i}.{mine}") for theirs, mine in rest]
    names = strict_loading.NameMap((f"semantic_model.decoder.{release}", ours) for release, ours in pairs)
    with torch.device("meta"):
        return names.state_to_release(WhisperDecoder(config).state_dict())


@pytest.mark.parametrize("case", cases("12b"))
def test_manifest_at_full_size(case):
    shapes = {row["key"]: tuple(row["shape"]) for row in case.meta["keys"]}
    config = WhisperXVAEConfig.from_release_state(
        {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    )
    with torch.device("meta"):
        codec = WhisperXVAE(config)
    released = whisperx_vae_names(config).state_to_release(codec.state_dict()) | text_decoder(shapes)
    assert {name: tuple(tensor.shape) for name, tensor in released.items()} == shapes
    assert {str(tensor.dtype) for tensor in released.values()} == {"torch." + r["dtype"] for r in case.meta["keys"]}


@pytest.mark.parametrize("case", cases("12b"))
def test_unknown_encoder_width_follows_the_checkpoint(case):
    for width, counts in case.meta["element_counts_for_other_in_dim"].items():
        with torch.device("meta"):
            encoder = WaveformEncoder(int(width), case.config["encoder_strides"], case.config["encoder_hidden"])
        assert sum(p.numel() for p in encoder.parameters()) == counts["CodecEnc_elements"]


def test_sizes_are_read_off_the_checkpoint():
    for config in (TINY, dataclasses.replace(TINY, encoder_width=3, latent_dim=5, decoder_width=16)):
        full = WhisperXVAE(config)
        state = whisperx_vae_names(config).state_to_release(full.state_dict())
        assert WhisperXVAEConfig.from_release_state(state, heads=2) == config


def test_implements_the_codec_protocol(codec):
    assert isinstance(codec, AudioCodec)
    assert (codec.sample_rate, codec.frame_rate, codec.latent_dim) == (24000, 25, 6)
    latents = codec.encode(tone(24000 + 500))
    assert latents.shape == (1, 25, 6)
    assert codec.decode(latents).shape == (1, 24000)


def test_company_changes_no_item(codec):
    audio = tone(9600, 9600)
    latents = codec.encode(audio)
    decoded = codec.decode(latents)
    for row in range(2):
        alone = codec.encode(audio[row : row + 1])
        torch.testing.assert_close(latents[row], alone[0], atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(decoded[row], codec.decode(alone)[0], atol=2e-6, rtol=1e-5)


def test_the_decoders_context_is_what_can_matter_and_no_more(codec):
    latents = torch.randn(1, 20, 6, generator=torch.Generator().manual_seed(1))
    changed = latents.clone()
    changed[:, 12:] += 1
    differs = (codec.waveform_logits(latents) != codec.waveform_logits(changed))[0].nonzero()[0].item()
    assert differs // codec.hop == 12 - codec.decoder.context


def test_long_clips_in_chunks_equal_one_pass(codec, monkeypatch):
    audio = tone(40 * 960 + 123, 31 * 960)
    whole = codec.acoustic(audio)
    latents = torch.randn(1, 40, 6, generator=torch.Generator().manual_seed(2))
    decoded = codec.decode(latents)
    torch.testing.assert_close(decoded, torch.tanh(codec.waveform_logits(latents)), atol=0, rtol=0)
    monkeypatch.setattr(model, "CHUNK_FRAMES", 9)
    torch.testing.assert_close(codec.acoustic(audio), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(codec.decode(latents), decoded, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frame", [0, 20, 39])
def test_the_context_of_a_frame_is_all_that_hears_it(codec, frame):
    latents = torch.randn(1, 40, 6, generator=torch.Generator().manual_seed(1))
    changed = latents.clone()
    changed[:, frame] += 1
    differs = (codec.waveform_logits(latents) != codec.waveform_logits(changed))[0].unflatten(0, (40, -1)).any(dim=1)
    heard, context = differs.nonzero().flatten().tolist(), codec.decoder.context
    assert max(frame - heard[0], heard[-1] - frame) <= context
    assert frame != 20 or heard[-1] - heard[0] >= 2 * context - 2, "and not much more than is needed"


@pytest.mark.parametrize("window", [25, 750])
def test_whisper_windows_cover_every_frame_once(window):
    for frames in (1, window - 1, window, window + 1, 3 * window, 10 * window + 7):
        starts = window_starts(frames, window)
        covered = []
        for index, start in enumerate(starts):
            first, last = kept_frames(starts, index, frames, window)
            assert start <= first < last <= start + window
            covered += range(first, last)
        assert covered == list(range(frames))


def test_audio_beyond_whispers_window(codec):
    """Latents of the first window's frames do not hear what comes three windows later."""
    audio = tone(5 * 24000)
    cut = audio.clone()
    cut[:, 4 * 24000 :] = 0
    long, other = codec.encode(audio), codec.encode(cut)
    assert long.shape == (1, 125, 6)
    torch.testing.assert_close(long[:, :25], other[:, :25], atol=1e-5, rtol=1e-5)
    assert (long[:, 105:] - other[:, 105:]).abs().max() > 1e-3


def test_pairs_are_averaged():
    features = torch.arange(12.0).reshape(1, 6, 2)
    assert pair_average(features, 2).tolist() == [[[1, 2], [5, 6]]]
    with pytest.raises(ValueError, match="6 Whisper positions are too few for 4"):
        pair_average(features, 4)


def test_what_is_too_short_or_flat_is_refused(codec):
    with pytest.raises(ValueError, match="less than one latent frame"):
        codec.encode(torch.zeros(1, 959))
    with pytest.raises(ValueError, match=r"\(batch, samples\)"):
        codec.encode(torch.zeros(2, 1, 9600))
    with pytest.raises(ValueError, match="same product"):
        WhisperXVAEConfig(decoder_strides=(12, 10, 4))


def test_a_training_checkpoint_loads_and_its_other_parts_are_left_out(tmp_path, codec):
    state = whisperx_vae_names(TINY).state_to_release(codec.state_dict())
    state |= {"semantic_model.decoder.ln.weight": torch.zeros(16), "discriminator.0.weight": torch.zeros(3)}
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": {"cfg": TINY}}, path)
    loaded = load_whisperx_vae(path, heads=2)
    latents = torch.randn(1, 5, 6)
    torch.testing.assert_close(loaded.decode(latents), codec.decode(latents), atol=1e-6, rtol=0)


def test_wrong_checkpoints_are_explained(tmp_path, codec):
    state = whisperx_vae_names(TINY).state_to_release(codec.state_dict())
    renamed = dict(state)
    renamed["vae.out_proj.bios"] = renamed.pop("vae.out_proj.bias")
    with pytest.raises(CheckpointError) as error:
        load_whisperx_vae(renamed, heads=2)
    assert "missing vae.out_proj.bias [16]; nearest: vae.out_proj.bios" in str(error.value)
    assert "unknown vae.out_proj.bios [16]; nearest: vae.out_proj.bias" in str(error.value)

    misshapen = dict(state) | {"CodecDec.model.6.bias": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"misshapen CodecDec.model.6.bias: the model has \[1\], the file \[2\]"):
        load_whisperx_vae(misshapen, heads=2)

    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": state}, path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_whisperx_vae(path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_whisperx_vae(tmp_path / "absent.ckpt")
    with pytest.raises(CheckpointError, match="nothing of WhisperX-VAE"):
        load_whisperx_vae({"encoder.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="without CodecEnc.block.6.weight_v its sizes are unknown"):
        load_whisperx_vae({k: v for k, v in state.items() if not k.startswith("CodecEnc.block.6")}, heads=2)


class Trap:
    """Pickles as a call; reading it must not make that call."""

    def __reduce__(self):
        return print, ("a checkpoint ran code",)


def test_no_code_of_a_checkpoint_is_run(tmp_path, capsys):
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a": torch.ones(2)}, "cfg": Trap()}, path)
    content = read_checkpoint(path)
    assert isinstance(content["cfg"], strict_loading._Inert)
    assert capsys.readouterr().out == ""
    assert content["state_dict"]["a"].tolist() == [1, 1]
