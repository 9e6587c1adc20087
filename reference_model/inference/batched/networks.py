"""The networks that a step of the loop calls, as functions of tensors.

:class:`reference_model.acceleration.Accelerated` has the same methods, compiled or recorded.
"""

from torch import Tensor

from ...model import TalkerT2AV
from ...modules.backbone import KeyValueCache, decode
from ...modules.flow_matching import PatchSampler, SamplerSettings

DrawInputs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Noise ``(B, P, C)``, hidden states ``(B, D)``, context ``(B, K, C)`` and global condition ``(B, G)``."""


class StepNetworks:
    """A model's networks, plain. Samplers are made once for each setting; weights must not change afterwards.

    ``keeps_rows``: finished rows stay in the batch and attention covers the whole cache, so that shapes never change.
    """

    keeps_rows = False

    def __init__(self, model: TalkerT2AV):
        self.model = model
        self._samplers: dict[SamplerSettings, dict[str, PatchSampler]] = {}

    def draw(self, settings: SamplerSettings, inputs: dict[str, DrawInputs]) -> dict[str, Tensor]:
        """Patches ``(B, P, C)`` of each modality in ``inputs`` (section 3.3)."""
        if settings not in self._samplers:
            self._samplers[settings] = {
                name: PatchSampler(self.model.head(name), settings) for name in ("speech", "motion")
            }
        return {name: self._samplers[settings][name](*values) for name, values in inputs.items()}

    def encode(self, modality: str, patches: Tensor, valid: Tensor) -> Tensor:
        """What :meth:`.model.TalkerT2AV.encode` does."""
        return self.model.encode(modality, patches, valid)

    def decode(
        self, cache: KeyValueCache, token: Tensor, cos: Tensor, sin: Tensor, column: int, mask: Tensor | None
    ) -> Tensor:
        """One backbone step: ``token (B, 1, D)`` goes to ``column`` of the cache; hidden states ``(B, D)``.

        ``mask (B, 1, column + 1)``, with ``keeps_rows`` over all columns, is True where a row may look.
        """
        return decode(self.model.backbone, token, cos, sin, cache, column, column + 1, mask)

    def take_cache(self, batch: int, columns: int) -> KeyValueCache:
        """A cache of at least ``columns`` columns that nobody else uses."""
        return KeyValueCache(self.model.backbone, batch, columns)

    def return_cache(self, cache: KeyValueCache) -> None:
        """The batch that used it has ended."""
