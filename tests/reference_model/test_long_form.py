"""Passages: each continues the one before, one seed fixes all, and the joined clip has no seam in its bookkeeping."""

import dataclasses

import pytest
import torch
from build import random_model
from test_sampling import NO_STOP, config, item

from reference_model.inference.batched.sampling import generate
from reference_model.inference.long_form import stream_passages
from reference_model.inference.types import GeneratedPatch, GenerationResult, SeededNoise

TEXTS = [torch.randint(256, (length,), generator=torch.Generator().manual_seed(length)) for length in (4, 9, 6)]


@pytest.fixture(scope="module")
def model():
    return random_model(config(), seed=5)


def run(model, one, **options):
    events = list(stream_passages(model, one, TEXTS, NO_STOP, **options))
    patches = [event for event in events if isinstance(event, GeneratedPatch)]
    return patches, [event for event in events if isinstance(event, GenerationResult)]


@pytest.mark.parametrize("task", ["t2av", "tts"])
def test_every_passage_continues_the_one_before(model, task):
    one = item(1, task=task, patches=5)
    patches, results = run(model, one, overlap_patches=2)
    assert [p.index for p in patches] == list(range(15)) and [r.item for r in results] == [0, 1, 2]
    assert [r.speech_prefix_frames for r in results] == [0, 8, 8]
    for before, after in zip(results, results[1:], strict=False):
        assert torch.equal(after.speech[:8], before.speech[-8:])
        if task == "t2av":
            assert torch.equal(after.motion[:8], before.motion[-8:])
    joined = torch.cat([r.speech[r.speech_prefix_frames :] for r in results])
    assert torch.equal(joined, torch.cat([p.speech for p in patches]))


def test_passages_are_single_runs_with_a_prefix_and_one_noise(model):
    one = item(1, patches=5)
    _, results = run(model, one, overlap_patches=2)
    noise = SeededNoise(one.seed)
    prefix = {"speech": None, "motion": None}
    for text, expected in zip(TEXTS, results, strict=True):
        (alone,) = generate(model, [dataclasses.replace(one, text_ids=text, noise=noise, **prefix)], NO_STOP)
        assert torch.equal(alone.speech, expected.speech) and torch.equal(alone.motion, expected.motion)
        prefix = {"speech": alone.speech[-8:], "motion": alone.motion[-8:]}


def test_what_cannot_be_continued_is_refused(model):
    with pytest.raises(ValueError, match="t2av or tts; a2v follows a given clip"):
        list(stream_passages(model, item(1, task="a2v", frames=8), TEXTS, NO_STOP))
    with pytest.raises(ValueError, match="hold no motion"):
        list(stream_passages(model, item(1), TEXTS, dataclasses.replace(NO_STOP, prefix_contents="speech")))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        list(stream_passages(model, item(1), TEXTS, NO_STOP, overlap_patches=0))
