"""What is redrawn in every frame: eyes and mouth, as patches of the head's texture."""

from dataclasses import dataclass

import torch
from torch import Tensor

from t2av_bench.gridface.portrait.drawing import bell, blob, colour, edge, over, smoothstep
from t2av_bench.gridface.portrait.identity import Identity

EYE_BOX = (-0.42, 0.42, -0.36, 0.13)
MOUTH_BOX = (-0.32, 0.32, -0.15, 0.30)
"""left, right, top, bottom in face units; tops and bottoms are relative to the eyes' and the mouth's height."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of the head's texture.

    base: (3, h, w) as painted; x, y: (h, w) face units; pixel: size of a texture pixel in face units.
    """

    base: Tensor
    x: Tensor
    y: Tensor
    pixel: float


class EyePatch:
    """Eyes, lids and brows. ``draw`` takes motion and gives the patch's picture."""

    def __init__(self, person: Identity, patch: Patch) -> None:
        self.person, self.patch = person, patch
        x, y = patch.x, patch.y
        self.side = torch.where(x < 0, -1.0, 1.0)
        self.out = x.abs() - person.eye_x
        # The eye is widest a little towards the nose, and its outer corner sits higher or lower.
        across = self.out / person.eye_size
        self.across = across
        self.profile = (1 - across**2).clamp(0, 1) ** 0.72 * (1 - 0.14 * across)
        self.level = person.eye_y - person.eye_tilt * self.out
        self.within = edge(1.0 - across.abs(), patch.pixel / person.eye_size)
        self.down = y - self.level
        self.sclera = colour((0.93, 0.915, 0.90), x) * (1 - 0.16 * across**2)
        self.lid = patch.base * colour((0.92, 0.84, 0.81), x)
        self.glasses = _glasses(person, patch) if person.glasses else None
        taper = 1 - 0.55 * smoothstep(across, -0.2, 1.5) - 0.25 * smoothstep(-across, 0.7, 1.3)
        self.brow_half = person.brow_thickness * taper
        bend = 0.030 * person.brow_arch * (1 - ((across - 0.35) / 1.2) ** 2)
        self.brow_line = self.level - person.brow_height - bend + 0.010 * across**2
        ends = smoothstep(across, -1.35, -1.0) * smoothstep(-across, -1.55, -1.15)
        hairs = 0.86 + 0.14 * torch.sin(150 * x * self.side + 60 * y + person.seed)
        self.brow_ends = ends * hairs * (0.92 - 0.15 * person.softness)

    def draw(self, blink: Tensor, brow: Tensor, gaze_x: Tensor, gaze_y: Tensor) -> Tensor:
        """Each (B, 1, 1) -> (B, 3, h, w)."""
        person, pixel, size = self.person, self.patch.pixel, self.person.eye_size
        opening = (1 - blink) * (1 + 0.10 * brow) * person.eye_opening
        closed = blink * self.profile * size
        top = -size * 0.53 * self.profile * opening + 0.30 * closed
        bottom = size * 0.42 * self.profile * (1 - 0.25 * blink)
        eyeball = edge(torch.minimum(self.down - top, bottom - self.down), pixel) * self.within

        right = (self.out * self.side - gaze_x * 0.030).unsqueeze(1)
        # Gaze moves both irises to the same side: out is mirrored, so it is mirrored back above.
        below = (self.down - gaze_y * 0.018).unsqueeze(1)
        radius = torch.sqrt(right**2 + below**2)
        iris_size = 0.49 * size
        iris = colour(person.iris, radius) * (0.55 + 0.75 * smoothstep(below, -iris_size, iris_size))
        iris = iris * (1 - 0.45 * smoothstep(radius, 0.72 * iris_size, iris_size))
        iris = iris * (1 - 0.94 * edge(0.46 * iris_size - radius, 1.2 * pixel))
        eye = over(self.sclera.expand(len(blink), -1, -1, -1), iris, edge(iris_size - radius, 1.2 * pixel))
        lid_shadow = 0.40 * bell(((self.down - top) / (0.24 * size)).clamp(min=0) ** 2).unsqueeze(1)
        eye = eye * (1 - lid_shadow)
        light = 0.30 * iris_size * (1 if person.light >= 0 else -1)
        glint = edge(0.20 * iris_size - torch.sqrt((right - light) ** 2 + (below + 0.34 * iris_size) ** 2), pixel)
        eye = over(eye, torch.ones_like(eye), 0.92 * glint)

        # The closing lid carries its own skin over the eye; its fold lies above the lashes.
        skin = self.patch.base.expand(len(blink), -1, -1, -1)
        lid_zone = edge(torch.minimum(self.down + size * 0.62 * self.profile, bottom - self.down), 2 * pixel)
        skin = over(skin, self.lid, (0.55 * lid_zone * self.within).unsqueeze(1))
        fold = bell(((self.down - top + 0.026 + 0.012 * self.profile) / (0.007 + pixel)) ** 2)
        fold = 0.34 * fold * smoothstep(-self.across.abs(), -1.15, -0.75) * (1 - 0.8 * blink)
        skin = skin * (1 - fold.unsqueeze(1))
        picture = over(skin, eye, eyeball.unsqueeze(1))

        thick = (0.0085 + 0.004 * person.softness) * (1 - 0.3 * blink) + 0.5 * pixel
        lashes = edge(thick * (0.75 + 0.45 * self.across) - (self.down - top).abs(), 1.2 * pixel)
        lashes = lashes * smoothstep(1.10 - self.across.abs(), 0.0, 0.16)
        picture = over(picture, colour((0.10, 0.07, 0.06), picture), (0.92 * lashes).unsqueeze(1))
        lower = bell(((self.down - bottom - 0.003) / (0.006 + pixel)) ** 2) * self.within
        picture = picture * (1 - 0.34 * lower.unsqueeze(1))

        brow_down = self.patch.y - self.brow_line + 0.030 * brow
        brows = edge(self.brow_half - brow_down.abs(), 0.008 + 0.5 * pixel) * self.brow_ends
        picture = over(picture, colour(person.brow, picture), brows.unsqueeze(1))
        if self.glasses is not None:
            picture = over(picture, self.glasses[:3], self.glasses[3:])
        return picture


def _glasses(person: Identity, patch: Patch) -> Tensor:
    """(4, h, w) colour and coverage of a thin frame with a faint reflection."""
    x, y, pixel = patch.x, patch.y, patch.pixel
    centre_x, centre_y, half = person.eye_x + 0.006, person.eye_y + 0.012, 0.150
    power = 2.6
    radius = (((x.abs() - centre_x) / half).abs() ** power + ((y - centre_y) / 0.112).abs() ** power) ** (1 / power)
    rim = edge(0.0065 + 0.3 * pixel - ((radius - 1) * 0.125).abs(), pixel)
    bridge = edge(0.0065 - (y - person.eye_y + 0.012 + 0.5 * x**2).abs(), pixel) * edge(0.065 - x.abs(), pixel)
    arms = edge(0.0065 - (y - person.eye_y - 0.004).abs(), pixel) * edge(x.abs() - centre_x - half, pixel)
    frame = torch.maximum(torch.maximum(rim, bridge), arms)
    lens = edge((1 - radius) * 0.125, pixel) * (0.05 + 0.07 * smoothstep(x + y, -0.1, -0.3))
    tint = torch.where(frame > lens, 0.13, 0.95).expand(3, *x.shape)
    return torch.cat([tint, torch.maximum(0.92 * frame, lens)[None]])


class MouthPatch:
    """Lips, teeth, tongue and the skin around them. ``draw`` takes motion and gives the patch's picture."""

    def __init__(self, person: Identity, patch: Patch) -> None:
        self.person, self.patch = person, patch
        self.x = patch.x
        self.down = patch.y - person.mouth_y

    def draw(
        self, jaw: Tensor, width: Tensor, rounding: Tensor, lip_teeth: Tensor, closure: Tensor, tongue: Tensor,
        smile: Tensor,
    ) -> Tensor:  # fmt: skip
        """Each (B, 1, 1) -> (B, 3, h, w)."""
        person, pixel, down = self.person, self.patch.pixel, self.down
        free = 1 - closure
        half_width = person.mouth_width * (1 + 0.24 * width - 0.46 * rounding + 0.08 * smile - 0.07 * jaw)
        u = self.x / half_width
        inside = (1 - u**2).clamp(0, 1)
        # A round mouth is an ellipse; a spread one runs out into its corners.
        shape = inside ** (0.78 - 0.30 * rounding)
        opening = (0.150 * jaw + 0.026 * width + 0.050 * rounding) * free * (1 - lip_teeth) + 0.040 * lip_teeth
        line = 0.014 * jaw - (0.034 * smile + 0.014 * width + 0.006) * u**2 + 0.010
        upper = line - opening * 0.30 * shape
        lower = line + opening * 0.85 * shape

        fullness = (1 + 0.50 * rounding) * (1 - 0.42 * closure)
        bow = 1 + 0.16 * bell(((u.abs() - 0.26) / 0.17) ** 2) - 0.30 * bell((u / 0.13) ** 2)
        upper_edge = upper - person.lip_upper * fullness * (1 - 0.25 * lip_teeth) * inside**0.62 * bow
        # For f and v the lower lip rolls in under the upper teeth.
        lower_edge = lower + person.lip_lower * fullness * (1 - 0.45 * lip_teeth) * inside**0.55
        ends = edge((1 - u.abs()) * half_width, 1.5 * pixel)
        lips = edge(torch.minimum(down - upper_edge, lower_edge - down), pixel + 0.002) * ends
        gap = torch.minimum(down - upper, lower - down)
        hole = edge(gap, pixel) * ends * smoothstep(opening, 0.002, 0.016)

        picture = self._skin(jaw, rounding, lip_teeth, smile, half_width, upper_edge, lower_edge)
        lip = self._lips(line, upper_edge, lower, lower_edge, u, rounding)
        picture = over(picture, lip, lips.unsqueeze(1))
        cavity = self._cavity(upper, lower, u, inside, opening, tongue, width, rounding, lip_teeth)
        picture = over(picture, cavity, hole.unsqueeze(1))
        # Where the lips meet, and at the corners, there is a dark line.
        crease = bell(((down - line) / (0.0055 + 0.8 * pixel)) ** 2) * edge((1.04 - u.abs()) * half_width, 0.01)
        crease = crease * (1 - smoothstep(opening, 0.004, 0.020)) * (0.62 + 0.16 * closure)
        corner = bell(((u.abs() - 1.0) * half_width / 0.014) ** 2 + ((down - line) / 0.012) ** 2)
        return picture * (1 - torch.maximum(crease, 0.42 * corner)).unsqueeze(1)

    def _skin(
        self, jaw: Tensor, rounding: Tensor, lip_teeth: Tensor, smile: Tensor, half_width: Tensor, upper_edge: Tensor,
        lower_edge: Tensor,
    ) -> Tensor:  # fmt: skip
        down, x = self.down, self.x
        under = 0.30 * bell((((down - lower_edge - 0.024) / 0.020) ** 2) + (x / 0.105) ** 2)
        under = under * (0.8 + 0.5 * rounding)
        above = 0.12 * rounding * bell((((down - upper_edge + 0.014) / 0.016) ** 2) + (x / 0.12) ** 2)
        dimples = 0.20 * smile.clamp(min=0) * blob(x.abs() - half_width, down, 0.035, 0.0, 0.018, 0.045)
        tucked = 0.14 * lip_teeth * bell((((down - lower_edge - 0.012) / 0.016) ** 2) + (x / 0.13) ** 2)
        hollow = 0.10 * jaw * blob(x.abs() - half_width, down, 0.05, 0.09, 0.035, 0.07)
        shade = 1 - (under + above + dimples + tucked + hollow)
        return self.patch.base * shade.unsqueeze(1)

    def _lips(
        self, line: Tensor, upper_edge: Tensor, lower: Tensor, lower_edge: Tensor, u: Tensor, rounding: Tensor
    ) -> Tensor:
        down = self.down
        is_upper = smoothstep(line - down, -0.004, 0.004)
        thickness = (lower_edge - lower).clamp(min=0.006)
        along = ((down - lower) / thickness).clamp(0, 1)
        lower_light = 0.96 + 0.30 * bell((((along - 0.42) / 0.30) ** 2) + (u / 0.55) ** 2) - 0.24 * along**3
        above = ((line - down) / (line - upper_edge).clamp(min=0.006)).clamp(0, 1)
        upper_light = 0.74 + 0.14 * above
        wrinkles = 1 + 0.025 * torch.sin(70 * self.x) * (1 - 0.5 * rounding)
        light = torch.lerp(lower_light, upper_light, is_upper) * wrinkles * (1 - 0.10 * u**2)
        return colour(self.person.lip, u) * light.unsqueeze(1)

    def _cavity(
        self, upper: Tensor, lower: Tensor, u: Tensor, inside: Tensor, opening: Tensor, tongue: Tensor, width: Tensor,
        rounding: Tensor, lip_teeth: Tensor,
    ) -> Tensor:  # fmt: skip
        pixel, down = self.patch.pixel, self.down
        depth = ((down - upper) / (lower - upper).clamp(min=0.01)).clamp(0, 1)
        dark = (0.75 + 0.55 * depth).unsqueeze(1) * colour((0.22, 0.055, 0.06), u)
        tongue_top = lower - (0.018 + 0.20 * opening + 0.062 * tongue) * inside.clamp(min=1e-4) ** 0.6
        tongue_cover = edge(down - tongue_top, 0.006 + pixel) * smoothstep(0.74 - u.abs(), 0.0, 0.22)
        tongue_light = (0.70 + 0.35 * bell(((down - tongue_top - 0.022) / 0.02) ** 2)).unsqueeze(1)
        picture = over(dark, colour((0.74, 0.34, 0.34), u) * tongue_light, (0.92 * tongue_cover).unsqueeze(1))

        gaps = 1 - 0.10 * bell((torch.sin(self.x * 68) / 0.25) ** 2)
        lower_teeth = lower - 0.016 - 0.010 * inside
        cover = edge(down - lower_teeth, pixel) * smoothstep(0.66 - u.abs(), 0.0, 0.18)
        cover = cover * smoothstep(opening, 0.075, 0.12) * (1 - tongue)
        picture = over(picture, colour((0.80, 0.78, 0.74), u) * gaps, (0.85 * cover).unsqueeze(1))
        # Upper teeth are fixed to the skull: the lip uncovers them as it rises.
        teeth_end = 0.030 + 0.006 * width + 0.022 * lip_teeth - 0.016 * u**2
        cover = edge(torch.minimum(teeth_end - down, down - upper + 0.01), pixel) * smoothstep(
            0.90 - u.abs(), 0.0, 0.14
        )
        cover = cover * (1 - 0.65 * rounding)
        light = ((0.80 + 0.20 * smoothstep(down - upper, 0.0, 0.022)) * gaps * (1 - 0.22 * u**2)).unsqueeze(1)
        return over(picture, colour((0.95, 0.935, 0.905), u) * light, cover.unsqueeze(1))
