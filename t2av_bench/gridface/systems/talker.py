"""Talker-T2AV at a small size, trained on GridFace: the reference model itself, with the embedded codecs around it.

Everything but the parts is :mod:`.talker_t2av`: what is read, sampled and written goes the same way. The text is its
word ids alone, without a chat; audio is 16 kHz, 640 samples a frame; pictures are the drawn persons at 128x128.

The recipe ``paper`` is how these models were trained: the task embedding in front, absent motion as encoded zeros, an
end as soon as the stop predictor says so. ``release`` lets nothing end before 1.12 s; ``release_script`` also leaves
the task embedding out (it adds it to a prefix, and there is none), so it shows what a wrong recipe costs.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from t2av_bench.gridface.systems.options import checkpoint_files, sampler_changes
from t2av_bench.systems.base import NativeFormat
from t2av_bench.systems.output import EMBEDDED_ENCODER
from t2av_bench.systems.talker_t2av.system import TalkerSystem, check_recipe

if TYPE_CHECKING:
    from t2av_bench.systems.talker_t2av.inputs import Components

CHECKPOINT = "talker_t2av-seed0"


class EmbeddedTalkerT2AV(TalkerSystem):
    """The reference model on the embedded benchmark; see the module."""

    id = "embedded-talker-t2av"
    title = "Talker-T2AV (embedded)"
    native = NativeFormat(25, 128, 128, 16_000, "the stop predictor's, at most 12 s; that of what is given")
    packages = ("PIL", "cv2", "pyworld", "torch", "transformers")
    extra = "demo"
    encoder = EMBEDDED_ENCODER

    @classmethod
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        return checkpoint_files(options.get("checkpoint") or CHECKPOINT)

    @classmethod
    def load(
        cls, *, device: str = "cpu", checkpoint: str | Path = CHECKPOINT, recipe: str = "paper",
        temperature: float | None = None, classifier_free_guidance: float | None = None, steps: int | None = None,
        long: bool = False,
    ) -> Self:  # fmt: skip
        """checkpoint: a bundled one's name (``gridface.models.checkpoints``), or a safetensors file of your own.

        recipe: ``paper`` (default), ``release`` or ``release_script``. temperature (of the initial noise),
        classifier_free_guidance (1: none) and steps (of the solver) replace the recipe's: 0.7, 2.0 and 10 in ``paper``,
        0.3, 2.0 and 10 in the others. long: speak sentence after sentence, each continuing the one before, joined into
        one clip. Raises NotApplicable with the command that helps where a checkpoint is missing or
        damaged, ValueError for an unknown name, an option out of range or a checkpoint of another model.
        """
        check_recipe(recipe)
        changes = sampler_changes(temperature, classifier_free_guidance, steps)
        system = cls(load_components(device, checkpoint), recipe=recipe, long=long)
        system.recipe = replace(system.recipe, sampler=replace(system.recipe.sampler, **changes))
        return system


def load_components(device: str, checkpoint: str | Path) -> "Components":
    """The generator with the embedded parts. Arguments and errors: see ``EmbeddedTalkerT2AV.load``."""
    import torch

    from reference_model.checkpoints import load_model
    from reference_model.utils.strict_loading import CheckpointError
    from t2av_bench.gridface.data.tokens import WordTokenizer
    from t2av_bench.gridface.systems.parts import find_checkpoint, load_parts
    from t2av_bench.systems.talker_t2av.inputs import Components

    name, file, digest = find_checkpoint(checkpoint)
    parts = load_parts(device, {name: digest})
    try:
        model = load_model(file, device=parts.device, dtype=torch.float32, decode_only=True)
        if model.config.backbone.vocab_size < WordTokenizer.vocab_size:
            raise CheckpointError(
                f"it knows {model.config.backbone.vocab_size} tokens, GridFace has {WordTokenizer.vocab_size}"
            )
        return Components.around(model, parts)
    except ValueError as error:
        raise ValueError(f"the checkpoint {name} is no embedded Talker-T2AV: {error}") from error
