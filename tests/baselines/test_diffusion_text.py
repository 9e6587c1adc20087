"""Durations, the places that they give to words, and the length."""

import pytest
import torch
from diffusion_factory import items, micro, synthetic

from baselines.diffusion.sampling import LONGEST, predict_frames, sample
from baselines.diffusion.text import Text, offsets


def text_of(durations):
    durations = torch.tensor(durations)
    return Text(torch.zeros(*durations.shape, 4), durations > 0, durations)


def test_offsets_are_zero_in_the_middle_and_a_half_at_the_ends():
    text = text_of([[1.0, 3.0, 2.0]])
    at = offsets(text, torch.tensor([6.0]), 6)[0]
    # Patch centres 0.5 ... 5.5; tokens span 0-1, 1-4, 4-6.
    torch.testing.assert_close(at[:, 0], torch.arange(6.0))
    torch.testing.assert_close(at[:, 1], (torch.arange(6.0) - 2) / 3)
    torch.testing.assert_close(at[:, 2], (torch.arange(6.0) - 4.5) / 2)


def test_offsets_scale_with_the_length_and_mind_padding():
    whole = offsets(text_of([[1.0, 3.0, 2.0]]), torch.tensor([6.0]), 6)
    double = offsets(text_of([[2.0, 6.0, 4.0, 0.0]]), torch.tensor([6.0]), 6)
    torch.testing.assert_close(double[..., :3], whole)
    assert double[..., 3].eq(0).all()


def test_the_predicted_length_is_the_sum_of_the_durations_in_whole_patches():
    network = micro("dual_branch")
    given = items("dual_branch", [synthetic()[index] for index in range(4)])
    lengths = predict_frames(network, given)
    for item, length in zip(given, lengths, strict=True):
        text = network.text_encoder(
            item.text_ids[None], torch.tensor([len(item.text_ids)]), item.speaker_embedding[None]
        )
        assert text.durations.shape == (1, len(item.text_ids) + 2)
        assert length == max(1, round(text.durations.sum().item())) * 4
        assert predict_frames(network, [item]) == [length]
        item.frames = None
    drawn = sample(network, given)
    assert [len(one.speech) for one in drawn] == [len(one.motion) for one in drawn] == lengths
    given[0].frames = 10  # not in whole patches
    drawn = sample(network, given)
    assert [len(one.speech) for one in drawn] == [10, *lengths[1:]]


def test_the_length_can_be_learnt_from_lengths_alone():
    """Durations of words are found from sums over sentences, without ever seeing one."""
    source, network = synthetic(40), micro("dual_branch")
    samples = [source[index] for index in range(40)]
    ids = torch.nn.utils.rnn.pad_sequence([sample.text_ids for sample in samples], batch_first=True)
    counts = torch.tensor([len(sample.text_ids) for sample in samples])
    speaker = torch.stack([sample.speaker_embedding for sample in samples])
    patches = torch.tensor([len(sample.speech) / 4 for sample in samples])
    optimiser = torch.optim.Adam(network.text_encoder.parameters(), lr=1e-2)
    for _ in range(150):
        loss = (network.text_encoder(ids, counts, speaker).patches - patches).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    held_out = synthetic(20, seed=2)
    fresh = items("dual_branch", [held_out[index] for index in range(20)])
    predicted = predict_frames(network, fresh)
    wrong = [abs(length - item.frames) for length, item in zip(predicted, fresh, strict=True)]
    assert sum(wrong) / len(wrong) < 2, wrong  # half a patch; guessing the mean length is wrong by over 8 frames


def test_absurd_lengths_are_refused():
    network = micro("dual_branch")
    network.text_encoder.duration.bias.data.fill_(LONGEST)
    given = items("dual_branch", [synthetic()[0]])
    with pytest.raises(ValueError, match="item 0: the predicted length is .* frames, more than 4096; give frames"):
        predict_frames(network, given)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("dual_branch", {"text_ids": torch.zeros(0, dtype=torch.long)}, "item 1: text_ids is empty"),
        (
            "dual_branch",
            {"text_ids": torch.tensor([3, 20])},
            "item 1: text_ids go from 3 to 20, the network knows 0 to",
        ),
        ("length_matched_tts", {"speaker_embedding": torch.zeros(9)}, r"item 1: speaker_embedding has shape \[9\]"),
        ("dual_branch", {"first_motion": None}, r"item 1: first_motion is missing, the network needs \[6\]"),
        ("audio_driven", {"speech": torch.zeros(4)}, r"item 1: speech has shape \[4\], the network needs \[T, 8\]"),
        ("length_matched_tts", {"frames": 0}, "item 1: frames must be at least 1, got 0"),
        ("dual_branch", {"frames": -4}, "item 1: frames must be at least 1, got -4"),
        ("audio_driven", {"speech": torch.zeros(0, 8)}, "item 1: speech is empty"),
        ("audio_driven", {"speech": torch.full((4, 8), torch.nan)}, "item 1: speech is not finite"),
        ("audio_driven", {"first_motion": torch.full((6,), torch.inf)}, "item 1: first_motion is not finite"),
        ("audio_driven", {"seed": None}, "item 1 has no seed"),
    ],
)
def test_items_that_do_not_fit_are_named(family, change, message):
    given = items(family, [synthetic()[index] for index in range(2)])
    for name, value in change.items():
        setattr(given[1], name, value)
    with pytest.raises(ValueError, match=message):
        sample(micro(family), given)
    assert sample(micro(family), []) == []
