"""The sampling loop against its promises: batches, streams, seeds, tasks, arrangements, stopping.

Nothing here is a stored number: a batch is compared with single runs, the cached loop with a plain loop over
transformers' own forward, and tasks with the definition of their sequence.
"""

import dataclasses

import pytest
import torch
from random_models import StoredNoise, random_model

from reference_model.config import ModelConfig
from reference_model.inference.batched.sampling import generate, stream
from reference_model.inference.recipes import RECIPES
from reference_model.inference.types import GeneratedPatch, GenerationItem, GenerationResult
from reference_model.model import combine
from reference_model.modules.flow_matching import PatchSampler

ARRANGEMENTS = ["add", "interleaved_av", "interleaved_va", "delay(1)", "delay(3)"]
FAST = dataclasses.replace(RECIPES["paper"].sampler, steps=3)
PAPER = dataclasses.replace(RECIPES["paper"], sampler=FAST)
RELEASE = dataclasses.replace(RECIPES["release"], sampler=dataclasses.replace(RECIPES["release"].sampler, steps=3))
NO_STOP = dataclasses.replace(PAPER, use_stop=False)
SIZE = 4


def config(arrangement="add", **changes):
    return dataclasses.replace(ModelConfig.named("tiny"), arrangement=arrangement, **changes)


@pytest.fixture(scope="module")
def models():
    return {name: random_model(config(name), seed=5) for name in ARRANGEMENTS}


def item(seed, *, task="t2av", text=7, prefix=0, patches=8, frames=0, speech_prefix=None):
    draw = torch.Generator().manual_seed(1000 + seed)
    given = {"speech": None, "motion": None}
    lengths = {"speech": prefix * SIZE if speech_prefix is None else speech_prefix, "motion": prefix * SIZE}
    if task in ("a2v", "v2a"):
        lengths["speech" if task == "a2v" else "motion"] = frames
    for name, channels in (("speech", 32), ("motion", 40)):
        if lengths[name] and not (task == "tts" and name == "motion"):
            given[name] = torch.randn(lengths[name], channels, generator=draw)
    return GenerationItem(
        text_ids=torch.randint(256, (text,), generator=draw),
        task=task,
        max_patches=patches,
        seed=seed,
        speaker_embedding=torch.randn(256, generator=draw) if task != "a2v" else None,
        first_motion=torch.randn(40, generator=draw) if task in ("t2av", "a2v") else None,
        **given,
    )


def mixed_items():
    """Different texts, prefixes, tasks and lengths: nothing lines up."""
    return [
        item(1, text=3, patches=6),
        item(2, text=12, prefix=2, patches=11),
        item(3, text=5, prefix=1, patches=3),
        item(4, task="a2v", frames=22, text=9),
        item(5, task="v2a", frames=15, text=4),
        item(6, task="tts", text=8, speech_prefix=10, patches=5),
        item(7, text=6, patches=11),
    ]


def close(left: GenerationResult, right: GenerationResult, atol=1e-4):
    assert left.stop_reason == right.stop_reason and left.patches == right.patches
    torch.testing.assert_close(left.speech, right.speech, atol=atol, rtol=1e-4)
    assert (left.motion is None) == (right.motion is None)
    if left.motion is not None:
        torch.testing.assert_close(left.motion, right.motion, atol=atol, rtol=1e-4)


@pytest.mark.parametrize("recipe", [PAPER, RELEASE, NO_STOP], ids=["paper", "release", "no_stop"])
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_batch_equals_its_items_one_by_one(models, arrangement, recipe):
    items = mixed_items()
    together = generate(models[arrangement], items, recipe)
    for index, one in enumerate(items):
        (alone,) = generate(models[arrangement], [one], recipe)
        assert together[index].item == index
        close(together[index], alone)


def test_a_batch_contains_different_stopping_times(models):
    """Guard of the test above: with the stop predictor some items must end early, others at the limit."""
    model = models["add"]
    reasons = {(r.stop_reason, r.patches) for r in generate(model, [item(s, patches=9) for s in range(12)], PAPER)}
    assert {reason for reason, _ in reasons} == {"predictor", "limit"}
    assert len({patches for _, patches in reasons}) > 3


def test_permuting_a_batch_permutes_its_results(models):
    items = mixed_items()
    order = [3, 0, 6, 5, 1, 4, 2]
    straight = generate(models["add"], items, PAPER)
    for result, source in zip(generate(models["add"], [items[i] for i in order], PAPER), order, strict=True):
        close(result, straight[source])


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_stream_joined_is_the_offline_result(models, arrangement):
    items = mixed_items()
    for recipe in (PAPER, NO_STOP):
        patches: dict[int, list[GeneratedPatch]] = {i: [] for i in range(len(items))}
        results = {}
        for event in stream(models[arrangement], items, recipe):
            if isinstance(event, GenerationResult):
                results[event.item] = event
            else:
                assert event.item not in results, "a patch came after its item's result"
                assert event.index == len(patches[event.item])
                patches[event.item].append(event)
        offline = generate(models[arrangement], items, recipe)
        for index, expected in enumerate(offline):
            parts, task = patches[index], items[index].task
            assert len(parts) == expected.patches
            start = expected.speech_prefix_frames
            speech = torch.cat([part.speech for part in parts])[: len(expected.speech) - start]
            assert torch.equal(speech, expected.speech[start:])
            if task == "tts":
                assert all(part.motion is None for part in parts)
                continue
            motion = torch.cat([part.motion for part in parts])[: len(expected.motion) - start]
            assert torch.equal(motion, expected.motion[start:])
            close(results[index], expected, atol=0)


def test_a_patch_is_yielded_before_the_next_is_drawn(models):
    drawn = []

    class Watched:
        def draw(self, modality, shape):
            drawn.append(modality)
            return torch.zeros(shape)

    one = dataclasses.replace(item(1), noise=Watched())
    for number, event in enumerate(stream(models["add"], [one], NO_STOP)):
        if isinstance(event, GeneratedPatch):
            assert drawn == ["speech", "motion"] * (number + 1)


def test_a_seed_fixes_the_result_and_another_changes_it(models):
    first, again, other = (
        generate(models["add"], [dataclasses.replace(item(1), seed=s)], NO_STOP)[0] for s in (1, 1, 2)
    )
    assert torch.equal(first.speech, again.speech) and torch.equal(first.motion, again.motion)
    assert (first.speech - other.speech).abs().mean() > 0.05
    before = torch.random.get_rng_state()
    generate(models["add"], [item(1)], NO_STOP)
    assert torch.equal(before, torch.random.get_rng_state())


def test_delay_0_equals_add():
    left = random_model(config("add"), seed=9)
    right = random_model(config("delay(0)"), seed=9)
    for a, b in zip(generate(left, mixed_items(), PAPER), generate(right, mixed_items(), PAPER), strict=True):
        close(a, b, atol=0)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("task", ["t2av", "a2v", "v2a"])
def test_the_cached_loop_equals_the_whole_sequence_at_once(models, arrangement, task):
    """Rebuild the finished sequence from the results and run transformers' own forward over it once: every
    hidden state that the loop used must come out again. This ties the loop to the arrangement's definition."""
    model = models[arrangement]
    one = item(11, task=task, prefix=0 if task != "t2av" else 2, frames=20, patches=6)
    (result,) = generate(model, [one], NO_STOP, trace=True)
    trace, layout = result.trace, model.arrangement
    sequence = torch.cat((trace.prefill, torch.stack(trace.tokens)))[None]
    with torch.no_grad():
        hidden = model.backbone.model(inputs_embeds=sequence, use_cache=False).last_hidden_state[0]
    used = hidden[len(trace.prefill) - 1 :: layout.tokens_per_slot]
    torch.testing.assert_close(torch.stack(trace.hidden), used, atol=2e-4, rtol=1e-4)

    speech, motion = patches_of(result.speech), patches_of(result.motion)
    slots = layout.slots(len(speech), len(motion))
    placed = {"speech": place(speech, 0, slots), "motion": place(motion, layout.delay, slots)}
    valid = {
        "speech": place(frames_of(result.speech), 0, slots),
        "motion": place(frames_of(result.motion), layout.delay, slots),
    }
    with torch.no_grad():
        tokens = combine(
            layout, *(model.encode(name, placed[name][None], valid[name][None]) for name in ("speech", "motion"))
        )[0]
        text = model.embed_text(one.text_ids[None])[0]
        expected = torch.cat((model.task_embedding.weight[1:2], text, tokens))
    if task == "a2v" or not layout.delay:
        torch.testing.assert_close(sequence[0, : len(expected)], expected[: sequence.shape[1]], atol=2e-4, rtol=1e-4)
    else:  # the prompt ends where the two agree on what is known
        known = len(trace.prefill)
        torch.testing.assert_close(sequence[0, :known], expected[:known], atol=2e-4, rtol=1e-4)


def patches_of(latents):
    padding = -len(latents) % SIZE
    return torch.nn.functional.pad(latents, (0, 0, 0, padding)).unflatten(0, (-1, SIZE))


def frames_of(latents):
    count = -(-len(latents) // SIZE)
    return (torch.arange(count * SIZE) < len(latents)).unflatten(0, (count, SIZE))


def place(values, delay, slots):
    placed = values.new_zeros(slots, *values.shape[1:])
    placed[delay : delay + len(values)] = values
    return placed


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_lengths_and_reasons(models, arrangement):
    model = models[arrangement]
    joint, driven, cut, dubbed, spoken = generate(
        model,
        [
            item(1, prefix=2, patches=6),
            item(2, task="a2v", frames=22, patches=50),
            item(2, task="a2v", frames=22, patches=4),
            item(3, task="v2a", frames=18, patches=50),
            item(4, task="tts", speech_prefix=10, patches=6),
        ],
        NO_STOP,
    )
    assert (joint.stop_reason, joint.patches, len(joint.speech), len(joint.motion)) == ("limit", 6, 32, 32)
    assert joint.speech_prefix_frames == joint.motion_prefix_frames == 8
    assert (driven.stop_reason, driven.patches, len(driven.speech), len(driven.motion)) == ("given", 6, 22, 22)
    assert (cut.stop_reason, cut.patches, len(cut.speech), len(cut.motion)) == ("limit", 4, 16, 16)
    assert (dubbed.stop_reason, dubbed.patches, len(dubbed.speech), len(dubbed.motion)) == ("given", 5, 18, 18)
    assert (spoken.stop_reason, spoken.patches, len(spoken.speech), spoken.motion) == ("limit", 6, 34, None)


def test_given_latents_and_prefixes_come_back_untouched(models):
    items = [item(1, prefix=2), item(2, task="a2v", frames=22), item(3, task="v2a", frames=15)]
    joint, driven, dubbed = generate(models["add"], items, NO_STOP)
    assert torch.equal(joint.speech[:8], items[0].speech) and torch.equal(joint.motion[:8], items[0].motion)
    assert torch.equal(driven.speech, items[1].speech)
    assert torch.equal(dubbed.motion, items[2].motion)


@pytest.mark.parametrize("votes, threshold, inclusive", [(1, 0.5, False), (3, 0.5, True), (2, 0.45, True)])
def test_stopping_follows_the_recipe(models, votes, threshold, inclusive):
    """Replay the rule by its definition on the probabilities of a run that does not stop."""
    recipe = dataclasses.replace(
        PAPER, stop_votes=votes, stop_threshold=threshold, stop_inclusive=inclusive, min_patches=3
    )
    for seed in range(4):
        one = item(seed, patches=14)
        (free,) = generate(models["add"], [one], dataclasses.replace(recipe, use_stop=False), trace=True)
        streak, end = 0, None
        for step, probability in enumerate(free.trace.stop_probability[:14]):
            if step >= 3 and end is None:
                positive = probability >= threshold if inclusive else probability > threshold
                streak = streak + 1 if positive else 0
                end = step if streak == votes else None
        (result,) = generate(models["add"], [one], recipe)
        assert (result.patches, result.stop_reason) == ((end, "predictor") if end is not None else (14, "limit"))


def test_identity_and_speaker_drive_without_a_prefix(models):
    one = item(1, patches=3)
    (base,) = generate(models["add"], [one], NO_STOP)
    (face,) = generate(models["add"], [dataclasses.replace(one, first_motion=one.first_motion + 1)], NO_STOP)
    (voice,) = generate(models["add"], [dataclasses.replace(one, speaker_embedding=one.speaker_embedding + 1)], NO_STOP)
    assert torch.equal(face.speech[:SIZE], base.speech[:SIZE])
    assert not torch.allclose(face.motion[:SIZE], base.motion[:SIZE], atol=1e-3)
    assert not torch.allclose(voice.speech[:SIZE], base.speech[:SIZE], atol=1e-3)
    assert torch.equal(voice.motion[:SIZE], base.motion[:SIZE])


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"speaker_embedding": None}, r"item 0: task t2av needs speaker_embedding \(256,\), got nothing"),
        ({"first_motion": None}, "needs first_motion"),
        ({"max_patches": 0}, "max_patches must be at least 1"),
        ({"task": "t2v"}, "unknown task 't2v'; expected one of t2av, a2v, v2a, tts"),
        ({"task": "a2v"}, r"needs speech latents \(T, 32\) to follow, got nothing"),
        ({"text_ids": torch.zeros(0, dtype=torch.long)}, "at least one token"),
        ({"motion": torch.zeros(4, 32)}, r"needs motion latents \(T, 40\), got shape \(4, 32\)"),
        ({"speech": torch.zeros(6, 32)}, "whole patches of 4: cut it to 4"),
    ],
)
def test_items_that_lack_something_say_what(models, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        generate(models["add"], [dataclasses.replace(item(1), **change)], PAPER)


def test_no_items_no_results(models):
    assert generate(models["add"], [], PAPER) == []


def test_bfloat16_stays_near_float32(models):
    from reference_model.checkpoints import load_state

    recipe = dataclasses.replace(NO_STOP, sampler=dataclasses.replace(FAST, guidance=1.0))
    one = item(31, patches=1)
    (exact,) = generate(models["add"], [one], recipe)
    (half,) = generate(load_state(models["add"].state_dict(), config(), dtype=torch.bfloat16), [one], recipe)
    assert 1e-5 < (half.speech - exact.speech).std() / exact.speech.std() < 0.1


@pytest.mark.parametrize("context_patches", [1, 3])
@pytest.mark.parametrize("arrangement", ["add", "delay(1)"])
def test_every_patch_is_drawn_from_its_definition(arrangement, context_patches):
    """Draw each patch again by hand: its slot's hidden state, the patches before it, its condition, its noise."""
    model = random_model(config(arrangement, context_patches=context_patches), seed=5)
    draw = torch.Generator().manual_seed(4)
    noise = {"speech": torch.randn(9, SIZE, 32, generator=draw), "motion": torch.randn(9, SIZE, 40, generator=draw)}
    one = dataclasses.replace(item(41, prefix=2, patches=5), noise=StoredNoise(**noise))
    (result,) = generate(model, [one], NO_STOP, trace=True)
    conditions = {"speech": one.speaker_embedding, "motion": one.first_motion}
    for name in ("speech", "motion"):
        patches = patches_of(getattr(result, name))
        history = torch.nn.functional.pad(patches, (0, 0, 0, 0, context_patches, 0))
        sampler = PatchSampler(model.head(name), FAST)
        for drawn in range(5):
            patch = 2 + drawn
            step = model.arrangement.slot(name, patch) - 2
            with torch.no_grad():
                by_hand = sampler(
                    noise[name][drawn][None],
                    result.trace.hidden[step][None],
                    history[patch : patch + context_patches].flatten(0, 1)[None],
                    conditions[name][None],
                )
            torch.testing.assert_close(by_hand[0], patches[patch], atol=1e-5, rtol=1e-5)
