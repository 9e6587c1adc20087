"""The kinds of damage, with their grades from weak to strong, and how a damaged clip is written.

Every clip is written alike, undamaged ones too (the control, grade 0): at 25 frames per second, H.264 at CRF 12, AAC of
192 kbit/s, mono at 48 kHz. So a difference from the control is the damage's and not the writing's.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import FRAME_RATE, Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.utils.files import replacing
from t2av_bench.validation import pictures, sounds
from t2av_bench.validation.pictures import Source

CONTROL = "control"
AUDIO_RATE = 48_000
_CRF, _PRESET, _AUDIO_BIT_RATE = 12, "ultrafast", 192_000
_QUALITIES: dict[float | str, dict[str, Any]] = {
    16: {"preset": "veryfast", "audio_bit_rate": 160_000},
    18: {"preset": "medium", "audio_bit_rate": 128_000},
    20: {"preset": "faster", "audio_bit_rate": 96_000},
}
"""CRF -> the encoder's effort, and AAC bits per second of the mono sound."""

Pictures = Callable[[Source, float, np.random.Generator], Iterator[np.ndarray]]
Sound = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True)
class Damage:
    """One kind of damage: to pictures, to sound, or by the writing.

    what: is done, for readers. unit: of the grades. grades: from weak to strong; names where they have no order.
    setting: of the writing, which the grade is; a ``quality``: a CRF, the encoder's effort and the sound's bit rate.
    """

    what: str
    unit: str
    grades: tuple[float | str, ...]
    pictures: Pictures | None = None
    sound: Sound | None = None
    setting: Literal["crf", "quality", "frame_rate", "container"] | None = None

    @property
    def ordered(self) -> bool:
        """Whether a later grade is more of the same."""
        return not isinstance(self.grades[0], str)


def _remux(control: Path, path: Path) -> None:
    """The same packets in another container."""
    import av

    with replacing(path) as partial, av.open(str(control)) as read, av.open(str(partial), "w") as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)


DAMAGES: dict[str, Damage] = {
    "blur": Damage("Gaussian blur; standard deviation", "% of the shorter side", (0.5, 1, 2, 4), pictures.blurred),
    "picture_noise": Damage(
        "Gaussian noise in each pixel and colour; standard deviation", "% of full scale", (1, 2, 5, 10), pictures.noisy
    ),
    "bitrate": Damage("H.264 of lower quality", "CRF", (28, 36, 44, 51), setting="crf"),
    "freeze": Damage("from some time on the picture stands", "% of the time", (25, 50, 75, 100), pictures.frozen),
    "dropped_frames": Damage(
        "frames drawn at random show the one before", "% of the frames", (10, 25, 50, 75), pictures.dropped
    ),
    "mouth_frozen": Damage(
        "from some time on the mouth is a picture of itself, pasted onto the moving face", "% of the time",
        (25, 50, 75, 100), pictures.mouth_frozen,
    ),
    "identity_swap": Damage(
        "from some time on another clip of the set is seen", "% of the time", (10, 25, 50), pictures.swapped
    ),
    "flicker": Damage("each frame is brighter or darker at random, by up to", "%", (2, 5, 10, 20), pictures.flickering),
    "cuts": Damage(
        "hard cuts to the picture's middle, 1.5 times as large and mirrored, and back", "cuts", (1, 2, 4, 8),
        pictures.cut,
    ),
    "desync": Damage(
        "the sound is late", "ms", (80, 200, 400),
        sound=lambda audio, ms, random: sounds.delay(audio, round(ms * AUDIO_RATE / 1000)),
    ),
    "mute": Damage(
        "silence in the middle", "% of the time", (25, 50, 75),
        sound=lambda audio, percent, random: sounds.mute(audio, percent),
    ),
    "low_pass": Damage(
        "nothing is heard above", "Hz", (4000, 2000, 1000, 500),
        sound=lambda audio, hertz, random: sounds.low_pass(audio, hertz, AUDIO_RATE),
    ),
    "sound_noise": Damage(
        "white noise; signal-to-noise ratio", "dB", (30, 20, 10, 0),
        sound=lambda audio, decibels, random: sounds.hiss(audio, decibels, random),
    ),
    "truncation": Damage("the clip ends early", "% of the time", (10, 25, 50), pictures.shortened),
    "container": Damage("the same packets in another container", "", ("mkv", "mov", "ts"), setting="container"),
    "frame_rate": Damage("written at another rate; frames are repeated or left out", "frames/s", (50, 30, 24),
                         setting="frame_rate"),
}  # fmt: skip

VARIANTS: dict[str, Damage] = {
    "encoding": Damage(
        "H.264 and AAC of other settings, commonly taken for lossless to eye and ear", "CRF", tuple(_QUALITIES),
        setting="quality",
    ),
    "container": DAMAGES["container"],
    "frame_rate": DAMAGES["frame_rate"],
    "crop": Damage(
        "cut to a window somewhere in the picture, the same in all frames, and enlarged to its size; what is cut off",
        "% of either side", (1, 2, 4), pictures.jittered,
    ),
    "length": Damage("the clip ends early", "% of the time", (10, 25, 50), pictures.shortened),
}  # fmt: skip
"""What a model has no part in, by the source of the error (``results.budget``)."""

_NONE = Damage("nothing", "", (0,))


def folder_of(name: str, grade: float | str) -> str:
    """What a damage at a grade is called, in files and runs."""
    return f"{name}-{grade:g}" if not isinstance(grade, str) else f"{name}-{grade}"


def suffix_of(name: str, grade: float | str) -> str:
    return f".{grade}" if name == "container" else ".mp4"


def write(source: Source, id: str, name: str, grade: Any, path: Path, control: Path) -> None:
    """Write a clip with a damage, or the ``CONTROL``. The same clip, id and grade give the same file.

    control: the written control, whose packets other containers hold. Raises Unscorable (MediaError too).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    damage = (DAMAGES | VARIANTS).get(name, _NONE)
    if damage.setting == "container":
        if not control.is_file():
            raise Unscorable("the undamaged clip could not be written")
        _remux(control, path)
        return
    if damage.setting == "frame_rate":
        source = Source(Clip(source.clip.path, sound_path=source.clip.sound_path, frame_rate=grade))
    # Without the grade: a stronger one is more of the same noise.
    random = np.random.default_rng(zlib.crc32(f"{name} {id}".encode("utf-8", "surrogatepass")))
    audio = source.clip.audio(AUDIO_RATE) if source.clip.info.has_audio else None
    if damage.sound is not None:
        if audio is None:
            raise Unscorable("the clip has no sound")
        audio = damage.sound(audio, grade, random)
    settings: dict[str, Any] = {
        "crf": _CRF, "preset": _PRESET, "audio_bit_rate": _AUDIO_BIT_RATE, "frame_rate": FRAME_RATE,
    }  # fmt: skip
    if damage.setting == "quality":
        settings |= {"crf": grade, **_QUALITIES[grade]}
    elif damage.setting:
        settings[damage.setting] = grade
    pictured = damage.pictures(source, grade, random) if damage.pictures else source.frames()
    write_mp4(path, pictured, audio, audio_rate=AUDIO_RATE, fit_audio=True, **settings)
