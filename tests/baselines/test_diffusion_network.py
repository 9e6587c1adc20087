"""What reaches what: both directions between the towers, text, conditions; nothing from beyond a clip's end."""

import pytest
import torch
from diffusion_factory import FAMILIES, MICRO, items, micro, synthetic

from baselines.diffusion.attention import CrossAttention, RotaryPositions
from baselines.diffusion.config import NetworkConfig
from baselines.diffusion.objective import collate
from baselines.diffusion.sampling import sample
from baselines.diffusion.tower import velocity_of
from baselines.families import matched_width, network_class
from reference_model.config import ConfigError, ModelConfig
from reference_model.modules.flow_matching import SamplerSettings
from reference_model.modules.transformer import Attention, RotaryEmbedding


def part_of(network, count=3):
    return collate([synthetic()[index] for index in range(count)], list(range(count)), network)


def velocities(network, part, keep=True, **noisy):
    inputs = {name: noisy.get(name, draw.noise) for name, draw in part.draws.items()}
    length = next(iter(inputs.values())).shape[1]
    batch = part.batch
    kept = torch.full((len(batch.frames),), keep)
    condition = network.condition(batch, network.encode_text(batch), kept, length)
    return network.velocity(inputs, torch.full((len(batch.frames),), 0.7), condition)


@pytest.mark.parametrize(("source", "target"), [("speech", "motion"), ("motion", "speech")])
def test_every_block_carries_information_in_both_directions(source, target):
    network = micro("dual_branch")
    part = part_of(network)

    def reached():
        noisy = part.draws[source].noise.clone().requires_grad_()
        velocities(network, part, **{source: noisy})[target].sum().backward()
        return noisy.grad.abs().sum().item()

    blocks = getattr(network, target).blocks
    assert reached() > 1e-2
    for open_one in blocks:  # each block alone is a way
        weights = [block.peer_attention.output.weight for block in blocks if block is not open_one]
        kept = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.data.zero_()
        assert reached() > 1e-3
        for weight, value in zip(weights, kept, strict=True):
            weight.data.copy_(value)
    for block in blocks:  # and there is no other
        block.peer_attention.output.weight.data.zero_()
    assert reached() == 0


def test_position_of_the_peer_matters():
    network = micro("dual_branch")
    part = part_of(network, count=1)
    noise = part.draws["speech"].noise
    changed = noise.clone()
    changed[:, :4] += 3
    moved = (velocities(network, part, speech=changed)["motion"] - velocities(network, part)["motion"]).abs()
    assert moved[0].amax() > 1e-3
    assert moved[0].std(dim=0).amax() > 1e-4  # not the same everywhere


@pytest.mark.parametrize("family", FAMILIES)
def test_conditions_reach_every_modality(family):
    network = micro(family)
    part = part_of(network)
    before = velocities(network, part)
    changes = {"speaker_embedding": ["speech"], "first_motion": ["motion"], "speech": ["motion"], "text_ids": None}
    for name, reached in changes.items():
        value = getattr(part.batch, name)
        if value is None or (name in ("speaker_embedding", "text_ids") and not network.reads_text):
            continue
        setattr(part.batch, name, (value + 1) % 20 if name == "text_ids" else value + 1)
        after = velocities(network, part)
        for modality in reached or network.modalities:
            if modality in after:
                assert (after[modality] - before[modality]).abs().amax() > 1e-3, (name, modality)
        setattr(part.batch, name, value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_dropped_condition_leaves_nothing_behind(family):
    network = micro(family)
    part = part_of(network)
    before = velocities(network, part, keep=False)
    if network.reads_text:
        part.batch.text_ids = (part.batch.text_ids + 3) % 20
        part.batch.text_lengths = part.batch.text_lengths.clamp(max=2)
    else:
        part.batch.speech = part.batch.speech + torch.randn(part.batch.speech.shape)
    after = velocities(network, part, keep=False)
    for name in network.modalities:
        mask = torch.arange(after[name].shape[1]) < part.batch.frames[:, None]
        torch.testing.assert_close(after[name][mask], before[name][mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_lies_beyond_a_clip_changes_nothing(family):
    network = micro(family)
    part = part_of(network)
    before = velocities(network, part)
    frames = part.batch.frames
    assert frames.min() < frames.max()
    beyond = torch.arange(int(frames.max())) >= frames[:, None]
    for draw in part.draws.values():
        draw.noise[beyond] = 1e3
    if part.batch.speech is not None:
        part.batch.speech[beyond] = -1e3
    if part.batch.text_ids is not None:
        tokens = torch.arange(part.batch.text_ids.shape[1]) >= part.batch.text_lengths[:, None]
        part.batch.text_ids[tokens] = 19
    after = velocities(network, part)
    for name in network.modalities:
        torch.testing.assert_close(after[name][~beyond], before[name][~beyond], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("zero_star", [False, True])
def test_an_item_does_not_depend_on_its_batch(family, zero_star):
    network = micro(family)
    given = items(family, [synthetic()[index] for index in range(4)])
    settings = SamplerSettings(steps=3, zero_star=zero_star)
    together = sample(network, given, settings)
    alone = [sample(network, [item], settings)[0] for item in given]
    turned = sample(network, given[::-1], settings)[::-1]
    assert len({len(one.speech if one.motion is None else one.motion) for one in together}) > 1
    for one, *others in zip(together, alone, turned, strict=True):
        for name in ("speech", "motion"):
            value = getattr(one, name)
            assert (value is not None) == (name in network.modalities)
            for other in others:
                if value is not None:
                    torch.testing.assert_close(value, getattr(other, name), rtol=1e-4, atol=1e-5)


def test_rotary_positions_and_attention_are_the_references():
    x = torch.randn(2, 7, 3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(RotaryPositions(8, 7)(x), RotaryEmbedding(8)(x))
    own, cross = Attention(24, 3), CrossAttention(24, 3)
    cross.query.weight.data, cross.key_value.weight.data = own.qkv.weight[:24], own.qkv.weight[24:]
    cross.output.weight = own.output.weight
    tokens, mask = x.flatten(2), (torch.arange(7) < 5)[None, None, None]
    torch.testing.assert_close(
        cross(tokens, tokens, mask, RotaryPositions(8, 7)), own(tokens, RotaryEmbedding(8), mask)
    )


def test_the_velocity_is_the_mean_of_what_the_noisy_latents_leave_open():
    """Against a simulation: clean = mean + deviation * normal, conditioned on the noisy value by regression."""
    generator = torch.Generator().manual_seed(0)
    mean, variance, time = 0.8, 0.3, 0.6
    clean = mean + variance**0.5 * torch.randn(400_000, generator=generator)
    noise = torch.randn(400_000, generator=generator)
    noisy = (1 - time) * clean + time * noise
    slope = torch.cov(torch.stack((noisy, noise - clean)))
    slope = slope[0, 1] / slope[0, 0]
    for at in (-1.0, 0.2, 1.5):
        wanted = (noise - clean).mean() + slope * (at - noisy.mean())
        got = velocity_of(
            torch.full((1, 1, 1), mean), torch.full((1, 1, 1), at), torch.tensor([time]), torch.tensor([variance])
        )
        assert abs(float(got) - float(wanted)) < 0.01


def test_the_velocity_of_an_exact_estimate_is_exact_and_finite_at_both_ends():
    clean, noise = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0)).unbind()
    time = torch.tensor([1.0, 0.7, 0.4, 0.05, 1e-3])
    noisy = (1 - time[:, None, None]) * clean + time[:, None, None] * noise
    torch.testing.assert_close(velocity_of(clean, noisy, time, torch.zeros(3)), noise - clean, rtol=1e-3, atol=1e-3)
    assert velocity_of(clean, noisy, torch.zeros(5), torch.full((3,), 0.1)).isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layers", [2, 3])
def test_the_width_is_matched_to_the_reference(family, layers):
    import dataclasses

    from reference_model.checkpoints import meta_model

    tiny = ModelConfig.named("tiny")
    tiny = dataclasses.replace(
        tiny, motion_dim=16, speaker_dim=64, backbone=dataclasses.replace(tiny.backbone, vocab_size=80)
    )
    wanted = sum(parameter.numel() for parameter in meta_model(tiny).parameters())
    config = matched_width(NetworkConfig(family, layers=layers), wanted)
    with torch.device("meta"):
        count = network_class(family)(config).parameter_count()
    assert abs(count - wanted) < 0.1 * wanted


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="no width brings dual_branch"):
        matched_width(NetworkConfig("dual_branch", layers=40), 20_000)
    with pytest.raises(ValueError, match="multiple of 8"):
        NetworkConfig("dual_branch", width=60, heads=4)
    with pytest.raises(ValueError, match=r"layers\n  Input should be greater than 0"):
        NetworkConfig("dual_branch", layers=0)
    with pytest.raises(ConfigError, match="did you mean width"):
        NetworkConfig.from_dict({"family": "dual_branch", "widht": 64})
    with pytest.raises(ValueError, match="Input should be 'dual_branch', 'audio_driven' or 'length_matched_tts'"):
        NetworkConfig("two_towers")
    with pytest.raises(ConfigError, match="LengthMatchedTTS is length_matched_tts"):
        network_class("length_matched_tts")(NetworkConfig("dual_branch", **MICRO))
