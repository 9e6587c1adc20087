"""Sound and pictures in pieces, joined, are the codecs' decoding of the finished latents."""

import pytest
import torch
from build import random_model
from test_sampling import NO_STOP, PAPER, RELEASE, config, item
from test_whisperx_vae import TINY

from reference_model.codecs.whisperx_vae import WhisperXVAE
from reference_model.inference.media_stream import stream_media
from reference_model.inference.sampling import generate
from reference_model.inference.types import GenerationResult

SPEECH_DIM = TINY.latent_dim


class Pictures:
    """A renderer whose pictures show their latents, so that every frame can be told from every other."""

    def render(self, motion_latents):
        return motion_latents[..., :12].unflatten(-1, (3, 2, 2))


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    codec = WhisperXVAE(TINY).eval().requires_grad_(False)
    return random_model(config(speech_dim=SPEECH_DIM), seed=5), codec


def shrink(one):
    """The item with speech latents of the small codec's width."""
    if one.speech is not None:
        one.speech = one.speech[:, :SPEECH_DIM].contiguous()
    return one


CASES = {
    "t2av": (dict(seed=1), PAPER),
    "prefix of both": (dict(seed=2, prefix=2), NO_STOP),
    "prefix of the release": (dict(seed=3, prefix=1), RELEASE),
    "a2v ending inside a patch": (dict(seed=4, task="a2v", frames=22), NO_STOP),
    "a2v with a prefix": (dict(seed=4, task="a2v", frames=22, prefix=2), NO_STOP),
    "dubbing": (dict(seed=5, task="v2a", frames=15), NO_STOP),
    "tts with an odd prefix": (dict(seed=6, task="tts", speech_prefix=10), NO_STOP),
}


@pytest.mark.parametrize(("description", "recipe"), CASES.values(), ids=CASES.keys())
def test_joined_chunks_are_the_offline_decoding(parts, description, recipe):
    model, codec = parts
    one = shrink(item(**description))
    chunks = list(stream_media(model, one, recipe, codec, Pictures()))
    (result,) = generate(model, [one], recipe)
    assert isinstance(chunks[-1].result, GenerationResult) and all(chunk.result is None for chunk in chunks[:-1])
    assert torch.equal(chunks[-1].result.speech, result.speech)
    audio = torch.cat([chunk.audio for chunk in chunks])
    offline = codec.decode(result.speech[None])[0]
    assert audio.shape == offline.shape
    assert (audio - offline).abs().max() < 1e-5
    frames = [chunk.frames for chunk in chunks if chunk.frames is not None]
    if result.motion is None:
        assert frames == []
    else:
        assert torch.equal(torch.cat(frames), Pictures().render(result.motion[None])[0])


def test_sound_is_behind_by_the_codecs_look_ahead_and_no_more(parts):
    model, codec = parts
    delay = codec.stream().delay
    samples_per_patch = 4 * codec.sample_rate // codec.frame_rate
    heard = 0
    for count, chunk in enumerate(stream_media(model, shrink(item(1, patches=8)), NO_STOP, codec), start=1):
        heard += len(chunk.audio)
        if chunk.result is None:
            assert heard == max(0, count * samples_per_patch - delay)


def test_without_a_renderer_there_is_sound_alone(parts):
    model, codec = parts
    assert all(chunk.frames is None for chunk in stream_media(model, shrink(item(1)), NO_STOP, codec))


def test_an_item_that_lacks_something_is_refused_before_anything_runs(parts):
    model, codec = parts
    broken = shrink(item(1))
    broken.speaker_embedding = None
    with pytest.raises(ValueError, match="speaker_embedding"):
        next(stream_media(model, broken, NO_STOP, codec))
