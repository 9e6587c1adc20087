"""Sound and pictures while they are generated: the sampling loop joined to the codecs' own streams.

Each finished patch of latents (0.16 s) goes to the audio decoder and the renderer at once. Pictures of a patch come
with it; sound comes when no later latent can change it any more, which is the audio codec's look-ahead behind
(0.29 s for WhisperX-VAE). Nothing else is held back, and memory does not grow with the length of the clip.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..codecs import AudioCodec, SourceRenderer
from ..model import TalkerT2AV
from .plan import Plan, make_plan
from .recipes import Recipe
from .sampling import stream
from .types import GeneratedPatch, GenerationItem, GenerationResult


@dataclass
class MediaChunk:
    """What has become final. ``audio (n,)`` in [-1, 1] at the codec's rate, n >= 0; ``frames (t, 3, H, W)`` in [-1, 1].

    The first chunk also holds a prefix, where the item has one: see ``prefix_frames`` of the result. ``frames`` is
    None where there is no renderer or, in ``tts``, no motion. ``result`` comes with the last chunk.
    """

    audio: Tensor
    frames: Tensor | None
    result: GenerationResult | None = None


def stream_media(
    model: TalkerT2AV,
    item: GenerationItem,
    recipe: Recipe,
    audio_codec: AudioCodec,
    renderer: SourceRenderer | None = None,
    *,
    window: int | None = None,
) -> Iterator[MediaChunk]:
    """Generate one item as sound and pictures. ``renderer`` is the identity's (:meth:`MotionCodec.source`).

    The chunks, joined, are the codecs' decoding of the result's latents: pictures exactly, sound within the tolerance
    of the audio codec's stream. Raises ValueError as :func:`.sampling.stream`.
    """
    plan = make_plan(item, model.config, recipe, model.arrangement.delay)
    prefix = _prefix(plan)
    sound = audio_codec.stream()
    # A clip that is followed may end inside a patch; what fills the patch up is not part of the result.
    given = {"a2v": "speech", "v2a": "motion"}.get(item.task)
    left = plan.frames[given] - len(prefix["speech"]) if given else None

    def chunk(speech: Tensor, motion: Tensor | None) -> MediaChunk:
        frames = None
        if renderer is not None and motion is not None and len(motion):
            frames = renderer.render(motion[None])[0]
        return MediaChunk(sound.push(speech[None])[0], frames)

    if len(prefix["speech"]) or len(prefix["motion"]):
        yield chunk(prefix["speech"], prefix["motion"] if item.task != "tts" else None)
    for event in stream(model, [item], recipe, window=window):
        if isinstance(event, GeneratedPatch):
            speech, motion = event.speech[:left], event.motion
            if left is not None:
                motion = None if motion is None else motion[:left]
                left -= len(speech)
            yield chunk(speech, motion)
        elif len(event.speech):
            yield MediaChunk(sound.flush()[0], None, event)
        else:
            yield MediaChunk(torch.zeros(0), None, event)


def _prefix(plan: Plan) -> dict[str, Tensor]:
    """The latents (n, C) of both modalities that come before the first generated patch in the result."""
    if plan.item.task in ("t2av", "tts"):
        counts = plan.frames
    else:
        counts = dict.fromkeys(plan.frames, plan.frames[plan.drawn[0]])
    return {name: plan.given[name].flatten(0, 1)[: counts[name]] for name in ("speech", "motion")}
