"""Hair: where it is (behind and in front of the face) and what it looks like."""

import math

import numpy as np
import torch
from torch import Tensor

from t2av_bench.gridface.portrait.drawing import bell, blob, colour, edge, smoothstep
from t2av_bench.gridface.portrait.identity import Identity


def silhouette(person: Identity, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """(h, w) coverage of all hair, as if the face were not in front of it."""
    style, width, height = person.hair_style, person.face_width, person.face_height
    if style == "bald":
        return torch.zeros_like(x)
    volume = person.hair_volume
    scale_x, scale_y, low = {
        "buzz": (1.035, 1.035, -0.02),
        "short": (1.09 + 0.04 * volume, 1.08 + 0.06 * volume, 0.04),
        "side_part": (1.10 + 0.04 * volume, 1.10 + 0.06 * volume, 0.05),
        "fringe": (1.13 + 0.05 * volume, 1.10 + 0.05 * volume, 0.12),
        "bun": (1.04, 1.07, 0.00),
        "curly": (1.28 + 0.14 * volume, 1.18 + 0.06 * volume, 0.30),
    }.get(style, (1.15 + 0.06 * volume, 1.11 + 0.05 * volume, 0.30))
    ripple = torch.zeros_like(x)
    if style == "curly":
        angle = torch.atan2(x, -(y + 0.1))
        ripple = 0.016 * torch.sin(15 * angle + person.seed) + 0.011 * torch.sin(27 * angle + 2 * person.seed)
    # Short hair lies closer towards the ears.
    closer = max(scale_x - 1.02, 0.0) if low < 0.2 else 0.0
    radius = torch.sqrt(
        (x / (width * (scale_x - closer * smoothstep(y, low - 0.5, low)))) ** 2
        + ((y + 0.12) / (height * scale_y - 0.12)) ** 2
    )
    dome = (1 - radius) * width * scale_x + ripple
    side = smoothstep(y, low - 0.16, low + 0.10)
    found = edge(dome - 0.5 * side, 1.5 * pixel)
    if style in ("long", "curtains", "bob"):
        found = torch.maximum(found, _curtain(person, x, y, pixel, scale_x))
    if style == "bun":
        top = -height * scale_y + 0.02
        found = torch.maximum(found, edge(0.17 - torch.sqrt((x / 1.15) ** 2 + (y - top + 0.05) ** 2), 1.5 * pixel))
    return found


def _curtain(person: Identity, x: Tensor, y: Tensor, pixel: float, scale_x: float) -> Tensor:
    """Hair that falls at both sides of the face, with rounded ends."""
    bottom = 0.50 + 0.08 * person.hair_volume if person.hair_style == "bob" else 0.98 + 0.12 * person.hair_volume
    wave = 0.012 * torch.sin(9 * y + person.seed)
    outer = person.face_width * scale_x + 0.05 * smoothstep(y, 0.0, 0.5) + wave
    # The outline turns in towards the ends like the corner of a large ellipse.
    turn = ((y - (bottom - 0.30)) / 0.30).clamp(0, 1)
    outer = outer - 0.20 * (1 - torch.sqrt((1 - turn**2).clamp(min=1e-4)))
    inner = 0.27 + 0.05 * torch.sin(4 * y + 1) - 0.03 * smoothstep(y, 0.6, 1.0)
    across = torch.minimum(outer - x.abs(), x.abs() - inner)
    along = torch.minimum(y + 0.12, bottom - y - 0.5 * (x.abs() - 0.42).abs())
    return edge(torch.minimum(across, along), 1.5 * pixel)


def front(person: Identity, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """(h, w) coverage of the hair that lies over the face (multiply by ``silhouette``)."""
    style = person.hair_style
    if style == "bald":
        return torch.zeros_like(x)
    across = x.abs() / person.face_width
    # At the temples every hairline runs down towards the ears.
    ragged = 0.007 * torch.sin(47 * x + person.seed) + 0.005 * torch.sin(83 * x)
    recess = 0.05 * (0.3 + person.age) * blob(across, 0 * y, 0.62, 0, 0.16, 1)
    line = person.hairline - recess + 0.58 * smoothstep(across, 0.72, 1.02) + ragged
    if style == "side_part":
        line = person.hairline + 0.03 + 0.13 * (x * math.copysign(1, person.part) + 0.25) ** 2
        line = line + 0.55 * smoothstep(across, 0.74, 1.02) + ragged
    elif style == "fringe":
        scallop = 0.012 * torch.sin(24 * x + person.seed) + 0.006 * torch.sin(51 * x)
        line = -0.350 + 0.05 * x * math.copysign(1, person.part) + scallop + 0.40 * smoothstep(across, 0.62, 1.0)
    elif style in ("long", "curtains", "bob"):
        gap = (x - (0.3 if style == "bob" else 0.15) * person.part).abs()
        fall = 1.05 if style == "curtains" else 0.70
        line = person.hairline - 0.03 + fall * gap**1.6 + 0.62 * smoothstep(across, 0.66, 0.98)
    elif style == "curly":
        line = line + 0.02 + 0.016 * torch.sin(30 * x + person.seed) + 0.012 * torch.sin(19 * x)
    elif style == "buzz":
        line = person.hairline - recess + 0.52 * smoothstep(across, 0.74, 1.0)
    soft = 0.03 if style == "buzz" else 0.008
    return edge(line - y, soft + pixel)


def strands(person: Identity, x: Tensor, y: Tensor) -> Tensor:
    """(3, h, w) colour of the hair: locks, a soft sheen, darker towards the neck."""
    random = np.random.default_rng([0x4A12, person.seed])
    if person.hair_style == "curly":
        phases = random.uniform(0, 6.28, 4)
        locks = torch.sin(34 * x + 3 * torch.sin(17 * y + phases[0]) + phases[1])
        locks = locks * torch.sin(31 * y + 3 * torch.sin(19 * x + phases[2]) + phases[3])
    else:
        # Locks run away from the parting over the head and straight down beside the face.
        root = (x - person.part) / (0.55 + 0.45 * smoothstep(y, -0.9, -0.2))
        locks = torch.zeros_like(x)
        for frequency, weight in zip((7, 17, 31, 53, 83), (0.5, 0.6, 0.5, 0.4, 0.3), strict=True):
            first, second = random.uniform(0, 6.28, 2)
            locks = locks + weight * torch.sin(frequency * root + 0.9 * torch.sin(4 * y + second) + first)
    amount = 0.05 if person.hair_style == "buzz" else 0.11
    brightness = 1.0 + amount * locks
    crown = bell(((y + 0.60 - 0.55 * x**2) / 0.085) ** 2) * blob(x, y, -0.35 * person.light, -0.6, 0.5, 0.4)
    sheen = (0.30 if person.hair_style not in ("buzz", "curly") else 0.10) * crown * (0.75 + 0.25 * locks)
    depth = 1.0 - 0.32 * smoothstep(y, 0.05, 0.75) - 0.28 * (x / 0.62).abs().clamp(max=1.3) ** 3
    tint = colour(person.hair, x)
    return (tint * brightness * depth + sheen * (0.35 + 0.65 * tint)).clamp(0, 1)
