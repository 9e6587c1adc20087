"""Identity similarity: cosine of ArcFace vectors of generated frames and of the reference image.

Protocol: InsightFace's buffalo_l (SCRFD detector at 640, or 512 for 512x512 frames; largest face; five-point alignment;
w600k_r50), every 5th frame of the generated clip at 25 fps against the identity image of the item, or against the first
frame of the reference clip where the item names none; mean over the frames with a face. Frames without a face are
counted in the detail; a clip without any fails. The weights are for non-commercial research only.

Proved by tests: detector decoding, suppression, resizing, alignment and scaling on networks with known answers through
onnxruntime, and this metric's bookkeeping. Not proved here: numbers with the real weights, which are not bundled.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import arcface, scrfd
from t2av_bench.media.clip import PICTURES, Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.paired_frames import usable_reference
from t2av_bench.scores import Protocol, Quantity

FRAME_STEP = 5
PARAMETERS = {
    **PICTURES, "frame_step": FRAME_STEP, "detection_side": "640; 512 for 512x512",
    "score_threshold": scrfd.SCORE_THRESHOLD, "overlap_threshold": scrfd.OVERLAP_THRESHOLD, "face": "largest",
    "alignment": "5 points to 112x112", "colour": "RGB",
}  # fmt: skip
LIBRARIES = ("av", "onnxruntime", "opencv-contrib-python")


class CSIMBuffaloL(Metric):
    id = "csim/buffalo_l"
    title = "Cosine similarity of identity (ArcFace)"
    quantities = (Quantity("csim", "CSIM", "higher", interval=(-1.0, 1.0), decimals=3, penalty="worst"),)
    validity = {"csim": {"identity_swap": "down", "blur": "down", "container": "same"}}
    aliases = {"ID-SIM": "csim", "identity similarity": "csim"}
    paper = "Deng et al. 2019, ArcFace (arXiv 1801.07698); Guo et al. 2021, SCRFD (arXiv 2105.04714)"
    weights = (arcface.DETECTOR, arcface.RECOGNISER)
    licence = "non-commercial"
    packages = ("PIL", "cv2", "onnxruntime")
    extra = "video"

    @property
    def protocol(self) -> Protocol:
        return self.stated(PARAMETERS, *LIBRARIES)

    def measure(self, pair: Pair) -> Measurement:
        reference, source = self._reference(pair)
        generated = identities_in(pair.generated, self.settings.device)
        examined, seen = int(generated["examined"][0]), len(generated["vectors"])
        cosines = generated["vectors"].astype(np.float64) @ reference.astype(np.float64)
        detail = {
            "reference": source,
            "frames_examined": examined,
            "frames_without_face": examined - seen,
            "frames_with_several_faces": int((generated["faces"] > 1).sum()),
            "lowest": float(cosines.min()),
        }
        return Measurement(values={"csim": float(cosines.mean())}, detail=detail)

    def _reference(self, pair: Pair) -> tuple[np.ndarray, str]:
        """The vector to compare with, and where it comes from."""
        if pair.item.identity_image:
            source = "identity image"
            found = identities([read_image(Path(pair.item.identity_image))[None]], self.settings.device)
        elif pair.reference is None and not pair.reference_problem:
            why = (
                f"{pair.unpaired}, and the item has no 'identity_image'"
                if pair.unpaired
                else ("give 'identity_image' in the manifest, or a reference clip (--reference DIR)")
            )
            raise NotApplicable(f"no face to compare with: {why}")
        else:
            source, clip = "first frame of the reference clip", pair.require_reference()
            with usable_reference():
                found = clip.stored(
                    self.protocol.fingerprint,
                    "first-identity",
                    lambda: identities([clip.frames_at([0])], self.settings.device),
                )
        if not len(found["vectors"]):
            raise NotApplicable(f"no face in the {source}: give 'identity_image' in the manifest")
        return found["vectors"][0], source


def identities_in(clip: Clip, device: str) -> dict[str, np.ndarray]:
    """``identities`` of a clip's frames, kept across runs. Raises Unscorable where there is no face in any of them."""
    fingerprint = CSIMBuffaloL().protocol.fingerprint
    found = clip.stored(fingerprint, "identities-of-frames", lambda: identities(clip.frames(), device))
    if not len(found["vectors"]):
        examined = int(found["examined"][0])
        raise Unscorable(f"no face in any of {examined} frames examined (every {FRAME_STEP}th)")
    return found


def identities(batches: Iterable[np.ndarray], device: str) -> dict[str, np.ndarray]:
    """Identities in every 5th frame of batches (n, H, W, 3): vectors (seen, 512), the numbers of their frames (seen,),
    how many faces each had (seen,), and how many frames were examined (1,)."""
    detector, recogniser = arcface.sessions(device)
    vectors, numbers, faces, index = [np.empty((0, 512), np.float32)], [], [], 0
    for batch in batches:
        for number in range(-index % FRAME_STEP, len(batch), FRAME_STEP):
            identity = arcface.identify(detector, recogniser, batch[number])
            if identity:
                vectors.append(identity.vector[None])
                numbers.append(index + number)
                faces.append(identity.faces)
        index += len(batch)
    return {
        "vectors": np.concatenate(vectors),
        "frames": np.array(numbers, np.int64),
        "faces": np.array(faces, np.int64),
        "examined": np.array([-(-index // FRAME_STEP)], np.int64),
    }


def read_image(path: Path) -> np.ndarray:
    """An image file, upright, as (H, W, 3) uint8 RGB. Raises NotApplicable with the reason."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as error:
        raise NotApplicable(f"the identity image {path} does not exist") from error
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise NotApplicable(f"the identity image {path} cannot be read: {error}") from error
