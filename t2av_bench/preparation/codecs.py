"""What clips are encoded with for training, by id. Nothing is imported before it is asked for.

Other packages add codecs through the entry-point group ``t2av_bench.codecs`` (name: the id, value: module:Class).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from t2av_bench.utils.registry import Registry

if TYPE_CHECKING:
    from t2av_bench.systems.latent.parts import Parts


class Codec(ABC):
    """An audio codec, a motion codec, a speaker encoder and a tokenizer that one generator is trained with.

    packages: Python packages outside the core that it imports; extra: the dependency group that provides them.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    weights: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None

    @classmethod
    @abstractmethod
    def digests(cls) -> Mapping[str, str | None]:
        """sha256 of everything that latents depend on, by name.

        Raises NotApplicable, with the command that fetches it, where something is missing: nothing stands in for it.
        """

    @classmethod
    @abstractmethod
    def load(cls, *, device: str = "cpu") -> "Parts":
        """The parts on a device. Raises NotApplicable likewise, ValueError for a device that is not there."""


class ReleaseCodec(Codec):
    """What Talker-T2AV was trained with: WhisperX-VAE, LIA-X with its statistics, WavLM speakers, Qwen3's chat."""

    id = "release"
    title = "Talker-T2AV"
    packages = ("PIL", "cv2", "torch", "transformers")
    extra = "model"

    @classmethod
    def digests(cls) -> Mapping[str, str | None]:
        from t2av_bench.systems.talker_t2av.weights import part_digests

        return part_digests("the codec 'release'")

    @classmethod
    def load(cls, *, device: str = "cpu") -> "Parts":
        from t2av_bench.errors import NotApplicable
        from t2av_bench.systems.latent.parts import torch_device
        from t2av_bench.utils.optional import make_torchvision_importable

        make_torchvision_importable()  # transformers imports torchvision
        from reference_model.utils.strict_loading import CheckpointError
        from t2av_bench.systems.talker_t2av.weights import load_parts

        try:
            return load_parts(torch_device(device), cls.digests())
        except (CheckpointError, FileNotFoundError) as error:
            raise NotApplicable(f"the codec 'release' does not load: {error}") from error


_BUILT_IN = {
    "release": "t2av_bench.preparation.codecs:ReleaseCodec",
    "gridface": "t2av_bench.gridface.systems.codec:GridFaceCodec",
}
registry = Registry("codec", _BUILT_IN, Codec)  # type: ignore[type-abstract]


def usable(id: str) -> type[Codec]:
    """The codec with an id. ValueError for an unknown id, NotApplicable for packages and weights that it lacks."""
    from t2av_bench.errors import NotApplicable
    from t2av_bench.weights.needs import lacks

    codec = registry.class_of(id)
    if lacking := lacks(codec):
        raise NotApplicable(f"the codec {codec.id!r}: {lacking}")
    return codec
