"""GridFace's codecs, voices and words, for whoever prepares training clips."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.systems.options import CODECS
from t2av_bench.preparation.codecs import Codec

if TYPE_CHECKING:
    from t2av_bench.systems.latent.parts import Parts


class GridFaceCodec(Codec):
    """The WORLD codec, the motion encoder, the voice encoder, and GridFace's words as tokens."""

    id = "gridface"
    title = "GridFace"
    packages = ("PIL", "cv2", "pyworld", "torch")
    extra = "demo"

    @classmethod
    def digests(cls) -> Mapping[str, str | None]:
        for name in CODECS:
            checkpoints.path(name)  # says what helps where it is missing or damaged
        return {name: checkpoints.digest(name) for name in CODECS}

    @classmethod
    def load(cls, *, device: str = "cpu") -> "Parts":
        from t2av_bench.gridface.systems.parts import load_parts

        return load_parts(device)
