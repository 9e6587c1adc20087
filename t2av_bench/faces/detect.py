"""Face detectors behind one small interface.

Boxes are float64 rows ``(x1, y1, x2, y2, score)`` in pixels of the frame, best first; two boxes of one frame overlap
by at most ``NMS_OVERLAP`` (intersection over union). A detector has no memory: a frame's boxes depend on that frame
alone, whatever the batch.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.utils.inference import Dtype, check_dtype, precision, to_device
from t2av_bench.utils.optional import make_torchvision_importable, require

NMS_OVERLAP = 0.1
_S3FD_MEAN = (123.0, 117.0, 104.0)  # RGB
# Working memory of the detector's first layers is about 1 kB a pixel; 2**18 scaled pixels (16 frames of 512x512 at
# a quarter) stay in a few hundred MB for any frame size.
_S3FD_BATCH_PIXELS = 1 << 18
_S3FD_LEAST_SIDE = 112  # a quarter of it survives the network's five poolings


class Detector(Protocol):
    """What finds faces. ``parameters`` and ``weights`` (id -> sha256) go into the protocol of every score."""

    name: str
    parameters: dict[str, Any]
    weights: dict[str, str | None]

    def detect(self, frames: np.ndarray) -> list[np.ndarray]:
        """(n, H, W, 3) uint8 RGB -> n arrays (k, 5) float64."""
        ...


class S3FD:
    """S3FD as the SyncNet pipelines use it: quarter size, score above 0.9, boxes thinned at ``NMS_OVERLAP``.

    network: ``S3FDNet`` of syncnet-python with its weights loaded.
    scale, confidence: see ``PARAMETERS``; the network's own limits (0.05, 0.3, top 750 of 5000) are its defaults.
    dtype: of its convolutions; where it is not float32 it is one of the parameters.
    """

    name = "s3fd"
    PARAMETERS: ClassVar[dict[str, Any]] = {
        "scale": 0.25,
        "interpolation": "linear",
        "confidence": 0.9,
        "nms": NMS_OVERLAP,
    }

    def __init__(
        self, network, device: str = "cpu", weights: dict[str, str | None] | None = None, dtype: Dtype = "float32"
    ) -> None:
        import torch

        network.device = device
        self.network = network.to(device, memory_format=torch.channels_last).eval()
        self.device, self.dtype = device, dtype
        self.parameters = dict(self.PARAMETERS)
        if dtype != "float32":
            self.parameters["dtype"] = dtype
            # Scores near 1 are 0.004 apart in bfloat16, and best first would mean nothing.
            for layer in (*self.network.conf, *self.network.loc):
                layer.register_forward_hook(lambda layer, given, found: found.float())
        self.weights = weights or {}

    def detect(self, frames: np.ndarray) -> list[np.ndarray]:
        import cv2
        import torch

        height, width = frames.shape[1:3]
        if min(height, width) < _S3FD_LEAST_SIDE:
            least = _S3FD_LEAST_SIDE
            raise Unscorable(f"frames of {width}x{height} pixels are too small for S3FD, which needs {least}x{least}")
        scale = self.parameters["scale"]
        small = np.stack(
            [cv2.resize(frame, (0, 0), fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for frame in frames]
        )
        # Fixed by the frame size, not by the user's batch size: the last digits of a convolution depend on its
        # batch, and a box on the edge of a whole pixel would move the crop.
        batch = max(1, _S3FD_BATCH_PIXELS // (small.shape[1] * small.shape[2]))
        mean = torch.tensor(_S3FD_MEAN, device=self.device).view(1, 3, 1, 1)
        found = []
        for start in range(0, len(small), batch):
            pixels = to_device(small[start : start + batch], self.device).permute(0, 3, 1, 2)
            with precision(self.dtype, self.device):
                scored = self.network(pixels.float().contiguous(memory_format=torch.channels_last) - mean)
            found += [self._boxes(rows, width, height) for rows in scored[:, 1].cpu().numpy()]
        return found

    def _boxes(self, rows: np.ndarray, width: int, height: int) -> np.ndarray:
        """One frame's ``(750, 5)`` rows (score, box in fractions of the frame, best first) -> pixel boxes."""
        from syncnet_python.detectors.s3fd.box_utils import nms_

        rows = rows[rows[:, 0] > self.parameters["confidence"]]
        pixels = rows[:, 1:] * np.array([width, height, width, height], np.float32)
        boxes = np.concatenate([pixels, rows[:, :1]], axis=1).astype(np.float64)
        return boxes[nms_(boxes, self.parameters["nms"])]


class Haar:
    """OpenCV's bundled frontal-face cascade: no download, upright frontal faces only.

    The cascade ``alt2`` is the one of the four that found no cat's and no guitar's face in real clips. Frames are
    reduced to a shorter side of 240 pixels, which bounds the time; faces under 80 pixels of the source are not
    looked for (a track needs more than 100). The score is the number of agreeing windows.
    """

    name = "haar"
    PARAMETERS: ClassVar[dict[str, Any]] = {
        "cascade": "haarcascade_frontalface_alt2",
        "scale_factor": 1.1,
        "min_neighbors": 5,
        "min_face": 80,
        "shorter_side": 240,
        "interpolation": "area",
        "nms": NMS_OVERLAP,
    }

    def __init__(self) -> None:
        cv2 = require("cv2", "sync")
        self.parameters = dict(self.PARAMETERS)
        self.weights: dict[str, str | None] = {}
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        path = Path(folder) / f"{self.parameters['cascade']}.xml"
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            raise NotApplicable(
                f"OpenCV {cv2.__version__} has no {path.name}: pip install 'opencv-contrib-python>=4.10,<5'"
            )
        self.cascade = cv2.CascadeClassifier(str(path))

    def detect(self, frames: np.ndarray) -> list[np.ndarray]:
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: np.ndarray) -> np.ndarray:
        import cv2

        height, width = frame.shape[:2]
        factor = min(1.0, self.parameters["shorter_side"] / min(height, width))
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if factor < 1:
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        least = max(20, round(self.parameters["min_face"] * factor))
        squares, counts = self.cascade.detectMultiScale2(
            gray,
            scaleFactor=self.parameters["scale_factor"],
            minNeighbors=self.parameters["min_neighbors"],
            minSize=(least, least),
        )
        if len(squares) == 0:
            return np.empty((0, 5))
        squares = np.asarray(squares, np.float64) * ([width / gray.shape[1], height / gray.shape[0]] * 2)
        boxes = np.column_stack([squares[:, :2], squares[:, :2] + squares[:, 2:], np.ravel(counts)])
        # OpenCV's threads report windows in any order; sorting makes the result independent of them.
        boxes = boxes[np.lexsort((boxes[:, 1], boxes[:, 0], -squares[:, 2], -boxes[:, 4]))]
        keep = cv2.dnn.NMSBoxes(squares_of(boxes), boxes[:, 4].tolist(), 0.0, self.parameters["nms"])
        return boxes[np.ravel(keep).astype(int)]


def squares_of(boxes: np.ndarray) -> list[list[float]]:
    """(k, 5) corner boxes -> rows (x, y, width, height), the form OpenCV wants."""
    return np.column_stack([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]]).tolist()


@lru_cache(maxsize=2)
def _load_s3fd(path: str, digest: str | None, device: str, dtype: Dtype) -> S3FD:
    torch = require("torch", "sync")
    make_torchvision_importable()
    network = require("syncnet_python.detectors.s3fd.nets", "sync").S3FDNet(device="cpu")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    return S3FD(network, device, {"sfd_face": digest}, dtype)


@lru_cache(maxsize=1)
def haar() -> Haar:
    """The Haar detector of this process."""
    return Haar()


def s3fd(device: str = "cpu", dtype: Dtype = "float32") -> S3FD:
    """S3FD with the weights ``sfd_face``, one per process, device and dtype.

    NotApplicable while they are missing, and for a dtype that the device does not have.
    """
    check_dtype(dtype, device)
    return _load_s3fd(str(weights.path("sfd_face")), weights.digest("sfd_face"), device, dtype)
