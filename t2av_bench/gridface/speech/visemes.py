"""Phonemes to mouth shapes and head motion: the 16-dimensional motion of the embedded benchmark, at 25 Hz.

Conventions: frame ``i`` shows the mean of the interval [i/25, (i+1)/25) seconds, so picture and sound have no lead over
each other. Lip, jaw and blink dimensions lie in [0, 1], the others in [-1, 1]; 0 is the resting face looking ahead.
Everything that is not speech (blinks, gaze, head) is drawn from the seed and from the stress pattern.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from t2av_bench.gridface.speech.synthesizer import PAUSE, Phoneme

FRAME_RATE = 25
MOTION_NAMES = (
    "jaw", "lip_width", "lip_rounding", "lip_teeth", "lip_closure", "tongue", "blink", "brow",
    "yaw", "pitch", "roll", "x", "y", "smile", "gaze_x", "gaze_y",
)  # fmt: skip
MOTION_SIZE = len(MOTION_NAMES)
SPEECH_SIZE = 6

# Targets are set on a grid of 10 ms, four steps a frame, smoothed there and then averaged.
_STEPS = 4
_STEP_RATE = FRAME_RATE * _STEPS
_SIGMA_SECONDS = 0.035
# Closures and lip-teeth contacts are short: with the other dimensions' smoothing they would never be reached.
_SIGMA_CONTACT_SECONDS = 0.020
_CONTACT_GAIN = 1.35
# A gap shorter than this between sounds is part of a stop or a syllable boundary, not a resting mouth.
_SHORT_GAP_SECONDS = 0.09
# The synthesiser times voiceless stops by their burst; the lips have been closed for this long by then.
_CLOSURE_BEFORE_BURST_SECONDS = 0.045

#               jaw   width rounding lip-teeth closure tongue
_SHAPES = {
    "rest":    (0.03, 0.00, 0.00, 0.0, 0.45, 0.00),
    "p b m":   (0.06, 0.00, 0.00, 0.0, 1.00, 0.00),
    "f v":     (0.10, 0.12, 0.00, 1.0, 0.00, 0.00),
    "θ ð":     (0.24, 0.10, 0.00, 0.0, 0.00, 1.00),
    "t d n ɾ": (0.20, 0.22, 0.00, 0.0, 0.00, 0.55),
    "l":       (0.36, 0.12, 0.00, 0.0, 0.00, 0.80),
    "s z ts ɕ tɕ": (0.12, 0.50, 0.00, 0.0, 0.00, 0.10),
    "ʃ ʒ tʃ dʒ s. ts. ʐ": (0.16, 0.00, 0.75, 0.0, 0.00, 0.00),
    "k ɡ ŋ χ x ʔ": (0.30, 0.08, 0.00, 0.0, 0.00, 0.00),
    "h":       (0.40, 0.08, 0.00, 0.0, 0.00, 0.00),
    "ɹ r":     (0.24, 0.00, 0.50, 0.0, 0.00, 0.12),
    "w ɥ":     (0.10, 0.00, 1.00, 0.0, 0.00, 0.00),
    "j":       (0.18, 0.65, 0.00, 0.0, 0.00, 0.10),
    "ɑ a ɐ̃":   (1.00, 0.12, 0.00, 0.0, 0.00, 0.00),
    "æ":       (0.85, 0.50, 0.00, 0.0, 0.00, 0.10),
    "ɐ ʌ ə o- ɤ": (0.56, 0.12, 0.00, 0.0, 0.00, 0.00),
    "ɔ ɒ":     (0.78, 0.00, 0.62, 0.0, 0.00, 0.00),
    "ɛ e":     (0.60, 0.46, 0.00, 0.0, 0.00, 0.10),
    "ɜ ɚ":     (0.38, 0.00, 0.42, 0.0, 0.00, 0.12),
    "ɪ ɨ i. i̪ ᵻ": (0.34, 0.46, 0.00, 0.0, 0.00, 0.10),
    "i":       (0.20, 1.00, 0.00, 0.0, 0.00, 0.10),
    "ʊ":       (0.28, 0.00, 0.65, 0.0, 0.00, 0.00),
    "u":       (0.14, 0.00, 1.00, 0.0, 0.00, 0.00),
    "y":       (0.14, 0.00, 0.95, 0.0, 0.00, 0.10),
    "o":       (0.46, 0.00, 0.88, 0.0, 0.00, 0.00),
}  # fmt: skip
_SHAPE_OF = {unit: np.array(shape) for units, shape in _SHAPES.items() for unit in units.split()}
_SHAPE_OF["a"] = _SHAPE_OF["ɑ"]
_UNITS = sorted(_SHAPE_OF.keys() - {"rest"}, key=len, reverse=True)
_VOWELS = frozenset("ɑaɐʌəɤɔɒɛeɜɚæɪɨiᵻʊuyo")
_IGNORED = frozenset("ˈˌː̩̃.-;'̪ʲʰ")


def shift(phonemes: Sequence[Phoneme], seconds: float) -> list[Phoneme]:
    """The same phonemes, ``seconds`` later."""
    return [replace(phoneme, start=phoneme.start + seconds, end=phoneme.end + seconds) for phoneme in phonemes]


def units(symbol: str) -> list[str]:
    """The sounds within one phoneme symbol in order: ``"ˈaɪ"`` -> ``["a", "ɪ"]``, ``"tʃ"`` -> ``["tʃ"]``.

    Aspiration takes the neighbours' shape and is left out. Raises ValueError for a letter without a mouth shape.
    """
    found: list[str] = []
    rest = symbol
    while rest:
        unit = next((unit for unit in _UNITS if rest.startswith(unit)), None)
        if unit is not None:
            found.append(unit)
            rest = rest[len(unit) :]
        elif rest[0] in _IGNORED:
            rest = rest[1:]
        else:
            raise ValueError(f"no mouth shape for {rest[0]!r} in the phoneme {symbol!r}")
    return [unit for unit in found if unit != "h"] if len(found) > 1 else found


def speech_motion(phonemes: Sequence[Phoneme], frame_count: int) -> np.ndarray:
    """(frame_count, 6) float64 in [0, 1]: jaw, lip width, rounding, lip-teeth contact, closure, tongue."""
    steps = frame_count * _STEPS
    target = np.tile(_SHAPE_OF["rest"], (steps, 1))
    contact = np.zeros((steps, 2))

    def span(start: float, end: float) -> slice:
        first = int(round(start * _STEP_RATE))
        return slice(max(0, first), max(0, first + 1, int(round(end * _STEP_RATE))))

    contact[:, 1] = _SHAPE_OF["rest"][4]
    shape = _SHAPE_OF["rest"]
    for phoneme in phonemes:
        if phoneme.symbol == PAUSE:
            if phoneme.end - phoneme.start > _SHORT_GAP_SECONDS:
                shape = _SHAPE_OF["rest"]
            target[span(phoneme.start, phoneme.end)] = shape
            contact[span(phoneme.start, phoneme.end), 1] = shape[4]
            continue
        sounds = units(phoneme.symbol)
        edges = np.linspace(phoneme.start, phoneme.end, len(sounds) + 1)
        for sound, start, end in zip(sounds, edges, edges[1:], strict=False):
            shape = _SHAPE_OF[sound] * _emphasis(phoneme.symbol, sound)
            target[span(start, end)] = shape
            contact[span(start, end)] = shape[3:5]
            if sound == "p":
                closed = span(start - _CLOSURE_BEFORE_BURST_SECONDS, start + 0.015)
                target[closed] = shape
                shape = _SHAPE_OF["h"]
                target[span(start + 0.015, end)] = shape
                contact[span(start, end)], contact[closed] = 0.0, (0.0, 1.0)
            elif sound == "b":
                # The voiced closure fills the first part; then the lips part for the next sound.
                contact[span(start + max(0.05, 0.75 * (end - start)), end), 1] = 0.0
                contact[span(start - 0.02, start + 0.05)] = (0.0, 1.0)
    moved = gaussian_filter1d(target, _SIGMA_SECONDS * _STEP_RATE, axis=0, mode="nearest")
    touched = gaussian_filter1d(contact, _SIGMA_CONTACT_SECONDS * _STEP_RATE, axis=0, mode="nearest")
    moved[:, 3:5] = np.minimum(touched * _CONTACT_GAIN, 1.0)
    moved[:, 0] *= 1 - 0.6 * moved[:, 4]
    return moved.reshape(frame_count, _STEPS, SPEECH_SIZE).mean(1)


def motion(phonemes: Sequence[Phoneme], frame_count: int, seed: int) -> np.ndarray:
    """(frame_count, 16) float32 motion in the order of ``MOTION_NAMES``.

    phonemes: times in seconds from the first frame (see ``shift``); sounds beyond the last frame are not shown.
    seed: decides blinks, gaze and head motion; the mouth does not depend on it.
    """
    if frame_count < 1:
        raise ValueError(f"frame_count must be at least 1, got {frame_count}")
    random = np.random.default_rng([0x3071, seed])
    stress = _stress(phonemes, frame_count)
    result = np.zeros((frame_count, MOTION_SIZE))
    result[:, :SPEECH_SIZE] = speech_motion(phonemes, frame_count)
    result[:, 6] = _blinks(random, frame_count)
    result[:, 7] = _wander(random, frame_count, 8, 0.22) + 0.55 * stress
    result[:, 8] = _wander(random, frame_count, 14, 0.36)
    result[:, 9] = _wander(random, frame_count, 12, 0.24) + 0.30 * stress
    result[:, 10] = _wander(random, frame_count, 16, 0.30)
    result[:, 11] = _wander(random, frame_count, 16, 0.30)
    result[:, 12] = _wander(random, frame_count, 14, 0.22) + 0.25 * stress
    result[:, 13] = 0.15 + _wander(random, frame_count, 20, 0.18)
    result[:, 14:16] = _gaze(random, frame_count)
    # A fixating eye turns against the head.
    result[:, 14] -= 0.5 * result[:, 8]
    result[:, 15] -= 0.4 * result[:, 9]
    lowest = np.where(np.arange(MOTION_SIZE) < 7, 0.0, -1.0)
    return np.clip(result, lowest, 1.0).astype(np.float32)


def _emphasis(symbol: str, sound: str) -> np.ndarray:
    """Unstressed vowels open less."""
    if sound[0] not in _VOWELS or "ˈ" in symbol:
        return np.ones(SPEECH_SIZE)
    return np.array([0.90 if "ˌ" in symbol else 0.80, 0.9, 0.95, 1.0, 1.0, 1.0])


def _stress(phonemes: Sequence[Phoneme], frame_count: int) -> np.ndarray:
    """(frame_count,) smooth, in [0, 1]: near 1 around stressed vowels."""
    raw = np.zeros(frame_count)
    for phoneme in phonemes:
        if "ˈ" in phoneme.symbol:
            first = int(phoneme.start * FRAME_RATE)
            raw[max(first, 0) : max(int(np.ceil(phoneme.end * FRAME_RATE)), 0)] = 1.0
    return gaussian_filter1d(raw, 2.5, mode="nearest")


def _wander(random: np.random.Generator, frame_count: int, sigma: float, scale: float) -> np.ndarray:
    """Gaussian noise smoothed over ``sigma`` frames, with standard deviation ``scale``."""
    margin = int(4 * sigma)
    noise = gaussian_filter1d(random.standard_normal(frame_count + 2 * margin), sigma)
    return noise[margin : margin + frame_count] * (scale * np.sqrt(2 * np.sqrt(np.pi) * sigma))


def _blinks(random: np.random.Generator, frame_count: int) -> np.ndarray:
    """Lids close in 80 ms, open in 160 ms, every 1.4 to 4 seconds."""
    course = np.array([0.5, 1.0, 1.0, 0.75, 0.4, 0.1])
    lids = np.zeros(frame_count + len(course))
    start = int(random.integers(4, 50))
    while start < frame_count:
        lids[start : start + len(course)] = course
        start += int(random.integers(35, 100))
    return lids[:frame_count]


def _gaze(random: np.random.Generator, frame_count: int) -> np.ndarray:
    """(frame_count, 2): fixations of 0.4 to 2 seconds, mostly at the viewer, with quick movements between."""
    direction = np.zeros((frame_count, 2))
    start = 0
    while start < frame_count:
        length = int(random.integers(10, 50))
        away = random.uniform() < 0.3
        direction[start : start + length] = random.normal(0.0, (0.55, 0.3) if away else (0.08, 0.06))
        start += length
    return gaussian_filter1d(direction, 0.6, axis=0, mode="nearest")
