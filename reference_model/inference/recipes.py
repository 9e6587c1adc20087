"""Inference recipes: every choice in which the paper and the released code differ, as named settings.

``RECIPES["paper"]`` is section 4.2. ``RECIPES["release"]`` is the published inference script with two repairs. Without
a reference prefix the script feeds no task embedding at all, a sequence that nobody trains; here it then stands in
front of the text, as in training. And the script's clips end with the reference's length and 2.4 s, whatever the text;
here the caller bounds them. ``release_script`` is the script to the letter. The release has two more loops inside its
model class, with choices of their own: ``release_t2av`` and ``release_tts``. All of them run through the one loop of
:mod:`.batched.sampling`.
"""

from dataclasses import dataclass, replace
from typing import Literal

from ..modules.flow_matching import SamplerSettings


@dataclass(frozen=True)
class Recipe:
    """How to sample, when to stop, and how the sequence before the first generated patch is made.

    Sampling
        ``sampler``: steps, temperature, guidance, zero-star, time spacing.
    Stopping
        ``use_stop``: ask the stop predictor at all. A slot votes to stop when its probability is above
        ``stop_threshold`` (``stop_inclusive``: or equal); ``stop_votes`` consecutive votes end the item before the
        voting slot's own patch is drawn, from generated slot ``min_patches`` on (prefix not counted).
    Sequence
        ``task_embedding``: ``prepend`` it to the text as in training; or ``add_to_prefix``: add it to the first prefix
        token, and prepend it where there is no prefix (in ``a2v`` and ``v2a``, and wherever none is given); or
        ``add_to_prefix_only``: without a prefix there is none.
        ``missing_motion``: a drawn slot without a motion patch (delay) gets the ``encoded_zeros`` of training, or
        ``nothing``. With ``nothing`` speech also goes on being drawn in the last ``delay`` slots.
        ``delay_restarts``: the delay is counted again from the first drawn slot, so that a prefix with motion
        is followed by ``delay`` slots without.
    Reference prefix
        ``prefix_seconds`` of the reference are continued. ``prefix_rounding``: its frames are ``truncate``-d or
        rounded to the ``nearest`` (ties to even), then cut to whole patches if ``prefix_whole_patches``.
        ``prefix_contents``: ``speech_and_motion``, or ``speech``, where motion starts after the prefix with an
        empty history.
        ``motion_reference_dtype``: precision to which reference motion is rounded before use.
        ``speaker_reference``: the speaker embedding comes from the ``whole`` reference or from the ``prefix`` (whole
        without one). It is computed outside of the model; the choice is written down here for the caller.
    Length
        ``limit_margin_patches`` and ``limit_counts_motion`` define :meth:`patch_limit`, the release's bound, which
        depends on the reference clip and not on the text. None: no such rule, the caller chooses.
    """

    sampler: SamplerSettings
    use_stop: bool = True
    stop_threshold: float = 0.5
    stop_inclusive: bool = True
    stop_votes: int = 1
    min_patches: int = 1
    task_embedding: Literal["prepend", "add_to_prefix", "add_to_prefix_only"] = "prepend"
    missing_motion: Literal["encoded_zeros", "nothing"] = "encoded_zeros"
    delay_restarts: bool = False
    prefix_seconds: float = 0.0
    prefix_rounding: Literal["truncate", "nearest"] = "truncate"
    prefix_whole_patches: bool = True
    prefix_contents: Literal["speech_and_motion", "speech"] = "speech_and_motion"
    motion_reference_dtype: Literal["float32", "bfloat16"] = "float32"
    speaker_reference: Literal["whole", "prefix"] = "whole"
    limit_margin_patches: int | None = None
    limit_counts_motion: bool = False

    def prefix_frames(self, available: int, fps: int = 25, patch_size: int = 4) -> int:
        """Frames of a reference of ``available`` frames that are continued."""
        frames = self.prefix_seconds * fps
        frames = min(int(frames) if self.prefix_rounding == "truncate" else round(frames), available)
        return frames - frames % patch_size if self.prefix_whole_patches else frames

    def prepends_task(self, has_prefix: bool) -> bool:
        """Whether the task embedding stands in front of the text."""
        return self.task_embedding == "prepend" or (self.task_embedding == "add_to_prefix" and not has_prefix)

    def patch_limit(
        self, speech_frames: int, motion_frames: int = 0, prefix_patches: int = 0, patch_size: int = 4, delay: int = 0
    ) -> int:
        """The release's bound on generated patches, from the lengths of the reference clip.

        Raises ValueError for a recipe without such a rule: pass ``max_patches`` of your own instead.
        """
        if self.limit_margin_patches is None:
            raise ValueError(
                "this recipe has no length rule of its own; choose max_patches, for example 25 / patch_size * seconds"
            )
        patches = -(-speech_frames // patch_size)
        if self.limit_counts_motion:
            patches = max(patches, motion_frames // patch_size + delay)
        return patches - prefix_patches + self.limit_margin_patches


_RELEASE_SAMPLER = SamplerSettings(steps=10, temperature=0.3, guidance=2.0, zero_star=True, sway=1.0)
_RELEASE_CLASS_SAMPLER = SamplerSettings(steps=10, temperature=1.0, guidance=1.5, zero_star=True, sway=1.0)

RECIPES: dict[str, Recipe] = {
    "paper": Recipe(sampler=SamplerSettings(steps=10, temperature=0.7, guidance=2.0), stop_inclusive=False),
    "release": Recipe(
        sampler=_RELEASE_SAMPLER,
        stop_votes=3,
        min_patches=7,
        task_embedding="add_to_prefix",
        missing_motion="nothing",
        delay_restarts=True,
        prefix_seconds=0.5,
        motion_reference_dtype="bfloat16",
    ),
    "release_t2av": Recipe(
        sampler=_RELEASE_CLASS_SAMPLER,
        use_stop=False,
        stop_votes=3,
        min_patches=7,
        missing_motion="nothing",
        delay_restarts=True,
        prefix_rounding="nearest",
        prefix_contents="speech",
        speaker_reference="prefix",
        limit_margin_patches=15,
    ),
    "release_tts": Recipe(
        sampler=_RELEASE_CLASS_SAMPLER,
        use_stop=False,
        stop_votes=3,
        min_patches=6,
        missing_motion="nothing",
        prefix_rounding="nearest",
        prefix_whole_patches=False,
        speaker_reference="prefix",
        limit_margin_patches=25,
    ),
}
RECIPES["release_script"] = replace(
    RECIPES["release"], task_embedding="add_to_prefix_only", limit_margin_patches=15, limit_counts_motion=True
)
"""Named recipes; vary one with ``dataclasses.replace``."""
