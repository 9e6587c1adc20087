"""What is painted once for each person: the head without eyes and mouth, and everything behind it.

The head is shaded from a height field (skull, nose, eye sockets, cheekbones, muzzle, chin), so that light falls on
all features from the same side.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from t2av_bench.gridface.portrait import hair
from t2av_bench.gridface.portrait.drawing import bell, blob, colour, edge, grid, over, smoothstep
from t2av_bench.gridface.portrait.identity import Identity

# Painted at this multiple of the size and averaged: smooth edges of everything that does not move by itself.
_SUPERSAMPLING = 2


def paint_head(
    person: Identity, extent: tuple[float, float, float, float], width: int, height: int, device: torch.device
) -> Tensor:
    """(4, height, width): red, green, blue multiplied by coverage, and coverage, over ``extent`` (left, right, top,
    bottom in face units)."""
    x, y = grid(*extent, width * _SUPERSAMPLING, height * _SUPERSAMPLING, device)
    pixel = (extent[1] - extent[0]) / x.shape[1]
    face = edge(face_distance(person, x, y), 1.5 * pixel)
    behind = hair.silhouette(person, x, y, pixel)
    front = hair.front(person, x, y, pixel) * behind
    locks = hair.strands(person, x, y)

    skin = _skin(person, x, y, pixel)
    # Hair casts a soft shadow on the forehead.
    shadow = hair.front(person, x, y - 0.035, 0.045) * behind
    skin = skin * (1 - 0.26 * shadow)

    picture, coverage = locks, behind
    ears = _ears(person, x, y, pixel)
    if person.hair_style not in ("bob", "long", "curtains", "curly"):
        picture = over(picture, _ear_skin(person, x, y), ears)
        coverage = torch.maximum(coverage, ears)
    picture = over(picture, skin, face)
    coverage = torch.maximum(coverage, face)
    picture = over(picture, locks * (1.0 - 0.06 * smoothstep(y, -0.5, -0.1)), front)
    painted = torch.cat([picture.clamp(0, 1) * coverage, coverage[None]])
    return avg_pool2d(painted[None], _SUPERSAMPLING)[0]


def paint_backdrop(
    person: Identity, extent: tuple[float, float, float, float], size: int, device: torch.device
) -> Tensor:
    """(3, size, size): background, shoulders, clothes and neck."""
    x, y = grid(*extent, size * _SUPERSAMPLING, size * _SUPERSAMPLING, device)
    pixel = (extent[1] - extent[0]) / x.shape[1]
    distance = torch.sqrt((x - 0.25 * person.light) ** 2 + (y + 0.15) ** 2)
    picture = over(colour(person.backdrop, x), colour(person.backdrop_edge, x), smoothstep(distance, 0.1, 1.75))
    picture = picture * (1.0 - 0.10 * smoothstep(y, 0.2, 1.1))

    slope = 0.20 * x**2 - 0.08 * smoothstep(-x.abs(), -0.45, -0.10)
    shoulders = edge(y - 0.83 - slope, 2 * pixel)
    cloth = _cloth(person, x, y)
    # A soft shadow of the person on the wall, and of the head on the shoulders.
    picture = picture * (1 - 0.16 * smoothstep(y - 0.74 - slope, -0.16, 0.05))
    neck_skin, neck, below = _neck(person, x, y, pixel)
    if person.clothes == "turtleneck":
        picture = over(picture, neck_skin, neck)
        picture = over(picture, cloth, shoulders)
        collar = edge(torch.minimum(0.275 - x.abs() + 0.02 * torch.sin(6 * y), y - 0.69 - 0.12 * x**2), 2 * pixel)
        roll = 1.0 - 0.5 * (x / 0.29).abs().clamp(max=1) ** 3 - 0.20 * blob(0 * x, y, 0, 0.86, 1, 0.025)
        picture = over(picture, cloth * roll, collar)
    else:
        body = torch.maximum(shoulders, neck)
        picture = over(picture, cloth, shoulders)
        picture = over(picture, neck_skin, torch.maximum(neck * (1 - shoulders), body * below))
        picture = _collar(person, picture, cloth, shoulders, x, y, pixel)
    return avg_pool2d(picture.clamp(0, 1)[None], _SUPERSAMPLING)[0]


def face_distance(person: Identity, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance (approximately) to the outline of the face, positive inside."""
    return (1 - _face_radius(person, x, y)) * person.face_width


def _face_radius(person: Identity, x: Tensor, y: Tensor) -> Tensor:
    """0 at the centre of the face, 1 at its outline: an ellipse above, a tapered jaw with a broad chin below."""
    down = (y / person.face_height).clamp(0, 1.2)
    taper = person.jaw_taper * smoothstep(down, 0.05, 1.0)
    half_width = person.face_width * (1 - taper)
    power = 2.0 + (0.25 + 0.8 * person.chin_width) * smoothstep(down, 0.1, 0.7)
    return ((x.abs() / half_width + 1e-6) ** power + (y.abs() / person.face_height + 1e-6) ** power) ** (1 / power)


def _height(person: Identity, x: Tensor, y: Tensor) -> Tensor:
    """Height of the face towards the viewer, in face units."""
    radius = _face_radius(person, x, y)
    height = 0.44 * torch.sqrt((1.06 - radius**2).clamp(min=0.02))
    for side in (-1, 1):
        eye = side * person.eye_x
        height = height - 0.060 * blob(x, y, eye * 0.97, person.eye_y - 0.015, 0.135, 0.085)
        height = height + 0.022 * blob(x, y, eye, person.eye_y - person.brow_height - 0.01, 0.17, 0.050)
        height = height + 0.040 * blob(x, y, side * 0.300, 0.110, 0.13, 0.09)
        height = height - 0.018 * blob(x, y, side * 0.300, 0.330, 0.10, 0.13) * (1.2 - 0.6 * person.softness)
    tip = person.nose_y
    along = ((y - person.eye_y + 0.03) / (tip - person.eye_y + 0.03)).clamp(0, 1)
    ridge = (0.018 + 0.070 * along**1.6) * smoothstep(y, person.eye_y - 0.10, person.eye_y + 0.05)
    ridge = ridge * smoothstep(-y, -tip - 0.055, -tip - 0.005)
    spread = 0.040 + (person.nose_width * 0.42 - 0.010) * along
    height = height + ridge * bell((x / spread) ** 2)
    height = height + 0.026 * blob(x, y, 0, tip - 0.012, 0.046, 0.040)
    for side in (-1, 1):
        height = height + 0.030 * blob(x, y, side * person.nose_width * 0.80, tip - 0.005, 0.032, 0.034)
    height = height + 0.030 * blob(x, y, 0, person.mouth_y, 0.20, 0.13)
    height = height + 0.026 * blob(x, y, 0, person.face_height - 0.075, 0.10 + 0.1 * person.chin_width, 0.055)
    height = height - 0.016 * blob(x, y, 0, person.mouth_y + 0.125, 0.10, 0.032)
    return height - 0.006 * blob(x, y, 0, (tip + person.mouth_y) / 2 + 0.02, 0.020, 0.05)


def _skin(person: Identity, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    tint = colour(person.skin, x).expand(3, *x.shape)
    height = _height(person, x, y)
    slope_y, slope_x = torch.gradient(height, spacing=pixel)
    norm = torch.rsqrt(1 + slope_x**2 + slope_y**2)
    light_x, light_y, light_z = 0.42 * person.light, -0.42, 0.80
    diffuse = ((-slope_x * light_x - slope_y * light_y + light_z) * norm).clamp(min=0)
    sheen = diffuse.clamp(0, 1) ** 16

    # Blood shows in cheeks, nose and around the mouth; the sockets are darker in everybody.
    red = torch.zeros_like(x)
    sockets = torch.zeros_like(x)
    for side in (-1, 1):
        red = red + person.cheek * blob(x, y, side * 0.285, 0.185, 0.13, 0.10)
        eye = side * person.eye_x
        sockets = sockets + 0.36 * blob(x, y, eye * 0.95, person.eye_y - 0.035, 0.120, 0.070)
        sockets = sockets + (0.10 + 0.10 * person.age) * blob(x, y, eye, person.eye_y + 0.085, 0.09, 0.030)
    red = red + 0.10 * blob(x, y, 0, person.nose_y, 0.07, 0.05)
    tint = over(tint, tint * colour((1.04, 0.66, 0.62), x), red)
    tint = over(tint, tint * colour((0.58, 0.47, 0.44), x), sockets.clamp(max=1))
    if person.freckles:
        tint = tint * (1 - 0.16 * person.freckles * _freckles(person, x, y))
    tint = _facial_hair(person, tint, x, y)

    for side in (-1, 1):
        fold_x = side * (person.nose_width + 0.035 + 0.30 * (y - person.nose_y + 0.02).clamp(min=0))
        fold = bell(((x - fold_x) / 0.024) ** 2) * smoothstep(y, person.nose_y - 0.03, person.nose_y + 0.07)
        fold = fold * smoothstep(-y, -person.mouth_y - 0.02, -person.mouth_y + 0.10)
        tint = tint * (1 - (0.05 + 0.13 * person.age) * fold)
        crease = blob(x, y, side * person.nose_width * 1.02, person.nose_y - 0.004, 0.014, 0.030)
        tint = tint * (1 - 0.26 * crease)
        nostril = blob(x, y, side * person.nose_width * 0.50, person.nose_y + 0.033, 0.024, 0.0125)
        tint = over(tint, tint * colour((0.34, 0.22, 0.20), x), nostril.clamp(max=1))
    under_nose = blob(x, y, 0, person.nose_y + 0.055, person.nose_width * 0.8, 0.022)
    tint = tint * (1 - 0.16 * under_nose)
    rim = smoothstep(_face_radius(person, x, y), 0.72, 1.02)
    shade = 0.46 + 0.66 * diffuse - 0.12 * rim
    # Light that has passed through skin is warmer: shaded parts lose blue and green first.
    warm = torch.lerp(colour((1.10, 0.93, 0.86), x), torch.ones(3, 1, 1, device=x.device), shade.clamp(0, 1))
    return tint * warm * shade + 0.13 * sheen * (0.4 + 0.6 * tint)


def _facial_hair(person: Identity, tint: Tensor, x: Tensor, y: Tensor) -> Tensor:
    if not (person.beard or person.moustache):
        return tint
    grain = 0.85 + 0.15 * torch.sin(61 * x + 4 * torch.sin(37 * y)) * torch.sin(53 * y + 3 * torch.sin(41 * x))
    radius = _face_radius(person, x, y)
    across = (x / person.mouth_width).abs()
    mouth = torch.sqrt((x / (person.mouth_width * 1.12)) ** 2 + ((y - person.mouth_y - 0.02) / 0.115) ** 2)
    # The upper edge runs from the sideburns down to the corners of the mouth.
    upper = person.mouth_y + 0.05 - 0.34 * smoothstep(radius, 0.70, 1.0)
    beard = smoothstep(y - upper, -0.05, 0.09) * smoothstep(mouth, 0.85, 1.25) * smoothstep(radius, 0.30, 0.72)
    moustache = bell(((y - person.mouth_y + 0.078 - 0.030 * across**2) / 0.027) ** 2)
    moustache = moustache * smoothstep(-across, -1.25, -0.75)
    coverage = torch.maximum(person.beard * beard, person.moustache * moustache) * grain
    return over(tint, colour(person.brow, x), coverage.clamp(0, 1))


def _freckles(person: Identity, x: Tensor, y: Tensor) -> Tensor:
    dots = torch.sin(97 * x + 5 * torch.sin(43 * y + person.seed)) * torch.sin(89 * y + 5 * torch.sin(47 * x))
    cheeks = blob(x.abs(), y, 0.21, 0.11, 0.16, 0.08)
    return smoothstep(dots, 0.45, 0.9) * cheeks


def _ears(person: Identity, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    centre = person.face_width * 0.985
    radius = torch.sqrt(((x.abs() - centre) / 0.062) ** 2 + ((y - 0.03 + 0.25 * (x.abs() - centre)) / 0.125) ** 2)
    return edge((1 - radius) * 0.06, 1.5 * pixel)


def _ear_skin(person: Identity, x: Tensor, y: Tensor) -> Tensor:
    centre = person.face_width * 0.985
    inside = blob(x.abs(), y, centre + 0.006, 0.025, 0.024, 0.065)
    return colour(person.skin, x) * (0.84 - 0.30 * inside) * colour((1.0, 0.93, 0.91), x)


def _neck(person: Identity, x: Tensor, y: Tensor, pixel: float) -> tuple[Tensor, Tensor, Tensor]:
    """Skin of neck and chest, coverage of the neck, and coverage of what the neckline leaves bare."""
    half_width = 0.255 - 0.035 * person.softness + 0.16 * smoothstep(y, 0.74, 1.02) ** 2
    neck = edge(torch.minimum(half_width - x.abs(), y - 0.30), 2 * pixel) * edge(0.99 - y, 2 * pixel)
    chin_shadow = 0.42 * smoothstep(-y - 0.25 * x.abs(), -0.90, -0.60)
    round_shade = 0.26 * (x / half_width).abs().clamp(max=1.2) ** 3
    cords = 0.05 * blob(x.abs(), y, 0.13 - 0.25 * (0.9 - 0.8), 0.85, 0.03, 0.14)
    hollow = 0.14 * blob(x, y, 0, 0.93, 0.05, 0.04)
    skin = colour(person.skin, x) * (0.93 - chin_shadow - round_shade + cords - hollow + 0.05 * person.light * x)
    line = {"crew": 0.895 - 0.9 * x**2, "v_neck": 1.10 - 0.95 * x.abs(), "shirt": 1.06 - 0.95 * x.abs()}
    below = edge(line.get(person.clothes, 0.86 + 0 * x) - y, 2 * pixel) * edge(0.42 - x.abs(), 0.02)
    return skin.clamp(0.02, 1), neck, below


def _cloth(person: Identity, x: Tensor, y: Tensor) -> Tensor:
    folds = torch.sin(9 * x + 5 * y + person.seed) * smoothstep(y, 0.85, 1.1)
    shade = 1.02 - 0.10 * smoothstep(x.abs(), 0.45, 1.0) + 0.045 * folds + 0.10 * person.light * x
    under_chin = 0.30 * blob(x, y, -0.10 * person.light, 0.80, 0.36, 0.14)
    return colour(person.cloth, x) * (shade - under_chin)


def _collar(
    person: Identity, picture: Tensor, cloth: Tensor, shoulders: Tensor, x: Tensor, y: Tensor, pixel: float
) -> Tensor:
    if person.clothes == "crew":
        band = bell(((y - 0.912 + 0.9 * x**2) / 0.017) ** 2) * edge(0.40 - x.abs(), 0.02)
        return over(picture, cloth * 0.80, band * shoulders * smoothstep(y, 0.74, 0.78))
    if person.clothes == "v_neck":
        band = bell(((y - 1.125 + 0.95 * x.abs()) / 0.022) ** 2) * smoothstep(y, 0.76, 0.80)
        return over(picture, cloth * 0.80, band * shoulders)
    # Two flaps, from the sides of the neck to a point beside the buttons.
    across = x.abs()
    inner = 0.69 * (y - 0.76 - 1.045 * (0.250 - across))
    outer = 0.92 * (0.315 - 0.40 * (y - 0.80) - across)
    flap = torch.minimum(torch.minimum(inner, outer), 0.92 * (0.995 + 0.42 * across - y))
    flap = torch.minimum(flap, y - 0.79 - 0.25 * (across - 0.22).clamp(min=0))
    shaded = colour(person.cloth_inner, x) * (0.98 - 0.20 * smoothstep(across, 0.26, 0.06) * smoothstep(-y, -1.0, -0.8))
    shadow = edge(flap + 0.02, 0.02)
    picture = picture * (1 - 0.22 * shadow)
    return over(picture, shaded, edge(flap, 2 * pixel))
