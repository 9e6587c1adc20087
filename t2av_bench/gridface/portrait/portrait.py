"""A drawn portrait that moves: motion in, frames out, in batches, by torch on any device.

The head without eyes and mouth is painted once for each person into a texture. For each frame only eyes and mouth are
redrawn there, and one resampling of the texture applies pose, parallax and jaw. Nothing is random after the identity is
chosen. Promise: the same frames to the byte for the same torch version on the same kind of processor, for any batch
size and number of threads; elsewhere a value may differ by one step of 255.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from t2av_bench.gridface.portrait.drawing import blob, grid, smoothstep
from t2av_bench.gridface.portrait.face_parts import EYE_BOX, MOUTH_BOX, EyePatch, MouthPatch, Patch
from t2av_bench.gridface.portrait.identity import Identity, sample_identity
from t2av_bench.gridface.portrait.painting import paint_backdrop, paint_head
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, MOTION_SIZE

SMALLEST_SIZE, LARGEST_SIZE = 64, 512

FRAME = (-1.06, 1.06, -1.00, 1.12)
"""What the picture shows: left, right, top, bottom in face units."""
_HEAD = (-0.86, 0.86, -1.04, 1.14)
_TEXTURE_DENSITY = 1.25

# Full deflection of each degree of freedom, in face units or radians.
_YAW, _PITCH, _ROLL, _X, _Y, _JAW = 0.105, 0.070, 0.085, 0.045, 0.030, 0.085
_PIVOT_Y = 0.80


class Portrait:
    """One person at one picture size."""

    def __init__(self, person: Identity | int, size: int = 128, *, device: torch.device | str = "cpu") -> None:
        """person: an identity, or the seed of one. size: pixels, 64 to 512."""
        if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
            raise ValueError(f"portrait size must be from {SMALLEST_SIZE} to {LARGEST_SIZE} pixels, got {size}")
        self.person = person if isinstance(person, Identity) else sample_identity(person)
        self.size = size
        self.device = torch.device(device)
        with torch.no_grad():
            self._paint()

    def _paint(self) -> None:
        person, device, size = self.person, self.device, self.size
        density = size / (FRAME[1] - FRAME[0]) * _TEXTURE_DENSITY
        width = round((_HEAD[1] - _HEAD[0]) * density)
        height = round((_HEAD[3] - _HEAD[2]) * density)
        self.head = paint_head(person, _HEAD, width, height, device)
        self.backdrop = paint_backdrop(person, FRAME, size, device)
        x, y = grid(*_HEAD, width, height, device)
        self._texture_x, self._texture_y = x, y
        self._eye_rows, eyes = self._patch(EYE_BOX, person.eye_y)
        self._mouth_rows, mouth = self._patch(MOUTH_BOX, person.mouth_y)
        self._eyes, self._mouth = EyePatch(person, eyes), MouthPatch(person, mouth)

        self._x, self._y = grid(*FRAME, size, size, device)
        # Smooth beyond the outline too: a kink there would show as a ghost of the cheek.
        skull = blob(self._x, self._y, 0, 0, 1.05 * person.face_width, 0.95 * person.face_height)
        nose = blob(self._x, self._y, 0, person.nose_y - 0.04, 0.07, 0.13)
        self._depth = 1.15 * skull - 0.25 + 0.26 * nose

    def _patch(self, box: tuple[float, float, float, float], level: float) -> tuple[tuple[slice, slice], Patch]:
        x, y = self._texture_x, self._texture_y
        columns = torch.nonzero((x[0] > box[0]) & (x[0] < box[1])).flatten()
        rows = torch.nonzero((y[:, 0] > level + box[2]) & (y[:, 0] < level + box[3])).flatten()
        where = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        pixel = float(x[0, 1] - x[0, 0])
        return where, Patch(self.head[:3, where[0], where[1]], x[where], y[where], pixel)

    def draw(self, motion: Tensor) -> Tensor:
        """(B, 16) motion (see ``visemes.MOTION_NAMES``) -> (B, 3, size, size) RGB in [0, 1]; differentiable."""
        if motion.ndim != 2 or motion.shape[1] != MOTION_SIZE:
            raise ValueError(f"motion must have shape (frames, {MOTION_SIZE}), got {tuple(motion.shape)}")
        motion = motion.to(self.device, torch.float32)
        part = {name: motion[:, index, None, None] for index, name in enumerate(MOTION_NAMES)}
        head = self.head.repeat(len(motion), 1, 1, 1)
        head[:, :3, self._eye_rows[0], self._eye_rows[1]] = self._eyes.draw(
            part["blink"], part["brow"], part["gaze_x"], part["gaze_y"]
        )
        head[:, :3, self._mouth_rows[0], self._mouth_rows[1]] = self._mouth.draw(
            part["jaw"], part["lip_width"], part["lip_rounding"], part["lip_teeth"], part["lip_closure"],
            part["tongue"], part["smile"],
        )  # fmt: skip
        moved = grid_sample(head, self._sampling(part), mode="bilinear", padding_mode="zeros", align_corners=False)
        return torch.addcmul(moved[:, :3], 1 - moved[:, 3:], self.backdrop).clamp(0, 1)

    def _sampling(self, part: dict[str, Tensor]) -> Tensor:
        """(B, size, size, 2): for each pixel the place in the texture (-1 to 1) that it shows."""
        yaw, pitch, angle = part["yaw"], part["pitch"], part["roll"] * _ROLL
        cosine, sine = torch.cos(angle), torch.sin(angle)
        right = self._x - part["x"] * _X
        below = self._y - part["y"] * _Y - _PIVOT_Y
        # Turning foreshortens, and moves what is near the viewer more than what is far.
        x = (right * cosine + below * sine) * (1 + 0.04 * yaw**2) - (yaw * _YAW) * self._depth
        y = below * cosine - right * sine + _PIVOT_Y - (pitch * _PITCH) * self._depth
        drop = part["jaw"] * (1 - 0.7 * part["lip_closure"]) * _JAW
        level = self.person.mouth_y
        y = y - drop * smoothstep(y, level + 0.01, level + 0.33)
        left, wide = _HEAD[0], _HEAD[1] - _HEAD[0]
        top, high = _HEAD[2], _HEAD[3] - _HEAD[2]
        return torch.stack([(x - left) * (2 / wide) - 1, (y - top) * (2 / high) - 1], -1)

    @torch.no_grad()
    def render(self, motion: np.ndarray | Tensor, batch_size: int = 16) -> np.ndarray:
        """(T, 16) motion -> (T, size, size, 3) uint8 RGB."""
        track = torch.as_tensor(np.asarray(motion) if not isinstance(motion, Tensor) else motion)
        if track.ndim != 2 or track.shape[1] != MOTION_SIZE:
            raise ValueError(f"motion must have shape (frames, {MOTION_SIZE}), got {tuple(track.shape)}")
        frames = np.empty((len(track), self.size, self.size, 3), np.uint8)
        for start in range(0, math.ceil(len(track) / batch_size) * batch_size, batch_size):
            picture = self.draw(track[start : start + batch_size])
            quantised = (picture * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1)
            frames[start : start + batch_size] = quantised.cpu().numpy()
        return frames
