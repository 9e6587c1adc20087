"""From the channels of a file to one: the down-mix of every audio protocol.

Two channels are averaged. More channels are mixed by ITU-R BS.775 (Table 2, to 1/0): front left and right 0.7071,
centre 1, surround 0.5; the low-frequency channel is left out. So speech in the centre keeps its level. The sum is not
scaled down and may exceed 1. Where a file does not state the places of its channels (PCM in Matroska), they are those
that ffmpeg assumes for their number; more than eight unstated ones are averaged.

Integer samples are divided by 2^(bits-1), so full scale is [-1, 1); float samples are taken as they are.
"""

from typing import Any

import numpy as np

from t2av_bench.errors import MediaError

MONO = "average of two channels; ITU-R BS.775 of more, without LFE"

_FRONT = 0.5**0.5
_GAINS = {"FC": 1.0, "FL": _FRONT, "FR": _FRONT, "FLC": _FRONT, "FRC": _FRONT, "LFE": 0.0, "LFE2": 0.0}
_SURROUND = 0.5
# What FFmpeg takes for a number of channels without places.
_ASSUMED = {3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 9223372036854775808.0}


def gains(layout: Any) -> np.ndarray:
    """(channels,) float64: the weight of each channel of an ``av.AudioLayout`` in the mono signal."""
    import av

    count = layout.nb_channels
    if count <= 2:
        return np.full(count, 1 / count)
    names = [channel.name for channel in layout.channels]
    if len(names) != count or any(name.startswith(("NONE", "USR", "UNK")) for name in names):
        if count not in _ASSUMED:
            return np.full(count, 1 / count)
        names = [channel.name for channel in av.AudioLayout(_ASSUMED[count]).channels]
    return np.array([_GAINS.get(name, _SURROUND) for name in names])


def channels(frame: Any) -> np.ndarray:
    """(channels, n) float64 of an ``av.AudioFrame``."""
    kind = frame.format.name.removesuffix("p")
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    if kind in ("flt", "dbl"):
        return data.astype(np.float64)
    if kind not in _SCALE:
        raise MediaError(f"audio samples of format {frame.format.name!r} are not supported: convert to 16-bit PCM")
    return (data.astype(np.float64) - (128.0 if kind == "u8" else 0.0)) / _SCALE[kind]
