"""Margins: the smallest difference in each quantity that anybody should act on.

A margins file is TOML, one quantity a line: a number in the quantity's own unit, or a share of the baseline's value::

    sync_c = 0.1     # or "LSE-C": any name of a quantity
    wer = 0.01       # error rates are fractions: one point
    fid = "2%"
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from t2av_bench.metrics import registry
from t2av_bench.results.budget import Budget, method_of
from t2av_bench.results.recorded import Recorded
from t2av_bench.utils.config import ConfigError, read_toml


@dataclass(frozen=True, slots=True)
class Margin:
    """An amount, absolute or as a share (0.02) of the size of the baseline's value. raised: the default that an error
    budget put it in place of, as text."""

    amount: float
    relative: bool = False
    raised: str | None = None

    def absolute(self, baseline: float) -> float:
        """The margin in the quantity's unit."""
        return self.amount * abs(baseline) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


# docs/regression.md says where each comes from: what people notice where that is known, and never less than twice what
# an unchanged model moves by when its clips are encoded with other settings (bench/gate_power.py).
_SYNC_NAMES = ("", "_exact", "_crop", "_blazeface", "_haar", "_gridface")
_ERROR_RATES = [f"{rate}{unit}" for rate in ("wer", "cer") for unit in ("", "_utterance")]
DEFAULT_MARGINS: dict[str, Margin] = {
    **{f"sync_{value}{name}": Margin(0.25) for name in _SYNC_NAMES for value in ("c", "d", "d_zero")},
    **{f"sync_{value}_gridface": Margin(0.05) for value in ("c", "d", "d_zero")},
    **{f"sync_{value}_mesh": Margin(0.02) for value in ("c", "d", "d_zero")},
    **{f"sync_in_tolerance{name}": Margin(0.05) for name in (*_SYNC_NAMES, "_mesh")},
    # In frames at 25 fps: 45 ms, what BT.1359-1 lets sound be early.
    **{f"sync_offset{name}": Margin(1.125) for name in _SYNC_NAMES},
    "sync_offset_mesh": Margin(45.0),  # in milliseconds
    "envelope_offset": Margin(1.125),
    "envelope_correlation": Margin(0.05),
    "av_align": Margin(0.05),
    **{f"{rate}{recogniser}": Margin(0.01) for rate in _ERROR_RATES for recogniser in ("", "_gridface")},
    **{f"{rate}_pocketsphinx": Margin(0.1) for rate in _ERROR_RATES},
    "utmos": Margin(0.1),
    **dict.fromkeys(("dnsmos_ovrl", "dnsmos_sig", "dnsmos_p808"), Margin(0.1)),
    "dnsmos_bak": Margin(0.15),
    **dict.fromkeys(("pesq_wb", "pesq_nb"), Margin(0.1)),
    **dict.fromkeys(("stoi", "estoi"), Margin(0.005)),
    **dict.fromkeys(("sim", "sim_resemblyzer", "csim"), Margin(0.01)),
    "psnr": Margin(1.25),
    "ssim": Margin(0.02),
    "lpips": Margin(0.01),
    **dict.fromkeys(("fid", "fvd"), Margin(0.05, relative=True)),
    **dict.fromkeys(("kid", "kvd"), Margin(0.1, relative=True)),
    "frozen_mouth": Margin(0.2),
    **dict.fromkeys(("frozen_head", "frozen_picture"), Margin(0.05)),
    **dict.fromkeys(("drift_colour", "drift_face_colour"), Margin(0.5)),
    "drift_sharpness": Margin(0.3),
    "drift_face_size": Margin(1.0),
    "drift_face_position": Margin(0.05),
    **dict.fromkeys(("cuts", "flashes"), Margin(0.02)),
    "flicker": Margin(0.05),
    **dict.fromkeys(("lmd_mesh", "f_lmd_mesh", "lmd_v_mesh"), Margin(0.3)),
    **dict.fromkeys(("lmd_dlib", "f_lmd_dlib", "lmd_v_dlib"), Margin(0.1, relative=True)),
    "identity_slope": Margin(0.05),
    "identity_min": Margin(0.02),
    "distillmos": Margin(0.1),
    "truncated_end": Margin(0.05),
    **dict.fromkeys(("duration_error", "length_error", "unspoken_end"), Margin(0.02)),
    **dict.fromkeys(("mcd", "mcd_dtw", "mcd_dtw_sl"), Margin(0.3)),
    "dd": Margin(0.02),
    "emo_sim": Margin(0.01),
    "fd_frame_gridface": Margin(1.0),
    "fd_clip_gridface": Margin(8.0),
}


def margins_of(
    given: str | PathLike[str] | Mapping[str, Any] | None, quantities: Iterable[str] = (),
    defaults: Mapping[str, Margin] = DEFAULT_MARGINS,
) -> dict[str, Margin]:  # fmt: skip
    """A margins file, or quantity -> number, percentage or Margin, over the defaults. Raises ConfigError.

    quantities: names that may stand in it besides the defaults'.
    """
    if given is not None and not isinstance(given, Mapping):
        document = read_toml(Path(given), "margins")
        try:
            return margins_of(document, quantities, defaults)
        except ConfigError as error:
            raise ConfigError(f"{given}: {error}") from error
    known = sorted({*defaults, *quantities})
    found: dict[str, Margin] = {}
    for name, value in (given or {}).items():
        try:
            quantity = registry.quantity(name, known)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if quantity in found:
            raise ConfigError(f"{name}: the margin of {quantity} is given twice")
        found[quantity] = value if isinstance(value, Margin) else _parse(name, value)
    return {**defaults, **found}


def margins_between(
    given: str | PathLike[str] | Mapping[str, Any] | None, baseline: Recorded, candidate: Recorded, budget: Budget
) -> dict[str, Margin]:
    """``margins_of`` two systems' quantities, over the defaults ``beyond`` a budget. Raises ConfigError."""
    known = [name for _, name in (*baseline.quantities, *candidate.quantities)]
    return margins_of(given, known, beyond(budget, baseline))


def beyond(budget: Budget, baseline: Recorded, margins: Mapping[str, Margin] = DEFAULT_MARGINS) -> dict[str, Margin]:
    """The margins, none below what encoding alone makes of the same pictures and sound.

    It is the part of an error budget that no number of clips cures, of the source that two checkpoints of one pipeline
    have (``results.budget.WRITING``); the scatter of the clips is in the gate's own intervals. Quantities by another
    method than the budget's, or without a size there, keep their margin, and those without a margin get none: what
    matters, nobody has said.
    """
    found = dict(margins)
    for (metric, name), record in baseline.quantities.items():
        entry, mine = budget.find(name, metric, method_of(baseline.protocols[metric])), found.get(name)
        least = entry.writing if entry else None
        if least and mine and mine.absolute(record.value or 0.0) < least:
            found[name] = Margin(least, raised=mine.raised or str(mine))
    return found


def _parse(name: str, value: Any) -> Margin:
    text = f'{name}: {value!r} is no margin; expected a number above 0, or a percentage such as "2%"'
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)):
        margin = Margin(float(match[1]) / 100, relative=True)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        margin = Margin(float(value))
    else:
        raise ConfigError(text)
    if not 0 < margin.amount < float("inf"):
        raise ConfigError(text)
    return margin
