"""Passages: each continues the one before, one seed fixes all, and the joined clip has no seam in its bookkeeping."""

import dataclasses

import pytest
import torch
from random_models import random_model
from test_sampling import NO_STOP, PAPER, config, item

from reference_model.inference.batched.sampling import generate
from reference_model.inference.long_form import split_passages, stream_passages
from reference_model.inference.types import GeneratedPatch

TEXTS = [torch.randint(256, (length,), generator=torch.Generator().manual_seed(length)) for length in (4, 9, 6)]
OVERLAP = 4


@pytest.fixture(scope="module")
def model():
    return random_model(config(), seed=5)


def run(model, one, recipe=NO_STOP, passage_patches=5):
    *patches, result = stream_passages(model, one, TEXTS, recipe, passage_patches=passage_patches)
    assert all(isinstance(event, GeneratedPatch) for event in patches)
    assert [patch.index for patch in patches] == list(range(result.patches))
    return patches, result


@pytest.mark.parametrize("task, prefix", [("t2av", 0), ("t2av", 2), ("tts", 2)])
def test_passages_are_single_runs_with_a_prefix_and_one_noise(model, task, prefix):
    one = item(1, task=task, prefix=prefix, patches=50)
    patches, result = run(model, one)
    assert (result.passages, result.stop_reason) == ([5, 5, 5], "limit")
    passage = dataclasses.replace(one, noise=one.own_noise(), max_patches=5)
    for number, text in enumerate(TEXTS):
        (alone,) = generate(model, [dataclasses.replace(passage, text_ids=text)], NO_STOP)
        for name in ("speech", "motion") if task == "t2av" else ("speech",):
            spoken = getattr(alone, name)[-20:]
            start = 4 * prefix + 20 * number
            assert torch.equal(getattr(result, name)[start : start + 20], spoken)
            parts = [getattr(patch, name) for patch in patches[5 * number : 5 * number + 5]]
            assert torch.equal(torch.cat(parts), spoken)
        motion = None if task == "tts" else alone.motion[-OVERLAP:]
        passage = dataclasses.replace(passage, speech=alone.speech[-OVERLAP:], motion=motion)
    assert len(result.speech) == 4 * prefix + 60 and result.speech_prefix_frames == 4 * prefix
    if one.speech is not None:
        assert torch.equal(result.speech[: 4 * prefix], one.speech)


def test_the_whole_has_a_bound_as_well(model):
    _, result = run(model, item(1, patches=7))
    assert (result.passages, result.patches, result.stop_reason) == ([5, 2], 7, "limit")


def test_it_ends_by_itself_where_every_passage_does(model):
    always = dataclasses.replace(PAPER, stop_threshold=-1.0, min_patches=2)
    _, result = run(model, item(1, patches=50), always)
    assert (result.passages, result.stop_reason) == ([2, 2, 2], "predictor")


def test_what_cannot_be_continued_is_refused(model):
    with pytest.raises(ValueError, match="t2av or tts; a2v follows a given clip"):
        run(model, item(1, task="a2v", frames=8))
    with pytest.raises(ValueError, match="hold no motion"):
        run(model, item(1), dataclasses.replace(NO_STOP, prefix_contents="speech"))


@pytest.mark.parametrize(
    "text, most, passages",
    [
        ("One. Two! Three? Four", 100, ["One. Two! Three? Four"]),
        ("One. Two! Three? Four", 10, ["One. Two!", "Three?", "Four"]),
        ("It costs 3.50 today.  Fine.", 5, ["It costs 3.50 today.", "Fine."]),
        ("你好。再见！好", 6, ["你好。再见！", "好"]),
        ("a line\n\nanother", 8, ["a line", "another"]),
        ("no end at all", 3, ["no end at all"]),
    ],
)
def test_a_text_is_parted_where_sentences_end(text, most, passages):
    assert split_passages(text, lambda text: len(text.strip()) <= most) == passages
