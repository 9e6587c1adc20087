"""From a request's files to what Talker-T2AV's sampling loop takes.

Imports torch: only :mod:`.talker_t2av` imports this, when it is used.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

from torch import Tensor

from reference_model.inference.batched.plan import make_plan
from reference_model.inference.long_form import split_passages
from reference_model.inference.prompt import MAX_TOKENS
from reference_model.inference.recipes import Recipe
from reference_model.model import TalkerT2AV
from t2av_bench.errors import NotApplicable
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.inputs import LONGEST_VOICE, input_named, read_speech
from t2av_bench.systems.latent.parts import Job, Parts, new_job, read_sources
from t2av_bench.systems.output import Names

# Seconds of the longest training clips.
_LONGEST_PASSAGE = 30


@dataclass(kw_only=True)
class Components(Parts):
    """The generator with everything around it. Raises ValueError for parts that do not fit each other."""

    model: TalkerT2AV

    @classmethod
    def around(cls, model: TalkerT2AV, parts: Parts) -> Self:
        return cls(model=model, **{field.name: getattr(parts, field.name) for field in fields(parts)})

    def __post_init__(self) -> None:
        super().__post_init__()
        config = self.model.config
        self.check_generator(
            speech_dim=config.speech_dim, motion_dim=config.motion_dim, speaker_dim=config.speaker_dim,
            frame_rate=config.fps,
        )  # fmt: skip


def read_inputs(
    request: Request, parts: Components, recipe: Recipe, names: Names, folder: Path, long: bool = False
) -> Job:
    """Read and encode everything that a checked request names. Raises GenerationFailed and NotApplicable.

    long: part the text into passages, each of which must fit a sequence; max_seconds bounds all of them together.
    """
    config = parts.model.config
    if long and request.task not in ("t2av", "tts"):
        raise NotApplicable(f"a text is spoken in passages (--long) in the tasks t2av and tts; {request.task} follows "
                            "what is given")  # fmt: skip
    texts = split_passages(request.text, parts.is_a_passage) if long else [request.text]
    job = new_job(replace(request, text=texts[0]), parts, names, folder, config.patch_size)
    job.request = request
    item, continued = job.item, recipe.prefix_seconds > 0
    if continued and request.task in ("a2v", "v2a"):
        raise NotApplicable(f"a reference prefix cannot be continued in task {request.task}, whose other half is "
                            "given: use --prefix-seconds 0")  # fmt: skip
    prefix_patches = round(recipe.prefix_seconds * config.fps) // config.patch_size
    if long:
        job.passages = [(text, parts.text_ids(text)) for text in texts]
        job.passage_patches = min(item.max_patches, _LONGEST_PASSAGE * config.fps // config.patch_size)
        item.max_patches = int(request.max_seconds * config.fps) // config.patch_size
        for _, text_ids in job.passages:
            _check_length(text_ids, job.passage_patches, parts, prefix_patches)
    else:
        _check_length(item.text_ids, item.max_patches, parts, prefix_patches)
    read_sources(job, parts, config.patch_size, moving_identity=continued)
    if continued:
        _read_prefix(job, parts, recipe)
    if recipe.limit_margin_patches is not None and request.task in ("t2av", "tts"):
        _bound_by_reference(job, parts, recipe)
    if item.first_motion is not None and recipe.motion_reference_dtype == "bfloat16":
        item.first_motion = item.first_motion.bfloat16().float()
    try:
        make_plan(item, config, recipe, parts.model.arrangement.delay)
    except ValueError as error:
        raise GenerationFailed(str(error)) from error
    return job


def _check_length(text_ids: Tensor, patches: int, parts: Components, prefix_patches: int) -> None:
    """Text and patches must fit the sequences that the model was trained on."""
    per_slot = parts.model.arrangement.tokens_per_slot
    room = MAX_TOKENS - (patches + prefix_patches) * per_slot
    if len(text_ids) > room:
        raise GenerationFailed(
            f"the text is too long: {len(text_ids)} tokens, and {max(room, 0)} fit beside the patches of "
            f"{patches * parts.model.config.patch_size / parts.frame_rate:g} s (the model was trained on at most "
            f"{MAX_TOKENS} in all): shorten its sentences, speak it in passages (--long), or lower --max-seconds"
        )


def _bound_by_reference(job: Job, parts: Components, recipe: Recipe) -> None:
    """The released script's bound, from the lengths of the reference voice and of a moving identity that is read."""
    size, item = parts.model.config.patch_size, job.item
    voice = job.facts["voice"]
    speech = int((voice["end"] - voice["start"]) * parts.frame_rate)
    motion = job.video.frame_count if job.video is not None else 0
    prefix = 0 if item.speech is None else -(-len(item.speech) // size)
    limit = recipe.patch_limit(speech, motion, prefix, size, parts.model.arrangement.delay)
    if limit < item.max_patches:
        item.max_patches = limit
        job.notes.append(
            f"at most {limit * size / parts.frame_rate:g} s: the released script's bound for this reference"
        )


def _read_prefix(job: Job, parts: Components, recipe: Recipe) -> None:
    """The reference's first patches of speech and, where motion is drawn, of motion; from the file's very start."""
    config, request = parts.model.config, job.request
    assert request.voice is not None
    with input_named("voice"):
        audio, _ = read_speech(request.voice, LONGEST_VOICE, parts.sample_rate)
    available = len(audio) // parts.hop
    if job.video is not None:
        available = min(available, job.video.frame_count)
    frames = recipe.prefix_frames(available, config.fps, config.patch_size)
    if frames < config.patch_size:
        raise GenerationFailed(f"the reference has {available / config.fps:g} s of sound and picture, too little to "
                               f"continue {recipe.prefix_seconds:g} s of it")  # fmt: skip
    job.item.speech = parts.encode_audio(audio)[:frames]
    if job.video is not None:
        job.item.motion = parts.encode_video(job.video, frames)
