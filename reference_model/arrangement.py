"""Token arrangements (Table 4): how audio and video patches share the backbone's sequence.

A *slot* is one step of the sequence after the text. With ``tokens_per_slot`` tokens a slot, slot ``s`` holds
audio patch ``s`` and video patch ``s - delay``:

=================  ===============================================  ===============
arrangement        tokens after the text                            tokens per slot
=================  ===============================================  ===============
``add``            a0+v0, a1+v1, a2+v2 ...                          1
``delay(k)``       a0, ..., a(k)+v0, a(k+1)+v1 ...                  1
``interleaved_av`` a0, v0, a1, v1 ...                               2
``interleaved_va`` v0, a0, v1, a1 ...                               2
=================  ===============================================  ===============

A patch is predicted from the hidden state of the token right before its own token. In the interleaved
arrangements the second modality of a slot therefore sees the first.
"""

import re
from dataclasses import dataclass

NAMES = ("add", "interleaved_av", "interleaved_va", "delay(k)")


@dataclass(frozen=True)
class Arrangement:
    """A parsed arrangement. ``order`` lists the modalities of a two-token slot; ``()`` means they are summed."""

    delay: int = 0
    order: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Arrangement":
        """Read ``add``, ``interleaved_av``, ``interleaved_va`` or ``delay(k)`` with k >= 0; ``delay(0)`` is ``add``."""
        if text == "add":
            return cls()
        if text == "interleaved_av":
            return cls(order=("speech", "motion"))
        if text == "interleaved_va":
            return cls(order=("motion", "speech"))
        if match := re.fullmatch(r"delay\((\d+)\)", text):
            return cls(delay=int(match[1]))
        raise ValueError(f"unknown token arrangement {text!r}; expected one of {', '.join(NAMES)}, e.g. 'delay(1)'")

    @property
    def tokens_per_slot(self) -> int:
        """2 for the interleaved arrangements, else 1."""
        return len(self.order) or 1

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The modalities of each token of a slot, in order: ``(("speech", "motion"),)`` for a summed token."""
        return tuple((name,) for name in self.order) or (("speech", "motion"),)

    def offset(self, modality: str) -> int:
        """Index of the modality's token inside its slot."""
        return self.order.index(modality) if self.order else 0

    def slot(self, modality: str, patch: int) -> int:
        """The slot that holds patch ``patch`` of ``modality``."""
        return patch + (self.delay if modality == "motion" else 0)

    def token(self, modality: str, patch: int) -> int:
        """Token index, counted from the first token after the text, of a patch."""
        return self.slot(modality, patch) * self.tokens_per_slot + self.offset(modality)

    def slots(self, speech_patches: int, motion_patches: int) -> int:
        """Slots that a sample of so many patches occupies (motion_patches 0: no motion)."""
        return max(speech_patches, motion_patches + self.delay if motion_patches else 0)
