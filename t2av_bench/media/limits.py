"""How much of a file is decoded at most, so that one clip cannot take the memory or the day of a whole run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a clip may hold; a larger one is a reason, found from the packets before anything is decoded.

    seconds: of pictures, and of sound. gigapixels: source pictures x width x height, in 10^9; the default is about half
    an hour of 1080p at 25 frames/s.
    """

    seconds: float = 1800.0
    gigapixels: float = 100.0

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.gigapixels > 0):
            raise ValueError(f"limits are positive, got {self}")


DEFAULT = Limits()


class FrameBudget:
    """Bytes of decoded frames that several clips keep between them. left: what none of them holds."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        """Whether so many bytes more were left; then they are taken."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


# No decoder gains from more threads on a talking portrait, and each one holds pictures of its own.
DECODER_THREADS = 4
# Pictures handed out together: 64 MiB are 85 pictures of 512 x 512 and one of 4096 x 4096.
BATCH_BYTES = 64 << 20
