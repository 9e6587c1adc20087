"""Portraits: one square around the face, never stretched; and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_factory import write_lossless
from PIL import Image

from t2av_bench.errors import MediaError
from t2av_bench.faces.detect import haar
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GenerationFailed
from t2av_bench.systems.latent.portrait import (
    FACE_HEIGHT,
    FACE_TO_SQUARE,
    Face,
    cut,
    largest_face,
    read_portrait,
    read_portrait_video,
    square_around,
)


class FixedDetector:
    """Reports the same boxes in every picture."""

    name, parameters, weights = "fixed", {}, {}

    def __init__(self, *boxes):
        self.boxes = np.array([[*box, 1.0] for box in boxes], float).reshape(-1, 5)

    def detect(self, frames):
        return [self.boxes] * len(frames)


def on_canvas(face: np.ndarray, width: int, height: int, left: int, top: int) -> np.ndarray:
    canvas = np.full((height, width, 3), 90, np.uint8)
    canvas[top : top + len(face), left : left + face.shape[1]] = face
    return canvas


@given(st.floats(0, 700), st.floats(0, 500), st.floats(1, 900), st.integers(300, 700), st.integers(300, 500))
def test_the_square_lies_in_the_picture_and_holds_the_face_where_it_can(x, y, side, width, height):
    x, y = min(x, width), min(y, height)
    square = square_around(Face(x, y, side, 1), width, height)
    assert 0 <= square.left <= width - square.side and 0 <= square.top <= height - square.side
    assert square.side == min(round(FACE_TO_SQUARE * side), width, height)
    assert square.left - 1 <= x <= square.left + square.side + 1 and square.top - 1 <= y <= square.top + square.side + 1
    room = FACE_TO_SQUARE * side
    if room < min(x, width - x, y, height - y):  # far from every edge: exactly the rule
        assert (x - square.left) / square.side == pytest.approx(0.5, abs=1.1 / square.side)
        assert (y - square.top) / square.side == pytest.approx(FACE_HEIGHT, abs=1.1 / square.side)


def test_a_face_in_a_wide_picture_is_framed_like_a_portrait(tmp_path, faces):
    big = np.asarray(Image.fromarray(faces[27][0]).resize((384, 384)))
    Image.fromarray(on_canvas(big, 900, 500, 430, 90)).save(tmp_path / "wide.png")
    portrait = read_portrait(tmp_path / "wide.png", haar(), 256)
    assert portrait.picture.shape == (256, 256, 3) and not portrait.notes
    found = largest_face(portrait.picture, haar())
    assert found.side / 256 == pytest.approx(1 / FACE_TO_SQUARE, rel=0.08)
    assert found.x / 256 == pytest.approx(0.5, abs=0.05) and found.y / 256 == pytest.approx(FACE_HEIGHT, abs=0.05)


def test_the_released_reference_clip_keeps_its_own_framing(clips_folder):
    if not (clips_folder / "talker_reference.mp4").exists():
        pytest.skip(f"no talker_reference.mp4 in {clips_folder}")
    portrait = read_portrait(clips_folder / "talker_reference.mp4", haar(), 512)
    assert portrait.square.side >= 0.97 * 512
    if portrait.square.side == 512:
        first = Clip(clips_folder / "talker_reference.mp4").frames_at([0])[0]
        assert np.array_equal(portrait.picture, first), "a picture that fits is not touched"


def test_cutting_keeps_the_aspect(faces):
    y, x = np.mgrid[0:400, 0:600]
    disc = np.repeat((((x - 300) ** 2 + (y - 200) ** 2 < 100**2) * 255)[..., None], 3, axis=2).astype(np.uint8)
    picture = cut(disc, square_around(Face(300, 210, 150, 1), 600, 400), 128)
    wide, high = (np.ptp(np.flatnonzero(picture[..., 0].max(axis) > 127)) + 1 for axis in (0, 1))
    assert wide == pytest.approx(high, abs=1) and wide == pytest.approx(200 * 128 / 285, abs=2)


def test_the_largest_of_several_faces_is_taken_and_said(tmp_path, faces):
    big = np.asarray(Image.fromarray(faces[8][0]).resize((400, 400)))
    crowd = on_canvas(big, 800, 420, 380, 10)
    crowd[100:356, 40:296] = faces[27][0]
    Image.fromarray(crowd).save(tmp_path / "two.png")
    portrait = read_portrait(tmp_path / "two.png", haar(), 128)
    assert "2 faces, the largest" in portrait.notes[0]
    assert portrait.square.left + portrait.square.side / 2 == pytest.approx(580, abs=25)


def test_a_phone_photograph_is_turned_upright(tmp_path, faces):
    photograph = Image.fromarray(np.rot90(faces[27][0]))
    tags = photograph.getexif()
    tags[0x0112] = 6  # shown after a quarter turn clockwise
    photograph.save(tmp_path / "phone.jpg", exif=tags, quality=95)
    Image.fromarray(faces[27][0]).save(tmp_path / "upright.png")
    turned, plain = (read_portrait(tmp_path / name, haar(), 128) for name in ("phone.jpg", "upright.png"))
    assert np.abs(turned.picture.astype(int) - plain.picture).mean() < 4


def test_no_face_and_a_small_face_are_refused_with_advice(tmp_path, faces):
    Image.fromarray(np.full((300, 300, 3), 120, np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(GenerationFailed, match="no face found in grey.png; the bundled .*fetch blazeface_short"):
        read_portrait(tmp_path / "grey.png", haar())
    with pytest.raises(GenerationFailed, match="face in grey.png is too small: 60 pixels, at least 100"):
        read_portrait(tmp_path / "grey.png", FixedDetector((10, 10, 50, 70)))
    write_mp4(tmp_path / "grey.mp4", np.full((12, 64, 64, 3), 120, np.uint8))
    with pytest.raises(GenerationFailed, match="in any of 3 frames looked at"):
        read_portrait(tmp_path / "grey.mp4", haar())


def test_files_that_are_no_pictures_are_refused(tmp_path, inputs):
    for name, message in (("absent.png", "does not exist"), ("text.png", "is text")):
        if name != "absent.png":
            (tmp_path / name).write_text("hello")
        with pytest.raises(MediaError, match=message):
            read_portrait(tmp_path / name, haar())
    data = inputs["image"].read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(GenerationFailed, match="half.png cannot be read"):
        read_portrait(tmp_path / "half.png", haar())
    with pytest.raises(MediaError, match="no video stream"):
        read_portrait(inputs["voice"], haar())
    with pytest.raises(GenerationFailed, match="still image"):
        read_portrait_video(inputs["image"], haar(), 64, 10)


def test_the_first_frame_that_shows_a_face_is_taken(tmp_path, faces):
    frames = np.concatenate([np.zeros((8, 256, 256, 3), np.uint8), faces[8][:8]])
    write_lossless(tmp_path / "late.mkv", frames)
    portrait = read_portrait(tmp_path / "late.mkv", haar(), 128)
    assert portrait.frame == 10 and "frame 10" in portrait.notes[0]
    assert np.array_equal(portrait.picture, cut(faces[8][2], portrait.square, 128))


def test_a_video_is_cut_to_one_square(tmp_path, faces):
    canvas = np.stack([on_canvas(face, 420, 300, 100, 20) for face in faces[8][:14]])
    write_lossless(tmp_path / "wide.mkv", canvas)
    video = read_portrait_video(tmp_path / "wide.mkv", haar(), 128, 12)
    assert (video.frame_count, video.was_cut) == (12, True)
    whole = np.concatenate(list(video.pictures(5)))
    assert np.array_equal(whole, np.stack([cut(frame, video.square, 128) for frame in canvas[:12]]))
    assert np.array_equal(whole, np.concatenate(list(video.pictures(12))))
    assert not read_portrait_video(tmp_path / "wide.mkv", haar(), 128, 14).was_cut


def test_a_video_whose_face_comes_and_goes_is_refused(tmp_path, faces):
    frames = np.concatenate([faces[8][:5], np.zeros((15, 256, 256, 3), np.uint8)])
    write_lossless(tmp_path / "short.mkv", frames)
    with pytest.raises(GenerationFailed, match="a face in only 1 of 4 frames looked at in short.mkv"):
        read_portrait_video(tmp_path / "short.mkv", haar(), 128, 100)


def test_oblong_pixels_become_square(tmp_path, faces):
    import av

    squeezed = np.stack([np.asarray(Image.fromarray(face).resize((128, 256))) for face in faces[8][:2]])
    with av.open(str(tmp_path / "oblong.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = 128, 256, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for frame in squeezed:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert Clip(tmp_path / "oblong.mp4").info.sample_aspect_ratio == 2
    write_lossless(tmp_path / "square.mkv", faces[8][:2])
    oblong, square = (read_portrait(tmp_path / name, haar(), 128) for name in ("oblong.mp4", "square.mkv"))
    assert np.abs(oblong.picture.astype(int) - square.picture).mean() < 6
