"""What the options of GridFace's generators mean, without importing torch: files, and settings of the sampler."""

from pathlib import Path
from typing import Any

from t2av_bench.gridface.models import checkpoints

CODECS = ("audio_codec", "motion_encoder", "identity_gallery")
"""The bundled models that every embedded system computes with."""


def checkpoint_files(generator: str | Path | None = None) -> list[Path]:
    """The codecs' files and the generator's: a bundled model's name, or a file of one's own. What is not there is left
    out.

    Nothing is read: whoever caches clips compares the contents.
    """
    found = [] if generator is None or not Path(generator).is_file() else [Path(generator)]
    for name in (*CODECS, str(generator)):
        if name in checkpoints.names():
            found.append(checkpoints.FOLDER / checkpoints.facts(name)["file"])
        elif name in CODECS:
            found.append(checkpoints.FOLDER / f"{name}.safetensors")
    return [path for path in found if path.is_file()]


def sampler_changes(temperature: float | None, guidance: float | None, steps: int | None) -> dict[str, Any]:
    """Fields of ``SamplerSettings`` that were chosen. Raises ValueError for one that is out of range."""
    given = {"temperature": temperature, "guidance": guidance, "steps": steps}
    for name, value in given.items():
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is a positive number, got {value}")
    if steps is not None and steps != int(steps):
        raise ValueError(f"steps is a whole number, got {steps}")
    return {name: value for name, value in given.items() if value is not None}
