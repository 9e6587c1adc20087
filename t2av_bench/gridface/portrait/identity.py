"""Who is shown: the proportions, colours and style of one drawn person, sampled from a seed.

Lengths are in face units: the frame is about 2.1 units wide, x points right, y down, the origin lies between nose and
eyes. Colours are sRGB in [0, 1].
"""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

HAIR_STYLES = ("bald", "buzz", "short", "side_part", "fringe", "bob", "long", "curtains", "bun", "curly")
CLOTHES = ("crew", "v_neck", "shirt", "turtleneck")

_SKIN = ((1.00, 0.87, 0.78), (0.96, 0.79, 0.67), (0.88, 0.69, 0.54), (0.72, 0.51, 0.37), (0.54, 0.36, 0.26),
         (0.42, 0.27, 0.19))  # fmt: skip
_HAIR = ((0.09, 0.07, 0.06), (0.17, 0.11, 0.08), (0.30, 0.18, 0.11), (0.45, 0.28, 0.15), (0.74, 0.56, 0.31),
         (0.50, 0.20, 0.10))  # fmt: skip
_GREY = (0.66, 0.65, 0.64)
_IRIS = ((0.28, 0.16, 0.08), (0.40, 0.25, 0.12), (0.25, 0.42, 0.60), (0.30, 0.46, 0.34), (0.42, 0.46, 0.50))
_BACKDROP = ((0.62, 0.70, 0.78), (0.78, 0.72, 0.64), (0.60, 0.68, 0.62), (0.72, 0.64, 0.72), (0.80, 0.79, 0.76),
             (0.46, 0.54, 0.64), (0.70, 0.60, 0.54))  # fmt: skip
_CLOTH = ((0.16, 0.22, 0.34), (0.55, 0.17, 0.19), (0.86, 0.85, 0.82), (0.20, 0.36, 0.33), (0.72, 0.56, 0.30),
          (0.30, 0.30, 0.33), (0.42, 0.34, 0.52), (0.45, 0.58, 0.70), (0.78, 0.52, 0.47))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """One person. ``softness`` runs from angular (0) to soft features (1), ``age`` from young (0) to old (1)."""

    seed: int
    softness: float
    age: float
    skin: Colour
    hair: Colour
    brow: Colour
    iris: Colour
    lip: Colour
    hair_style: str
    hairline: float
    part: float
    hair_volume: float
    beard: float
    moustache: float
    face_width: float
    face_height: float
    jaw_taper: float
    chin_width: float
    eye_x: float
    eye_y: float
    eye_size: float
    eye_opening: float
    eye_tilt: float
    brow_thickness: float
    brow_arch: float
    brow_height: float
    nose_width: float
    nose_y: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    cheek: float
    freckles: float
    glasses: bool
    clothes: str
    cloth: Colour
    cloth_inner: Colour
    backdrop: Colour
    backdrop_edge: Colour
    light: float


def sample_identity(seed: int) -> Identity:
    """The person of a seed (0 or larger): the same on every machine, different for every seed."""
    if seed < 0:
        raise ValueError(f"an identity seed is 0 or larger, got {seed}")
    random = np.random.default_rng([0x1DE7, seed])

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    def pick(palette: tuple[Colour, ...], jitter: float) -> Colour:
        chosen = np.array(palette[int(random.integers(len(palette)))])
        return _colour(chosen * between(1 - jitter, 1 + jitter) * random.normal(1, jitter / 4, 3))

    softness, age = between(0, 1), float(random.beta(1.6, 2.4))
    tone = between(0, len(_SKIN) - 1)
    skin = _blend(_SKIN, tone)
    hair = np.array(pick(_HAIR[: 3 if tone > 2.6 else len(_HAIR)], 0.15))
    grey = np.clip((age - 0.62) * 2.6 + random.normal(0, 0.15), 0, 1) if age > 0.55 else 0.0
    hair = hair * (1 - grey) + np.array(_GREY) * grey
    style = _hair_style(random, softness, tone)
    bearded = softness < 0.5 and between(0, 1) < 0.45
    redness = np.array([0.74, 0.29, 0.32])
    lip = skin * (0.48 - 0.12 * softness) + redness * (0.44 + 0.12 * softness) * (0.55 + 0.45 * skin.mean() / 0.8)
    backdrop = np.array(pick(_BACKDROP, 0.10))
    cloth = np.array(pick(_CLOTH, 0.12))
    # Fair brows are drawn darker than they are: without a dark band above the eyes a face is hardly seen as one.
    brow = hair * 0.62 + 0.05
    brow = brow * min(1.0, 0.42 * float(skin.mean()) / float(brow.mean()))
    return Identity(
        seed=seed,
        softness=softness,
        age=age,
        skin=_colour(skin + random.normal(0, 0.012, 3)),
        hair=_colour(hair),
        brow=_colour(brow),
        iris=pick(_IRIS[: 2 if tone > 3 else len(_IRIS)], 0.15),
        lip=_colour(lip + random.normal(0, 0.02, 3)),
        hair_style=style,
        hairline=between(-0.54, -0.46) - 0.03 * age,
        part=between(-0.28, 0.28),
        hair_volume=between(0.0, 1.0),
        beard=between(0.25, 0.62) if bearded else 0.0,
        moustache=between(0.25, 0.60) if bearded and between(0, 1) < 0.8 else 0.0,
        face_width=between(0.485, 0.525) - 0.012 * softness,
        face_height=between(0.66, 0.71) - 0.02 * softness,
        jaw_taper=between(0.14, 0.24) + 0.06 * softness,
        chin_width=between(0.30, 0.42) - 0.05 * softness,
        eye_x=between(0.198, 0.222),
        eye_y=between(-0.10, -0.07),
        eye_size=between(0.088, 0.100) + 0.006 * softness,
        eye_opening=between(0.86, 1.08) - 0.10 * age + 0.06 * softness,
        eye_tilt=between(-0.06, 0.14),
        brow_thickness=between(0.017, 0.026) - 0.006 * softness,
        brow_arch=between(0.2, 1.0) * (0.5 + 0.5 * softness),
        brow_height=between(0.120, 0.145) + 0.008 * softness,
        nose_width=between(0.072, 0.104) - 0.012 * softness,
        nose_y=between(0.150, 0.190),
        mouth_y=between(0.355, 0.385),
        mouth_width=between(0.180, 0.205),
        lip_upper=between(0.036, 0.048) + 0.008 * softness - 0.008 * age,
        lip_lower=between(0.050, 0.064) + 0.008 * softness - 0.008 * age,
        cheek=between(0.06, 0.20) * (0.5 + softness),
        freckles=between(0.3, 1.0) if tone < 1.5 and between(0, 1) < 0.2 else 0.0,
        glasses=between(0, 1) < 0.12,
        clothes=CLOTHES[int(random.integers(len(CLOTHES)))],
        cloth=_colour(cloth),
        cloth_inner=_colour(0.86 + random.normal(0, 0.04, 3)),
        backdrop=_colour(backdrop),
        backdrop_edge=_colour(backdrop * between(0.45, 0.66) + random.normal(0, 0.03, 3)),
        light=between(-0.55, 0.55),
    )


def _hair_style(random: np.random.Generator, softness: float, tone: float) -> str:
    """Any style for anybody, but likelier where it is commoner."""
    angular, soft = 1 - softness, softness
    weights = {
        "bald": 0.5 * angular**2, "buzz": 0.9 * angular, "short": 1.3 * angular, "side_part": 1.2 * angular + 0.2,
        "fringe": 0.35 + 0.3 * soft, "bob": 0.9 * soft, "long": 1.4 * soft**1.5, "curtains": 1.0 * soft,
        "bun": 0.8 * soft, "curly": 0.30 + (0.7 if tone > 2.6 else 0.1),
    }  # fmt: skip
    chances = np.array([weights[style] for style in HAIR_STYLES])
    return HAIR_STYLES[int(random.choice(len(HAIR_STYLES), p=chances / chances.sum()))]


def _blend(palette: tuple[Colour, ...], position: float) -> np.ndarray:
    lower = min(int(position), len(palette) - 2)
    fraction = position - lower
    return np.array(palette[lower]) * (1 - fraction) + np.array(palette[lower + 1]) * fraction


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 0.03, 1.0).tolist()
    return red, green, blue
