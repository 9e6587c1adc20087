"""Stop labels against their definition for random spans, the weight and the loss by hand; when generation may end."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import random_model

from reference_model.config import ModelConfig
from reference_model.inference.batched.sampling import generate
from reference_model.inference.recipes import RECIPES
from reference_model.inference.types import GenerationItem
from reference_model.modules.stop_predictor import IGNORED, positive_weight, stop_labels, stop_loss


@settings(max_examples=150, deadline=None)
@given(
    total=st.integers(1, 60),
    fps=st.sampled_from([25, 50]),
    patch_size=st.sampled_from([1, 2, 4]),
    per_slot=st.sampled_from([1, 2]),
    longest=st.sampled_from([30.0, 2.0]),
    spans=st.lists(st.tuples(st.integers(-6, 40), st.integers(-2, 40)), min_size=1, max_size=4),
)
def test_labels_follow_their_definition(total, fps, patch_size, per_slot, longest, spans):
    start, slots = (torch.tensor(column) for column in zip(*spans, strict=True))
    labels = stop_labels(
        start, slots, total, patch_size=patch_size, fps=fps, max_seconds=longest, tokens_per_slot=per_slot
    )
    near_end = max(1, round(0.3 * fps / patch_size))
    for row, (first, count) in enumerate(spans):
        cut_off = first + count * per_slot > total or count > int(longest * fps / patch_size)
        for token in range(total):
            slot, place = divmod(token - first, per_slot)
            if not 0 <= slot < count or place != per_slot - 1:
                expected = IGNORED
            elif cut_off:
                expected = 0
            elif slot == count - 1:
                expected = 1
            else:
                expected = IGNORED if count - 1 - slot <= near_end else 0
            assert labels[row, token] == expected, (row, token)


def test_the_weight_is_the_mean_count_of_zeros_beside_a_positive():
    labels = torch.tensor([[0, 0, 0, 1], [0, IGNORED, 1, IGNORED], [0, 0, 0, 0]])
    assert positive_weight(labels) == 2.0
    assert positive_weight(labels[2:]) == 1.0


def test_spans_that_begin_before_the_sequence_are_clipped():
    labels = stop_labels(torch.tensor([-1, -3, -5, -1]), torch.tensor([5, 4, 5, 0]), 6)
    ignored = [IGNORED] * 6
    assert labels.tolist() == [[0, IGNORED, IGNORED, 1, *ignored[:2]], [1, *ignored[:5]], ignored, ignored]


def test_the_loss_by_hand():
    labels = torch.tensor([0, 1])
    logits = torch.tensor([0.3, -1.2])
    by_hand = (torch.log1p(torch.exp(torch.tensor(0.3))) + 2.5 * torch.log1p(torch.exp(torch.tensor(1.2)))) / 2
    torch.testing.assert_close(stop_loss(logits, labels, torch.tensor(2.5)), by_hand)
    nothing = stop_loss(logits[:0].requires_grad_(), labels[:0], torch.tensor(1.0))
    assert nothing == 0 and nothing.requires_grad


@pytest.mark.parametrize("recipe, first", [("release_t2av", 1), ("paper", 4)])
def test_the_release_may_end_before_motion_begins_and_the_paper_may_not(recipe, first):
    """Every slot votes; with a delay of 3 the first motion patch is drawn in slot 3."""
    model = random_model(dataclasses.replace(ModelConfig.named("tiny"), arrangement="delay(3)"))
    item = GenerationItem(torch.arange(5), 9, speaker_embedding=torch.zeros(256), first_motion=torch.zeros(40))
    votes = dataclasses.replace(RECIPES[recipe], use_stop=True, stop_threshold=-1.0, stop_votes=1, min_patches=1)
    (result,) = generate(model, [item], votes, trace=True)
    assert (result.stop_reason, len(result.trace.drawn_speech)) == ("predictor", first)
    assert len(result.motion) == len(result.speech) == 4 * max(0, first - 3)
