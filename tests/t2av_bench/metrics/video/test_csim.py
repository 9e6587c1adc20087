"""CSIM: detector decoding, alignment and bookkeeping on ONNX networks whose answers are known.

The stand-in detector has SCRFD's inputs and outputs and finds coloured cells: red ones at stride 8, green ones at
stride 16, blue ones at stride 32. The stand-in recogniser is a random projection of the aligned crop.
"""

import itertools
from pathlib import Path

import cv2
import numpy as np
import onnx_bytes
import onnxruntime
import pytest
from PIL import Image

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import arcface, scrfd
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.csim import CSIMBuffaloL, identities

# Per stride: the anchor that answers, the box around it (left, top, right, bottom) and its five points, in strides.
FACES = {
    8: (0, np.array([9.0, 10, 11, 12]), (arcface.TEMPLATE - 56) * 1.5 / 8),
    16: (1, np.array([2.0, 1, 2.5, 3]), np.arange(10.0).reshape(5, 2) / 8),
    32: (0, np.array([1.0, 1, 1, 1]), -np.arange(10.0).reshape(5, 2) / 32),
}


def detector_bytes() -> bytes:
    nodes, constants, outputs = [], {}, {"scores": {}, "boxes": {}, "points": {}}
    for colour, (stride, (anchor, box, points)) in enumerate(FACES.items()):
        score = np.zeros((2, 3, stride, stride))
        score[anchor] = -10 / stride**2
        score[anchor, colour] = 10 / stride**2
        silent = {"boxes": np.full(8, 99.0), "points": np.full(20, 99.0)}  # the other anchor's answer, to be ignored
        silent["boxes"][4 * anchor : 4 * anchor + 4] = box
        silent["points"][10 * anchor : 10 * anchor + 10] = points.ravel()
        biases = {"scores": np.where(np.arange(2) == anchor, -25.0, -50.0), **silent}
        for kind, columns in (("scores", 1), ("boxes", 4), ("points", 10)):
            name = f"{kind}{stride}"
            constants[f"{name}_weight"] = score if kind == "scores" else np.zeros((2 * columns, 3, stride, stride))
            constants[f"{name}_bias"] = biases[kind]
            constants[f"{name}_shape"] = np.array([-1, columns])
            nodes += [
                onnx_bytes.node("Conv", ["image", f"{name}_weight", f"{name}_bias"], f"{name}_map",
                                kernel_shape=[stride, stride], strides=[stride, stride]),
                onnx_bytes.node("Transpose", [f"{name}_map"], f"{name}_last", perm=[0, 2, 3, 1]),
                onnx_bytes.node("Reshape", [f"{name}_last", f"{name}_shape"], f"{name}_rows"),
                onnx_bytes.node("Sigmoid" if kind == "scores" else "Identity", [f"{name}_rows"], name),
            ]  # fmt: skip
            outputs[kind][name] = ["rows", columns]
    ordered = {name: shape for kind in outputs.values() for name, shape in kind.items()}
    return onnx_bytes.model(nodes, constants, {"image": [1, 3, "height", "width"]}, ordered)


def recogniser_bytes() -> bytes:
    projection = np.random.default_rng(0).standard_normal((3 * 28 * 28, 512)) / 10
    nodes = [
        onnx_bytes.node("AveragePool", ["crop"], "small", kernel_shape=[4, 4], strides=[4, 4]),
        onnx_bytes.node("Flatten", ["small"], "flat", axis=1),
        onnx_bytes.node("MatMul", ["flat", "projection"], "vector"),
    ]
    return onnx_bytes.model(
        nodes, {"projection": projection}, {"crop": ["n", 3, 112, 112]}, {"vector": ["n", 512]}
    )  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    paths = {"buffalo_l_detector": folder / "det_10g.onnx", "buffalo_l_recogniser": folder / "w600k_r50.onnx"}
    for path, content in zip(paths.values(), (detector_bytes(), recogniser_bytes()), strict=True):
        path.write_bytes(content)
    return paths


@pytest.fixture(scope="module")
def detector(networks):
    return arcface.load(networks["buffalo_l_detector"], "stand-in", "cpu")


@pytest.fixture(scope="module")
def recogniser(networks):
    return arcface.load(networks["buffalo_l_recogniser"], "stand-in", "cpu")


def canvas(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 127, np.uint8)


def paint(image: np.ndarray, stride: int, x: int, y: int, scale: int = 1) -> np.ndarray:
    """Colour the cell whose anchor is at (x, y) of the network input, in an image ``scale`` times as large."""
    colour = np.eye(3, dtype=np.uint8)[list(FACES).index(stride)] * 255
    image[y * scale : (y + stride) * scale, x * scale : (x + stride) * scale] = colour
    return image


@pytest.mark.parametrize("stride", FACES)
@pytest.mark.parametrize(("height", "width", "scale"), [(512, 512, 1), (640, 640, 1), (720, 1280, 2), (1280, 720, 2)])
def test_faces_come_back_where_they_are(stride, height, width, scale, detector):
    """Through onnxruntime, at every stride, with and without resizing; both anchors; RGB order."""
    x, y = 32 * 5, 32 * 4
    found = scrfd.detect(detector, paint(canvas(height, width), stride, x, y, scale))
    _, box, points = FACES[stride]
    assert len(found.scores) == 1 and found.scores[0] > 0.99
    expected = np.array([x - box[0] * stride, y - box[1] * stride, x + box[2] * stride, y + box[3] * stride]) * scale
    np.testing.assert_allclose(found.boxes[0], expected, atol=1e-3)
    np.testing.assert_allclose(found.keypoints[0], (np.array([x, y]) + points * stride) * scale, atol=1e-3)


def test_no_face_and_several_faces(detector):
    assert len(scrfd.detect(detector, canvas(512, 512)).scores) == 0
    image = paint(paint(canvas(512, 512), 8, 100 * 2, 160), 32, 416, 416)
    found = scrfd.detect(detector, image)
    assert len(found.scores) == 2
    size = found.boxes[found.largest()]
    assert size[2] - size[0] == pytest.approx(160) and size[3] - size[1] == pytest.approx(176)


def test_neighbouring_candidates_are_suppressed(detector):
    image = paint(paint(canvas(512, 512), 8, 200, 160), 8, 208, 160)
    assert len(scrfd.detect(detector, image).scores) == 1
    apart = paint(paint(canvas(512, 512), 8, 104, 160), 8, 304, 160)
    assert len(scrfd.detect(detector, apart).scores) == 2


def test_decoding_equals_the_description_row_by_row():
    random = np.random.default_rng(0)
    side, outputs, expected = 64, [], []
    rows = [2 * (side // stride) ** 2 for stride in scrfd.STRIDES]
    for columns in (1, 4, 10):
        outputs += [random.uniform(0, 1, (n, columns)).astype(np.float32) for n in rows]
    for level, stride in enumerate(scrfd.STRIDES):
        places = itertools.product(range(side // stride), range(side // stride), range(2))
        for row, (cell_y, cell_x, _) in enumerate(places):
            score = outputs[level][row, 0]
            if score >= 0.5:
                left, top, right, bottom = outputs[3 + level][row] * stride
                x, y = cell_x * stride, cell_y * stride
                points = [(x + px * stride, y + py * stride) for px, py in outputs[6 + level][row].reshape(5, 2)]
                expected.append((score, [x - left, y - top, x + right, y + bottom], points))
    found = scrfd.decode(outputs, side)
    assert len(found.scores) == len(expected) > 50
    for i, (score, box, points) in enumerate(expected):
        assert found.scores[i] == score
        np.testing.assert_allclose(found.boxes[i], box, rtol=1e-5)
        np.testing.assert_allclose(found.keypoints[i], points, rtol=1e-5)


def test_suppression_keeps_the_best_of_each_overlap():
    """Inclusive pixel edges: 10x10 boxes shifted by s columns share 10(10-s) of 10(10+s) pixels."""

    def boxes(*lefts):
        corners = np.array([[left, 0, left + 9, 9] for left in lefts], float).reshape(-1, 4)
        return scrfd.Detections(corners, np.linspace(0.9, 0.6, len(lefts)), np.zeros((len(lefts), 5, 2)))

    assert len(scrfd.suppress(boxes(0, 4)).scores) == 1  # 60 / 140 > 0.4
    assert len(scrfd.suppress(boxes(0, 5)).scores) == 2  # 50 / 150 < 0.4
    chain = scrfd.suppress(boxes(0, 4, 8))  # the third overlaps the second only, which is gone
    assert chain.boxes[:, 0].tolist() == [0, 8]
    assert len(scrfd.suppress(boxes()).scores) == 0


def test_another_networks_outputs_are_refused():
    with pytest.raises(NotApplicable, match="6 outputs; SCRFD with keypoints has 9"):
        scrfd.decode([np.zeros((1, 1))] * 6, 64)
    with pytest.raises(NotApplicable, match="1 scores at stride 8; expected 128"):
        scrfd.decode([np.zeros((1, c)) for c in (1, 1, 1, 4, 4, 4, 10, 10, 10)], 64)


@pytest.mark.parametrize(("height", "width", "size"), [(512, 512, (512, 512)), (360, 640, (360, 640)),
                                                       (100, 50, (640, 320)), (1080, 1920, (360, 640))])  # fmt: skip
def test_letterbox_fits_into_the_top_left(height, width, size):
    image = np.full((height, width, 3), 200, np.uint8)
    square, scale = scrfd.letterbox(image, scrfd.detection_side(height, width))
    assert square.shape[0] == (512 if height == width == 512 else 640)
    assert (square[: size[0], : size[1]] == 200).all()
    assert square.sum() == 200 * 3 * size[0] * size[1]
    assert scale == size[0] / height


def umeyama(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The textbook solution by singular values."""
    centre, goal = points.mean(axis=0), template.mean(axis=0)
    u, values, vt = np.linalg.svd((template - goal).T @ (points - centre) / len(points))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (values * signs).sum() / points.var(axis=0).sum()
    return np.hstack([scale * rotation, (goal - scale * rotation @ centre)[:, None]])


def test_alignment_recovers_a_known_similarity_and_equals_umeyama():
    random = np.random.default_rng(0)
    for _ in range(20):
        angle, scale, shift = random.uniform(-3, 3), random.uniform(0.2, 5), random.uniform(-300, 300, 2)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (arcface.TEMPLATE - shift) @ np.linalg.inv(turn).T
        np.testing.assert_allclose(arcface.similarity_transform(points), np.hstack([turn, shift[:, None]]), atol=1e-8)
        noisy = points + random.normal(0, 5, points.shape)
        np.testing.assert_allclose(arcface.similarity_transform(noisy), umeyama(noisy, arcface.TEMPLATE), atol=1e-8)
    mirrored = arcface.similarity_transform(arcface.TEMPLATE * [-1, 1])
    assert np.linalg.det(mirrored[:, :2]) > 0


def test_aligned_crops_have_the_keypoints_on_the_template():
    keypoints = np.array([[200.0, 180], [290, 200], [240, 250], [195, 280], [275, 297]])
    matrix = arcface.similarity_transform(keypoints)
    landed = keypoints @ matrix[:, :2].T + matrix[:, 2]
    for i in range(5):
        image = np.zeros((400, 400, 3), np.uint8)
        cv2.circle(image, tuple(keypoints[i].astype(int)), 6, (255, 255, 255), -1)
        crop = arcface.align(image, keypoints).astype(float).mean(axis=2)
        centre = np.array([(crop.sum(axis=0) @ np.arange(112)), (crop.sum(axis=1) @ np.arange(112))]) / crop.sum()
        np.testing.assert_allclose(centre, landed[i], atol=0.3)
        assert np.abs(centre - arcface.TEMPLATE[i]).max() < 6


def test_vectors_see_rgb_crops_scaled_to_one(recogniser):
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    vectors = arcface.embed(recogniser, crops)
    pooled = ((crops / 127.5 - 1).reshape(3, 28, 4, 28, 4, 3).mean(axis=(2, 4))).transpose(0, 3, 1, 2).reshape(3, -1)
    expected = pooled @ (np.random.default_rng(0).standard_normal((3 * 28 * 28, 512)) / 10)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert vectors.dtype == np.float32
    single = np.concatenate([arcface.embed(recogniser, crops[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(single, vectors, atol=1e-6)


def texture(seed: int) -> np.ndarray:
    """A face's looks: 240x240 smooth noise around middle grey, never pure red."""
    noise = np.random.default_rng(seed).standard_normal((240, 240, 3))
    noise = cv2.GaussianBlur(noise, (0, 0), 8)
    return np.clip(127.5 + 45 * noise / noise.std(), 30, 225).astype(np.uint8)


def face(looks: np.ndarray, x: int = 256, y: int = 256, visible: bool = True) -> np.ndarray:
    """A frame (512, 512, 3) with a face whose anchor is at (x, y), multiples of 8."""
    image = canvas(512, 512)
    image[y - 120 : y + 120, x - 120 : x + 120] = looks
    return paint(image, 8, x, y) if visible else image


def test_csim_of_moving_faces_with_gaps(pair_of, networks, install_weights):
    install_weights(networks)
    looks = texture(0)
    generated = np.stack([face(looks, 200 + 8 * t, 240, visible=t != 5) for t in range(12)])
    generated[10] = paint(generated[10], 32, 0, 0)  # a second, smaller face
    measurement = CSIMBuffaloL().measure(pair_of(generated, np.stack([face(looks), face(texture(1))])))
    assert measurement.values["csim"] == pytest.approx(1.0, abs=1e-5)
    assert measurement.detail == {
        "reference": "first frame of the reference clip", "frames_examined": 3, "frames_without_face": 1,
        "frames_with_several_faces": 1, "lowest": pytest.approx(1.0, abs=1e-5),
    }  # fmt: skip


def test_csim_is_the_mean_cosine_and_falls_with_damage(pair_of, networks, install_weights, detector, recogniser):
    install_weights(networks)
    mine, other = texture(0), texture(1)
    half = mine.copy()
    half[:, 120:] = 127
    frames = np.stack([face(looks) for looks in (mine, mine, mine, mine, mine, other)])  # 0 and 5 count
    value = CSIMBuffaloL().measure(pair_of(frames, frames[:1])).values["csim"]
    a, b = (arcface.identify(detector, recogniser, frame).vector.astype(float) for frame in (frames[0], frames[5]))
    assert value == pytest.approx((1 + a @ b) / 2, abs=1e-6)

    def score(looks):
        return CSIMBuffaloL().measure(pair_of(face(looks)[None], frames[:1])).values["csim"]

    blurred = [score(cv2.GaussianBlur(mine, (0, 0), sigma)) for sigma in (2, 6, 14, 30)]
    assert 1 > blurred[0] > blurred[1] > blurred[2] > blurred[3]
    assert score(other) < blurred[3]
    assert score(other) < score(half) < 1


def test_the_identity_image_comes_first(pair_of, networks, install_weights, tmp_path):
    install_weights(networks)
    mine, other = face(texture(0)), face(texture(1))
    Image.fromarray(mine).save(tmp_path / "portrait.png")
    pair = pair_of(mine[None], other[None], identity_image=str(tmp_path / "portrait.png"))
    measurement = CSIMBuffaloL().measure(pair)
    assert measurement.values["csim"] == pytest.approx(1.0, abs=1e-5)
    assert measurement.detail["reference"] == "identity image"
    alone = pair_of(other[None], identity_image=str(tmp_path / "portrait.png"))
    assert CSIMBuffaloL().measure(alone).values["csim"] < 0.5


def test_every_fifth_frame_whatever_the_batches(networks, install_weights):
    install_weights(networks)
    frames = np.stack([face(texture(t)) for t in range(11)])
    whole = identities([frames], "cpu")
    for cuts in ([1], [3, 4], [5], [2, 6, 10]):
        parts = identities(np.split(frames, cuts), "cpu")
        assert all(np.array_equal(parts[name], whole[name]) for name in whole)
    assert whole["examined"].tolist() == [3] and whole["frames"].tolist() == [0, 5, 10] and len(whole["vectors"]) == 3


def test_reasons(pair_of, networks, install_weights, tmp_path):
    frames, empty = face(texture(0))[None], canvas(512, 512)[None]
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch buffalo_l --accept non-commercial"):
        CSIMBuffaloL().measure(pair_of(frames, frames))
    install_weights(networks)
    with pytest.raises(Unscorable, match=r"no face in any of 2 frames examined \(every 5th\)"):
        CSIMBuffaloL().measure(pair_of(np.repeat(empty, 7, axis=0), frames))
    with pytest.raises(NotApplicable, match="no face in the first frame of the reference clip"):
        CSIMBuffaloL().measure(pair_of(frames, empty))
    with pytest.raises(NotApplicable, match="give 'identity_image' in the manifest, or a reference clip"):
        CSIMBuffaloL().measure(pair_of(frames))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    pair = pair_of(frames, frames)
    pair.reference = Clip(tmp_path / "broken.mp4")
    with pytest.raises(NotApplicable, match="the reference clip has no usable video"):
        CSIMBuffaloL().measure(pair)
    with pytest.raises(NotApplicable, match="nowhere.png does not exist"):
        CSIMBuffaloL().measure(pair_of(frames, identity_image=str(tmp_path / "nowhere.png")))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(NotApplicable, match="text.png cannot be read"):
        CSIMBuffaloL().measure(pair_of(frames, identity_image=str(tmp_path / "text.png")))


def test_sessions_are_single_threaded(detector):
    assert isinstance(detector, onnxruntime.InferenceSession)
    assert detector.get_session_options().intra_op_num_threads == 1
