"""From a request's files to what Talker-T2AV's sampling loop takes.

Imports torch: only :mod:`.talker_t2av` imports this, when it is used.
"""

from dataclasses import dataclass
from pathlib import Path

from reference_model.inference.plan import make_plan
from reference_model.inference.prompt import MAX_TOKENS
from reference_model.inference.recipes import Recipe
from reference_model.inference.types import GenerationItem
from reference_model.model import TalkerT2AV
from t2av_bench.errors import NotApplicable
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.inputs import LONGEST_VOICE, input_named, read_speech
from t2av_bench.systems.latent.parts import Job, Parts, new_job, read_sources
from t2av_bench.systems.output import Names


@dataclass(kw_only=True)
class Components(Parts):
    """The generator with everything around it. Raises ValueError for parts that do not fit each other."""

    model: TalkerT2AV

    def __post_init__(self) -> None:
        super().__post_init__()
        config = self.model.config
        self.check_generator(
            speech_dim=config.speech_dim, motion_dim=config.motion_dim, speaker_dim=config.speaker_dim,
            frame_rate=config.fps,
        )  # fmt: skip


def read_inputs(request: Request, parts: Components, recipe: Recipe, names: Names, folder: Path) -> Job:
    """Read and encode everything that a checked request names. Raises GenerationFailed and NotApplicable."""
    config = parts.model.config
    job = new_job(request, parts, names, folder, config.patch_size)
    item, continued = job.item, recipe.prefix_seconds > 0
    if continued and request.task in ("a2v", "v2a"):
        raise NotApplicable(f"a reference prefix cannot be continued in task {request.task}, whose other half is "
                            "given: use --prefix-seconds 0")  # fmt: skip
    _check_length(item, parts, round(recipe.prefix_seconds * config.fps) // config.patch_size)
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


def _check_length(item: GenerationItem, parts: Components, prefix_patches: int) -> None:
    """Text and patches must fit the sequences that the model was trained on."""
    per_slot = parts.model.arrangement.tokens_per_slot
    room = MAX_TOKENS - (item.max_patches + prefix_patches) * per_slot
    if len(item.text_ids) > room:
        raise GenerationFailed(
            f"the text is too long: {len(item.text_ids)} tokens, and {max(room, 0)} fit beside the patches of "
            f"{item.max_patches * parts.model.config.patch_size / parts.frame_rate:g} s (the model was trained on at "
            f"most {MAX_TOKENS} in all): shorten the text, split it into several clips, or lower --max-seconds"
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
