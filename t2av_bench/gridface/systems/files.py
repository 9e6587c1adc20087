"""Which trained models in the box an embedded system computes with."""

from pathlib import Path

CODECS = ("audio_codec", "motion_encoder", "identity_gallery")


def checkpoint_files(generator: str | Path | None = None) -> list[Path]:
    """The codecs' files and the generator's: a name in the box, or a file of one's own. What is not there is left out.

    Nothing is read: whoever caches clips compares the contents.
    """
    from t2av_bench.gridface.models import checkpoints

    found = [] if generator is None or not Path(generator).is_file() else [Path(generator)]
    for name in (*CODECS, str(generator)):
        if name in checkpoints.names():
            found.append(checkpoints.FOLDER / checkpoints.facts(name)["file"])
        elif name in CODECS:
            found.append(checkpoints.FOLDER / f"{name}.safetensors")
    return [path for path in found if path.is_file()]
