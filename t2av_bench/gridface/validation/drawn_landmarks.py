"""What landmarks say of drawn faces, held against the motion that the rig was given (see ``landmarks``)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces import eyelids, head_pose
from t2av_bench.faces.confirmed import confirmed_blazeface
from t2av_bench.faces.landmarks import Landmarks, follow, main_face
from t2av_bench.faces.mesh_points import LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, MOTION_SIZE
from t2av_bench.gridface.validation.motion import explained
from t2av_bench.metrics import theval
from t2av_bench.metrics.theval_blinks import blinks
from t2av_bench.metrics.theval_speech import lip_gap

SWEEP = 24
SWEPT = ("jaw", "lip_width", "lip_rounding", "smile", "brow", "blink", "yaw", "pitch", "roll", "gaze_y")
# Eye corners and lids of the mesh: the eye aspect ratio that it would give by itself.
_MESH_EYES = (((33, 133), ((160, 144), (158, 153))), ((263, 362), ((387, 373), (385, 380))))


# What is measured, and what is true -----------------------------------------------------------------------------------


def mesh_eye_opening(landmarks: Landmarks) -> np.ndarray:
    """(n,) height over width of the eyes by the mesh's own lids, the mean of both."""
    points = landmarks.points.astype(np.float64)

    def distance(pair: tuple[int, int]) -> np.ndarray:
        return np.asarray(np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=1))

    return np.mean([sum(map(distance, lids)) / (2 * distance(corners)) for corners, lids in _MESH_EYES], axis=0)


def seen(frames: np.ndarray) -> tuple[Landmarks, dict[str, np.ndarray]]:
    """Landmarks of (n, H, W, 3) uint8 RGB frames of one shot, and what is read from them: name -> (n,) values."""
    landmarks = landmarks_of(frames)
    points = theval.in_eye_distances(landmarks)
    pitch, yaw, roll = head_pose.angles(head_pose.head_rotations(landmarks.points)).T
    return landmarks, {
        "lip gap": lip_gap(landmarks),
        "mouth width": np.linalg.norm(points[:, LEFT_MOUTH_CORNER] - points[:, RIGHT_MOUTH_CORNER], axis=1),
        "eyebrow raise": theval.eyebrow_raise(landmarks).mean(1),
        "eye opening, iris": eyelids.openings([frames], landmarks, eyelids.iris_network()).astype(np.float64),
        "eye opening, mesh": mesh_eye_opening(landmarks),
        "pitch": pitch,
        "yaw": yaw,
        "roll": roll,
    }


def landmarks_of(frames: np.ndarray) -> Landmarks:
    """The main face's landmarks in (n, H, W, 3) uint8 RGB frames of one shot. Raises Unscorable where there is none."""
    count, height, width = frames.shape[:3]
    main = main_face(follow([frames], [(0, count)], confirmed_blazeface()))
    if not main.frames:
        raise Unscorable(f"no face found in any of {count} frames")
    return Landmarks(
        np.array(main.frames), np.array(main.points, np.float32), np.array(main.presence, np.float32), count,
        (width, height), ((0, count),),
    )  # fmt: skip


def true(motion: np.ndarray) -> dict[str, np.ndarray]:
    """What the rig's motion (n, 16) means for each of ``seen``; for lips, brows and eyes as the drawing has it.

    Angles are told from their mean, as the measured ones are: full deflection for pitch and yaw, which the rig draws by
    parallax, degrees for roll.
    """
    part = dict(zip(MOTION_NAMES, motion.T.astype(np.float64), strict=True))
    wide = 0.150 * part["jaw"] + 0.026 * part["lip_width"] + 0.050 * part["lip_rounding"]
    gap = wide * (1 - part["lip_closure"]) * (1 - part["lip_teeth"]) + 0.040 * part["lip_teeth"]
    width = 0.24 * part["lip_width"] - 0.46 * part["lip_rounding"] + 0.08 * part["smile"] - 0.07 * part["jaw"]
    opening = (1 - part["blink"]) * (1 + 0.10 * part["brow"])
    return {
        "lip gap": gap, "mouth width": width, "eyebrow raise": part["brow"], "eye opening, iris": opening,
        "eye opening, mesh": opening, "pitch": -_centred(part["pitch"]), "yaw": _centred(part["yaw"]),
        "roll": _centred(part["roll"]) * np.degrees(0.085),
    }  # fmt: skip


def _centred(values: np.ndarray) -> np.ndarray:
    return np.asarray(values - values.mean())


def sweeps() -> np.ndarray:
    """(n, 16) motion: one dimension after the other through its range and back, the face at rest otherwise."""
    motion = np.zeros((len(SWEPT), SWEEP, MOTION_SIZE), np.float32)
    there = np.sin(2 * np.pi * np.arange(SWEEP) / SWEEP)
    for place, name in enumerate(SWEPT):
        dimension = MOTION_NAMES.index(name)
        motion[place, :, dimension] = there if dimension > MOTION_NAMES.index("blink") else np.abs(there)
    return motion.reshape(-1, MOTION_SIZE)


# Drawn faces ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """One person: what was seen and what is true of the sweeps and of a spoken sentence.

    found: share of the frames in which the face was found.
    """

    sweep: Mapping[str, tuple[np.ndarray, np.ndarray]]
    speech: Mapping[str, tuple[np.ndarray, np.ndarray]]
    found: float


def read(identity: int, motion: np.ndarray) -> Reading:
    """Draw a person's sweeps and sentence (n, 16) as the benchmark's clips are drawn, and look at them."""
    portrait = Portrait(identity, corpus.SIZE)
    pairs, found = [], []
    for each in (sweeps(), motion):
        landmarks, values = seen(portrait.render(each))
        truth = true(each[landmarks.frames])
        pairs.append({name: (value, truth[name]) for name, value in values.items()})
        found.append(len(landmarks.frames) / len(each))
    return Reading(pairs[0], pairs[1], float(np.mean(found)))


@dataclass(frozen=True, slots=True)
class Row:
    """One measure on the sentences: mean correlation within a clip; R2 and root-mean-square error after a straight line
    that was fitted to the sweeps of the other half of the persons, and R2 after one of the person's own sweeps."""

    correlation: float
    r2_others: float
    r2_own: float
    error: float
    spread: float


def rows(readings: Sequence[Reading]) -> dict[str, Row]:
    """Name of a measure -> how well it is seen. The persons at even places are calibrated by those at odd ones, and the
    other way round."""
    found = {}
    for name in readings[0].speech:
        own, others, correlations = [], [], []
        for place, reading in enumerate(readings):
            value, truth = reading.speech[name]
            values, truths = np.hstack([other.sweep[name] for other in readings[(place + 1) % 2 :: 2]])
            own.append(np.polyval(np.polyfit(*reading.sweep[name], 1), value))
            others.append(np.polyval(np.polyfit(values, truths, 1), value))
            correlations.append(np.corrcoef(value, truth)[0, 1])
        truth = np.concatenate([reading.speech[name][1] for reading in readings])
        away = np.concatenate(others)
        found[name] = Row(
            float(np.mean(correlations)), _explained(away, truth), _explained(np.concatenate(own), truth),
            float(np.sqrt(np.mean((away - truth) ** 2))), float(truth.std()),
        )  # fmt: skip
    return found


def _explained(found: np.ndarray, truth: np.ndarray) -> float:
    return float(explained(found[:, None], truth[:, None])[0])


def responses(readings: Sequence[Reading]) -> dict[str, list[float]]:
    """Measure -> how far it moves in each sweep (standard deviation), in parts of how far it moves in its own."""
    found = {}
    for name in readings[0].sweep:
        moved = np.mean([
            reading.sweep[name][0].reshape(len(SWEPT), SWEEP).std(1) for reading in readings if reading.found == 1
        ], axis=0)  # fmt: skip
        drawn = readings[0].sweep[name][1].reshape(len(SWEPT), SWEEP).std(1)
        found[name] = (moved / moved[int(np.argmax(drawn))]).tolist()
    return found


def blink_counts(readings: Iterable[Reading], name: str) -> tuple[int, int, int]:
    """Blinks in the sentences: drawn ones, detected ones, and those detected within 2 frames of a drawn one."""
    drawn = detected = right = 0
    for reading in readings:
        value, truth = reading.speech[name]
        real, said = blinks(truth), blinks(value)
        drawn, detected = drawn + len(real), detected + len(said)
        right += sum(any(a < end + 2 and begin - 2 < b for begin, end in real) for a, b in said)
    return drawn, detected, right
