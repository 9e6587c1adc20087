"""Options that make a metric faster and its protocol another one; ``docs/faster.md`` says what each of them costs."""

from typing import Any

from t2av_bench.metrics.base import Metric, Settings
from t2av_bench.utils.inference import Dtype, known_dtype


class ReducedPrecision(Metric):
    """A metric whose networks may compute in bfloat16.

    dtype: of their convolutions. ``float32`` is the protocol that it was before there was this option.
    """

    def __init__(self, settings: Settings | None = None, dtype: Dtype = "float32") -> None:
        super().__init__(settings)
        self.dtype = known_dtype(dtype)

    @property
    def reduced(self) -> dict[str, Any]:
        """What the option adds to the protocol's parameters; nothing for the exact protocol."""
        return {} if self.dtype == "float32" else {"dtype": self.dtype}
